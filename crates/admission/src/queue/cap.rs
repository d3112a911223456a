//! Caps on concurrency: how many run, how many may.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering},
};

use tokio::time::Instant;

use super::{
    atoms::{Atoms, Count, Lock, Native},
    lately::Lately,
    line::Line,
    order::{INTERACTIVE_RUN, Pick},
};

/// No cap: more than can ever run.
pub(super) const UNLIMITED: u32 = u32::MAX;

/// The part of a cap that batch leaves free while interactive requests come: one in so many.
/// It takes up their random comings; without it an interactive request that finds all places
/// taken waits for the next release, and releases come in clumps where service times are
/// alike. What it costs is bounded by the same part of the capacity.
const SPARED: u32 = 16;

/// What of a limit is left to batch.
pub(super) const fn but_spared(limit: u32) -> u32 {
    limit - limit / SPARED
}

/// How many hold a permit. It never counts past the limit it is asked with.
#[derive(Debug)]
pub(super) struct Tally<A: Atoms>(A::Count);

impl<A: Atoms> Default for Tally<A> {
    fn default() -> Self {
        Self(A::Count::new(0))
    }
}

impl<A: Atoms> Tally<A> {
    /// Counts one more where fewer than `limit` run.
    pub(super) fn take(&self, limit: u32) -> bool {
        let mut now = self.0.load();
        while now < limit {
            match self.0.swap_if(now, now + 1) {
                Ok(_) => return true,
                Err(found) => now = found,
            }
        }
        false
    }

    pub(super) fn give(&self) {
        self.0.down();
    }

    pub(super) fn in_use(&self) -> u32 {
        self.0.load()
    }
}

/// A named cap that several routes share: that of an upstream.
///
/// It knows which routes have requests waiting for it, so that a permit which one route gives
/// back is handed to a request of another.
#[derive(Debug)]
pub struct Cap<A: Atoms = Native> {
    name: Box<str>,
    id: u64,
    limit: A::Count,
    pub(super) tally: Tally<A>,
    /// Waiting requests, of all routes, that need this cap among others.
    pub(super) waiting: A::Count,
    lines: A::Lock<Vec<Weak<Line<A>>>>,
    /// Which route is looked at first, so that none is always first.
    turn: AtomicUsize,
    /// Hand-overs to interactive requests since the last to batch.
    interactive_run: AtomicU32,
    pub(super) interactive: Lately,
}

impl<A: Atoms> Cap<A> {
    pub(super) fn new(name: &str, limit: Option<u32>) -> Self {
        // Zero stands for "no upstream" in the keys of waiting groups.
        static IDS: AtomicU64 = AtomicU64::new(1);
        Self {
            name: name.into(),
            id: IDS.fetch_add(1, Ordering::Relaxed),
            limit: A::Count::new(limit.unwrap_or(UNLIMITED)),
            tally: Tally::default(),
            waiting: A::Count::new(0),
            lines: A::Lock::new(Vec::new()),
            turn: AtomicUsize::new(0),
            interactive_run: AtomicU32::new(0),
            interactive: Lately::new(),
        }
    }

    /// The name it was asked for by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many run now.
    #[must_use]
    pub fn in_use(&self) -> u32 {
        self.tally.in_use()
    }

    /// How many may run; `None` where nothing is limited.
    #[must_use]
    pub fn limit(&self) -> Option<u32> {
        let limit = self.limit.load();
        (limit != UNLIMITED).then_some(limit)
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// With `spare`, places are left for interactive requests while such come.
    pub(super) fn take(&self, spare: bool, now: Instant) -> bool {
        let limit = self.limit.load();
        let spare = spare && self.interactive.came(now);
        self.tally.take(if spare { but_spared(limit) } else { limit })
    }

    pub(super) fn has_room(&self) -> bool {
        self.tally.in_use() < self.limit.load()
    }

    /// Takes this limit; `None`: it only counts. A smaller one drains down as permits come back,
    /// a larger one lets waiters in now.
    pub fn set_limit(&self, limit: Option<u32>) {
        self.limit.store(limit.unwrap_or(UNLIMITED));
        self.hand_over();
    }

    /// Notes that requests of `line` wait for this cap. Before the first of them is counted.
    pub(super) fn wanted_by(&self, line: &Arc<Line<A>>) {
        let line = Arc::downgrade(line);
        self.lines.with(|lines| {
            lines.retain(|known| known.strong_count() > 0 && !known.ptr_eq(&line));
            lines.push(line);
        });
    }

    /// Gives what is free to whoever waits for it, on any route: interactive before batch, but
    /// for the one of batch whose turn it is. What interactive cannot take, since another of
    /// their caps is full, goes to batch all the same.
    pub(super) fn hand_over(&self) {
        if self.waiting.load() == 0 {
            return;
        }
        let lines: Vec<_> = self.lines.with(|lines| lines.iter().filter_map(Weak::upgrade).collect());
        if lines.is_empty() {
            return;
        }
        let first = self.turn.fetch_add(1, Ordering::Relaxed) % lines.len();
        let (before, from) = lines.split_at(first);
        let serve = |pick| {
            let mut served = 0;
            for line in from.iter().chain(before) {
                if !self.has_room() || (pick == Pick::Batch && served > 0) {
                    break;
                }
                served += line.hand_over(None, pick);
            }
            served
        };
        if self.limit().is_none() {
            // It holds up nobody: each route has an order of its own.
            serve(Pick::Next);
            return;
        }
        // Who is next is fair in the long run only, so that the order of threads does not matter.
        if self.interactive_run.load(Ordering::Relaxed) >= INTERACTIVE_RUN {
            self.interactive_run.store(0, Ordering::Relaxed);
            serve(Pick::Batch);
        }
        self.interactive_run.fetch_add(serve(Pick::Interactive), Ordering::Relaxed);
        // Interactive has had all it could use: these are of batch.
        if serve(Pick::Next) > 0 {
            self.interactive_run.store(0, Ordering::Relaxed);
        }
    }
}
