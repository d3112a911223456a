//! Reads and writes of the record.
//!
//! Every write expects the tag of what it was made from. One that finds another tag is not
//! made: what was found is met first, and then an operator's command is judged anew, a finding
//! is thrown away, and an abort is written as long as its epoch lasts.

use std::{sync::Arc, time::Duration};

use sluicegate_store::{Answered, Expect, Full, Put, Record, RecordKey, StoreError, Swapped, Tag};
use tokio::time::timeout;

use super::{Entry, Gate, Home, POLL, entry::Known};
use crate::{
    history::History,
    machine::{Actor, FORMAT, Finding, Meeting, Secret, State, meet},
};

/// How long the store is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long the checks of the arms are waited for.
const CHECKS: Duration = Duration::from_secs(10);

/// A record changes by people and by findings, a few times a minute. More often than this in a
/// row it changes by a fault.
pub(super) const TRIES: usize = 8;

/// How long a record is kept: longer than any gateway. No write of it is ever the last.
const LASTS: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// Whose share of the store the records take: no tenant's, since none has such a name.
const OWNER: &str = "\u{1f}rollouts";

/// The least size of the state's record, filled up with spaces. What a state becomes then
/// always fits into a store that is full: replacing a record by one that is not larger needs
/// no room.
const ROOM: usize = 4096;

/// The most decisions that the record carries for the history: more than gateways make before
/// they have told the first.
const CARRIED: usize = 8;

/// What became of a write.
#[derive(Debug)]
pub(super) enum Written {
    /// It is made, and holds.
    Done,
    /// Another write was there first.
    Conflict,
}

/// Why the record could not be read or written.
#[derive(Clone, Debug)]
pub(super) enum Trouble {
    /// The store cannot be used, or what is in it cannot be read.
    Store(String),
    /// There is no room.
    Full(Full),
}

impl Home {
    /// Keeps this gateway and the record of one rollout at one.
    pub(super) async fn keep(self: Arc<Self>, entry: Arc<Entry>) {
        loop {
            self.round(&entry).await;
            drop(timeout(POLL, entry.wake.notified()).await);
        }
    }

    /// Reads the record, and writes what is to be written.
    pub(super) async fn round(&self, entry: &Entry) {
        let done = self.work(entry).await;
        let trouble = done.err().map(|trouble| trouble.to_string());
        let mut inner = entry.lock();
        if inner.trouble != trouble {
            if let Some(trouble) = &trouble {
                tracing::warn!(rollout = %entry.name, trouble, "a rollout goes on with the state it knows");
            } else {
                tracing::info!(rollout = %entry.name, "the record of a rollout can be read and written again");
            }
            // A store that comes back may have lost what it had.
            inner.told = false;
            inner.trouble = trouble;
            drop(inner);
            self.changed();
        }
    }

    async fn work(&self, entry: &Entry) -> Result<(), Trouble> {
        self.read(entry).await?;
        self.write_cut(entry).await?;
        self.write_finding(entry).await?;
        self.record_last(entry).await
    }

    /// Reads the record and meets what is in it, until it is what this gateway knows.
    pub(super) async fn read(&self, entry: &Entry) -> Result<(), Trouble> {
        for _ in 0..TRIES {
            let found = ask(self.store.get(entry.record)).await?;
            if let Written::Done = self.met(entry, found).await? {
                return Ok(());
            }
        }
        Err(Trouble::Store("the record of the rollout kept changing".to_owned()))
    }

    /// Meets what was found.
    async fn met(&self, entry: &Entry, found: Option<Record>) -> Result<Written, Trouble> {
        let (known, said, configures) = {
            let inner = entry.lock();
            (inner.known.clone(), inner.declared.clone(), inner.configures)
        };
        let Some(said) = said else { return Ok(Written::Done) };
        let around = said.around(self.now(), Actor::document(&self.gateway));
        let tag = found.as_ref().map(|found| found.tag);
        if known.is_none() || tag != known.as_ref().map(|known| known.tag) {
            let state = found.as_ref().map(|found| decode(&found.value)).transpose()?;
            let expect = tag.map_or(Expect::Absent, Expect::Tag);
            match (meet(known.as_ref().map(|known| &*known.state), state.as_ref()), state, tag) {
                (Meeting::Adopt, Some(state), Some(tag)) => self.adopt(entry, state, tag),
                (Meeting::Write(lost), ..) => {
                    tracing::warn!(rollout = %entry.name, "the store has lost a rollout's state; it is written again");
                    let over = lost.clone();
                    return self.put(entry, expect, *lost, Some(&over)).await;
                }
                // Nobody knows of this rollout yet.
                _ => {
                    let first = State::first(Secret::draw(), &around);
                    return self.put(entry, expect, first, None).await;
                }
            }
        }
        // The document names other upstreams since it was read.
        if configures {
            if let Some(Known { state, tag }) = entry.known()
                && let Some(next) = state.configured(&around)
            {
                return self.put(entry, Expect::Tag(tag), next, Some(&state)).await;
            }
            entry.lock().configures = false;
        }
        Ok(Written::Done)
    }

