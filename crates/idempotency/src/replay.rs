//! The outer layer: reads a request's key and looks it up.
//!
//! A finished key is answered at once, also during a freeze, since this layer is outside of
//! it; a running one is waited for; another request under it is refused. It writes nothing.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use sluicegate_body::Gathered;
use sluicegate_core::{Access, BoxError, Facts, Refusal};
use tower_layer::Layer;
use tower_service::Service;

use crate::{home::Fences, key, plan::IdempotencyPlan, refuse};

mod body;
mod future;
mod passage;

pub use body::ReplayBody;
pub use future::ReplayFuture;
use passage::Passage;

/// Answers duplicates of keyed writes with the first one's answer.
///
/// Writes on routes that have an [`IdempotencyPlan`] are looked at; all other requests cost
/// one look at their plan. A read passes, with a key too: to send it twice does no harm. So
/// does a request to switch protocols, which has no answer that could be kept.
#[derive(Clone, Debug)]
pub struct ReplayLayer {
    fences: Fences,
    plan: Option<IdempotencyPlan>,
}

impl ReplayLayer {
    /// The layer over these fences.
    #[must_use]
    pub const fn new(fences: Fences) -> Self {
        Self { fences, plan: None }
    }

    /// The plan of requests that nobody has classified: for services without routes of a
    /// gateway. The method tells their reads from their writes.
    #[must_use]
    pub fn unclassified(mut self, plan: IdempotencyPlan) -> Self {
        self.plan = Some(plan);
        self
    }
}

impl<S> Layer<S> for ReplayLayer {
    type Service = Replay<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Replay { inner, layer: self.clone() }
    }
}

/// The service of [`ReplayLayer`].
#[derive(Clone, Debug)]
pub struct Replay<S> {
    inner: S,
    layer: ReplayLayer,
}

impl<S, B, R> Service<Request<B>> for Replay<S>
where
    S: Service<Request<Gathered<B>>, Response = Response<R>, Error = Refusal> + Clone,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    type Response = Response<ReplayBody<R>>;
    type Error = Refusal;
    type Future = ReplayFuture<S, B, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let settled = request.extensions().get::<Facts>().and_then(Facts::classified);
        let (plan, access) = match settled {
            Some(settled) => (settled.route.part(), settled.access),
            None => (self.layer.plan.as_ref(), Access::of_method(request.method())),
        };
        let plan = match plan {
            Some(plan) if access == Access::Write && !refuse::is_upgrade(request.headers()) => plan.clone(),
            _ => return ReplayFuture::passing(self.inner.call(request.map(Gathered::untouched))),
        };
        let (mut head, body) = request.into_parts();
        let facts = Facts::of(&head.headers, &mut head.extensions);
        let body = Gathered::untouched(body);
        let sent = match key::sent(&head.headers) {
            Ok(sent) => sent,
            Err(fault) => {
                plan.metrics().results.invalid.inc();
                return ReplayFuture::refused(fault.into());
            }
        };
        let parts = &plan.settings().key_from;
        let from_body = sent.is_none() && key::needs_body(parts);
        let key = sent.or_else(|| key::derived(parts, &head.headers, None));
        if key.is_none() && !from_body {
            return match unkeyed(&plan) {
                Some(refusal) => ReplayFuture::refused(refusal),
                None => ReplayFuture::passing(self.inner.call(Request::from_parts(head, body))),
            };
        }
        // The one that was made ready goes with the request.
        let fresh = self.inner.clone();
        let service = std::mem::replace(&mut self.inner, fresh);
        let context = passage::Context { home: self.layer.fences.0.clone(), plan, facts, service };
        ReplayFuture::keyed(match key {
            Some(key) => Passage::keyed(context, &key, head, body),
            None => Passage::deriving(context, head, body),
        })
    }
}

/// What becomes of a write without a key.
fn unkeyed(plan: &IdempotencyPlan) -> Option<Refusal> {
    let results = &plan.metrics().results;
    if plan.settings().required {
        results.missing.inc();
        Some(refuse::missing())
    } else {
        results.unkeyed.inc();
        None
    }
}

#[cfg(test)]
mod tests;
