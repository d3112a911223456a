//! The inner layer: begins a key on record, runs the exchange, and writes its end down.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::rt::Executor;
use sluicegate_body::Gathered;
use sluicegate_core::{BoxError, Facts, Refusal};
use sluicegate_store::keyed::Keyed;
use tower_layer::Layer;
use tower_service::Service;

use crate::{home::Fences, plan::IdempotencyPlan};

mod body;
mod exchange;
mod future;
mod keeping;
mod line;
mod work;

pub use body::FenceBody;
pub use exchange::Exchange;
pub use future::FenceFuture;
pub use line::BrokenOff;

/// Begins the key that [`ReplayLayer`](crate::ReplayLayer) has read, and carries the write to
/// its end whatever becomes of its client.
///
/// Requests without a key pass untouched. `E` runs the exchanges; see [`Exchange`].
#[derive(Clone, Debug)]
pub struct FenceLayer<E> {
    fences: Fences,
    executor: E,
    over_service: bool,
}

impl<E> FenceLayer<E> {
    /// The layer over these fences.
    ///
    /// Whoever sends the request on moves its [`Attempt`](sluicegate_core::Attempt), from
    /// which the fence knows what became of a write without an answer. Requests that nobody
    /// has classified are taken to be served by what is inside this layer; see
    /// [`FenceLayer::over_service`].
    #[must_use]
    pub const fn new(fences: Fences, executor: E) -> Self {
        Self { fences, executor, over_service: false }
    }

    /// Says that the service inside does the work itself and sends nothing on. The layer then
    /// moves the attempt: a write is not applied when a layer inside refused it, and unknown
    /// when it was dropped before its answer had ended.
    #[must_use]
    pub fn over_service(mut self) -> Self {
        self.over_service = true;
        self
    }
}

impl<S, E: Clone> Layer<S> for FenceLayer<E> {
    type Service = Fence<S, E>;

    fn layer(&self, inner: S) -> Self::Service {
        Fence { inner, layer: self.clone() }
    }
}

/// The service of [`FenceLayer`].
#[derive(Clone, Debug)]
pub struct Fence<S, E> {
    inner: S,
    layer: FenceLayer<E>,
}

impl<S, E, B, R> Service<Request<Gathered<B>>> for Fence<S, E>
where
    S: Service<Request<Gathered<B>>, Response = Response<R>, Error = Refusal> + Clone,
    E: Executor<Exchange<S, B, R>> + Clone,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    type Response = Response<FenceBody<R>>;
    type Error = Refusal;
    type Future = FenceFuture<S, E, B, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Gathered<B>>) -> Self::Future {
        let extensions = request.extensions();
        let (Some(keyed), Some(plan)) = (extensions.get::<Keyed>(), extensions.get::<IdempotencyPlan>())
        else {
            return FenceFuture::passing(self.inner.call(request));
        };
        let (keyed, plan) = (keyed.clone(), plan.clone());
        let (mut head, body) = request.into_parts();
        let facts = Facts::of(&head.headers, &mut head.extensions);
        // The one that was made ready goes with the request.
        let fresh = self.inner.clone();
        let service = std::mem::replace(&mut self.inner, fresh);
        let own = self.layer.over_service || facts.classified().is_none();
        let home = self.layer.fences.0.clone();
        let executor = self.layer.executor.clone();
        FenceFuture::keyed(future::Arrival { home, plan, facts, keyed, own, service, executor, head }, body)
    }
}

#[cfg(test)]
mod tests;
