//! From a request at the freeze to its answer's head.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{HeaderValue, Response, StatusCode};
use http_body::Body;
use pin_project_lite::pin_project;
use sluicegate_core::Refusal;

use crate::{body::FreezeBody, guard::Guard, refuse::BANNER};

pin_project! {
    /// The future of [`Freeze`](crate::Freeze).
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        // Dropped before the guard: what is inside may yet learn how its attempt ended.
        #[pin]
        inner: Option<F>,
        passage: Passage,
    }
}

/// How the request passed the freeze.
#[derive(Debug)]
enum Passage {
    /// A read; with what it carries back, where a freeze covers it.
    Read(Option<HeaderValue>),
    /// A write that the layer below keeps for later: nothing of it is sent.
    Deferred,
    /// A write, and its place at the barrier.
    Write(Guard),
    /// It did not; with what the client is told.
    Refused(Refusal),
    /// The answer is out.
    Done,
}

impl<F> ResponseFuture<F> {
    pub(super) fn read(inner: F, banner: Option<HeaderValue>) -> Self {
        Self { inner: Some(inner), passage: Passage::Read(banner) }
    }

    pub(super) fn write(inner: F, guard: Guard) -> Self {
        Self { inner: Some(inner), passage: Passage::Write(guard) }
    }

    pub(super) fn deferred(inner: F) -> Self {
        Self { inner: Some(inner), passage: Passage::Deferred }
    }

    pub(super) fn refused(refusal: Refusal) -> Self {
        Self { inner: None, passage: Passage::Refused(refusal) }
    }
}

impl<F, R> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, Refusal>>,
    R: Body,
{
    type Output = Result<Response<FreezeBody<R>>, Refusal>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let answered = match this.inner.as_mut().as_pin_mut() {
            Some(inner) => Some(ready!(inner.poll(cx))),
            None => None,
        };
        this.inner.set(None);
        Poll::Ready(match (std::mem::replace(this.passage, Passage::Done), answered) {
            (Passage::Refused(refusal), _) => Err(refusal),
            (Passage::Read(banner), Some(answer)) => answer.map(|mut response| {
                if let Some(banner) = banner {
                    response.headers_mut().insert(BANNER.clone(), banner);
                }
                response.map(FreezeBody::free)
            }),
            (Passage::Deferred, Some(answer)) => answer.map(|response| response.map(FreezeBody::free)),
            (Passage::Write(guard), Some(Ok(response))) => {
                guard.answering();
                let tunnel = response.status() == StatusCode::SWITCHING_PROTOCOLS;
                Ok(response.map(|body| FreezeBody::held(body, guard, tunnel)))
            }
            (Passage::Write(guard), Some(Err(refusal))) => {
                guard.refused();
                Err(refusal)
            }
            // Polled again after it was done, which no executor does.
            (Passage::Done | Passage::Read(_) | Passage::Deferred | Passage::Write(_), _) => {
                return Poll::Pending;
            }
        })
    }
}
