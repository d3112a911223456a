//! What the proxy path counts about its upstreams.
//!
//! | metric | says |
//! |---|---|
//! | `sluicegate_upstream_connections_total{upstream}` | connections opened |
//! | `sluicegate_upstream_failures_total{upstream,reason}` | attempts that ended without a whole answer |
//! | `sluicegate_upstream_resent_total{upstream}` | requests sent again after a stale pooled connection |
//! | `sluicegate_upstream_endpoint_available{upstream,endpoint}` | 1 while the endpoint is used |
//!
//! | `sluicegate_rollout_fallbacks_total{upstream}` | reads that another upstream answered since this one, the candidate, let nothing through |
//!
//! And those of [`retry`](crate::retry), [`breaker`](crate::breaker) and [`pins`](crate::pins), which
//! tell of theirs.

use std::sync::OnceLock;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use sluicegate_core::pins::Pins;

use crate::{
    breaker::Kind,
    pins::PinSource,
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

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByPin {
    upstream: String,
    pin: String,
    source: &'static str,
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
    fallbacks: Family<ByUpstream, Counter>,
    mismatches: Family<ByPin, Counter>,
    mismatch: Family<ByEndpoint, Gauge>,
    manifest_failures: Family<ByUpstream, Counter>,
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
        registry.register(
            "sluicegate_rollout_fallbacks",
            "Reads that another upstream answered since this one, the candidate, let nothing through",
            it.fallbacks.clone(),
        );
        registry.register(
            "sluicegate_pin_mismatches",
            "Pins that an upstream told otherwise than they are pinned",
            it.mismatches.clone(),
        );
        registry.register(
            "sluicegate_pin_mismatch",
            "1 while the endpoint does not serve what it is pinned to",
            it.mismatch.clone(),
        );
        registry.register(
            "sluicegate_manifest_failures",
            "Manifests of upstreams that could not be read",
            it.manifest_failures.clone(),
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
            fallbacks: self.fallbacks.get_or_create(&ByUpstream { upstream: name() }).clone(),
        }
    }

    /// What an endpoint's pins are counted with. No series is there before it runs.
    pub(crate) fn pins(&self, upstream: &str) -> PinMetrics {
        PinMetrics { upstream: upstream.to_owned(), families: self.clone() }
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

    /// The endpoint has no pins any more.
    pub(crate) fn forget_pins(&self, upstream: &str, endpoint: &str) {
        let by = ByEndpoint { upstream: upstream.to_owned(), endpoint: endpoint.to_owned() };
        self.mismatch.remove(&by);
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
    retries: [Counter; 12],
    withheld: [Counter; 4],
    /// Requests that no endpoint was let through to.
    pub(crate) refused: Counter,
    /// Reads that fell back to the other upstream of a rollout.
    pub(crate) fallbacks: Counter,
}

impl RetryMetrics {
    pub(crate) fn retried(&self, reason: Reason) {
        self.retries[reason.index()].inc();
    }

    pub(crate) fn withheld(&self, why: Withheld) {
        self.withheld[why as usize].inc();
    }
}

/// Counts what endpoints of one upstream tell of their pins. None of it is on a usual path.
#[derive(Clone, Debug)]
pub(crate) struct PinMetrics {
    upstream: String,
    families: UpstreamMetrics,
}

impl PinMetrics {
    /// The gauge of an endpoint; its series and those of the pins are there from now on.
    pub(crate) fn begin(&self, pins: &Pins, endpoint: &str) -> Gauge {
        for (pin, _) in pins.iter() {
            for source in [PinSource::Answer, PinSource::Manifest] {
                drop(self.families.mismatches.get_or_create(&self.by_pin(pin, source)));
            }
        }
        drop(self.families.manifest_failures.get_or_create(&self.by_upstream()));
        let by = ByEndpoint { upstream: self.upstream.clone(), endpoint: endpoint.to_owned() };
        self.families.mismatch.get_or_create(&by).clone()
    }

    /// A pin was told otherwise than it is pinned.
    pub(crate) fn mismatch(&self, pin: &str, source: PinSource) {
        self.families.mismatches.get_or_create(&self.by_pin(pin, source)).inc();
    }

    /// A manifest could not be read.
    pub(crate) fn unread(&self) {
        self.families.manifest_failures.get_or_create(&self.by_upstream()).inc();
    }

    fn by_pin(&self, pin: &str, source: PinSource) -> ByPin {
        ByPin { upstream: self.upstream.clone(), pin: pin.to_owned(), source: source.as_str() }
    }

    fn by_upstream(&self) -> ByUpstream {
        ByUpstream { upstream: self.upstream.clone() }
    }
}
