//! What the proxy path counts about its upstreams.
//!
//! | metric | says |
//! |---|---|
//! | `sluicegate_upstream_connections_total{upstream}` | connections opened |
//! | `sluicegate_upstream_failures_total{upstream,reason}` | attempts that ended without a whole answer |
//! | `sluicegate_upstream_resent_total{upstream}` | requests sent again after a stale pooled connection |
//! | `sluicegate_upstream_endpoint_available{upstream,endpoint}` | 1 while the endpoint is used |
//!
//! And those of [`retry`](crate::retry) and [`breaker`](crate::breaker), which tell of theirs.

use std::sync::OnceLock;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::{
    breaker::Kind,
    retry::{Withheld, policy::Reason},
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByUpstream {
    upstream: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    upstream: String,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByEndpoint {
    upstream: String,
    endpoint: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByWhy {
    upstream: String,
    why: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByState {
    upstream: String,
    to: &'static str,
}

/// The families, registered once.
#[derive(Clone, Debug, Default)]
pub struct UpstreamMetrics {
    connections: Family<ByUpstream, Counter>,
    failures: Family<ByReason, Counter>,
    resent: Family<ByUpstream, Counter>,
    available: Family<ByEndpoint, Gauge>,
    breaker: Family<ByEndpoint, Gauge>,
    transitions: Family<ByState, Counter>,
    refused: Family<ByUpstream, Counter>,
    retries: Family<ByReason, Counter>,
    withheld: Family<ByWhy, Counter>,
}

impl UpstreamMetrics {
    /// Registers the families.
    pub fn register(registry: &mut Registry) -> Self {
        let it = Self::default();
        registry.register(
            "sluicegate_upstream_connections",
            "Connections opened to upstreams",
            it.connections.clone(),
        );
        registry.register(
            "sluicegate_upstream_failures",
            "Attempts that ended without a whole answer",
            it.failures.clone(),
        );
        registry.register(
            "sluicegate_upstream_resent",
            "Requests sent again after a stale pooled connection",
            it.resent.clone(),
        );
        registry.register(
            "sluicegate_upstream_endpoint_available",
            "1 while the endpoint is used",
            it.available.clone(),
        );
        registry.register(
            "sluicegate_upstream_breaker_state",
            "What the breaker of the endpoint does: 0 closed, 1 half open, 2 open",
            it.breaker.clone(),
        );
        registry.register(
            "sluicegate_upstream_breaker_transitions",
            "Changes of state of breakers, by the new one",
            it.transitions.clone(),
        );
        registry.register(
            "sluicegate_upstream_breaker_refused",
            "Requests refused since the breakers of all endpoints were open",
            it.refused.clone(),
        );
        registry.register(
            "sluicegate_upstream_retries",
            "Requests sent again, by what ended the try before",
            it.retries.clone(),
        );
        registry.register(
            "sluicegate_upstream_retries_withheld",
            "Tries that were allowed and not made",
            it.withheld.clone(),
        );
        it
    }

    pub(crate) fn handles(&self, upstream: &str) -> EndpointMetrics {
        let by = ByUpstream { upstream: upstream.to_owned() };
        let reason =
            |reason| self.failures.get_or_create(&ByReason { upstream: upstream.to_owned(), reason }).clone();
        EndpointMetrics {
            connections: self.connections.get_or_create(&by).clone(),
            unreachable: reason("unreachable"),
            reset: reason("reset"),
            garbage: reason("garbage"),
            timeout: reason("timeout"),
            resent: self.resent.get_or_create(&by).clone(),
            gauges: OnceLock::new(),
            transitions: Kind::NAMES.map(|to| {
                self.transitions.get_or_create(&ByState { upstream: upstream.to_owned(), to }).clone()
            }),
        }
    }

    /// The handles of an upstream's retries.
    pub(crate) fn retries(&self, upstream: &str) -> RetryMetrics {
        let name = || upstream.to_owned();
        RetryMetrics {
            retries: Reason::NAMES
                .map(|reason| self.retries.get_or_create(&ByReason { upstream: name(), reason }).clone()),
            withheld: Withheld::NAMES
                .map(|why| self.withheld.get_or_create(&ByWhy { upstream: name(), why }).clone()),
            refused: self.refused.get_or_create(&ByUpstream { upstream: name() }).clone(),
        }
    }

    /// The gauges of an endpoint: their series are there from now on.
    pub(crate) fn gauges(&self, upstream: &str, endpoint: &str) -> EndpointGauges {
        let by = ByEndpoint { upstream: upstream.to_owned(), endpoint: endpoint.to_owned() };
        EndpointGauges {
            available: self.available.get_or_create(&by).clone(),
            breaker: self.breaker.get_or_create(&by).clone(),
        }
    }

    pub(crate) fn forget(&self, upstream: &str, endpoint: &str) {
        let by = ByEndpoint { upstream: upstream.to_owned(), endpoint: endpoint.to_owned() };
        self.available.remove(&by);
        self.breaker.remove(&by);
    }
}

/// Handles of one endpoint, made with it.
#[derive(Clone, Debug)]
pub(crate) struct EndpointMetrics {
    pub(crate) connections: Counter,
    pub(crate) unreachable: Counter,
    pub(crate) reset: Counter,
    pub(crate) garbage: Counter,
    pub(crate) timeout: Counter,
    pub(crate) resent: Counter,
    /// Set once the endpoint runs: a document that is refused must leave no series behind.
    pub(crate) gauges: OnceLock<EndpointGauges>,
    /// By the number of the state.
    pub(crate) transitions: [Counter; 3],
}

/// What an endpoint is like at this moment.
#[derive(Clone, Debug)]
pub(crate) struct EndpointGauges {
    pub(crate) available: Gauge,
    pub(crate) breaker: Gauge,
}

/// Handles of one upstream's retries, made with it.
#[derive(Clone, Debug)]
pub(crate) struct RetryMetrics {
    retries: [Counter; 11],
    withheld: [Counter; 4],
    /// Requests that no endpoint was let through to.
    pub(crate) refused: Counter,
}

impl RetryMetrics {
    pub(crate) fn retried(&self, reason: Reason) {
        self.retries[reason.index()].inc();
    }

    pub(crate) fn withheld(&self, why: Withheld) {
        self.withheld[why as usize].inc();
    }
}