    /// Writes an abort that holds here already.
    pub(super) async fn write_cut(&self, entry: &Entry) -> Result<(), Trouble> {
        for _ in 0..TRIES {
            let (known, next) = {
                let inner = entry.lock();
                let next = inner.cut.as_ref().and_then(|cut| inner.state_after(cut));
                (inner.known.clone(), next)
            };
            let (Some(known), Some(next)) = (known, next) else { return Ok(()) };
            match self.put(entry, Expect::Tag(known.tag), next, Some(&known.state)).await? {
                Written::Done => return Ok(()),
                Written::Conflict => self.read(entry).await?,
            }
        }
        Err(Trouble::Store("the record of the rollout kept changing".to_owned()))
    }

    /// Writes what was found over the state that it was found in.
    async fn write_finding(&self, entry: &Entry) -> Result<(), Trouble> {
        let (found, known, said) = {
            let mut inner = entry.lock();
            (inner.found.take(), inner.known.clone(), inner.declared.clone())
        };
        let (Some((tag, finding)), Some(known), Some(said)) = (found, known, said) else { return Ok(()) };
        // It was made from a state that is over.
        if tag != known.tag {
            return Ok(());
        }
        let around = || said.around(self.now(), Actor::gateway(&self.gateway));
        // Nothing to ask the arms for, as long as it would not be written.
        if known.state.finding(&finding, &around()).is_none() {
            return Ok(());
        }
        let gate = match finding {
            Finding::Passed(_) | Finding::Promote => self.checks.gate(&entry.name),
            _ => Gate::Open,
        };
        let waits = if let Gate::Waits(why) = &gate { Some(why.clone()) } else { None };
        let is_waiting = waits.is_some();
        entry.lock().waits = waits;
        let finding = match (finding, gate) {
            // It is found again.
            _ if is_waiting => return Ok(()),
            (Finding::Passed(report), Gate::Shut(why)) => Finding::NotReady(report, why),
            (Finding::Passed(report), _) => match self.arms_ready(&known.state).await {
                Ok(()) => Finding::Passed(report),
                Err(diffs) => Finding::NotReady(report, diffs),
            },
            // There is nothing to hold any more: it is tried again.
            (Finding::Promote, Gate::Shut(_)) => return Ok(()),
            (Finding::Promote, _) if self.arms_ready(&known.state).await.is_err() => return Ok(()),
            (finding, _) => finding,
        };
        // The judge may have changed its mind while the arms were asked.
        if entry.lock().cut.is_some() {
            return Ok(());
        }
        if let Some(next) = known.state.finding(&finding, &around())
            && let Written::Conflict = self.put(entry, Expect::Tag(tag), next, Some(&known.state)).await?
        {
            self.read(entry).await?;
        }
        Ok(())
    }

    /// Whether both arms are ready and what they are pinned to.
    pub(super) async fn arms_ready(&self, state: &State) -> Result<(), Vec<String>> {
        let names = vec![state.active.as_str().into(), state.candidate.as_str().into()];
        match timeout(CHECKS, self.checks.arms_ready(names)).await {
            Ok(ready) => ready,
            Err(_) => Err(vec![format!("the check of the arms took longer than {} s", CHECKS.as_secs())]),
        }
    }

    /// Writes a state where the record is as expected. What is written holds here from then
    /// on. `over` is the state that it was made from, where it was a decision.
    pub(super) async fn put(
        &self,
        entry: &Entry,
        expect: Expect,
        mut next: State,
        over: Option<&State>,
    ) -> Result<Written, Trouble> {
        next.untold = entry.lock().untold.clone();
        let too_many = next.untold.len().saturating_sub(CARRIED);
        next.untold.drain(..too_many);
        let value = encode(&next).or_else(|_| encode(&shortened(&next)))?;
        let (mut tag, mut swapped) = self.swap(entry.record, expect, value).await?;
        if matches!(swapped, Swapped::Full(_)) {
            (tag, swapped) = self.swap(entry.record, expect, encode(&shortened(&next))?).await?;
        }
        match swapped {
            Swapped::Done => {}
            Swapped::Conflict(_) => return Ok(Written::Conflict),
            Swapped::Full(full) => return Err(Trouble::Full(full)),
        }
        let decided = over.is_none_or(|over| over.last.seq != next.last.seq);
        let decision = next.last.clone();
        self.adopt(entry, next, tag);
        if decided {
            self.metrics.decided(&entry.name, decision.act);
            tracing::info!(
                rollout = %entry.name, by = %decision.by, act = decision.act.as_str(), reason = decision.reason,
                weight = decision.weight[1], "a rollout was changed"
            );
            // Others may have gone on from there meanwhile, so that it was not adopted.
            entry.lock().remember([&decision].into_iter());
            // The state is written, whatever comes of the history: the next round tries again,
            // and says what is in the way.
            drop(self.record_last(entry).await);
        }
        Ok(Written::Done)
    }

