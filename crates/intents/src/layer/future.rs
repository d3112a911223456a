//! From a request at the queue to its answer's head.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Either, Full};
use pin_project_lite::pin_project;
use sluicegate_body::Gathered;
use sluicegate_core::Refusal;
use tower_service::Service;

use super::keep::Verdict;

pin_project! {
    /// The future of [`IntentsQueue`](crate::IntentsQueue).
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<Gathered<B>>>,
    {
        #[pin]
        inner: Option<S::Future>,
        before: Before<S, B>,
    }
}

/// What comes before the inner call.
enum Before<S, B> {
    Nothing,
    /// Whether the request is kept is being found out. Boxed: few requests come here, and the
    /// others should not carry its size.
    Judging(Box<Judging<S, B>>),
    Refused(Refusal),
}

struct Judging<S, B> {
    verdict: Pin<Box<dyn Future<Output = Verdict<B>> + Send>>,
    inner: S,
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<Gathered<B>>>,
{
    pub(super) fn passing(inner: S::Future) -> Self {
        Self { inner: Some(inner), before: Before::Nothing }
    }

    pub(super) fn refused(refusal: Refusal) -> Self {
        Self { inner: None, before: Before::Refused(refusal) }
    }

    pub(super) fn judging(verdict: impl Future<Output = Verdict<B>> + Send + 'static, inner: S) -> Self {
        Self { inner: None, before: Before::Judging(Box::new(Judging { verdict: Box::pin(verdict), inner })) }
    }
}

impl<S, B, R> Future for ResponseFuture<S, B>
where
    S: Service<Request<Gathered<B>>, Response = Response<R>, Error = Refusal>,
{
    type Output = Result<Response<Either<R, Full<Bytes>>>, Refusal>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Before::Judging(judging) = this.before {
            let verdict = ready!(judging.verdict.as_mut().poll(cx));
            match verdict {
                Verdict::Pass(request) => this.inner.set(Some(judging.inner.call(request))),
                Verdict::Kept(response) => {
                    *this.before = Before::Nothing;
                    return Poll::Ready(Ok(response.map(|body| Either::Right(Full::new(body)))));
                }
                Verdict::Refuse(refusal) => {
                    *this.before = Before::Nothing;
                    return Poll::Ready(Err(refusal));
                }
            }
        }
        match std::mem::replace(this.before, Before::Nothing) {
            Before::Refused(refusal) => Poll::Ready(Err(refusal)),
            Before::Nothing | Before::Judging(_) => match this.inner.as_pin_mut() {
                Some(inner) => inner.poll(cx).map_ok(|response| response.map(Either::Left)),
                // Polled again after it was done, which no executor does.
                None => Poll::Pending,
            },
        }
    }
}
