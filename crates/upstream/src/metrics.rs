//! What the proxy path counts about its upstreams.
//!
//! | metric | says |
//! |---|---|
//! | `sluicegate_upstream_connections_total{upstream}` | connections opened |
//! | `sluicegate_upstream_failures_total{upstream,reason}` | attempts that ended without a whole answer |
//! | `sluicegate_upstream_resent_total{upstream}` | requests sent again after a stale pooled connection |
//! | `sluicegate_upstream_endpoint_available{upstream,endpoint}` | 1 while the endpoint is used |
//! | `sluicegate_upstream_ejections_total{upstream}` | times an endpoint was left out for failing requests |

use std::sync::OnceLock;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
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

/// The families, registered once.
#[derive(Clone, Debug, Default)]
pub struct UpstreamMetrics {
    connections: Family<ByUpstream, Counter>,
    failures: Family<ByReason, Counter>,
    resent: Family<ByUpstream, Counter>,
    available: Family<ByEndpoint, Gauge>,
    ejections: Family<ByUpstream, Counter>,
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
            "sluicegate_upstream_ejections",
            "Times an endpoint was left out for failing requests",
            it.ejections.clone(),
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
            available: OnceLock::new(),
            ejections: self.ejections.get_or_create(&by).clone(),
        }
    }

    /// The gauge of an endpoint: its series is there from now on.
    pub(crate) fn available(&self, upstream: &str, endpoint: &str) -> Gauge {
        let by = ByEndpoint { upstream: upstream.to_owned(), endpoint: endpoint.to_owned() };
        self.available.get_or_create(&by).clone()
    }

    pub(crate) fn forget(&self, upstream: &str, endpoint: &str) {
        self.available.remove(&ByEndpoint { upstream: upstream.to_owned(), endpoint: endpoint.to_owned() });
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
    pub(crate) available: OnceLock<Gauge>,
    pub(crate) ejections: Counter,
}
