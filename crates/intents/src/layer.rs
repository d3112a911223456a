//! The queue as a tower layer, right below the freeze.
//!
//! A write that the freeze has marked is kept and answered `202`; nothing of it is sent. A
//! write that no freeze holds back goes behind older intents of its line, if there are any.
//! Everything else passes on at the cost of a look at the request's facts, and for a write of a
//! queueing route one load more where it is certain that nothing waits.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{Either, Full};
use sluicegate_body::{Budget, Gathered};
use sluicegate_core::{Access, BoxError, Facts, Refusal};
use sluicegate_store::Backfill;
use tower_layer::Layer;
use tower_service::Service;

use crate::{home::Intents, plan::IntentsPlan, refuse};

mod future;
mod keep;

pub use future::ResponseFuture;

/// Keeps the writes that a freeze has marked, and those that belong behind them.
#[derive(Clone, Debug)]
pub struct IntentsLayer {
    intents: Intents,
    budget: Budget,
}

impl IntentsLayer {
    /// The layer over these intents; bodies are gathered within `budget`.
    #[must_use]
    pub fn new(intents: Intents, budget: Budget) -> Self {
        Self { intents, budget }
    }
}

impl<S> Layer<S> for IntentsLayer {
    type Service = IntentsQueue<S>;

    fn layer(&self, inner: S) -> Self::Service {
        IntentsQueue { inner, layer: self.clone() }
    }
}

/// The service of [`IntentsLayer`].
#[derive(Clone, Debug)]
pub struct IntentsQueue<S> {
    inner: S,
    layer: IntentsLayer,
}

/// What is to be done with a request.
enum Way {
    Pass,
    Judge(Facts),
    Refuse,
}

impl IntentsLayer {
    fn way<B>(&self, request: &Request<B>) -> Way {
        let Some(facts) = request.extensions().get::<Facts>() else { return Way::Pass };
        let deferred = facts.is_deferred();
        if facts.part::<IntentsPlan>().is_none() {
            // A mark is a promise that nothing is sent; without a plan it cannot be kept.
            return if deferred { Way::Refuse } else { Way::Pass };
        }
        let backfill = request.extensions().get::<Backfill>().is_some();
        let write = facts.classified().is_some_and(|settled| settled.access == Access::Write);
        match (backfill, deferred) {
            // It is in the queue, and stays there.
            (true, true) => Way::Refuse,
            (true, false) => Way::Pass,
            (false, false) if !write || self.intents.0.quiet.is_quiet() => Way::Pass,
            (false, _) => Way::Judge(facts.clone()),
        }
    }
}

impl<S, B, R> Service<Request<Gathered<B>>> for IntentsQueue<S>
where
    S: Service<Request<Gathered<B>>, Response = Response<R>, Error = Refusal> + Clone,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Either<R, Full<Bytes>>>;
    type Error = Refusal;
    type Future = ResponseFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Gathered<B>>) -> Self::Future {
        match self.layer.way(&request) {
            Way::Pass => ResponseFuture::passing(self.inner.call(request)),
            Way::Refuse => ResponseFuture::refused(refuse::frozen()),
            Way::Judge(facts) => {
                let ready = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, ready);
                let IntentsLayer { intents, budget } = self.layer.clone();
                ResponseFuture::judging(keep::judge(intents, budget, facts, request), inner)
            }
        }
    }
}

#[cfg(test)]
mod tests;
