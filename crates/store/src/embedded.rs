//! The engine on disk: survives `kill -9` always, and power loss where it was asked to.
//!
//! One thread writes, in rounds (`writer`): everything asked while the last round was on
//! its way goes into the next (and what one thread asks in one turn goes together: `turn`), with one write to the journal and at most one sync. Changes of
//! the queue are synced before they are answered, records where [`Sync::Always`] says so; the
//! rest is handed to the system, which keeps it when this process dies, but not when the
//! machine does. Records are read by whoever asks, past the writer.
//!
//! The folder is this process's alone, by a lock that the system gives up when it dies. So
//! what another epoch held has lost its holder.
//!
//! When the disk is full or broken every operation fails with the reason and
//! [`Engine::health`] says [`Health::Down`]; the engine takes itself up again, without a
//! restart, as soon as it can write.
//!
//! `fjall` and not `redb`, by `cargo run --release -p sluicegate-benches --bin store_engines`
//! (a million keys, on two busy cores): begun and sealed without a sync at 79,000 keys per
//! second against 7,900, with 19 and 36 µs of CPU each; after `kill -9` it has all of 39,314
//! acknowledged writes, redb none of 14,962; synced, 32 to a round, 84,000 writes per second
//! against 21,000; opened after a crash in 0.2 s and 0.5 s, with 15 and 12 MiB resident. What
//! redb does better is the file: with keys that live for a minute it grows to 92 MiB, fjall to
//! 180 MiB, of which up to 64 MiB are the journal.

use std::{
    fmt,
    future::ready,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use parking_lot::RwLock;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicegate_core::{Chance, Clock};
use tokio::sync::{oneshot, watch};

use crate::{
    Answered, OpenError, StoreError,
    engine::{Engine, Health},
    local::{Local, Space, seen},
    queue::{Append, Appended, Caps, Change, Changed, Entry, EntryId, EntryState, Queue, Tally},
    record::{Bounds, Expect, Page, Put, Record, RecordKey, Records, Swapped, Tag},
};

mod aside;
mod disk;
mod folder;
mod turn;
mod witness;
mod writer;

use disk::{Disk, Round};
use folder::Folder;
use writer::{Ask, Files, Run, Writer};

/// Where a store on disk is, and what it promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedOptions {
    /// Its folder, made where it is missing. Nothing else may be in it.
    pub path: PathBuf,
    /// When records are synced.
    pub sync: Sync,
}

/// When fences are synced to disk. Intents always are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sync {
    /// When the system likes: survives the death of the gateway, `kill -9` too, but not a
    /// loss of power.
    #[default]
    Os,
    /// Before the request goes on: survives a loss of power as well.
    Always,
}

/// A store on disk; clones share it. When the last one is dropped, everything is synced and
/// the folder is free.
#[derive(Clone)]
pub struct Embedded(Arc<Shared>);

struct Shared {
    clock: Clock,
    epoch: u64,
    sync: bool,
    files: Arc<Files>,
    health: watch::Sender<Health>,
    /// None once it is being closed.
    asks: Option<mpsc::Sender<Ask>>,
    thread: Option<JoinHandle<()>>,
    /// Given up last.
    _folder: Folder,
}

impl Embedded {
    /// Opens the store in a folder, or makes one. Blocks on the disk.
    pub fn open(options: EmbeddedOptions, clock: Clock) -> Result<Self, OpenError> {
        let EmbeddedOptions { path, sync } = options;
        let folder = Folder::open(path, |tree| {
            let made = Disk::open(tree).and_then(|disk| disk.sync());
            made.map_err(|error| {
                OpenError::new(format_args!("a store cannot be made in {}: {error}", tree.display()))
            })
        })?;
        // 0 is nobody's. What an earlier process drew is not drawn again.
        let epoch = Chance::from_system().bits().max(1);
        let damaged = |error: StoreError| folder.damaged(&error.to_string());
        let (witness, aside) = folder.guards()?;
        let disk = Arc::new(Disk::open(&folder.tree()).map_err(damaged)?);
        let round = writer::rounds(&disk).map_err(damaged)?;
        if let Some(missing) = witness.contradicts(round) {
            return Err(folder.damaged(&missing));
        }
        let local = Local::open(Round::new(disk.clone()), epoch).map_err(damaged)?;
        aside.remove().map_err(|error| damaged(StoreError::new(error)))?;
        let files = Arc::new(RwLock::new(Some(disk)));
        let health = watch::Sender::default();
        let writer = Writer {
            files: files.clone(),
            path: folder.tree(),
            clock: clock.clone(),
            epoch,
            bounds: Bounds::default(),
            health: health.clone(),
            witness,
            round,
        };
        let (asks, asked) = mpsc::channel();
        let thread = thread::Builder::new().name("store".into()).spawn(move || run(writer, local, &asked));
        let thread = thread.map_err(|error| {
            OpenError::new(format_args!(
                "the store's thread cannot be started: {error}; raise the limit of threads"
            ))
        })?;
        Ok(Self(Arc::new(Shared {
            clock,
            epoch,
            sync: sync == Sync::Always,
            files,
            health,
            asks: Some(asks),
            thread: Some(thread),
            _folder: folder,
        })))
    }

