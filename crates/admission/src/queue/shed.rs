//! When a route sheds load, and whose.
//!
//! Two signs, as the site-reliability books use them: how long requests wait (more than 5% of
//! waits above `queue_p95` is the same as a 95th percentile above it, and needs no
//! histogram), and how many answers are errors. Each must hold over a long and a short window
//! at once, so that a past trouble does not go on being punished ("The Site Reliability
//! Workbook", chapter 5, multiwindow alerts).
//!
//! The answer is a ladder: [`Step`]. While a sign holds the route climbs one step, each held
//! for its own time before the next; interactive requests are touched only when all batch has
//! been shed for 5 s and it did not help, and never more than half of them: who is still let
//! in shows when the trouble is over, and the queue's own bounds do the rest. When less than
//! 5% of the waits of the last half second were above *half* the limit, and the errors of the
//! last 2 s below *half* theirs, the route goes down a step each half second. Between the two
//! it stays where it is.
//!
//! What a tenant's own cap makes wait says nothing of the route and does not count.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use parking_lot::Mutex;
use sluicegate_core::{Chance, Lane};
use tokio::time::Instant;

use super::{limits::ShedLimits, permit::Ended};

mod ladder;

pub use ladder::Step;

/// How often the signs are looked at.
const BEAT: Duration = Duration::from_millis(250);

/// Long and short window of waits.
const WAITS: (Duration, Duration) = (Duration::from_secs(2), Duration::from_millis(500));

/// Long and short window of errors, which are fewer.
const ERRORS: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(2));

/// Below so many in the long window a share tells nothing.
const FEWEST_WAITS: u64 = 20;
const FEWEST_ANSWERS: u64 = 100;

/// What a percentile of 95 leaves.
const LATE_SHARE: f64 = 0.05;

/// How long a step down must have been deserved.
const DOWN_AFTER: Duration = Duration::from_millis(500);

/// Counts that only grow.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    waits: u64,
    late: u64,
    half_late: u64,
    well: u64,
    failed: u64,
}

impl Totals {
    fn since(self, then: Self) -> Self {
        Self {
            waits: self.waits - then.waits,
            late: self.late - then.late,
            half_late: self.half_late - then.half_late,
            well: self.well - then.well,
            failed: self.failed - then.failed,
        }
    }

    fn answers(self) -> u64 {
        self.well + self.failed
    }
}

/// Whether `part` is more than `share` of `all`.
fn exceeds(part: u64, all: u64, share: f64) -> bool {
    part as f64 > share * all as f64
}

/// The shedding of one route.
#[derive(Debug)]
pub(super) struct Shed {
    origin: Instant,
    /// The limit of waits in microseconds, for those who count; 0 while nothing is shed.
    late_after: AtomicU64,
    waits: AtomicU64,
    late: AtomicU64,
    half_late: AtomicU64,
    well: AtomicU64,
    failed: AtomicU64,
    /// When the next beat is due, in milliseconds since the origin.
    due: AtomicU64,
    step: AtomicU8,
    /// The share of late waits in the long window, in thousandths of what is borne.
    lateness: AtomicU64,
    past: Mutex<Past>,
}

#[derive(Debug)]
struct Past {
    limits: Option<ShedLimits>,
    samples: VecDeque<(Instant, Totals)>,
    step: usize,
    /// When the step was last changed.
    changed: Instant,
}

impl Shed {
    pub(super) fn new(limits: Option<ShedLimits>) -> Self {
        let origin = Instant::now();
        let shed = Self {
            origin,
            late_after: AtomicU64::new(0),
            waits: AtomicU64::new(0),
            late: AtomicU64::new(0),
            half_late: AtomicU64::new(0),
            well: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            due: AtomicU64::new(0),
            step: AtomicU8::new(0),
            lateness: AtomicU64::new(0),
            past: Mutex::new(Past { limits: None, samples: VecDeque::new(), step: 0, changed: origin }),
        };
        shed.set(limits);
        shed
    }

    /// Takes other limits; without any the ladder is left.
    pub(super) fn set(&self, limits: Option<ShedLimits>) {
        let mut past = self.past.lock();
        past.limits = limits;
        let late = limits.map_or(0, |limits| u64::try_from(limits.queue_p95.as_micros()).unwrap_or(u64::MAX));
        self.late_after.store(late, Relaxed);
        if limits.is_none() {
            past.step = 0;
            self.step.store(0, Relaxed);
            self.lateness.store(0, Relaxed);
        }
    }

    /// Whether a request of that lane is refused now.
    pub(super) fn refuses(&self, lane: Lane, chance: &Chance) -> bool {
        let refused = self.step().refused_of_four(lane);
        refused > 0 && chance.below(4) < refused
    }

