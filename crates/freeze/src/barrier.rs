//! The drain barrier: who may enter, and who is inside, with no gap between the two.
//!
//! Two things must never come apart: the look at the switch that lets a write through, and
//! the count that makes it visible to whoever waits for the drain. Were the look first and
//! the count after it, a freeze could begin and find nobody inside while a writer stands
//! between the two. So:
//!
//! - a writer takes the lock of its shard and, holding it, looks at the switch and is either
//!   refused or put on the shard's list;
//! - a freezer turns the switch first, then takes the lock of each shard in turn and reads
//!   its list.
//!
//! For one shard there are two orders. The writer had the lock first: it is on the list that
//! the freezer reads. The freezer had it first: the lock passes on what happened before, the
//! writer sees the switch turned and is refused. Hence, once a freezer has found no writer in
//! any shard after turning the switch, none runs and none can start, for as long as the
//! switch stays.
//!
//! The locks are many so that workers do not meet: each thread keeps to a shard of its own.
//! Switch and lock are type parameters, so that the very code that runs in production also
//! runs under `shuttle`, which tries thread orders; see the tests.

use std::sync::atomic::{AtomicUsize, Ordering};

mod slab;

pub(crate) use slab::Slab;

/// What says whether a writer may enter. Read under a shard's lock, turned without it.
pub(crate) trait Switch {
    /// The state of the switch.
    type View;

    /// Looks at the present state.
    fn read<R>(&self, look: impl FnOnce(&Self::View) -> R) -> R;
}

/// A mutual exclusion around a shard.
pub(crate) trait Lock<T> {
    /// A lock around `value`.
    fn new(value: T) -> Self;

    /// Runs `work` alone.
    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R;
}

impl<T> Lock<T> for parking_lot::Mutex<T> {
    fn new(value: T) -> Self {
        Self::new(value)
    }

    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut self.lock())
    }
}

/// One part of the barrier's list: who is inside, and what is remembered of those who left.
#[derive(Debug)]
pub(crate) struct Shard<T, G> {
    pub(crate) inside: Slab<T>,
    pub(crate) gone: G,
}

/// A writer's place on the list.
#[derive(Debug)]
pub(crate) struct Ticket {
    shard: usize,
    slot: usize,
}

/// The switch and the list.
#[derive(Debug)]
pub(crate) struct Barrier<S, L> {
    switch: S,
    shards: Box<[L]>,
}

impl<S: Switch, L> Barrier<S, L> {
    /// An empty barrier of so many shards (at least one).
    pub(crate) fn new<T, G: Default>(switch: S, shards: usize) -> Self
    where
        L: Lock<Shard<T, G>>,
    {
        let shard = |_| L::new(Shard { inside: Slab::default(), gone: G::default() });
        Self { switch, shards: (0..shards.max(1)).map(shard).collect() }
    }

    /// The switch.
    pub(crate) fn switch(&self) -> &S {
        &self.switch
    }

    /// Lets a writer in, or not, as `decide` says.
    pub(crate) fn enter<T, G, R>(
        &self,
        home: usize,
        decide: impl FnOnce(&S::View) -> Result<T, R>,
    ) -> Result<Ticket, R>
    where
        L: Lock<Shard<T, G>>,
    {
        let shard = home % self.shards.len();
        self.shards[shard].with(|list| {
            // Inside the lock: see the module's doc. Nothing may come between these two.
            let entry = self.switch.read(decide)?;
            Ok(Ticket { shard, slot: list.inside.insert(entry) })
        })
    }

    /// Takes a writer off the list. `last_word` may note something in the same step, so that
    /// a survey sees the writer on the one side or on the other.
    pub(crate) fn leave<T, G>(&self, ticket: &Ticket, last_word: impl FnOnce(T, &mut G))
    where
        L: Lock<Shard<T, G>>,
    {
        self.shards[ticket.shard].with(|list| {
            if let Some(entry) = list.inside.remove(ticket.slot) {
                last_word(entry, &mut list.gone);
            }
        });
    }

    /// Looks at each shard, under its lock.
    pub(crate) fn survey<T, G>(&self, mut look: impl FnMut(&mut Shard<T, G>))
    where
        L: Lock<Shard<T, G>>,
    {
        for shard in &self.shards {
            shard.with(&mut look);
        }
    }
}

static THREADS: AtomicUsize = AtomicUsize::new(0);

std::thread_local! {
    static HOME: usize = THREADS.fetch_add(1, Ordering::Relaxed);
}

/// A number of the calling thread's own, to choose its shard by.
pub(crate) fn home() -> usize {
    HOME.with(|home| *home)
}

#[cfg(test)]
mod tests;
