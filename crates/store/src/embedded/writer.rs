//! The one thread that writes.
//!
//! It takes what is asked from a channel, carries it out one after the other, so that no
//! compare is ever apart from its write, and commits all that came in meanwhile as one round:
//! one write to the journal, and one sync if anything in the round asked for it. Then it
//! answers. While a round is being synced the next one gathers.
//!
//! A round lasts together or not at all. When one fails, everybody in it is told, and the
//! engine, which takes no further write after a failed one, is closed and opened anew until
//! it can write again; what is asked meanwhile is answered with the reason. Nothing is lost
//! by that but what was answered with an error: the process stays the holder of what it
//! holds.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::RwLock;
use sluicegate_core::Clock;
use tokio::sync::{oneshot, watch};

use super::{
    disk::{Disk, Round},
    witness::Witness,
};
use crate::{
    StoreError,
    engine::Health,
    local::{Kv, Local, Space},
    record::Bounds,
};

/// Operations in one round at most: bounds how long the first one waits for the others.
const ROUND: usize = 512;
/// How much that has expired is removed in one round at most, of records and of entries.
const SWEEP: usize = 128;
/// How often it is looked for what has expired.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// After so many looks between which nothing was written the store is at rest.
const RESTS_AFTER: u32 = 10;
/// How often a store that failed is tried again.
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// Bytes that a store must take before it counts as writable again.
const PROBE: usize = 256 << 10;

const PROBE_KEY: &[u8] = b"probe";
/// Where each round leaves its number.
const ROUND_KEY: &[u8] = b"round";

/// The files, for the writer and for readers that do not wait for it; none while the engine
/// is closed.
pub(super) type Files = RwLock<Option<Arc<Disk>>>;

/// Answers one operation, once its round is known to last or not.
pub(super) type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Does what is asked, where the store is open, and says how to answer and whether it failed.
pub(super) type Work = Box<dyn FnOnce(Option<&mut Local<Round>>) -> (Answer, bool) + Send>;

/// An operation.
pub(super) struct Run {
    /// When it was asked: milliseconds since 1970.
    pub(super) at: u64,
    /// Whether it must be on disk before it is answered.
    pub(super) sync: bool,
    /// What to do.
    pub(super) work: Work,
}

/// Something asked of the writer.
pub(super) enum Ask {
    /// Operations, and who gives their answers; without anybody the writer does.
    Runs(Vec<Run>, Option<oneshot::Sender<Answers>>),
    /// New bounds.
    Bound(Bounds),
}

/// The answers to operations of one round; they are given when this is dropped.
pub(super) struct Answers {
    answers: Vec<Answer>,
    ended: Result<(), StoreError>,
}

impl Drop for Answers {
    fn drop(&mut self) {
        for answer in self.answers.drain(..) {
            answer(self.ended.clone());
        }
    }
}

/// What the thread knows.
pub(super) struct Writer {
    pub(super) files: Arc<Files>,
    pub(super) path: PathBuf,
    pub(super) clock: Clock,
    pub(super) epoch: u64,
    pub(super) bounds: Bounds,
    pub(super) health: watch::Sender<Health>,
    pub(super) witness: Witness,
    /// The number of the last round.
    pub(super) round: u64,
}

/// How many rounds the files know of.
pub(super) fn rounds(disk: &Disk) -> Result<u64, StoreError> {
    let Some(round) = disk.get(Space::Notes, ROUND_KEY)? else { return Ok(0) };
    let round =
        round.first_chunk().ok_or_else(|| StoreError::new("the number of its last round cannot be read"))?;
    Ok(u64::from_be_bytes(*round))
}

impl Writer {
    /// Runs until nobody can ask any more. `local` is the store as it was opened.
    pub(super) fn run(mut self, local: Local<Round>, asks: &Receiver<Ask>) {
        let mut open = Ok(local);
        loop {
            open = match open {
                Ok(local) => match self.serve(local, asks) {
                    Some(error) => Err(error),
                    None => break,
                },
                Err(reason) => match self.refuse(&reason, asks) {
                    Some(open) => open,
                    None => break,
                },
            };
        }
        // Readers may still have the files; what was committed is with the system anyway.
        if let Some(disk) = self.files.write().take() {
            drop(disk.sync());
        }
    }

