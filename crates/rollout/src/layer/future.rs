//! From a request at the choice to its answer's head.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{HeaderValue, Response, header};
use pin_project_lite::pin_project;
use sluicegate_core::Refusal;

pin_project! {
    /// The future of [`Rollout`](crate::Rollout).
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        way: Way<F>,
    }
}

pin_project! {
    #[project = WayProjection]
    #[derive(Debug)]
    enum Way<F> {
        // The cookie is rare: it does not take its room in every request.
        Through { #[pin] inner: F, cookie: Option<Box<HeaderValue>> },
        Refused { refusal: Option<Refusal> },
    }
}

impl<F> ResponseFuture<F> {
    pub(super) fn through(inner: F, cookie: Option<HeaderValue>) -> Self {
        Self { way: Way::Through { inner, cookie: cookie.map(Box::new) } }
    }

    pub(super) const fn refused(refusal: Refusal) -> Self {
        Self { way: Way::Refused { refusal: Some(refusal) } }
    }
}

impl<F, R> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, Refusal>>,
{
    type Output = Result<Response<R>, Refusal>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().way.project() {
            WayProjection::Through { inner, cookie } => {
                let mut answer = ready!(inner.poll(cx));
                if let (Ok(response), Some(cookie)) = (&mut answer, cookie.take()) {
                    response.headers_mut().append(header::SET_COOKIE, *cookie);
                }
                Poll::Ready(answer)
            }
            WayProjection::Refused { refusal } => match refusal.take() {
                Some(refusal) => Poll::Ready(Err(refusal)),
                // Polled again after it was done, which no executor does.
                None => Poll::Pending,
            },
        }
    }
}
