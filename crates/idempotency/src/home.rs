//! Where the state of the fences lives. It outlives every reload.
//!
//! [`Fences`] is a handle; clones share one home: the store, the bounds, who waits for whom,
//! and what still has to be written down. What must happen by itself is the work of the
//! keeper, [`Fences::run`], spawned once, off the request path: it says for running attempts
//! that they live, where the store wants that, and tries again to write down ends that the
//! store did not take. Without it leases lapse and such ends are lost.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::{Mutex, RwLock};
use prometheus_client::registry::Registry;
use sluicegate_body::Budget;
use sluicegate_core::{Chance, Clock};
use sluicegate_store::{Record, RecordKey, Store, StoreError, Tag, fence::Fence};
use tokio::sync::watch;

use crate::{
    input::{FencesSettings, IdempotencySettings},
    metrics::{Gauges, Metrics},
    plan::{IdempotencyPlan, UpstreamPromises},
};

mod begin;
mod keeper;
mod late;
mod operate;
mod settle;
mod status;
mod waiting;

pub(crate) use begin::{Began, Beginning, Start};
pub(crate) use late::Late;
pub use operate::{KeyError, KeyFilter, KeyId, KeyPage, KeyRecord, KeyState, Resolution};
pub(crate) use settle::{Begun, End, Settle};
pub use status::FencesStatus;
pub(crate) use waiting::{Case, Verdict};

/// How to open the home of the fences.
#[derive(Debug)]
pub struct FencesOptions {
    /// Where fences are kept.
    pub store: Store,
    /// What time it is.
    pub clock: Clock,
    /// Where tags and pauses are drawn from.
    pub chance: Arc<Chance>,
    /// The bounds.
    pub settings: FencesSettings,
}

/// The fences of this process. Clones share them.
#[derive(Clone, Debug)]
pub struct Fences(pub(crate) Arc<Home>);

#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) chance: Arc<Chance>,
    pub(crate) budget: Budget,
    pub(crate) metrics: Metrics,
    settings: RwLock<Arc<FencesSettings>>,
    /// What this process holds, where the store wants to hear that it lives.
    held: Mutex<HashMap<RecordKey, Tag>>,
    waiting: waiting::Waiting,
    late: late::Queue,
    running: AtomicUsize,
    /// Exchanges that go on without their clients.
    detached: watch::Sender<usize>,
    /// What the store said last that it keeps.
    keys: AtomicU64,
    bytes: AtomicU64,
}

/// A record that was found under a key.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) record: Record,
    pub(crate) fence: Fence,
}

/// Why nothing can be said about a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Blind {
    /// The store cannot be used.
    Lost(StoreError),
    /// There is something that this version does not understand.
    Unreadable(StoreError),
}

impl Fences {
    /// Opens the home over a store.
    pub fn open(options: FencesOptions, registry: &mut Registry) -> Self {
        let FencesOptions { store, clock, chance, settings } = options;
        store.bound(settings.bounds);
        let home = Arc::new(Home {
            store,
            clock,
            chance,
            budget: Budget::new(settings.max_buffered),
            metrics: Metrics::register(registry),
            settings: RwLock::new(Arc::new(settings)),
            held: Mutex::default(),
            waiting: waiting::Waiting::default(),
            late: late::Queue::default(),
            running: AtomicUsize::new(0),
            detached: watch::Sender::new(0),
            keys: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        });
        registry.register_collector(Box::new(Gauges(Arc::downgrade(&home))));
        Self(home)
    }

    /// From now on these bounds hold. What is kept, waits or runs already stays.
    pub fn apply(&self, settings: &FencesSettings) {
        self.0.store.bound(settings.bounds);
        self.0.budget.set_max(settings.max_buffered);
        *self.0.settings.write() = Arc::new(settings.clone());
    }

    /// The part of a route whose keyed writes are fenced.
    #[must_use]
    pub fn plan(
        &self,
        route: &str,
        settings: &IdempotencySettings,
        promises: &UpstreamPromises,
    ) -> IdempotencyPlan {
        IdempotencyPlan::new(settings.clone(), promises, self.0.metrics.route(route))
    }

    /// The room that all bodies held in memory take together.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.0.budget
    }

    /// Returns once no exchange runs without its client and every end is written down: what a
    /// clean stop waits for, under a limit of its own, after the last connection is closed.
    pub async fn idle(&self) {
        let (mut detached, mut late) = (self.0.detached.subscribe(), self.0.late.subscribe());
        loop {
            // The senders live in the home, which is held here.
            drop(detached.wait_for(|count| *count == 0).await);
            drop(late.wait_for(|count| *count == 0).await);
            if *detached.borrow() == 0 && *late.borrow() == 0 {
                return;
            }
        }
    }
}

impl Home {
    pub(crate) fn settings(&self) -> Arc<FencesSettings> {
        self.settings.read().clone()
    }

    /// What stands under a key.
    pub(crate) async fn look(self: Arc<Self>, id: RecordKey) -> Result<Option<Found>, Blind> {
        let record = self.store.get(id).await.map_err(Blind::Lost)?;
        record.map(Found::read).transpose()
    }

    /// From here on the store must hear that this attempt lives.
    fn hold(&self, id: RecordKey, tag: Tag) {
        if self.store.lease().is_some() {
            self.held.lock().insert(id, tag);
        }
    }

    fn let_go(&self, id: RecordKey, tag: Tag) {
        if self.store.lease().is_some() {
            let mut held = self.held.lock();
            if held.get(&id) == Some(&tag) {
                held.remove(&id);
            }
        }
    }

    pub(crate) fn started(&self) {
        self.running.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn ended(&self) {
        self.running.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts an exchange whose client has left; none where there are too many already.
    pub(crate) fn detach(self: &Arc<Self>) -> Option<Detached> {
        let max = self.settings().max_detached;
        let mut taken = false;
        self.detached.send_modify(|count| {
            taken = *count < max;
            *count += usize::from(taken);
        });
        taken.then(|| Detached(self.clone()))
    }

    pub(crate) fn gauges(&self) -> [(&'static str, &'static str, u64); 7] {
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        [
            ("sluicegate_fence_keys", "Keys that the store remembers", self.keys.load(Ordering::Relaxed)),
            (
                "sluicegate_fence_bytes",
                "Bytes that the store keeps of keys and answers",
                self.bytes.load(Ordering::Relaxed),
            ),
            (
                "sluicegate_fence_running",
                "Attempts under a key that have not ended",
                count(self.running.load(Ordering::Relaxed)),
            ),
            (
                "sluicegate_fence_waiters",
                "Duplicates that wait for a first attempt",
                count(self.waiting.count()),
            ),
            (
                "sluicegate_fence_detached",
                "Attempts that go on after their clients have left",
                count(*self.detached.borrow()),
            ),
            (
                "sluicegate_fence_buffered_bytes",
                "Bytes of request bodies and answers held in memory",
                count(self.budget.taken()),
            ),
            (
                "sluicegate_fence_settles_waiting",
                "Ends of attempts that the store has not taken yet",
                count(self.late.len()),
            ),
        ]
    }
}

impl Found {
    fn read(record: Record) -> Result<Self, Blind> {
        let fence = Fence::decode(&record.value).map_err(Blind::Unreadable)?;
        Ok(Self { record, fence })
    }
}

/// An exchange that goes on without its client, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Detached(Arc<Home>);

impl Drop for Detached {
    fn drop(&mut self) {
        self.0.detached.send_modify(|count| *count -= 1);
    }
}

/// How long a client is asked to stay away where the store is lost or has no room.
pub(crate) const STORE_RETRY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
