//! The drain: counting what a freeze waits for, and ending what must not go on.
//!
//! A freeze is drained when no write that it covers runs, and, where `settle` is set and some
//! attempt is unsettled, that long has passed since the last of these ended and since the
//! freeze began. It is noted once; no later event takes it back, since none can start a write
//! that the freeze covers.
//!
//! An answer that still streams is cut when the freeze, and the answer, have lasted for
//! `stream_grace`: an answer that begins late gets its own grace, so that the plain answer of
//! a slow write is delivered and its end is known.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Home, LONGEST_SLEEP};
use crate::{
    flight::{Flight, Unsettled},
    status::UNSETTLED_SHOWN,
    view::{Active, Moment, Tally, View},
};

/// What a survey found for one freeze.
#[derive(Debug, Default)]
pub(super) struct Count {
    pub(super) in_flight: usize,
    pub(super) unsettled: usize,
    pub(super) last_unsettled: Option<Instant>,
    /// The newest of each shard, in no order, at most [`UNSETTLED_SHOWN`] of each.
    pub(super) newest: Vec<Arc<Unsettled>>,
}

/// When the timekeeper must look again.
struct Alarm {
    now: Instant,
    sleep: Duration,
}

impl Alarm {
    /// True when `at` has come; else it is kept in mind.
    fn has_come(&mut self, at: Instant) -> bool {
        if at > self.now {
            self.sleep = self.sleep.min(at - self.now);
        }
        at <= self.now
    }
}

impl Home {
    pub(super) fn tick(&self) -> Duration {
        let now = self.moment();
        self.change(now.wall, |view| view.evolve(now));
        let view = self.live().load_full();
        self.note_ends(&view);
        let mut alarm = Alarm { now: now.steady, sleep: LONGEST_SLEEP };
        if let Some(boundary) = view.boundary(now.wall) {
            alarm.sleep = alarm.sleep.min(self.clock.until(boundary.into()));
        }
        if view.undrained {
            self.drain(&view, now, &mut alarm);
        } else {
            let memory = view.settings.unsettled_memory;
            self.barrier.survey(|shard| shard.gone.forget(&view.active, memory, now.steady));
        }
        // A timer is no finer than this; zero would spin until the boundary's millisecond.
        alarm.sleep.max(Duration::from_millis(1))
    }

    fn drain(&self, view: &View, now: Moment, alarm: &mut Alarm) {
        let grace = view.settings.stream_grace;
        let mut to_cut = Vec::new();
        let counts = self.count(view, |active, flight| {
            if flight.cut_at(active, grace, now.steady).is_some_and(|at| alarm.has_come(at)) {
                to_cut.push(flight.clone());
            }
        });
        // Outside of the locks: what a waker runs is not ours to know.
        for flight in to_cut {
            flight.cut();
        }
        let mut drained: Vec<Arc<Tally>> = Vec::new();
        for (active, count) in view.active.iter().zip(&counts) {
            active.tally.waited_for.get_or_init(|| count.in_flight);
            if active.drained_at.is_none()
                && count.in_flight == 0
                && count.settles_at(active, view.settings.settle).is_none_or(|at| alarm.has_come(at))
            {
                drained.push(active.tally.clone());
            }
        }
        if drained.is_empty() {
            return;
        }
        let mut newly = Vec::new();
        self.change(now.wall, |view| {
            let (next, those) = view.drained(&drained, now.wall);
            newly = those;
            (!newly.is_empty()).then_some(next)
        });
        for active in newly {
            let took = now.steady.saturating_duration_since(active.started);
            self.metrics.drained(took.as_secs_f64());
            tracing::info!(freeze = %active.id, ?took, "drained");
        }
    }

    /// Counts for each freeze of the view, in its order, and shows each flight that is inside
    /// to `see` with each freeze that covers it.
    pub(super) fn count(&self, view: &View, mut see: impl FnMut(&Active, &Arc<Flight>)) -> Vec<Count> {
        let memory = view.settings.unsettled_memory;
        let mut counts: Vec<Count> = view.active.iter().map(|_| Count::default()).collect();
        self.barrier.survey(|shard| {
            for (active, count) in view.active.iter().zip(&mut counts) {
                for flight in shard.inside.iter().filter(|flight| flight.is_covered(active)) {
                    count.in_flight += 1;
                    see(active, flight);
                }
                for (nth, unsettled) in shard.gone.of(active, memory).rev().enumerate() {
                    count.unsettled += 1;
                    count.last_unsettled = count.last_unsettled.max(Some(unsettled.ended));
                    if nth < UNSETTLED_SHOWN {
                        count.newest.push(unsettled.clone());
                    }
                }
                if let Some((more, ended)) = shard.gone.more(active, memory) {
                    count.unsettled += more;
                    count.last_unsettled = count.last_unsettled.max(Some(ended));
                }
            }
        });
        counts
    }
}

impl Count {
    /// When the wait after the last unsettled attempt is over; `None` without one.
    fn settles_at(&self, active: &Active, settle: Duration) -> Option<Instant> {
        Some(self.last_unsettled?.max(active.started) + settle)
    }
}
