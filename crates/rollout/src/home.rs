//! Where the state of the rollouts lives. It outlives every reload.
//!
//! [`Rollouts`] is a handle; clones share one home. For each rollout of the document there is
//! an entry: what the document says, what the record in the store says as far as this gateway
//! has read it, and the judge of the window that is looked at. Requests read only the
//! [`Shared`] view that follows from them.
//!
//! [`Rollouts::run`] does the work, off the request path. Every 100 ms it takes what the
//! recorders have, lets the judge of each rollout look at it, and notes what is found. Beside
//! it, a keeper per rollout reads the record every 250 ms and writes what is found. A store
//! that hangs never stops the judging: an abort takes effect here before the store is asked.

use std::{collections::BTreeMap, convert::Infallible, fmt, pin::Pin, sync::Arc, time::Duration};

use jiff::Timestamp;
use parking_lot::RwLock;
use prometheus_client::registry::Registry;
use sluicegate_core::{Clock, chance::Chance, pins::Pins};
use sluicegate_store::Store;
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinSet},
    time::{MissedTickBehavior, interval},
};

use crate::{
    input::RolloutSettings,
    metrics::{Gauges, Metrics},
    traffic::Traffic,
    view::Shared,
};

mod entry;
mod keeper;
mod orders;
mod telling;
mod watch_over;

pub(crate) use entry::Entry;

/// How often the judges look.
pub const TICK: Duration = Duration::from_millis(100);

/// How often the record is read.
pub const POLL: Duration = Duration::from_millis(250);

/// What may be asked about the arms of a rollout.
pub trait Checks: Send + Sync {
    /// Whether each of these upstreams has an endpoint to serve from and is what it is pinned
    /// to, as of now. If not, what is not: for operators, and for the history.
    fn arms_ready(&self, upstreams: Vec<Box<str>>) -> Checked<'_>;

    /// What else a run of this rollout must wait for before its next step, beside its own numbers.
    fn gate(&self, rollout: &str) -> Gate {
        let _ = rollout;
        Gate::Open
    }
}

/// What is said of a step that has passed by its own numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gate {
    /// It may be taken.
    Open,
    /// Not yet, for this reason; it is asked again.
    Waits(String),
    /// It must not be taken, for these reasons; a person has to look.
    Shut(Vec<String>),
}

/// The answer to a check, once it is there.
pub type Checked<'a> = Pin<Box<dyn Future<Output = Result<(), Vec<String>>> + Send + 'a>>;

/// How to open the home of the rollouts.
pub struct OpenOptions {
    /// Where the records are.
    pub store: Store,
    /// What time it is.
    pub clock: Clock,
    /// Where the tags of writes are drawn from.
    pub chance: Arc<Chance>,
    /// The name of this gateway among those that share the store.
    pub gateway: String,
    /// What is asked before a step or a switch.
    pub checks: Arc<dyn Checks>,
    /// The series of what requests meet.
    pub traffic: Traffic,
    /// How many threads serve requests.
    pub shards: usize,
}

/// A rollout as the document declares it.
#[derive(Clone, Debug, PartialEq)]
pub struct Declared {
    /// Its name.
    pub name: Box<str>,
    /// What is said of it.
    pub settings: RolloutSettings,
    /// What the document's `active` and `candidate` are pinned to.
    pub pins: [Arc<Pins>; 2],
}

/// The rollouts of this process. Clones share them.
#[derive(Clone, Debug)]
pub struct Rollouts(pub(crate) Arc<Home>);

pub(crate) struct Home {
    store: Store,
    clock: Clock,
    chance: Arc<Chance>,
    gateway: Box<str>,
    checks: Arc<dyn Checks>,
    traffic: Traffic,
    shards: usize,
    entries: RwLock<BTreeMap<Box<str>, Arc<Entry>>>,
    version: watch::Sender<u64>,
    metrics: Metrics,
}

impl fmt::Debug for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Home").field("gateway", &self.gateway).finish_non_exhaustive()
    }
}

impl fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenOptions").field("gateway", &self.gateway).finish_non_exhaustive()
    }
}