    pub(super) fn step(&self) -> Step {
        Step::LADDER[usize::from(self.step.load(Relaxed)).min(Step::LADDER.len() - 1)]
    }

    /// How late waits are, as a part of what is borne before load is shed.
    pub(super) fn lateness(&self) -> f64 {
        self.lateness.load(Relaxed) as f64 / 1000.0
    }

    /// One was let in without a wait.
    pub(super) fn at_once(&self) {
        self.waits.fetch_add(1, Relaxed);
    }

    /// A wait has ended: with a permit, or because it was given up.
    pub(super) fn waited(&self, wait: Duration, held_by_tenant: bool) {
        let limit = self.late_after.load(Relaxed);
        if limit == 0 || held_by_tenant {
            return;
        }
        let wait = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        if wait > limit {
            self.late.fetch_add(1, Relaxed);
        }
        if wait > limit / 2 {
            self.half_late.fetch_add(1, Relaxed);
        }
        self.waits.fetch_add(1, Relaxed);
    }

    pub(super) fn ended(&self, ended: Ended) {
        match ended {
            Ended::Well => self.well.fetch_add(1, Relaxed),
            Ended::Failed => self.failed.fetch_add(1, Relaxed),
        };
    }

    /// Looks at the signs when it is time to. Requests are the clock: without any there is
    /// nothing to shed.
    pub(super) fn beat(&self, now: Instant) {
        let passed =
            u64::try_from(now.saturating_duration_since(self.origin).as_millis()).unwrap_or(u64::MAX);
        let due = self.due.load(Relaxed);
        let next = passed.saturating_add(u64::try_from(BEAT.as_millis()).unwrap_or(u64::MAX));
        if passed < due || self.due.compare_exchange(due, next, Relaxed, Relaxed).is_err() {
            return;
        }
        let totals = Totals {
            waits: self.waits.load(Relaxed),
            late: self.late.load(Relaxed),
            half_late: self.half_late.load(Relaxed),
            well: self.well.load(Relaxed),
            failed: self.failed.load(Relaxed),
        };
        let mut past = self.past.lock();
        if let Some(limits) = past.limits {
            let waits = past.over(now, totals, WAITS.0);
            let share = waits.late as f64 / waits.waits.max(1) as f64 / LATE_SHARE;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 20,000")]
            self.lateness.store((share * 1000.0) as u64, Relaxed);
            past.judge(now, totals, &limits);
            self.step.store(u8::try_from(past.step).unwrap_or_default(), Relaxed);
        }
        past.samples.push_back((now, totals));
        while past.samples.get(1).is_some_and(|(at, _)| now.saturating_duration_since(*at) >= ERRORS.0) {
            past.samples.pop_front();
        }
    }
}

impl Past {
    /// What came in the last `span`.
    fn over(&self, now: Instant, totals: Totals, span: Duration) -> Totals {
        let before = self.samples.iter().rev().find(|(at, _)| now.saturating_duration_since(*at) >= span);
        let then = before.or_else(|| self.samples.front()).map_or(Totals::default(), |(_, then)| *then);
        totals.since(then)
    }

    fn judge(&mut self, now: Instant, totals: Totals, limits: &ShedLimits) {
        let over = |span| self.over(now, totals, span);
        let late = |of: Totals| exceeds(of.late, of.waits, LATE_SHARE);
        let failing = |of: Totals| exceeds(of.failed, of.answers(), limits.error_rate);
        let (waits, waits_now) = (over(WAITS.0), over(WAITS.1));
        let (answers, answers_now) = (over(ERRORS.0), over(ERRORS.1));
        let trouble = (waits.waits >= FEWEST_WAITS && late(waits) && late(waits_now))
            || (answers.answers() >= FEWEST_ANSWERS && failing(answers) && failing(answers_now));
        let over_it = !exceeds(waits_now.half_late, waits_now.waits, LATE_SHARE)
            && !exceeds(answers_now.failed, answers_now.answers(), limits.error_rate / 2.0);
        let top = Step::LADDER.len() - 1;
        if trouble {
            if self.step < top
                && now.saturating_duration_since(self.changed) >= Step::LADDER[self.step].hold()
            {
                self.step += 1;
                self.changed = now;
            }
        } else if over_it {
            // More than one step where nobody came for a while.
            while self.step > 0 && now.saturating_duration_since(self.changed) >= DOWN_AFTER {
                self.step -= 1;
                self.changed += DOWN_AFTER;
            }
        }
    }
}

#[cfg(test)]
mod tests;
