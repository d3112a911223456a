//! What a scrape shows of the buckets.

use std::sync::Weak;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{MetricType, counter::Counter, family::Family, gauge::ConstGauge},
    registry::Registry,
};

use super::{charge::Kind, home::Home};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedBy {
    bucket: String,
    kind: &'static str,
    reason: &'static str,
    enforced: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Bucket {
    bucket: String,
}

/// The counters, by label. Their handles are taken when a plan is made.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    refused: Family<RefusedBy, Counter>,
    overflow: Family<Bucket, Counter>,
}

/// The counters of one bucket in one plan.
#[derive(Clone, Debug)]
pub(super) struct Refusals {
    pub(super) empty: Counter,
    pub(super) too_large: Counter,
}

impl Metrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "sluicegate_bucket_refused",
            "Requests refused by the buckets, by the one with the longest wait",
            metrics.refused.clone(),
        );
        registry.register(
            "sluicegate_bucket_overflow",
            "Charges that fell to the overflow bucket because there was no room for the tenant",
            metrics.overflow.clone(),
        );
        metrics
    }

    pub(super) fn refusals(&self, kind: Kind, bucket: &str, enforced: bool) -> Refusals {
        let counter = |reason| {
            let enforced = if enforced { "true" } else { "false" };
            let labels = RefusedBy { bucket: bucket.to_owned(), kind: kind.as_str(), reason, enforced };
            self.refused.get_or_create_owned(&labels)
        };
        Refusals { empty: counter("empty"), too_large: counter("too_large") }
    }

    pub(super) fn overflow(&self, bucket: &str) -> Counter {
        self.overflow.get_or_create_owned(&Bucket { bucket: bucket.to_owned() })
    }
}

/// Reads the gauges when a scrape asks, so that no request pays for them.
#[derive(Debug)]
pub(super) struct Gauges(pub(super) Weak<Home>);

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(home) = self.0.upgrade() else { return Ok(()) };
        let sizes = home.sizes();
        let shown = [
            ("sluicegate_bucket_cells", "Tenants that have a cell", 0),
            ("sluicegate_bucket_bytes", "Memory of the tenants' cells", 1),
        ];
        for (name, help, which) in shown {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (bucket, cells, bytes) in &sizes {
                let value = [*cells, *bytes][which];
                let labels = [("bucket", bucket.as_str())];
                ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
                    .encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
