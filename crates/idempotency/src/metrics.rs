//! What a scrape shows of the fences.

use std::sync::Weak;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{MetricType, counter::Counter, family::Family, gauge::ConstGauge},
    registry::Registry,
};

use crate::home::Home;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByResult {
    route: String,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    route: String,
    outcome: &'static str,
}

/// The counters of all routes. Gauges are read from the home itself when a scrape asks.
#[derive(Debug)]
pub(crate) struct Metrics {
    requests: Family<ByResult, Counter>,
    settles: Family<ByOutcome, Counter>,
    /// Ends that were refused because a newer attempt had begun.
    pub(crate) fenced_off: Counter,
    /// Ends that were written down only by a later try.
    pub(crate) settled_late: Counter,
    /// Beats by which an attempt learned that its lease had lapsed.
    pub(crate) lapsed: Counter,
}

macro_rules! counters {
    ($name:ident, $family:ident, $labels:ident, $label:ident: $($(#[$doc:meta])* $field:ident;)*) => {
        /// Handles of one route's counters, made with its plan.
        #[derive(Clone, Debug)]
        pub(crate) struct $name { $($(#[$doc])* pub(crate) $field: Counter,)* }

        impl $name {
            fn of(family: &Family<$labels, Counter>, route: &str) -> Self {
                let counter = |$label| {
                    family.get_or_create_owned(&$labels { route: route.to_owned(), $label })
                };
                Self { $($field: counter(stringify!($field)),)* }
            }
        }
    };
}

counters! { Results, requests, ByResult, result:
    /// The key was new, or was to be tried again: an attempt began.
    begun;
    /// The stored answer was given at once.
    replayed;
    /// The stored answer was given after a wait for the first attempt.
    waited;
    /// Refused: the key belongs to another request.
    conflict;
    /// Refused: the first attempt still ran.
    in_flight;
    /// Refused: the first attempt's fate cannot be known.
    unknown;
    /// Told that the write is kept as an intent.
    deferred;
    /// Let through without a fence, the store being lost.
    lost_open;
    /// Refused, the store being lost.
    lost_closed;
    /// Refused: no room for another key.
    full;
    /// Refused: no key where one is required.
    missing;
    /// Refused: the key cannot be used.
    invalid;
    /// A write without a key, where none is required.
    unkeyed;
}

counters! { Outcomes, settles, ByOutcome, outcome:
    /// The answer is kept whole.
    sealed;
    /// The answer is kept without its body.
    sealed_without_body;
    /// Nothing was done: the key is free again.
    released;
    /// Nobody can know what was done.
    unknown;
}

/// The counters of one route.
#[derive(Clone, Debug)]
pub(crate) struct RouteMetrics {
    pub(crate) results: Results,
    pub(crate) outcomes: Outcomes,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            settles: Family::default(),
            fenced_off: Counter::default(),
            settled_late: Counter::default(),
            lapsed: Counter::default(),
        };
        registry.register(
            "sluicegate_fence_requests",
            "Writes on routes with fences, by route and what became of their key",
            metrics.requests.clone(),
        );
        registry.register(
            "sluicegate_fence_settles",
            "Attempts under a key that ended, by route and how",
            metrics.settles.clone(),
        );
        for (name, help, counter) in [
            (
                "sluicegate_fence_settles_fenced_off",
                "Ends of attempts that were refused because a newer attempt had begun",
                &metrics.fenced_off,
            ),
            (
                "sluicegate_fence_settles_late",
                "Ends of attempts that the store took only at a later try",
                &metrics.settled_late,
            ),
            (
                "sluicegate_fence_leases_lapsed",
                "Attempts that went on after their lease in the store had lapsed",
                &metrics.lapsed,
            ),
        ] {
            registry.register(name, help, counter.clone());
        }
        metrics
    }

    pub(crate) fn route(&self, route: &str) -> RouteMetrics {
        RouteMetrics {
            results: Results::of(&self.requests, route),
            outcomes: Outcomes::of(&self.settles, route),
        }
    }
}

/// Reads the gauges when a scrape asks, so that no request pays for them.
#[derive(Debug)]
pub(crate) struct Gauges(pub(crate) Weak<Home>);

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(home) = self.0.upgrade() else { return Ok(()) };
        for (name, help, value) in home.gauges() {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        Ok(())
    }
}
