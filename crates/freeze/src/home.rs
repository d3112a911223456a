//! Where the state of the freezes lives. It outlives every reload.
//!
//! [`Freezes`] is a handle; clones share one home. What an operator does and what a document
//! says take effect in the call itself. What the clock does, and what the end of a write
//! brings about, is the work of the timekeeper: [`Freezes::run`], spawned once, off the
//! request path. It wakes at the next start or end of a freeze, when a write ends while a
//! drain is waited for, and at least once a second, so that a clock that was set is noticed.
//! Without it nothing begins, ends or is called drained by itself.

use std::{convert::Infallible, path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use sluicegate_core::{Chance, Clock, Deferral, Facts, Live, Refusal};
use sluicegate_store::StateFile;
use tokio::{
    sync::{Notify, broadcast, watch},
    time::Instant,
};

use crate::{
    barrier::{self, Barrier, Shard, Switch},
    error::OpenError,
    events::{Events, FreezeEvent},
    flight::{Flight, Gone},
    guard::Guard,
    input::FreezeSettings,
    metrics::{Gauges, Metrics},
    refuse,
    saved::{Saved, Saver},
    view::{Moment, View},
};

mod drain;
mod opening;
mod orders;
mod watching;

use opening::Opening;
pub use orders::{Applied, FreezeOrder, Removed};

/// How to open the home of the freezes.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// The state file, such as `data/freeze.json`; `None` keeps the state in memory alone.
    pub path: Option<PathBuf>,
    /// What time it is.
    pub clock: Clock,
    /// Where the spread of `Retry-After` is drawn from.
    pub chance: Arc<Chance>,
    /// How many threads serve requests: each gets a part of the barrier for itself.
    pub shards: usize,
}

/// The freezes of this process. Clones share them.
#[derive(Clone, Debug)]
pub struct Freezes(pub(crate) Arc<Home>);

type Flights = Shard<Arc<Flight>, Gone>;

#[derive(Debug)]
pub(crate) struct Home {
    barrier: Barrier<Live<View>, Mutex<Flights>>,
    clock: Clock,
    chance: Arc<Chance>,
    saver: Saver,
    metrics: Metrics,
    opening: Opening,
    events: Events,
    /// Wakes the timekeeper.
    wake: Notify,
}

/// What becomes of a write that is not let in.
#[derive(Debug)]
pub(crate) enum NotIn {
    /// It is refused.
    Refused(Refusal),
    /// Its route keeps such writes for later; with what it is told where that cannot be.
    Deferred(Refusal),
}

impl Switch for Live<View> {
    type View = Arc<View>;

    fn read<R>(&self, look: impl FnOnce(&Arc<View>) -> R) -> R {
        look(&self.load())
    }
}

/// The timekeeper's longest sleep: a clock that was set is noticed within it.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// The least time between two surveys. Many writes end at once; one look does for all.
const SURVEY_GAP: Duration = Duration::from_millis(1);

/// The time between two tries to write down what could not be written.
const SAVE_AGAIN: Duration = Duration::from_secs(5);

impl Freezes {
    /// Opens the home and takes up what operators had set before a restart, which is on from
    /// here. Nothing is made on disk until an operator sets something.
    ///
    /// A state file that cannot be understood is an error: going on without it could thaw
    /// what an operator froze.
    pub fn open(options: OpenOptions, registry: &mut Registry) -> Result<Self, OpenError> {
        let (file, saved) = match options.path {
            Some(path) => {
                let (file, saved) = StateFile::open(path)?;
                (Some(file), saved.unwrap_or_default())
            }
            None => (None, Saved::default()),
        };
        let now = moment(&options.clock);
        let view = View::restored(saved.clone(), now);
        let home = Arc::new(Home {
            barrier: Barrier::new(Live::new(view), options.shards),
            clock: options.clock,
            chance: options.chance,
            saver: Saver::new(file, saved),
            metrics: Metrics::register(registry),
            opening: Opening::new(),
            events: Events::new(),
            wake: Notify::new(),
        });
        registry.register_collector(Box::new(Gauges(Arc::downgrade(&home))));
        home.tick();
        Ok(Self(home))
    }

    /// Merges the document's part into the live state, at once. What operators set stays.
    /// Returns the version after the call.
    #[allow(clippy::must_use_candidate, reason = "it is called for what it does")]
    pub fn apply(&self, settings: &FreezeSettings) -> u64 {
        let settings = Arc::new(settings.clone());
        let now = self.0.moment();
        self.0.change(now.wall, |view| {
            if view.settings == settings {
                return view.evolve(now);
            }
            let next = View { settings, ..View::clone(view) };
            Some(next.evolve(now).unwrap_or(next))
        });
        self.0.tick();
        self.0.wake.notify_one();
        self.version()
    }

