//! What is counted of spans; the table stands in the crate's own doc.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use crate::carrier::Why;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    reason: &'static str,
}

/// The handles, made once.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) sent: Counter,
    dropped: [Counter; Why::ALL.len()],
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let (sent, dropped) = (Counter::default(), Family::<ByReason, Counter>::default());
        registry.register("sluicegate_spans_sent", "Spans that a collector has taken", sent.clone());
        registry.register(
            "sluicegate_spans_dropped",
            "Spans that no collector has taken, by why not",
            dropped.clone(),
        );
        let of = |why: Why| dropped.get_or_create(&ByReason { reason: why.as_str() }).clone();
        Self { sent, dropped: Why::ALL.map(of) }
    }

    pub(crate) fn dropped(&self, why: Why, spans: u64) {
        self.dropped[why as usize].inc_by(spans);
    }
}
