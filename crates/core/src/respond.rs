//! From refusal to answer, as a layer.
//!
//! Guards return a [`Refusal`] as their service's error. This layer stands outside of them
//! and words it for the client. The gateway's ingress does so itself; an axum or tonic
//! service that uses a guard alone puts this layer around it.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Either, Full};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::{Facts, Refusal};

/// Turns the refusals of the layers inside into answers.
#[derive(Clone, Copy, Debug, Default)]
pub struct RespondLayer;

impl<S> Layer<S> for RespondLayer {
    type Service = Respond<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Respond { inner }
    }
}

/// The service of [`RespondLayer`].
#[derive(Clone, Copy, Debug)]
pub struct Respond<S> {
    inner: S,
}

impl<S, B, R> Service<Request<B>> for Respond<S>
where
    S: Service<Request<B>, Response = Response<R>, Error = Refusal>,
    R: http_body::Body<Data = Bytes>,
{
    type Response = Response<Either<R, Full<Bytes>>>;
    type Error = std::convert::Infallible;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // A refusal at readiness belongs to no request; the call will meet it again.
        drop(ready!(self.inner.poll_ready(cx)));
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let facts = Facts::of(&parts.headers, &mut parts.extensions);
        let request = Request::from_parts(parts, body);
        ResponseFuture { inner: self.inner.call(request), facts }
    }
}

pin_project! {
    /// The future of [`Respond`].
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        facts: Facts,
    }
}

impl<F, R> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, Refusal>>,
    R: http_body::Body<Data = Bytes>,
{
    type Output = Result<Response<Either<R, Full<Bytes>>>, std::convert::Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        Poll::Ready(Ok(match ready!(this.inner.poll(cx)) {
            Ok(response) => response.map(Either::Left),
            Err(refusal) => refusal.into_response(this.facts).map(Either::Right),
        }))
    }
}
