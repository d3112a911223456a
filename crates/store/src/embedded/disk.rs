//! The maps on disk, and the writes of one round that are to come to it together.

use std::{
    collections::HashMap,
    error::Error,
    io,
    ops::{
        Bound::{Excluded, Unbounded},
        ControlFlow,
    },
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
    thread,
    time::Duration,
};

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::{
    StoreError,
    local::{Kv, See, Space},
};

/// Bytes of blocks that are kept in memory. What is read is read once or twice: a record is
/// looked up, replayed, and then forgotten.
const CACHE: u64 = 4 << 20;
/// Bytes of records that are gathered in memory before they become a file. Each time that
/// happens the journal is synced, for which every write waits.
const GATHERED_RECORDS: u64 = 16 << 20;
/// The same, of every other map.
const GATHERED: u64 = 4 << 20;
/// What a store at rest may keep gathered, of all maps together.
const GATHERED_AT_REST: u64 = 1 << 20;
/// One thread writes what was gathered, the others merge files. With a single one for both,
/// what is gathered grows without bounds while it merges; with two, the first spins while the
/// other merges, for it hands each order to merge on until somebody is free to take it.
const THREADS: usize = 3;
/// Files that are kept open.
const OPEN_FILES: usize = 64;
/// Bytes of journals, past which what is gathered is written so that one can be removed.
const JOURNALS: u64 = 64 << 20;

/// From so many gathered parts of one map that wait to become files, and from so many files
/// that wait to be merged, a round waits. Below the engine's own limits, at which it would
/// wait without an end if its threads have died.
const WAITING_PARTS: usize = 2;
const WAITING_FILES: usize = 18;
const WAIT: Duration = Duration::from_millis(2);

/// The engine's files.
pub(super) struct Disk {
    database: Database,
    maps: [Keyspace; Space::ALL.len()],
}

const fn name(space: Space) -> &'static str {
    match space {
        Space::Records => "records",
        Space::Expiry => "expiry",
        Space::Counts => "counts",
        Space::Entries => "entries",
        Space::Values => "values",
        Space::Notes => "notes",
    }
}

impl Disk {
    /// Opens the files in `path`, or makes them. What is wrong is said in words.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        // The engine panics on some files that it cannot read.
        match catch_unwind(AssertUnwindSafe(|| Self::try_open(path))) {
            Ok(opened) => opened.map_err(|error| said(&error)),
            Err(_) => Err(StoreError::new("its files cannot be read")),
        }
    }

    fn try_open(path: &Path) -> fjall::Result<Self> {
        let database = Database::builder(path)
            .cache_size(CACHE)
            .worker_threads(THREADS)
            .max_cached_files(Some(OPEN_FILES))
            .max_journaling_size(JOURNALS)
            .open()?;
        let map = |space: Space| {
            let gathered = if space == Space::Records { GATHERED_RECORDS } else { GATHERED };
            let options = || KeyspaceCreateOptions::default().max_memtable_size(gathered);
            database.keyspace(name(space), options)
        };
        let [records, expiry, counts, entries, values, notes] = Space::ALL;
        let maps = [map(records)?, map(expiry)?, map(counts)?, map(entries)?, map(values)?, map(notes)?];
        Ok(Self { database, maps })
    }

    pub(super) fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let value = self.maps[space as usize].get(key).map_err(|error| said(&error))?;
        Ok(value.map(Bytes::from))
    }

    fn walk(&self, space: Space, after: Option<&[u8]>, see: See<'_>) -> Result<(), StoreError> {
        let from = after.map_or(Unbounded, Excluded);
        for item in self.maps[space as usize].range::<&[u8], _>((from, Unbounded)) {
            let (key, value) = item.into_inner().map_err(|error| said(&error))?;
            if let ControlFlow::Break(()) = see(&key, value.into())? {
                break;
            }
        }
        Ok(())
    }

    /// Makes all changes, or none. When it returns, they are with the system and survive the
    /// death of this process; with `sync` they are on disk.
    pub(super) fn commit(&self, changes: Changes, sync: bool) -> Result<(), StoreError> {
        self.wait_for_room()?;
        let mode = if sync { PersistMode::SyncData } else { PersistMode::Buffer };
        let mut batch = self.database.batch().durability(Some(mode));
        for (map, changes) in self.maps.iter().zip(changes) {
            for (key, value) in changes {
                match value {
                    Some(value) => batch.insert(map, key, value),
                    None => batch.remove(map, key),
                }
            }
        }
        batch.commit().map_err(|error| said(&error))
    }

    /// Waits while the engine's threads are behind; an error if they have died.
    fn wait_for_room(&self) -> Result<(), StoreError> {
        while self
            .maps
            .iter()
            .any(|map| map.sealed_memtable_count() >= WAITING_PARTS || map.l0_table_count() >= WAITING_FILES)
        {
            self.database.persist(PersistMode::Buffer).map_err(|error| said(&error))?;
            thread::sleep(WAIT);
        }
        Ok(())
    }

    /// Has what is gathered in memory written to files, unless it is little: for a store that
    /// nobody writes to.
    pub(super) fn rest(&self) -> Result<(), StoreError> {
        if self.database.write_buffer_size() <= GATHERED_AT_REST {
            return Ok(());
        }
        for map in &self.maps {
            map.rotate_memtable().map_err(|error| said(&error))?;
        }
        Ok(())
    }

    /// Everything is on disk when this returns.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.database.persist(PersistMode::SyncAll).map_err(|error| said(&error))
    }
}

/// What the engine says, in words for operators: what the system said, where that is behind
/// it.
fn said(error: &fjall::Error) -> StoreError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<io::Error>() {
            return StoreError::new(error);
        }
        cause = error.source();
    }
    match error {
        fjall::Error::Poisoned => {
            StoreError::new("an earlier write to its disk failed; see whether the disk is full")
        }
        other => StoreError::new(format_args!("{other:?}")),
    }
}

/// What a round changes in each map.
pub(super) type Changes = [HashMap<Bytes, Option<Bytes>>; Space::ALL.len()];

/// The maps as one round sees them: what is on disk, and over it the round's own changes.
pub(super) struct Round {
    disk: Arc<Disk>,
    changes: Changes,
    made: u64,
}

impl Round {
    pub(super) fn new(disk: Arc<Disk>) -> Self {
        Self { disk, changes: Changes::default(), made: 0 }
    }

    /// The files under it.
    pub(super) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// How many changes were made so far.
    pub(super) fn made(&self) -> u64 {
        self.made
    }

    /// Whether anything was changed since the last time.
    pub(super) fn has_changes(&self) -> bool {
        self.changes.iter().any(|changes| !changes.is_empty())
    }

    /// What was changed since the last time.
    pub(super) fn take(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }
}

impl Kv for Round {
    const LASTS: bool = true;

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        match self.changes[space as usize].get(key) {
            Some(changed) => Ok(changed.clone()),
            None => self.disk.get(space, key),
        }
    }

    fn walk(&self, space: Space, after: Option<&[u8]>, see: See<'_>) -> Result<(), StoreError> {
        self.disk.walk(space, after, see)
    }

    fn put(&mut self, space: Space, key: &[u8], value: Bytes) {
        self.made += 1;
        self.changes[space as usize].insert(Bytes::copy_from_slice(key), Some(value));
    }

    fn remove(&mut self, space: Space, key: &[u8]) {
        self.made += 1;
        self.changes[space as usize].insert(Bytes::copy_from_slice(key), None);
    }
}
