//! What happened to a request, as a tower layer.
//!
//! It stands around the innermost service, inside of everything that may refuse, wait or keep
//! a request: what it sees is the upstream's doing. Per request on a route with a rollout it
//! notes, in the [`Recorder`](crate::Recorder) of that rollout:
//!
//! | what came | counts as |
//! |---|---|
//! | an answer below 500 | good, with the time to its head, all tries included; 4xx is the client's affair |
//! | 500 and above, or a gRPC status that stands for such | failed |
//! | a refusal of the proxy: unreachable, reset, timeout, deadline, wrong index, breaker open | failed |
//! | a read that fell back to the active arm | failed, for the candidate; nothing for the active arm |
//! | a body that breaks off after the head, or gRPC trailers that say it failed | failed, in addition to the good head |
//! | any other refusal: what is wrong with the request | nothing |
//! | nothing, because the client went away before the head | nothing, but for a count of its own |
//! | a client that goes away within the body, or breaks off its own | nothing more |
//!
//! The head counts when it comes, and not the body when it ends: else the errors, which come at
//! once, would run ahead of the good answers that are still streaming, and a sound candidate would
//! look broken at the start of each step. So a body that breaks off is one more request, which
//! failed. Among n requests with k such ends that makes k of n + k: less than the truth, never
//! more.
//!
//! Only samples ([`Arm::is_sample`](sluicegate_core::Arm)) reach the comparison; totals for
//! scrapes are kept of all.

use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use sluicegate_core::{Facts, Refusal};
use tower_layer::Layer;
use tower_service::Service;

use self::watch::Watch;
use crate::plan::RolloutPlan;

mod body;
mod future;
mod watch;

pub use body::JudgedBody;
pub use future::JudgedFuture;

/// Keeps the record of what happened to requests whose arm was chosen by a rollout.
///
/// A route without a [`RolloutPlan`] costs one branch. In a service without a gateway it stands
/// inside of [`RolloutLayer`](crate::RolloutLayer), where there is an example.
#[derive(Clone, Debug, Default)]
pub struct JudgeLayer {
    plan: Option<RolloutPlan>,
}

impl JudgeLayer {
    /// The layer.
    #[must_use]
    pub const fn new() -> Self {
        Self { plan: None }
    }

    /// The rollout of requests that nobody has classified: for a service without a gateway.
    #[must_use]
    pub fn with_plan(mut self, plan: RolloutPlan) -> Self {
        self.plan = Some(plan);
        self
    }

    fn watch<B>(&self, request: &Request<B>) -> Watch {
        let Some(facts) = request.extensions().get::<Facts>() else { return Watch::nothing() };
        let plan = match facts.classified() {
            Some(settled) => settled.route.part(),
            None => self.plan.as_ref(),
        };
        plan.map_or_else(Watch::nothing, |plan| Watch::begin(plan, facts))
    }
}

impl<S> Layer<S> for JudgeLayer {
    type Service = Judged<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Judged { inner, layer: self.clone() }
    }
}

/// The service of [`JudgeLayer`].
#[derive(Clone, Debug)]
pub struct Judged<S> {
    inner: S,
    layer: JudgeLayer,
}

impl<S, B, R> Service<Request<B>> for Judged<S>
where
    S: Service<Request<B>, Response = Response<R>, Error = Refusal>,
    R: Body,
{
    type Response = Response<JudgedBody<R>>;
    type Error = Refusal;
    type Future = JudgedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let watch = self.layer.watch(&request);
        JudgedFuture::new(self.inner.call(request), watch)
    }
}

#[cfg(test)]
mod tests;