    /// Does now what the timekeeper would do when it wakes: lets freezes begin and end by the
    /// clock, ends streams past their grace, and notes drains. Returns how long until it is
    /// worth doing again, at most a second.
    #[allow(clippy::must_use_candidate, reason = "it is called for what it does")]
    pub fn tick(&self) -> Duration {
        self.0.tick()
    }

    /// The timekeeper. Spawn it once; it ends only when it is dropped.
    pub fn run(&self) -> impl Future<Output = Infallible> + Send + 'static {
        self.0.clone().run()
    }

    /// The version of the state: it rises with each visible change.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.0.live().version()
    }

    /// What happens to freezes from here on, in its order.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<FreezeEvent> {
        self.0.events.subscribe()
    }

    /// Follows the version.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.live().subscribe()
    }
}

impl Home {
    pub(crate) fn live(&self) -> &Live<View> {
        self.barrier.switch()
    }

    /// Changes the view, and tells what happened by it. No update of the view goes another way.
    fn change(&self, now: Timestamp, change: impl FnOnce(&Arc<View>) -> Option<View>) {
        self.live().update(|view| {
            let next = change(view)?;
            self.events.tell(view, &next, now);
            Some(next)
        });
    }

    pub(crate) fn active(&self) -> usize {
        self.live().load().active.len()
    }

    pub(crate) fn in_flight(&self) -> usize {
        let mut inside = 0;
        self.barrier.survey(|shard| inside += shard.inside.len());
        inside
    }

    /// Lets a write in, or not.
    pub(crate) fn enter(self: &Arc<Self>, facts: Facts, own: bool) -> Result<Guard, NotIn> {
        let keeps = facts.part::<Deferral>().is_some();
        let flight = Arc::new(Flight::new(facts));
        let entered = self.barrier.enter(barrier::home(), |view| {
            let frozen = view.active.iter().any(|active| flight.is_covered(active));
            if frozen { Err(view.clone()) } else { Ok(flight.clone()) }
        });
        match entered {
            Ok(ticket) => Ok(Guard::new(self.clone(), ticket, flight, own)),
            Err(view) => {
                let refusal = self.refuse(&view, &flight);
                Err(if keeps { NotIn::Deferred(refusal) } else { NotIn::Refused(refusal) })
            }
        }
    }

    fn refuse(&self, view: &View, flight: &Flight) -> Refusal {
        let covering = view.active.iter().filter(|active| flight.is_covered(active));
        match refuse::last(covering) {
            Some(last) => {
                self.metrics.blocked(flight.route(), &last.id);
                refuse::refusal(last, &view.settings, self.moment().wall, &self.chance)
            }
            // Not reached: the view was taken because one of its freezes covers the flight.
            None => Refusal::new(sluicegate_core::Code::ReadOnly, "Writes are frozen."),
        }
    }

    /// Takes a write off the list, with what is known of its end.
    pub(crate) fn leave(&self, ticket: &barrier::Ticket, flight: &Flight) {
        let mut unsettled = false;
        self.barrier.leave(ticket, |_, gone: &mut Gone| unsettled = gone.note(flight));
        if unsettled {
            self.metrics.unsettled(flight.route());
        }
        self.progress();
    }

    /// Tells the timekeeper that a write moved, if a drain waits for writes. The view is read
    /// after the move was made under the shard's lock: either the survey of a freeze that
    /// begins meanwhile sees the move, or this sees the freeze.
    pub(crate) fn progress(&self) {
        if self.live().load().undrained {
            self.wake.notify_one();
        }
    }

    async fn run(self: Arc<Self>) -> Infallible {
        let mut failed: Option<Instant> = None;
        loop {
            let sleep = self.tick();
            if failed.is_none_or(|at| at.elapsed() >= SAVE_AGAIN) {
                failed = match self.clone().save().await {
                    Ok(()) => None,
                    Err(error) => {
                        tracing::error!(%error, "freezes are in effect but cannot be written down");
                        Some(Instant::now())
                    }
                };
            }
            tokio::select! {
                () = tokio::time::sleep(sleep) => {}
                () = self.wake.notified() => tokio::time::sleep(SURVEY_GAP).await,
            }
        }
    }

    fn moment(&self) -> Moment {
        moment(&self.clock)
    }
}

fn moment(clock: &Clock) -> Moment {
    let millis = i64::try_from(clock.unix_millis()).unwrap_or(i64::MAX);
    Moment { wall: Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX), steady: Instant::now() }
}

/// A time to the millisecond: finer digits would only clutter what clients see.
pub(crate) fn millis(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

#[cfg(test)]
mod tests;
