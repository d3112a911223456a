//! A store that fails when it is told to.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use sluicegate_core::Clock;
use sluicegate_store::{
    Answered, Append, Appended, Bounds, Caps, Change, Changed, Engine, Entry, EntryId, EntryState, Expect,
    Health, Page, Put, Queue, Record, RecordKey, Records, StoreError, Swapped, Tag, Tally, memory::Memory,
};
use tokio::sync::watch;

/// A store in memory that says it is durable, can be told to fail, and may pretend that its
/// holders need a lease.
#[derive(Clone, Debug)]
pub(crate) struct Shaky(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    memory: Memory,
    clock: Clock,
    /// So many operations fail before they are made.
    fail: AtomicU32,
    /// So many are made, and their answers are lost.
    lose: AtomicU32,
    shared: bool,
    health: watch::Sender<Health>,
}

impl Shaky {
    pub(crate) fn new(clock: Clock) -> Self {
        Self::of(clock, false)
    }

    /// One that takes itself for a store that others share.
    pub(crate) fn shared(clock: Clock) -> Self {
        Self::of(clock, true)
    }

    fn of(clock: Clock, shared: bool) -> Self {
        let inner = Inner {
            memory: Memory::new(clock.clone()),
            clock,
            fail: AtomicU32::new(0),
            lose: AtomicU32::new(0),
            shared,
            health: watch::Sender::default(),
        };
        Self(Arc::new(inner))
    }

    pub(super) fn clock(&self) -> Clock {
        self.0.clock.clone()
    }

    pub(crate) fn fail(&self, times: u32) {
        self.0.fail.store(times, Ordering::SeqCst);
    }

    pub(crate) fn lose(&self, times: u32) {
        self.0.lose.store(times, Ordering::SeqCst);
    }

    /// What a kill does to what was held.
    pub(crate) fn lose_holders(&self) {
        self.0.memory.lose_holders();
    }

    fn ask<T: Send + 'static>(&self, ask: impl FnOnce(&Memory) -> Answered<T>) -> Answered<T> {
        let take = |left: &AtomicU32| {
            left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
        };
        if take(&self.0.fail) {
            return Box::pin(std::future::ready(Err(StoreError::new("the store is away"))));
        }
        let answer = ask(&self.0.memory);
        if take(&self.0.lose) {
            return Box::pin(std::future::ready(Err(StoreError::new("the answer was lost"))));
        }
        // A turn between an operation and its answer: others may come in between.
        Box::pin(async move {
            tokio::task::yield_now().await;
            answer.await
        })
    }
}

impl Records for Shaky {
    fn get(&self, key: RecordKey) -> Answered<Option<Record>> {
        self.ask(|memory| memory.get(key))
    }

    fn swap(&self, key: RecordKey, expect: Expect, put: Option<Put>) -> Answered<Swapped> {
        self.ask(|memory| memory.swap(key, expect, put))
    }

    fn beat(&self, held: Vec<(RecordKey, Tag)>) -> Answered<Vec<bool>> {
        self.ask(|memory| memory.beat(held))
    }

    fn lease(&self) -> Option<Duration> {
        self.0.shared.then_some(Duration::from_secs(3))
    }

    fn page(&self, after: Option<RecordKey>, limit: usize) -> Answered<Page> {
        self.ask(|memory| memory.page(after, limit))
    }

    fn bound(&self, bounds: Bounds) {
        self.0.memory.bound(bounds);
    }

    fn usage(&self) -> Answered<(u64, u64)> {
        self.ask(Records::usage)
    }
}

impl Queue for Shaky {
    fn append(&self, append: Append, caps: Caps) -> Answered<Appended> {
        self.ask(|memory| memory.append(append, caps))
    }

    fn claim(&self, tags: Vec<Tag>) -> Answered<Vec<Entry>> {
        self.ask(|memory| memory.claim(tags))
    }

    fn change(&self, id: EntryId, change: Change) -> Answered<Changed> {
        self.ask(|memory| memory.change(id, change))
    }

    fn beat_entries(&self, held: Vec<(EntryId, Tag)>) -> Answered<Vec<bool>> {
        self.ask(|memory| memory.beat_entries(held))
    }

    fn entry(&self, id: EntryId) -> Answered<Option<Entry>> {
        self.ask(|memory| memory.entry(id))
    }

    fn entries(
        &self,
        state: Option<EntryState>,
        after: Option<EntryId>,
        limit: usize,
    ) -> Answered<Vec<Entry>> {
        self.ask(|memory| memory.entries(state, after, limit))
    }

    fn tally(&self) -> Answered<Tally> {
        self.ask(Queue::tally)
    }
}

impl Engine for Shaky {
    fn kind(&self) -> &'static str {
        "shaky"
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.0.health.subscribe()
    }

    fn not_durable(&self) -> Option<String> {
        None
    }
}
