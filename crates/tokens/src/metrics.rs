//! What is counted of tokens and keys; the table stands in the crate's own doc.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::verifier::Verdict;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByResult {
    result: &'static str,
}

/// The handles, made once.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    verdicts: [Counter; Verdict::ALL.len()],
    pub(crate) fetched: Counter,
    pub(crate) failed: Counter,
    pub(crate) keys: Gauge,
    pub(crate) taken_at: Gauge,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let (verdicts, fetches) =
            (Family::<ByResult, Counter>::default(), Family::<ByResult, Counter>::default());
        let (keys, taken_at) = (Gauge::default(), Gauge::default());
        registry.register(
            "sluicegate_jwt",
            "Tokens looked at, by what they were found to be",
            verdicts.clone(),
        );
        registry.register("sluicegate_jwks_fetches", "Fetches of the keys of tokens", fetches.clone());
        registry.register("sluicegate_jwks_keys", "Keys of tokens in use", keys.clone());
        registry.register(
            "sluicegate_jwks_fetched_timestamp_seconds",
            "When the keys of tokens in use were fetched or read; 0 where there are none",
            taken_at.clone(),
        );
        let of =
            |family: &Family<ByResult, Counter>, result| family.get_or_create(&ByResult { result }).clone();
        Self {
            verdicts: Verdict::ALL.map(|verdict| of(&verdicts, verdict.as_str())),
            fetched: of(&fetches, "ok"),
            failed: of(&fetches, "failed"),
            keys,
            taken_at,
        }
    }

    pub(crate) fn found(&self, verdict: Verdict) {
        self.verdicts[verdict as usize].inc();
    }
}
