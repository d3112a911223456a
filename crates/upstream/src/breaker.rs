//! Leaving out an endpoint at which requests fail.
//!
//! An endpoint that fails gets no requests for a while: it can recover, clients are told at once
//! instead of after a timeout, and where there are other endpoints these serve. One mechanism does
//! this for all of them; what other proxies call outlier ejection is this breaker.
//!
//! ```text
//!            failures in a row, or too large a share of failures
//!   Closed ------------------------------------------------------> Open
//!     ^                                                          |    ^
//!     | `probes` requests succeed         its time is over, and  |    | one of them
//!     |                                   a request comes        v    | fails
//!     +------------------------------------------------------- HalfOpen
//! ```
//!
//! - *What fails*: no connection, a reset, an answer that is not HTTP, 502, 503, 504, and no answer
//!   within `per_try`. No answer within the request's deadline counts only where the try had at
//!   least half of the time that the route gives: what a client cuts short, or a queue has used
//!   up, is no fault of the endpoint's. Any other answer is a success. What the client broke off
//!   is neither. For copies, which the gateway reads itself, an answer is a success once it is
//!   whole, and one that breaks off, does not end in time or is larger than what is kept is a failure.
//! - *How long*: `base`, twice as long each time in a row up to `max`, and up to a fifth more by
//!   chance. A success of all probes starts the lengths anew.
//! - *Probes* are requests of clients. As many as must succeed are let through at once, and one
//!   more after each further `base` while these have not ended: one that hangs holds nobody up.
//! - *Late news*: an answer counts only for the state that let its request through. What was sent
//!   before the breaker opened neither closes it nor keeps it open.
//!
//! Where the breakers of all endpoints are open the request is refused with `overloaded` (503) and
//! a `Retry-After` that says when the first is tried again. Endpoints are never all used because
//! none is fit: that is what keeps a service down that might have come back. Active probes are a
//! different matter: one that is wrong must not take a whole service down, so where none of the
//! endpoints is healthy, those whose breakers are closed are used all the same.
//!
//! # Cost
//!
//! A request at a closed breaker reads one atomic word before and after; the line stays shared
//! between workers. Only a `ratio` has to count successes too, each thread in a cell of its own.
//!
//! # Metrics
//!
//! | metric | says |
//! |---|---|
//! | `sluicegate_upstream_breaker_state{upstream,endpoint}` | 0 closed, 1 half open, 2 open |
//! | `sluicegate_upstream_breaker_transitions_total{upstream,to}` | changes of state, by the new one |
//! | `sluicegate_upstream_breaker_refused_total{upstream}` | requests refused since no endpoint was let through to |

mod state;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use sluicegate_core::Chance;
use tokio::time::Instant;

pub(crate) use self::state::Rule;
use self::state::{Admission, State};
use crate::tally::Tally;

/// The kinds of state, in the order of their numbers in the gauge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Closed,
    HalfOpen,
    Open,
}

impl Kind {
    /// Each as metrics and people name it.
    pub(crate) const NAMES: [&str; 3] = ["closed", "half_open", "open"];

    const fn of(state: &State) -> Self {
        match state {
            State::Closed { .. } => Self::Closed,
            State::HalfOpen { .. } => Self::HalfOpen,
            State::Open { .. } => Self::Open,
        }
    }
}

/// The breaker of one endpoint; all workers share it, and it outlives reloads.
#[derive(Debug)]
pub(crate) struct Breaker {
    /// What a request must know, in one read: how often the kind of state has changed, and below
    /// it a bit each for "not closed" and "failures have been counted".
    word: AtomicU64,
    state: Mutex<State>,
    /// Filled only while a rule has a ratio.
    answers: Tally,
    failures: Tally,
}

const TROUBLED: u64 = 1;
const BARRED: u64 = 2;
const FLAGS: u64 = TROUBLED | BARRED;
const CHANGE: u64 = 4;

/// The leave to send one request, and the state it was given by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pass {
    changes: u64,
    pub(crate) probe: bool,
}

impl Breaker {
    pub(crate) fn new() -> Self {
        let born = Instant::now();
        Self {
            word: AtomicU64::new(0),
            state: Mutex::new(State::CLOSED),
            answers: Tally::new(born),
            failures: Tally::new(born),
        }
    }