    /// Asks the writer. With `sync` what it changes is on disk before it is answered.
    fn ask<T: Send + 'static>(
        &self,
        sync: bool,
        work: impl FnOnce(&mut Local<Round>) -> Result<T, StoreError> + Send + 'static,
    ) -> Answered<T> {
        let (tell, told) = oneshot::channel();
        let work: writer::Work = Box::new(move |local| {
            let done = local.map_or_else(|| Err(closed()), work);
            let failed = done.is_err();
            // Nobody may listen any more; the work is done all the same.
            (Box::new(move |ended| drop(tell.send(ended.and(done)))), failed)
        });
        let run = Run { at: self.0.clock.unix_millis(), sync, work };
        if self.0.asks.as_ref().is_none_or(|asks| turn::ask(self.0.epoch, asks, run).is_err()) {
            return Box::pin(ready(Err(self.0.reason())));
        }
        let health = self.health();
        Box::pin(async move { told.await.unwrap_or_else(|_| Err(reason(&health.borrow()))) })
    }
}

fn run(writer: Writer, local: Local<Round>, asked: &mpsc::Receiver<Ask>) {
    let (files, health) = (writer.files.clone(), writer.health.clone());
    if catch_unwind(AssertUnwindSafe(|| writer.run(local, asked))).is_err() {
        *files.write() = None;
        health.send_replace(Health::Down("the store's thread has died; restart the gateway".into()));
    }
}

fn closed() -> StoreError {
    StoreError::new("the store is closed")
}

impl Shared {
    /// Why nothing is answered.
    fn reason(&self) -> StoreError {
        reason(&self.health.borrow())
    }
}

fn reason(health: &Health) -> StoreError {
    match health {
        Health::Down(reason) => StoreError::new(reason),
        _ => closed(),
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        drop(self.asks.take());
        turn::finish(self.epoch);
        // It ends when nobody can ask any more; how it ended it has said by its health.
        drop(self.thread.take().map(JoinHandle::join));
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded").finish_non_exhaustive()
    }
}

impl Records for Embedded {
    fn get(&self, key: RecordKey) -> Answered<Option<Record>> {
        let bytes = match &*self.0.files.read() {
            Some(disk) => disk.get(Space::Records, &key.0),
            None => Err(self.0.reason()),
        };
        let now = self.0.clock.unix_millis();
        Box::pin(ready(bytes.and_then(|bytes| seen(key, bytes, self.0.epoch, now))))
    }

    fn swap(&self, key: RecordKey, expect: Expect, put: Option<Put>) -> Answered<Swapped> {
        self.ask(self.0.sync, move |local| local.swap(key, expect, put))
    }

    fn beat(&self, held: Vec<(RecordKey, Tag)>) -> Answered<Vec<bool>> {
        self.ask(false, move |local| local.beat(&held))
    }

    fn lease(&self) -> Option<Duration> {
        None
    }

    fn page(&self, after: Option<RecordKey>, limit: usize) -> Answered<Page> {
        self.ask(false, move |local| local.page(after, limit))
    }

    fn bound(&self, bounds: Bounds) {
        if let Some(asks) = &self.0.asks {
            // A thread that has died has said so by its health.
            drop(asks.send(Ask::Bound(bounds)));
        }
    }

    fn usage(&self) -> Answered<(u64, u64)> {
        self.ask(false, |local| Ok(local.usage()))
    }
}

impl Queue for Embedded {
    fn append(&self, append: Append, caps: Caps) -> Answered<Appended> {
        self.ask(true, move |local| local.append(append, caps))
    }

    fn claim(&self, tags: Vec<Tag>) -> Answered<Vec<Entry>> {
        self.ask(true, move |local| local.claim(&tags))
    }

    fn change(&self, id: EntryId, change: Change) -> Answered<Changed> {
        self.ask(true, move |local| local.change(id, change))
    }

    fn beat_entries(&self, held: Vec<(EntryId, Tag)>) -> Answered<Vec<bool>> {
        self.ask(false, move |local| Ok(local.beat_entries(&held)))
    }

    fn entry(&self, id: EntryId) -> Answered<Option<Entry>> {
        self.ask(false, move |local| local.entry(id))
    }

    fn entries(
        &self,
        state: Option<EntryState>,
        after: Option<EntryId>,
        limit: usize,
    ) -> Answered<Vec<Entry>> {
        self.ask(false, move |local| local.entries(state, after, limit))
    }

    fn tally(&self) -> Answered<Tally> {
        self.ask(false, |local| Ok(local.tally()))
    }
}

impl Engine for Embedded {
    fn kind(&self) -> &'static str {
        "embedded"
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.0.health.subscribe()
    }

    fn not_durable(&self) -> Option<String> {
        None
    }
}
