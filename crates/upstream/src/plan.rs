//! A route's part of the plan: where its requests go, and how long they may take.
//!
//! A route with a rollout leads to two upstreams. Which of them a request is for has been chosen
//! before it comes here and stands in its facts; all of its tries go there. The one exception is a
//! read whose candidate lets nothing through before anything was sent: the other upstream answers.

use std::{sync::Arc, time::Duration};

use sluicegate_core::{
    Facts,
    arm::{Arm, Slot},
};

use crate::{registry::Upstream, retry::Retries, rewrite::Rewrite};

/// A route's part of the plan for this layer.
#[derive(Clone, Debug)]
pub struct UpstreamPlan {
    /// Where its requests go.
    pub upstream: Arc<Upstream>,
    /// The timeouts that hold for them.
    pub timeouts: RouteTimeouts,
    /// How often, and how soon, they are sent again.
    pub retries: Retries,
    /// Send the client's `Host` on, and not the endpoint's own.
    pub preserve_host: bool,
    /// What is changed of what passes; the same for both upstreams of a rollout.
    pub rewrite: Option<Arc<Rewrite>>,
    /// An endpoint has served only once its answer is whole; else with the answer's head. What is
    /// read to its end by the gateway itself is judged so, and an endpoint that never ends its
    /// answers fails.
    pub whole: bool,
    /// The plan of the rollout's second upstream; this one is the first's.
    pub second: Option<Box<UpstreamPlan>>,
}

impl UpstreamPlan {
    /// The plan of the arm that this request is on.
    #[must_use]
    pub fn at(&self, facts: &Facts) -> &Self {
        let Some(second) = &self.second else { return self };
        match facts.arm() {
            Some(Arm { slot: Slot::Second, .. }) => second,
            _ => self,
        }
    }
}

/// The timeouts that hold for one route towards its upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteTimeouts {
    /// Until a connection stands, TLS included.
    pub connect: Duration,
    /// Until the response head of one try has come; none leaves it to the deadline.
    pub per_try: Option<Duration>,
    /// What the route gives a request that brings no deadline of its own: a try that had less than
    /// half of it and no answer says nothing of the endpoint.
    pub deadline: Duration,
    /// How long a response body may stay without a byte.
    pub stream_idle: Duration,
}

impl RouteTimeouts {
    /// Whether no answer within the request's deadline is the endpoint's fault, after a try of
    /// this length: what a client cuts short, or a queue has used up, is not.
    pub(crate) fn is_telling(&self, length: Duration) -> bool {
        length.saturating_mul(2) >= self.deadline
    }
}
