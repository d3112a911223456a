//! From a request at the upstream to its answer's head.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;
use sluicegate_core::Refusal;

use super::{body::JudgedBody, watch::Watch};

pin_project! {
    /// The future of [`Judged`](crate::Judged).
    #[derive(Debug)]
    pub struct JudgedFuture<F> {
        #[pin]
        inner: F,
        watch: Watch,
    }
}

impl<F> JudgedFuture<F> {
    pub(super) const fn new(inner: F, watch: Watch) -> Self {
        Self { inner, watch }
    }
}

impl<F, R> Future for JudgedFuture<F>
where
    F: Future<Output = Result<Response<R>, Refusal>>,
    R: Body,
{
    type Output = Result<Response<JudgedBody<R>>, Refusal>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        Poll::Ready(match ready!(this.inner.poll(cx)) {
            Ok(response) => {
                let exchange = this.watch.answered(response.status(), response.headers());
                Ok(response.map(|body| JudgedBody::new(body, exchange)))
            }
            Err(refusal) => {
                this.watch.refused(&refusal);
                Err(refusal)
            }
        })
    }
}
