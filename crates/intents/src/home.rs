//! Where the intents live. It outlives every reload.
//!
//! [`Intents`] is a handle; clones share one home. The intents themselves are in the store.
//! What is here is what this process knows of them: the settings, what the backfill saw last,
//! and what it has in flight.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use sluicegate_core::{Chance, Clock, Live};
use sluicegate_store::{Append, Appended, Caps, EntryId, Full, Store, StoreError, Tag, Tally};
use tokio::{sync::Notify, time::Instant};

use crate::{
    input::IntentsSettings,
    line::Line,
    metrics::{Gauges, Metrics},
    operator::PausedRecord,
    plan::{IntentsPlan, RouteRules},
    quiet::Quiet,
};

/// How to open the home of the intents.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Where they are kept.
    pub store: Store,
    /// What time it is.
    pub clock: Clock,
    /// Where ids, tokens and jitter are drawn from.
    pub chance: Arc<Chance>,
    /// Intents are accepted though the store says that it could lose them. For tests, and for
    /// services that can bear it.
    pub accept_loss: bool,
}

/// The intents of this process. Clones share them.
#[derive(Clone, Debug)]
pub struct Intents(pub(crate) Arc<Home>);

#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) chance: Arc<Chance>,
    pub(crate) accept_loss: bool,
    pub(crate) setup: Live<Setup>,
    pub(crate) quiet: Quiet,
    pub(crate) metrics: Metrics,
    pub(crate) seen: Mutex<Seen>,
    /// What this process has claimed and not settled yet.
    pub(crate) in_flight: Mutex<HashMap<EntryId, Tag>>,
    /// Wakes the backfill.
    pub(crate) wake: Notify,
    /// More may be in flight: a claim has been asked for and not been answered.
    pub(crate) claiming: AtomicBool,
    /// Wakes who waits for nothing to be in flight.
    pub(crate) idle: Notify,
    pub(crate) stopped: AtomicBool,
}

/// What the configuration says.
#[derive(Debug, Default)]
pub(crate) struct Setup {
    pub(crate) settings: Arc<IntentsSettings>,
    pub(crate) routes: HashMap<Box<str>, RouteRules>,
}

/// What the backfill saw last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) tally: Tally,
    pub(crate) paused: Option<PausedRecord>,
    /// Nothing is applied before this, since a thaw is young.
    pub(crate) soaking_until: Option<Instant>,
    /// Nothing is applied before this, since one outcome after the other was unknown.
    pub(crate) resting_until: Option<Instant>,
    /// When something last went wrong (milliseconds since 1970), and what.
    pub(crate) last_error: Option<(u64, String)>,
}

impl Intents {
    /// Opens the home. Nothing is read from the store yet; [`Intents::run`](Self::run) does.
    #[must_use]
    pub fn open(options: OpenOptions, registry: &mut Registry) -> Self {
        // A store in which a holder needs a lease is one that other processes use too.
        let shared = options.store.lease().is_some();
        let home = Arc::new(Home {
            store: options.store,
            clock: options.clock,
            chance: options.chance,
            accept_loss: options.accept_loss,
            setup: Live::new(Setup::default()),
            quiet: Quiet::new(shared),
            metrics: Metrics::register(registry),
            seen: Mutex::default(),
            in_flight: Mutex::default(),
            claiming: AtomicBool::new(false),
            wake: Notify::new(),
            idle: Notify::new(),
            stopped: AtomicBool::new(false),
        });
        registry.register_collector(Box::new(Gauges(Arc::downgrade(&home))));
        Self(home)
    }

    /// What a reload says: how intents are kept and applied from here on, and what must be
    /// known of each route that keeps its writes. Intents of other routes wait until their
    /// route is back or their tries are used up.
    pub fn apply(
        &self,
        settings: Arc<IntentsSettings>,
        routes: impl IntoIterator<Item = (String, RouteRules)>,
    ) {
        let routes = routes.into_iter().map(|(name, rules)| (name.into(), rules)).collect();
        self.0.setup.store(Setup { settings, routes });
        self.0.wake.notify_one();
    }

    /// The part of a route's plan.
    #[must_use]
    pub fn plan(&self, route: &str, settings: Arc<IntentsSettings>, rules: RouteRules) -> IntentsPlan {
        IntentsPlan { settings, rules, accepted: self.0.metrics.route(route) }
    }

    /// Nothing more is taken up; comes when what is in flight has been settled. Call it before
    /// the process ends: what is in flight then would be in doubt.
    pub async fn stop(&self) {
        // Stopped first and looked second; the backfill says that it claims first and looks
        // second. So one of the two sees the other.
        self.0.stopped.store(true, Ordering::SeqCst);
        loop {
            let idle = self.0.idle.notified();
            if self.0.is_idle() {
                return;
            }
            idle.await;
        }
    }
}

impl Home {
    /// Whether intents that are not over stand in a line.
    ///
    /// An append for which there is no room tells without adding anything: it either finds
    /// nothing ahead or finds itself too much.
    pub(crate) async fn has_ahead(&self, line: &Line) -> Result<bool, StoreError> {
        let now = self.clock.unix_millis();
        let probe = Append {
            id: crate::intent::new_id(now, &self.chance),
            tag: Tag::draw(&self.chance),
            line: line.name.clone(),
            owner: "".into(),
            value: bytes::Bytes::new(),
            note: bytes::Bytes::new(),
            only_behind: true,
            record: None,
        };
        let none = Caps { max_count: 0, max_bytes: 0, share: 1.0 };
        match self.store.append(probe, none).await? {
            Appended::NothingAhead => Ok(false),
            Appended::Full(Full::Count | Full::Bytes | Full::OwnersCount | Full::OwnersBytes) => Ok(true),
            Appended::Done | Appended::Conflict(_) => {
                Err(StoreError::new("the store kept a probe for which there was no room"))
            }
        }
    }

    /// Whether nothing is in flight, and nothing may be.
    pub(crate) fn is_idle(&self) -> bool {
        !self.claiming.load(Ordering::SeqCst) && self.in_flight.lock().is_empty()
    }

    /// Why nothing can be kept, if so.
    pub(crate) fn not_durable(&self) -> Option<String> {
        if self.accept_loss { None } else { self.store.not_durable() }
    }

    /// Notes what went wrong.
    pub(crate) fn failed(&self, error: &StoreError) {
        self.metrics.store_error();
        tracing::warn!(%error, "the backfill waits for its store");
        self.note_error(error.to_string());
    }

    pub(crate) fn note_error(&self, message: String) {
        self.seen.lock().last_error = Some((self.clock.unix_millis(), message));
    }
}