    /// Serves rounds until one fails, or until nobody can ask any more.
    fn serve(&mut self, mut local: Local<Round>, asks: &Receiver<Ask>) -> Option<StoreError> {
        let mut sweep_at = Instant::now();
        let (mut quiet, mut seen) = (0, self.round);
        loop {
            let first = match asks.recv_timeout(sweep_at.saturating_duration_since(Instant::now())) {
                Ok(ask) => Some(ask),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return None,
            };
            let mut round = Running::default();
            for ask in first.into_iter().chain(asks.try_iter()) {
                round.carry_out(ask, &mut local, &mut self.bounds);
                if round.broken.is_some() || round.runs >= ROUND {
                    break;
                }
            }
            if round.broken.is_none() && Instant::now() >= sweep_at {
                match local.at(self.clock.unix_millis()).sweep(SWEEP) {
                    Ok(true) => {}
                    Ok(false) => {
                        sweep_at = Instant::now() + SWEEP_EVERY;
                        quiet = if seen == self.round { quiet + 1 } else { 0 };
                        seen = self.round;
                        if quiet == RESTS_AFTER {
                            round.broken = local.kv().disk().rest().err();
                        }
                    }
                    Err(error) => round.broken = Some(error),
                }
            }
            let Running { answers, sync, broken, .. } = round;
            let ended = broken.map_or_else(|| self.commit(&mut local, sync), Err);
            let ended = ended.map_err(|error| self.unwritable(&error));
            for (answers, tell) in answers {
                give(answers, ended.clone(), tell);
            }
            if let Err(error) = ended {
                return Some(error);
            }
        }
    }

    /// Answers everything with the reason until the files can be written again.
    fn refuse(
        &mut self,
        reason: &StoreError,
        asks: &Receiver<Ask>,
    ) -> Option<Result<Local<Round>, StoreError>> {
        *self.files.write() = None;
        self.health.send_replace(Health::Down(reason.to_string()));
        let again = Instant::now() + RETRY_EVERY;
        loop {
            match asks.recv_timeout(again.saturating_duration_since(Instant::now())) {
                Ok(Ask::Bound(bounds)) => self.bounds = bounds,
                Ok(Ask::Runs(runs, tell)) => {
                    let answers = runs.into_iter().map(|run| (run.work)(None).0).collect();
                    give(answers, Err(reason.clone()), tell);
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
        Some(self.open_again().map_err(|error| self.unwritable(&error)))
    }

    fn commit(&mut self, local: &mut Local<Round>, sync: bool) -> Result<(), StoreError> {
        let round = local.kv_mut();
        if !round.has_changes() {
            return Ok(());
        }
        let number = self.round + 1;
        round.put(Space::Notes, ROUND_KEY, Bytes::copy_from_slice(&number.to_be_bytes()));
        let changes = round.take();
        round.disk().commit(changes, sync)?;
        self.round = number;
        self.witness.note(number, sync).map_err(StoreError::new)
    }

    fn unwritable(&self, error: &StoreError) -> StoreError {
        StoreError::new(format_args!(
            "the store in {} cannot be written: {error}; it is tried again every second, no restart is needed once the disk has space and works",
            self.path.display()
        ))
    }

    fn open_again(&mut self) -> Result<Local<Round>, StoreError> {
        let disk = Arc::new(Disk::open(&self.path)?);
        let mut round = Round::new(disk.clone());
        round.put(Space::Notes, PROBE_KEY, Bytes::from(vec![0; PROBE]));
        disk.commit(round.take(), true)?;
        round.remove(Space::Notes, PROBE_KEY);
        disk.commit(round.take(), true)?;
        self.round = rounds(&disk)?;
        if let Some(missing) = self.witness.contradicts(self.round) {
            return Err(StoreError::new(missing));
        }
        let mut local = Local::open(round, self.epoch)?;
        local.bound(self.bounds);
        *self.files.write() = Some(disk);
        self.health.send_replace(Health::Up);
        Ok(local)
    }
}

/// Hands the answers to who gives them, or gives them here if nobody is there for it.
fn give(answers: Vec<Answer>, ended: Result<(), StoreError>, tell: Option<oneshot::Sender<Answers>>) {
    let answers = Answers { answers, ended };
    match tell {
        Some(tell) => drop(tell.send(answers)),
        None => drop(answers),
    }
}

/// A round that is being gathered.
#[derive(Default)]
struct Running {
    answers: Vec<(Vec<Answer>, Option<oneshot::Sender<Answers>>)>,
    runs: usize,
    sync: bool,
    /// Why it cannot be committed: something failed after it had changed a part.
    broken: Option<StoreError>,
}

impl Running {
    fn carry_out(&mut self, ask: Ask, local: &mut Local<Round>, bounds: &mut Bounds) {
        match ask {
            Ask::Bound(new) => {
                *bounds = new;
                local.bound(new);
            }
            Ask::Runs(runs, tell) => {
                self.runs += runs.len();
                let answers = runs.into_iter().map(|run| self.run(run, local)).collect();
                self.answers.push((answers, tell));
            }
        }
    }

    /// Does one operation, unless one before it has broken the round.
    fn run(&mut self, run: Run, local: &mut Local<Round>) -> Answer {
        let Run { at, sync, work } = run;
        if self.broken.is_some() {
            return work(None).0;
        }
        let before = local.kv().made();
        let (answer, failed) = work(Some(local.at(at)));
        let changed = local.kv().made() > before;
        self.sync |= sync && changed;
        if failed && changed {
            self.broken = Some(StoreError::new("an operation failed halfway; it was taken back"));
        }
        answer
    }
}
