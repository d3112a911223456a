//! A route's part of the plan: where its requests go, and how long they may take.

use std::{sync::Arc, time::Duration};

use crate::registry::Upstream;

/// A route's part of the plan for this layer.
#[derive(Clone, Debug)]
pub struct UpstreamPlan {
    /// Where its requests go.
    pub upstream: Arc<Upstream>,
    /// The timeouts that hold for them.
    pub timeouts: RouteTimeouts,
    /// Send the client's `Host` on, and not the endpoint's own.
    pub preserve_host: bool,
}

/// The timeouts that hold for one route towards its upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteTimeouts {
    /// Until a connection stands, TLS included.
    pub connect: Duration,
    /// Until the response head of one try has come; none leaves it to the deadline.
    pub per_try: Option<Duration>,
    /// How long a response body may stay without a byte.
    pub stream_idle: Duration,
}
