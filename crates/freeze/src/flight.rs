//! A write that was let through: what the barrier knows of it, and how it is cut.

use std::{
    collections::VecDeque,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
    time::Duration,
};

use parking_lot::Mutex;
use sluicegate_core::{Attempt, Facts, Leads, Outcome, Slot};
use tokio::time::Instant;

use crate::view::Active;

/// A write between its entry and its end.
#[derive(Debug)]
pub(crate) struct Flight {
    facts: Facts,
    /// When a freeze that covers it first saw it answering. Written by the timekeeper, so
    /// that the request path reads no clock for it.
    seen_answering: OnceLock<Instant>,
    cut: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Flight {
    pub(crate) fn new(facts: Facts) -> Self {
        Self { facts, seen_answering: OnceLock::new(), cut: AtomicBool::new(false), waker: Mutex::new(None) }
    }

    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    pub(crate) fn attempt(&self) -> &Attempt {
        self.facts.attempt()
    }

    pub(crate) fn route(&self) -> &str {
        self.facts.classified().map_or("", |settled| settled.route.name())
    }

    /// Where it went, or would go first.
    fn upstream(&self) -> &str {
        let slot = self.facts.arm().map_or(Slot::First, |arm| arm.slot);
        self.facts.classified().map_or("", |settled| settled.route.upstream_at(slot))
    }

    /// Where it may go.
    fn leads(&self) -> Leads<'_> {
        match self.facts.arm() {
            Some(_) => self.upstream().into(),
            None => self.facts.classified().map_or("".into(), |settled| settled.route.leads()),
        }
    }

    fn tenant(&self) -> Option<&str> {
        self.facts.classified()?.tenant.as_ref().map(sluicegate_core::Tenant::as_str)
    }

    pub(crate) fn is_covered(&self, active: &Active) -> bool {
        active.scope.covers(self.route(), self.leads(), self.tenant())
    }

    /// When a freeze ends its answer, if it is answering: `grace` after the freeze began or
    /// the answer was first seen, whichever is later.
    pub(crate) fn cut_at(&self, active: &Active, grace: Duration, now: Instant) -> Option<Instant> {
        if !self.attempt().is_answering() {
            return None;
        }
        let seen = *self.seen_answering.get_or_init(|| now);
        Some(seen.max(active.started) + grace)
    }

    /// Ends the answer: the body's next poll fails, and comes at once.
    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::Release);
        if self.is_cut() {
            self.facts.cut();
        }
        if let Some(waker) = self.waker.lock().take() {
            waker.wake();
        }
    }

    /// Whether the body must fail. An answer that has come to its end is left alone: all that
    /// is missing is the client's reading it.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire) && self.attempt().is_answering()
    }

    /// Whom to wake when the answer is cut. The caller looks at [`Flight::is_cut`] once more
    /// after this: a cut may have come in between.
    pub(crate) fn park(&self, waker: &Waker) {
        let mut place = self.waker.lock();
        match place.as_mut() {
            Some(known) => known.clone_from(waker),
            None => *place = Some(waker.clone()),
        }
    }
}

/// What is kept of an attempt whose end is not known. It holds no part of the plan.
#[derive(Debug)]
pub(crate) struct Unsettled {
    pub(crate) route: Box<str>,
    pub(crate) upstream: Box<str>,
    pub(crate) tenant: Option<Box<str>>,
    pub(crate) request_id: Box<str>,
    pub(crate) ended: Instant,
}

impl Unsettled {
    fn of(flight: &Flight, ended: Instant) -> Self {
        Self {
            route: flight.route().into(),
            upstream: flight.upstream().into(),
            tenant: flight.tenant().map(Into::into),
            request_id: flight.facts.request_id().to_str().unwrap_or_default().into(),
            ended,
        }
    }

    /// Whether it counts for this freeze: it is covered, and it ended during the freeze or
    /// within `memory` before it. Nothing says that it had stopped by then.
    pub(crate) fn counts_for(&self, active: &Active, memory: Duration) -> bool {
        self.ended + memory >= active.started
            && active.scope.covers(&self.route, &*self.upstream, self.tenant.as_deref())
    }
}

/// How many unsettled attempts a shard remembers one by one.
const REMEMBERED: usize = 4096;

/// The unsettled attempts of one shard, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Gone {
    list: VecDeque<Arc<Unsettled>>,
    /// Those past [`REMEMBERED`], by number alone. They count for every freeze whatever its
    /// scope: too many is on the safe side.
    more: usize,
    /// When the last of `more` ended.
    more_ended: Option<Instant>,
}

impl Gone {
    /// Notes how a flight ended. True when it is unsettled.
    pub(crate) fn note(&mut self, flight: &Flight) -> bool {
        if flight.attempt().outcome() != Outcome::Unknown {
            return false;
        }
        if self.list.len() >= REMEMBERED
            && let Some(oldest) = self.list.pop_front()
        {
            self.more += 1;
            self.more_ended = Some(oldest.ended);
        }
        self.list.push_back(Arc::new(Unsettled::of(flight, Instant::now())));
        true
    }

    /// Those that count for a freeze, oldest first.
    pub(crate) fn of<'a>(
        &'a self,
        active: &'a Active,
        memory: Duration,
    ) -> impl DoubleEndedIterator<Item = &'a Arc<Unsettled>> {
        self.list.iter().filter(move |unsettled| unsettled.counts_for(active, memory))
    }

    /// How many more count for a freeze, and when the last of them ended.
    pub(crate) fn more(&self, active: &Active, memory: Duration) -> Option<(usize, Instant)> {
        let ended = self.more_ended.filter(|ended| *ended + memory >= active.started)?;
        Some((self.more, ended))
    }

    /// Forgets what counts for no freeze and is older than `memory`.
    pub(crate) fn forget(&mut self, active: &[Arc<Active>], memory: Duration, now: Instant) {
        let old = |ended: Instant| ended + memory < now;
        if self.list.front().is_some_and(|oldest| old(oldest.ended)) {
            self.list.retain(|unsettled| {
                !old(unsettled.ended) || active.iter().any(|active| unsettled.counts_for(active, memory))
            });
        }
        if self.more_ended.is_some_and(old) && active.iter().all(|active| self.more(active, memory).is_none())
        {
            (self.more, self.more_ended) = (0, None);
        }
    }
}
