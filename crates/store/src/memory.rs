//! The engine in memory: for services whose fences may be lost at a restart, and for tests.
//!
//! One lock around plain code; every answer is there at once. What has expired is removed in
//! small steps by the writes that follow. Nothing outlives the process, so it says that
//! intents cannot be accepted ([`Engine::not_durable`]).

use std::{
    collections::BTreeMap,
    fmt,
    future::ready,
    ops::{
        Bound::{Excluded, Unbounded},
        ControlFlow,
    },
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use sluicegate_core::Clock;
use tokio::sync::watch;

use crate::{
    Answered, StoreError,
    engine::{Engine, Health},
    local::{Kv, Local, See, Space},
    queue::{Append, Appended, Caps, Change, Changed, Entry, EntryId, EntryState, Queue, Tally},
    record::{Bounds, Expect, Page, Put, Record, RecordKey, Records, Swapped, Tag},
};

/// How much that has expired each write removes at most: more than one write brings.
const SWEEP: usize = 4;

/// A store in memory; clones share it.
#[derive(Clone)]
pub struct Memory(Arc<Shared>);

struct Shared {
    guarded: Guarded<Mutex<Local<Maps>>>,
    clock: Clock,
    health: watch::Sender<Health>,
}

/// A mutual exclusion. A type parameter, so that what runs in production also runs under
/// `shuttle`, which tries thread orders; see the tests.
trait Lock<T> {
    /// Runs `work` alone.
    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R;
}

impl<T> Lock<T> for Mutex<T> {
    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut self.lock())
    }
}

/// The store behind its lock: a compare and its write are never apart.
struct Guarded<L>(L);

impl<L: Lock<Local<Maps>>> Guarded<L> {
    fn read<T>(&self, now: u64, work: impl FnOnce(&Local<Maps>) -> T) -> T {
        self.0.with(|local| work(local.at(now)))
    }

    fn write<T>(
        &self,
        now: u64,
        work: impl FnOnce(&mut Local<Maps>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.0.with(|local| {
            local.at(now).sweep(SWEEP)?;
            work(local)
        })
    }
}

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let guarded = Guarded(Mutex::new(Local::empty(Maps::default(), 1)));
        Self(Arc::new(Shared { guarded, clock, health: watch::Sender::default() }))
    }

    /// What happens to a store on disk when its process dies and another takes it over: what
    /// was held is held by nobody alive. For tests of what comes after.
    pub fn lose_holders(&self) {
        self.0.guarded.0.with(Local::begin_next_epoch);
    }

    fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Local<Maps>) -> Result<T, StoreError>,
    ) -> Answered<T> {
        Box::pin(ready(self.0.guarded.read(self.0.clock.unix_millis(), work)))
    }

    fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Local<Maps>) -> Result<T, StoreError>,
    ) -> Answered<T> {
        Box::pin(ready(self.0.guarded.write(self.0.clock.unix_millis(), work)))
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

impl Records for Memory {
    fn get(&self, key: RecordKey) -> Answered<Option<Record>> {
        self.read(|local| local.get(key))
    }

    fn swap(&self, key: RecordKey, expect: Expect, put: Option<Put>) -> Answered<Swapped> {
        self.write(|local| local.swap(key, expect, put))
    }

    fn beat(&self, held: Vec<(RecordKey, Tag)>) -> Answered<Vec<bool>> {
        self.read(|local| local.beat(&held))
    }

    fn lease(&self) -> Option<Duration> {
        None
    }

    fn page(&self, after: Option<RecordKey>, limit: usize) -> Answered<Page> {
        self.read(|local| local.page(after, limit))
    }

    fn bound(&self, bounds: Bounds) {
        self.0.guarded.0.with(|local| local.bound(bounds));
    }

    fn usage(&self) -> Answered<(u64, u64)> {
        self.read(|local| Ok(local.usage()))
    }
}

impl Queue for Memory {
    fn append(&self, append: Append, caps: Caps) -> Answered<Appended> {
        self.write(|local| local.append(append, caps))
    }

    fn claim(&self, tags: Vec<Tag>) -> Answered<Vec<Entry>> {
        self.write(|local| local.claim(&tags))
    }

    fn change(&self, id: EntryId, change: Change) -> Answered<Changed> {
        self.write(|local| local.change(id, change))
    }

    fn beat_entries(&self, held: Vec<(EntryId, Tag)>) -> Answered<Vec<bool>> {
        self.read(|local| Ok(local.beat_entries(&held)))
    }

    fn entry(&self, id: EntryId) -> Answered<Option<Entry>> {
        self.read(|local| local.entry(id))
    }

    fn entries(
        &self,
        state: Option<EntryState>,
        after: Option<EntryId>,
        limit: usize,
    ) -> Answered<Vec<Entry>> {
        self.read(|local| local.entries(state, after, limit))
    }

    fn tally(&self) -> Answered<Tally> {
        self.read(|local| Ok(local.tally()))
    }
}

impl Engine for Memory {
    fn kind(&self) -> &'static str {
        "memory"
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.0.health.subscribe()
    }

    fn not_durable(&self) -> Option<String> {
        Some("the store is in memory; use `store: embedded` or `redis` to keep intents".into())
    }
}

/// The maps.
#[derive(Debug, Default)]
struct Maps([BTreeMap<Box<[u8]>, Bytes>; Space::ALL.len()]);

impl Kv for Maps {
    const LASTS: bool = false;

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.0[space as usize].get(key).cloned())
    }

    fn walk(&self, space: Space, after: Option<&[u8]>, see: See<'_>) -> Result<(), StoreError> {
        let from = after.map_or(Unbounded, Excluded);
        for (key, value) in self.0[space as usize].range::<[u8], _>((from, Unbounded)) {
            if let ControlFlow::Break(()) = see(key, value.clone())? {
                break;
            }
        }
        Ok(())
    }

    fn put(&mut self, space: Space, key: &[u8], value: Bytes) {
        self.0[space as usize].insert(key.into(), value);
    }

    fn remove(&mut self, space: Space, key: &[u8]) {
        self.0[space as usize].remove(key);
    }
}

#[cfg(test)]
mod tests;
