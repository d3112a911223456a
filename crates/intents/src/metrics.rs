//! What a scrape shows of the intents.

use std::sync::{Arc, Weak};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{counter::Counter, family::Family, gauge::ConstGauge},
    registry::Registry,
};
use sluicegate_store::EntryState;

use crate::home::Home;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Because {
    route: Arc<str>,
    why: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reached {
    route: String,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

/// Why a write is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// A freeze covers it.
    Frozen,
    /// Older intents of its line wait.
    Behind,
}

/// The counters. Gauges are read from what the backfill saw last.
#[derive(Debug)]
pub(crate) struct Metrics {
    accepted: Family<Because, Counter>,
    refused: Family<Because, Counter>,
    reached: Family<Reached, Counter>,
    sent: Family<Route, Counter>,
    unchecked: Family<Route, Counter>,
    store_errors: Counter,
    late: Counter,
}

/// One route's counters of kept writes.
#[derive(Clone, Debug)]
pub(crate) struct Accepted {
    frozen: Counter,
    behind: Counter,
}

impl Accepted {
    pub(crate) fn one(&self, why: Why) {
        match why {
            Why::Frozen => self.frozen.inc(),
            Why::Behind => self.behind.inc(),
        };
    }
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            accepted: Family::default(),
            refused: Family::default(),
            reached: Family::default(),
            sent: Family::default(),
            unchecked: Family::default(),
            store_errors: Counter::default(),
            late: Counter::default(),
        };
        let mut add = |name: &str, help: &str, metric: Family<Because, Counter>| {
            registry.register(format!("sluicegate_intents_{name}"), help, metric);
        };
        add(
            "accepted",
            "Writes kept for later, by route and why: frozen, or behind older ones",
            metrics.accepted.clone(),
        );
        add("refused", "Writes that could not be kept, by route and why", metrics.refused.clone());
        registry.register(
            "sluicegate_intents_reached",
            "Steps of intents into a state, by route; into queued they are retries",
            metrics.reached.clone(),
        );
        registry.register(
            "sluicegate_intents_sent",
            "Intents sent to their upstream, tries included, by route: its rate is the backfill's",
            metrics.sent.clone(),
        );
        registry.register(
            "sluicegate_intents_unchecked",
            "Writes let through without knowing whether older intents wait, since the store was lost",
            metrics.unchecked.clone(),
        );
        registry.register(
            "sluicegate_intents_store_errors",
            "Times the backfill could not use the store",
            metrics.store_errors.clone(),
        );
        registry.register(
            "sluicegate_intents_late_outcomes",
            "Outcomes that came when the intent had been given up already",
            metrics.late.clone(),
        );
        metrics
    }

    pub(crate) fn route(&self, route: &str) -> Accepted {
        let of = |why| self.accepted.get_or_create(&Because { route: route.into(), why }).clone();
        Accepted { frozen: of("frozen"), behind: of("behind") }
    }

    pub(crate) fn refused(&self, route: &str, why: &'static str) {
        self.refused.get_or_create(&Because { route: route.into(), why }).inc();
    }

    pub(crate) fn stepped(&self, route: &str, state: EntryState) {
        self.reached.get_or_create(&Reached { route: route.to_owned(), state: state.as_str() }).inc();
    }

    pub(crate) fn sent(&self, route: &str) {
        self.sent.get_or_create(&Route { route: route.to_owned() }).inc();
    }

    pub(crate) fn unchecked(&self, route: &str) {
        self.unchecked.get_or_create(&Route { route: route.to_owned() }).inc();
    }

    pub(crate) fn store_error(&self) {
        self.store_errors.inc();
    }

    pub(crate) fn late(&self) {
        self.late.inc();
    }
}

/// Reads the gauges when a scrape asks.
#[derive(Debug)]
pub(crate) struct Gauges(pub(crate) Weak<Home>);

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(home) = self.0.upgrade() else { return Ok(()) };
        let seen = home.seen.lock().clone();
        let gauge = |number: u64| ConstGauge::new(i64::try_from(number).unwrap_or(i64::MAX));
        let kind = prometheus_client::metrics::MetricType::Gauge;
        let mut states =
            encoder.encode_descriptor("sluicegate_intents", "Intents that are kept, by state", None, kind)?;
        for state in EntryState::ALL {
            let count = gauge(seen.tally.of(state));
            count.encode(states.encode_family(&[("state", state.as_str())])?)?;
        }
        let oldest = seen.tally.oldest.unwrap_or_default().as_secs();
        for (name, help, value) in [
            ("sluicegate_intents_bytes", "Bytes of the intents that are not over", seen.tally.bytes),
            (
                "sluicegate_intents_oldest_seconds",
                "How long the oldest that is not over has been kept",
                oldest,
            ),
            (
                "sluicegate_intents_in_flight",
                "Intents that this gateway is applying",
                home.in_flight.lock().len() as u64,
            ),
            (
                "sluicegate_intents_paused",
                "Whether an operator paused the backfill",
                u64::from(seen.paused.is_some()),
            ),
        ] {
            gauge(value).encode(encoder.encode_descriptor(name, help, None, kind)?)?;
        }
        Ok(())
    }
}