    fn adopt(&self, entry: &Entry, state: State, tag: Tag) {
        if entry.adopt(state, tag) {
            self.changed();
        }
    }

    /// A write under a new tag. Where the store does not say what became of it, it is asked
    /// once more: a write that was made already is not made again.
    async fn swap(&self, key: RecordKey, expect: Expect, value: Vec<u8>) -> Result<(Tag, Swapped), Trouble> {
        let tag = Tag::draw(&self.chance);
        let put = Put { tag, value: value.into(), owner: OWNER.into(), ttl: LASTS, held: false };
        let swapped = match ask(self.store.swap(key, expect, Some(put.clone()))).await {
            Ok(swapped) => swapped,
            Err(_) => ask(self.store.swap(key, expect, Some(put))).await?,
        };
        Ok((tag, swapped))
    }

    /// Adds to the history what it lacks, where anything has happened since it was last seen.
    async fn record_last(&self, entry: &Entry) -> Result<(), Trouble> {
        let is_told = std::mem::replace(&mut entry.lock().told, true);
        if is_told {
            return Ok(());
        }
        let recorded = self.record(entry).await;
        if recorded.is_err() {
            entry.lock().told = false;
        }
        recorded.map(drop)
    }

    /// The history, as a whole also where the store has no room for what it lacks: who asks at
    /// night is told in any case.
    pub(super) async fn history(&self, entry: &Entry) -> Result<History, Trouble> {
        if let Ok(history) = self.record(entry).await {
            return Ok(history);
        }
        let mut history = read_history(ask(self.store.get(entry.history)).await?)?;
        history.add(&entry.lock().remembered());
        Ok(history)
    }

    /// The history, with what this gateway remembers and it lacked.
    async fn record(&self, entry: &Entry) -> Result<History, Trouble> {
        for _ in 0..TRIES {
            let found = ask(self.store.get(entry.history)).await?;
            let expect = found.as_ref().map_or(Expect::Absent, |found| Expect::Tag(found.tag));
            let mut history = read_history(found)?;
            let decisions = entry.lock().remembered();
            let swapped = if history.add(&decisions) {
                let value = history.encode().map_err(Trouble::Store)?;
                self.swap(entry.history, expect, value).await?.1
            } else {
                Swapped::Done
            };
            match swapped {
                Swapped::Done => {
                    entry.lock().told(&decisions, &history);
                    return Ok(history);
                }
                Swapped::Conflict(_) => {}
                Swapped::Full(full) => return Err(Trouble::Full(full)),
            }
        }
        Err(Trouble::Store("the record of the rollout's history kept changing".to_owned()))
    }
}

impl Entry {
    pub(super) fn known(&self) -> Option<Known> {
        self.lock().known.clone()
    }
}

async fn ask<T>(answer: Answered<T>) -> Result<T, StoreError> {
    let late = |_| StoreError::new(format!("the store has not answered within {} s", PATIENCE.as_secs()));
    timeout(PATIENCE, answer).await.map_err(late)?
}

fn encode(state: &State) -> Result<Vec<u8>, Trouble> {
    let mut value = serde_json::to_vec(state)
        .map_err(|error| Trouble::Store(format!("the state of the rollout cannot be written: {error}")))?;
    // What no gateway could read would stop them all: numbers that JSON has no word for.
    decode(&value)?;
    value.resize(value.len().max(ROOM), b' ');
    Ok(value)
}

/// The same state without what it can do without.
fn shortened(state: &State) -> State {
    let mut short = state.clone();
    short.last.report = None;
    short.last.pins.clear();
    short.untold.clear();
    short.objections.clear();
    short
}

/// The form is read first: one of another form need not have anything else in common.
fn decode(value: &[u8]) -> Result<State, Trouble> {
    #[derive(serde::Deserialize)]
    struct Form {
        format: u8,
    }
    let wrong = |error| Trouble::Store(format!("the record of the rollout cannot be read: {error}"));
    let Form { format } = serde_json::from_slice(value).map_err(wrong)?;
    if format == FORMAT {
        return serde_json::from_slice(value).map_err(wrong);
    }
    Err(Trouble::Store(format!(
        "the record of the rollout has form {format}, which this version does not know (it knows {FORMAT})"
    )))
}

fn read_history(found: Option<Record>) -> Result<History, Trouble> {
    let decoded = found.map(|found| History::decode(&found.value)).transpose();
    Ok(decoded.map_err(Trouble::Store)?.unwrap_or_default())
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string())
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store(error) => f.write_str(error),
            Self::Full(full) => {
                write!(f, "the store has no room (its bound on {} is reached)", full.as_str())
            }
        }
    }
}