impl Rollouts {
    /// Opens the home. It knows no rollout before the first [`Rollouts::apply`].
    pub fn open(options: OpenOptions, registry: &mut Registry) -> Self {
        let OpenOptions { store, clock, chance, gateway, checks, traffic, shards } = options;
        let home = Arc::new(Home {
            store,
            clock,
            chance,
            gateway: gateway.into(),
            checks,
            traffic,
            shards,
            entries: RwLock::default(),
            version: watch::Sender::new(1),
            metrics: Metrics::register(registry),
        });
        registry.register_collector(Box::new(Gauges(Arc::downgrade(&home))));
        Self(home)
    }

    /// What requests read of the rollout of this name, for the plan of a route. Everything is
    /// on the document's active arm until the rollout was applied and its record was read.
    #[must_use]
    pub fn shared(&self, name: &str) -> Arc<Shared> {
        self.0.entry_or_new(name).shared.clone()
    }

    /// The series of what requests meet, which the layers write.
    #[must_use]
    pub fn traffic(&self) -> &Traffic {
        &self.0.traffic
    }

    /// Takes over what the document says, at once; rollouts that it does not name are
    /// forgotten here, and stay in the store. What the records say holds as soon as they are
    /// read: see [`Rollouts::look`].
    pub fn apply(&self, declared: Vec<Declared>) {
        let names: Vec<_> = declared.iter().map(|declared| declared.name.clone()).collect();
        for declared in declared {
            self.0.entry_or_new(&declared.name).declare(declared);
        }
        self.0.entries.write().retain(|name, _| names.contains(name));
        self.0.changed();
    }

    /// Reads every record now. Call it after the first [`Rollouts::apply`] and before requests
    /// are served, so that a restart serves the arm that was active before it. It takes as long
    /// as the store, 2 s at most for each operation; what stands in the way is in the status.
    pub async fn look(&self) {
        let mut looks = JoinSet::new();
        for entry in self.0.entries() {
            let home = self.0.clone();
            looks.spawn(async move { home.round(&entry).await });
        }
        while looks.join_next().await.is_some() {}
    }

    /// The work. Spawn it once; it ends only when it is dropped.
    pub fn run(&self) -> impl Future<Output = Infallible> + Send + 'static {
        self.0.clone().run()
    }

    /// Rises with each visible change; once a second while a rollout is judged.
    #[must_use]
    pub fn version(&self) -> u64 {
        *self.0.version.borrow()
    }

    /// Follows the version.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.version.subscribe()
    }
}

impl Home {
    async fn run(self: Arc<Self>) -> Infallible {
        // Dropped with this future, they end.
        let mut keepers = JoinSet::new();
        let mut kept: Vec<(Arc<Entry>, AbortHandle)> = Vec::new();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let entries = self.entries();
            kept.retain(|(entry, keeper)| {
                let stays = entries.iter().any(|other| Arc::ptr_eq(entry, other)) && !keeper.is_finished();
                if !stays {
                    keeper.abort();
                }
                stays
            });
            for entry in entries {
                if !kept.iter().any(|(other, _)| Arc::ptr_eq(&entry, other)) {
                    let keeper = keepers.spawn(self.clone().keep(entry.clone()));
                    kept.push((entry.clone(), keeper));
                }
                self.tick(&entry);
            }
            while keepers.try_join_next().is_some() {}
        }
    }

    fn entry_or_new(&self, name: &str) -> Arc<Entry> {
        let mut entries = self.entries.write();
        if let Some(known) = entries.get(name) {
            return known.clone();
        }
        let entry = Arc::new(Entry::new(name, self.shards, &self.traffic));
        entries.insert(name.into(), entry.clone());
        entry
    }

    pub(crate) fn entries(&self) -> Vec<Arc<Entry>> {
        self.entries.read().values().cloned().collect()
    }

    /// Something that can be seen is another now.
    fn changed(&self) {
        self.version.send_modify(|version| *version += 1);
    }

    pub(crate) fn now(&self) -> Timestamp {
        let millis = i64::try_from(self.clock.unix_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests;
