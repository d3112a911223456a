//! What a scrape shows of the freeze.

use std::sync::{
    Weak,
    atomic::{AtomicUsize, Ordering},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{counter::Counter, family::Family, gauge::ConstGauge, histogram::Histogram},
    registry::Registry,
};

use crate::home::Home;

/// The most label sets of blocked writes. Operators may use any number of ids over time.
const MOST_BLOCKED: usize = 1000;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Blocked {
    route: String,
    freeze: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

/// The counters. Gauges are read from the home itself when a scrape asks.
#[derive(Debug)]
pub(crate) struct Metrics {
    blocked: Family<Blocked, Counter>,
    /// How many label sets `blocked` was asked to make.
    blocked_sets: AtomicUsize,
    unsettled: Family<Route, Counter>,
    drain: Histogram,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        // From a drain of instant writes to one that waits for a minute's stream.
        let buckets = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
        let metrics = Self {
            blocked: Family::default(),
            blocked_sets: AtomicUsize::new(0),
            unsettled: Family::default(),
            drain: Histogram::new(buckets),
        };
        registry.register(
            "sluicegate_freeze_blocked_writes",
            "Writes refused because a freeze was on, by route and freeze",
            metrics.blocked.clone(),
        );
        registry.register(
            "sluicegate_freeze_unsettled",
            "Writes whose end could not be known, by route",
            metrics.unsettled.clone(),
        );
        registry.register(
            "sluicegate_freeze_drain_seconds",
            "Time from the start of a freeze until its last write had ended",
            metrics.drain.clone(),
        );
        metrics
    }

    pub(crate) fn blocked(&self, route: &str, freeze: &str) {
        let mut labels = Blocked { route: route.to_owned(), freeze: freeze.to_owned() };
        if let Some(known) = self.blocked.get(&labels) {
            known.inc();
            return;
        }
        if self.blocked_sets.fetch_add(1, Ordering::Relaxed) >= MOST_BLOCKED {
            "other".clone_into(&mut labels.freeze);
        }
        self.blocked.get_or_create(&labels).inc();
    }

    pub(crate) fn unsettled(&self, route: &str) {
        self.unsettled.get_or_create(&Route { route: route.to_owned() }).inc();
    }

    pub(crate) fn drained(&self, seconds: f64) {
        self.drain.observe(seconds);
    }
}

/// Reads the gauges when a scrape asks, so that no write pays for them.
#[derive(Debug)]
pub(crate) struct Gauges(pub(crate) Weak<Home>);

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(home) = self.0.upgrade() else { return Ok(()) };
        for (name, help, value) in [
            ("sluicegate_freeze_active", "Freezes that are on", home.active()),
            (
                "sluicegate_freeze_writes_in_flight",
                "Writes let through that have not ended",
                home.in_flight(),
            ),
        ] {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let metric =
                encoder.encode_descriptor(name, help, None, prometheus_client::metrics::MetricType::Gauge)?;
            gauge.encode(metric)?;
        }
        Ok(())
    }
}
