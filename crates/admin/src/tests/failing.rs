//! A store in memory that can be lost, and found again.

use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sluicegate_core::Clock;
use sluicegate_store::{
    Answered, Append, Appended, Bounds, Caps, Change, Changed, Engine, Entry, EntryId, EntryState, Expect,
    Health, Page, Put, Queue, Record, RecordKey, Records, StoreError, Swapped, Tag, Tally, memory::Memory,
};
use tokio::sync::watch;

#[derive(Clone, Debug)]
pub(super) struct Losable {
    memory: Arc<Memory>,
    lost: Arc<AtomicBool>,
}

impl Losable {
    pub(super) fn new() -> Self {
        Self { memory: Arc::new(Memory::new(Clock::system())), lost: Arc::default() }
    }

    pub(super) fn lose(&self, lost: bool) {
        self.lost.store(lost, Ordering::SeqCst);
    }

    fn ask<T: Send + 'static>(&self, work: impl FnOnce(&Memory) -> Answered<T>) -> Answered<T> {
        if self.lost.load(Ordering::SeqCst) {
            return Box::pin(ready(Err(StoreError::new("the store was lost"))));
        }
        work(&self.memory)
    }
}

impl Records for Losable {
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
        self.memory.lease()
    }

    fn page(&self, after: Option<RecordKey>, limit: usize) -> Answered<Page> {
        self.ask(|memory| memory.page(after, limit))
    }

    fn bound(&self, bounds: Bounds) {
        self.memory.bound(bounds);
    }

    fn usage(&self) -> Answered<(u64, u64)> {
        self.ask(Memory::usage)
    }
}

impl Queue for Losable {
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
        self.ask(Memory::tally)
    }
}

impl Engine for Losable {
    fn kind(&self) -> &'static str {
        self.memory.kind()
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.memory.health()
    }

    fn not_durable(&self) -> Option<String> {
        self.memory.not_durable()
    }
}
