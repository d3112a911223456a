//! What acceptors, workers and connections share.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::{
    ConnSettings,
    load::{Gate, Loads},
    metrics::Metrics,
    stage::StageCell,
    worker::{Outbox, ToWorker},
};

/// One per server.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) stage: Arc<StageCell>,
    pub(crate) settings: ArcSwap<ConnSettings>,
    pub(crate) loads: Arc<Loads>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) workers: Box<[Outbox]>,
}

impl Shared {
    /// Tells every worker.
    pub(crate) fn tell(&self, message: impl Fn() -> ToWorker) {
        // A worker that has ended needs telling no more.
        self.workers.iter().for_each(|worker| drop(worker.send(message())));
    }
}
