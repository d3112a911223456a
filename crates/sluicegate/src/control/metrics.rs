//! What is counted about documents.
//!
//! | metric | says |
//! |---|---|
//! | `sluicegate_config_generation` | rises by one with each document taken |
//! | `sluicegate_config_last_reload_successful` | 0 while the last document was refused |
//! | `sluicegate_config_reloads_total{result}` | documents `taken` and `refused` |
//! | `sluicegate_access_log_dropped_total` | access log lines dropped because the disk was slower |

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByResult {
    result: &'static str,
}

/// What is counted about documents.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConfigMetrics {
    pub(super) generation: Gauge,
    pub(super) successful: Gauge,
    reloads: Family<ByResult, Counter>,
    pub(super) log_dropped: Counter,
}

impl ConfigMetrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let it = Self::default();
        registry.register(
            "sluicegate_config_generation",
            "Rises by one with each document taken",
            it.generation.clone(),
        );
        registry.register(
            "sluicegate_config_last_reload_successful",
            "0 while the last document was refused",
            it.successful.clone(),
        );
        registry.register("sluicegate_config_reloads", "Documents taken and refused", it.reloads.clone());
        registry.register(
            "sluicegate_access_log_dropped",
            "Access log lines dropped because the disk was slower",
            it.log_dropped.clone(),
        );
        for result in ["taken", "refused"] {
            drop(it.reloads.get_or_create(&ByResult { result }));
        }
        it
    }

    pub(super) fn result(&self, result: &'static str) {
        self.reloads.get_or_create(&ByResult { result }).inc();
    }
}
