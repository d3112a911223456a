//! From a request at the replay layer to its answer's head.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use sluicegate_body::Gathered;
use sluicegate_core::{BoxError, Refusal};
use tower_service::Service;

use super::{body::ReplayBody, passage::Passage};

pin_project! {
    /// The future of [`Replay`](crate::Replay).
    pub struct ReplayFuture<S, B, R>
    where
        S: Service<Request<Gathered<B>>>,
    {
        #[pin]
        state: State<S::Future, Passage<S, S::Future, B, R>>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F, T> {
        Passing { #[pin] inner: F },
        // In a box, so that a request without a key pays no room for it.
        Keyed { passage: Pin<Box<T>> },
        Refused { refusal: Option<Refusal> },
    }
}

impl<S, B, R> ReplayFuture<S, B, R>
where
    S: Service<Request<Gathered<B>>>,
{
    pub(super) fn passing(inner: S::Future) -> Self {
        Self { state: State::Passing { inner } }
    }

    pub(super) fn keyed(passage: Passage<S, S::Future, B, R>) -> Self {
        Self { state: State::Keyed { passage: Box::pin(passage) } }
    }

    pub(super) fn refused(refusal: Refusal) -> Self {
        Self { state: State::Refused { refusal: Some(refusal) } }
    }
}

impl<S, B, R> Future for ReplayFuture<S, B, R>
where
    S: Service<Request<Gathered<B>>, Response = Response<R>, Error = Refusal>,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<ReplayBody<R>>, Refusal>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Passing { inner } => {
                inner.poll(cx).map_ok(|response| response.map(ReplayBody::passed))
            }
            StateProjection::Keyed { passage } => passage.as_mut().poll(cx),
            // Polled again after it was done, which no executor does.
            StateProjection::Refused { refusal } => {
                refusal.take().map_or(Poll::Pending, |refusal| Poll::Ready(Err(refusal)))
            }
        }
    }
}