    /// The leave for a request, or how long until one is given. Tells of a new kind of state.
    pub(crate) fn pass(&self, rule: &Rule) -> Result<(Pass, Option<Kind>), Duration> {
        let word = self.word.load(Ordering::Acquire);
        if word & BARRED == 0 {
            return Ok((Pass { changes: word & !FLAGS, probe: false }, None));
        }
        let mut state = self.state.lock();
        let (next, admission) = state.admit(rule, Instant::now());
        let kind = self.set(&mut state, next);
        let probe = match admission {
            Admission::Refused(wait) => return Err(wait),
            Admission::Usual => false,
            Admission::Probe => true,
        };
        Ok((Pass { changes: self.word.load(Ordering::Relaxed) & !FLAGS, probe }, kind))
    }

    /// How long until a request would be let through; zero where it would be now.
    pub(crate) fn wait(&self, rule: &Rule) -> Duration {
        if self.word.load(Ordering::Acquire) & BARRED == 0 {
            return Duration::ZERO;
        }
        self.state.lock().wait(rule, Instant::now())
    }

    /// What it does with requests now. One whose time is over is half open, though nothing has
    /// come to find that out.
    pub(crate) fn kind(&self) -> Kind {
        if self.word.load(Ordering::Acquire) & BARRED == 0 {
            return Kind::Closed;
        }
        match *self.state.lock() {
            State::Open { until, .. } if Instant::now() >= until => Kind::HalfOpen,
            ref state => Kind::of(state),
        }
    }

    /// A request succeeded.
    pub(crate) fn succeeded(&self, pass: Pass, rule: &Rule) -> Option<Kind> {
        let word = self.word.load(Ordering::Acquire);
        if word & !FLAGS != pass.changes {
            return None;
        }
        if rule.ratio.is_some() && !pass.probe {
            self.answers.add(Instant::now());
        }
        if word & FLAGS == 0 {
            return None;
        }
        let mut state = self.state.lock();
        if !self.is_of(pass) {
            return None;
        }
        let next = state.succeeded(rule);
        let changed = self.set(&mut state, next);
        if changed == Some(Kind::Closed) {
            self.answers.clear();
            self.failures.clear();
        }
        changed
    }

    /// A request failed.
    pub(crate) fn failed(&self, pass: Pass, rule: &Rule, chance: &Chance) -> Option<Kind> {
        if rule.is_off() {
            return self.gave_up(pass);
        }
        let mut state = self.state.lock();
        if !self.is_of(pass) {
            return None;
        }
        let now = Instant::now();
        let too_many = rule.ratio.is_some_and(|ratio| {
            self.answers.add(now);
            self.failures.add(now);
            let answers = self.answers.sum(now);
            answers >= u64::from(rule.minimum) && self.failures.sum(now) as f64 >= ratio * answers as f64
        });
        // A number below 2^20 keeps its value as a float.
        let spread = chance.below(1 << 20) as f64 / f64::from(1 << 20);
        let next = state.failed(rule, too_many, now, spread);
        self.set(&mut state, next)
    }

    /// A request ended in a way that says nothing of the endpoint.
    pub(crate) fn gave_up(&self, pass: Pass) -> Option<Kind> {
        if pass.probe {
            let mut state = self.state.lock();
            if self.is_of(pass) {
                let next = state.gave_up();
                self.set(&mut state, next);
            }
        }
        None
    }

    /// Whether the state has stayed of its kind since. To be asked under the lock.
    fn is_of(&self, pass: Pass) -> bool {
        self.word.load(Ordering::Relaxed) & !FLAGS == pass.changes
    }

    /// The one place where the state is written; the caller holds its lock.
    fn set(&self, state: &mut State, next: State) -> Option<Kind> {
        let (before, after) = (Kind::of(state), Kind::of(&next));
        *state = next;
        let changes = self.word.load(Ordering::Relaxed) & !FLAGS;
        let changes = if before == after { changes } else { changes + CHANGE };
        let flags = match next {
            State::Closed { failures: 0 } => 0,
            State::Closed { .. } => TROUBLED,
            State::Open { .. } | State::HalfOpen { .. } => BARRED,
        };
        self.word.store(changes | flags, Ordering::Release);
        (before != after).then_some(after)
    }
}

#[cfg(test)]
mod tests;
