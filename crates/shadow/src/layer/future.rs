//! From a request that is copied to its answer's head.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body::Body;
use pin_project_lite::pin_project;
use sluicegate_body::Teed;
use sluicegate_core::Refusal;
use tokio::time::Instant;

use crate::answered::{AnswerTap, Waiting};

pin_project! {
    /// The future of [`Shadow`](crate::Shadow).
    #[derive(Debug)]
    pub struct ShadowFuture<F> {
        #[pin]
        inner: F,
        extra: Option<Box<Extra>>,
    }
}

/// What only few requests have.
#[derive(Debug)]
struct Extra {
    waiting: Option<Box<Waiting>>,
    began: Instant,
    cookies: Vec<HeaderValue>,
}

impl<F> ShadowFuture<F> {
    pub(super) fn new(inner: F, waiting: Option<Box<Waiting>>, cookies: Vec<HeaderValue>) -> Self {
        let some = waiting.is_some() || !cookies.is_empty();
        let extra = some.then(|| Box::new(Extra { waiting, began: Instant::now(), cookies }));
        Self { inner, extra }
    }
}

impl<F, R> Future for ShadowFuture<F>
where
    F: Future<Output = Result<Response<R>, Refusal>>,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<Teed<R, AnswerTap>>, Refusal>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(cx))?;
        let Some(extra) = this.extra.take() else {
            return Poll::Ready(Ok(response.map(|body| Teed::new(body, None))));
        };
        let Extra { waiting, began, cookies } = *extra;
        let tap = waiting.map(|it| it.answered(response.status(), response.headers(), began.elapsed()));
        for cookie in cookies {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        Poll::Ready(Ok(response.map(|body| Teed::new(body, tap))))
    }
}
