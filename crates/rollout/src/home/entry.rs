//! One rollout on this gateway: what the document says, what the record says, and what follows
//! from both for requests.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use sluicegate_core::arm::Slot;
use sluicegate_store::{RecordKey, Tag};
use tokio::sync::Notify;

use super::{Declared, watch_over::Watch};
use crate::{
    history::{History, MOST_DECISIONS},
    machine::{Actor, ArmPins, Around, Command, Decision, Finding, Meeting, Secret, State, meet, pins_of},
    traffic::Traffic,
    view::{Shared, View},
};

/// How many decisions of the history a gateway remembers: more than people and gateways make in
/// the moments that a store may lose.
const REMEMBERED: usize = 32;

/// A rollout on this gateway.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(super) name: Box<str>,
    /// What requests read.
    pub(super) shared: Arc<Shared>,
    /// Where the state is.
    pub(super) record: RecordKey,
    /// Where the history is.
    pub(super) history: RecordKey,
    /// Wakes the keeper.
    pub(super) wake: Notify,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    /// What the document says; none where a plan was made and never came to hold.
    pub(crate) declared: Option<Arc<Said>>,
    /// The document names other upstreams than before: the record must follow, once.
    pub(super) configures: bool,
    /// The record as it was last read or written.
    pub(crate) known: Option<Known>,
    /// An abort that holds here and is not in the record yet.
    pub(crate) cut: Option<Cut>,
    /// What stands in the way of reading or writing the record.
    pub(crate) trouble: Option<String>,
    /// The end of the history as it was last seen, oldest first. A store that loses its last
    /// writes may lose several decisions; whoever remembers them adds them again.
    pub(super) seen: Vec<Decision>,
    /// What the history was not seen to have, oldest first.
    pub(super) untold: Vec<Decision>,
    /// Whether nothing has happened to the record since the history was seen.
    pub(super) told: bool,
    /// What is looked at.
    pub(crate) watch: Watch,
    /// What was found and is to be written over the state of this tag.
    pub(super) found: Option<(Tag, Finding)>,
    /// What a step that has passed waits for.
    pub(crate) waits: Option<String>,
    /// What requests read before any record is known is signed with this.
    secret: Secret,
}

/// A rollout of the document, and its pins as they are kept.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) declared: Declared,
    pub(crate) pins: ArmPins,
}

/// A record that was read or written.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) state: Arc<State>,
    pub(super) tag: Tag,
}

/// An abort. It belongs to an epoch: whatever else is written in that epoch, it holds until it
/// is written too.
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    pub(super) epoch: u64,
    pub(super) how: How,
    pub(super) by: Actor,
    pub(super) at: Timestamp,
    /// Becomes true once it is in the record.
    pub(super) written: Arc<AtomicBool>,
}

/// Who aborts.
#[derive(Clone, Debug)]
pub(super) enum How {
    /// A judge.
    Found(Finding),
    /// An operator.
    Ordered(Command),
}

impl Entry {
    pub(super) fn new(name: &str, shards: usize, traffic: &Traffic) -> Self {
        let secret = Secret::draw();
        let shared = Shared::new(name, closed(&secret, false), shards, traffic);
        Self {
            name: name.into(),
            shared,
            record: RecordKey::reserved("rollout", name),
            history: RecordKey::reserved("rollout-history", name),
            wake: Notify::new(),
            inner: Mutex::new(Inner {
                declared: None,
                configures: false,
                known: None,
                cut: None,
                trouble: None,
                seen: Vec::new(),
                untold: Vec::new(),
                told: false,
                watch: Watch::default(),
                found: None,
                waits: None,
                secret,
            }),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// Takes over what the document says.
    pub(super) fn declare(&self, declared: Declared) {
        let mut inner = self.lock();
        let names = |said: &Declared| (said.settings.active.clone(), said.settings.candidate.clone());
        let before = inner.declared.as_ref().map(|said| names(&said.declared));
        inner.configures |= before != Some(names(&declared));
        let arms = [&declared.settings.active, &declared.settings.candidate];
        let pins =
            pins_of(arms.into_iter().map(|name| &**name).zip(declared.pins.iter().map(|pins| &**pins)));
        inner.declared = Some(Arc::new(Said { declared, pins }));
        self.refresh(&mut inner);
        drop(inner);
        self.wake.notify_one();
    }

    /// From here on this state is known, if it is later than what is known already. Says
    /// whether it was.
    pub(super) fn adopt(&self, state: State, tag: Tag) -> bool {
        let mut inner = self.lock();
        let known = inner.known.as_ref().map(|known| &*known.state);
        if meet(known, Some(&state)) != Meeting::Adopt {
            return false;
        }
        inner.remember(state.untold.iter().chain([&state.last]));
        inner.known = Some(Known { state: Arc::new(state), tag });
        self.refresh(&mut inner);
        true
    }

    /// Makes an abort hold here; none where there is nothing to abort. What comes back becomes
    /// true once the abort is in the record, whatever has followed it there since.
    pub(super) fn cut(
        &self,
        inner: &mut Inner,
        how: How,
        by: Actor,
        at: Timestamp,
    ) -> Option<Arc<AtomicBool>> {
        let epoch = inner.known.as_ref()?.state.epoch;
        let cut = Cut { epoch, how, by, at, written: Arc::default() };
        if inner.cut.is_some() || inner.state_after(&cut).is_none() {
            return None;
        }
        let written = cut.written.clone();
        inner.cut = Some(cut);
        self.refresh(inner);
        Some(written)
    }

    /// What requests read follows what is known.
    pub(super) fn refresh(&self, inner: &mut Inner) {
        if inner.cut.as_ref().is_some_and(|cut| inner.state_after(cut).is_none())
            && let (Some(cut), Some(known)) = (inner.cut.take(), &inner.known)
        {
            let last = &known.state.last;
            cut.written.store((&last.by, last.at) == (&cut.by, cut.at), Ordering::Release);
        }
        let killed = inner.declared.as_ref().is_some_and(|said| said.declared.settings.kill);
        let view = match (inner.in_effect(), &inner.declared) {
            (Some(state), Some(said)) => {
                let serving = state.serving(&said.declared.settings);
                View {
                    weight: serving.weight,
                    active: serving.active,
                    epoch: serving.epoch,
                    open: serving.open,
                    killed,
                    secret: state.secret.0,
                }
            }
            _ => closed(&inner.secret, killed),
        };
        if self.shared.view() != view {
            self.shared.set(view);
        }
    }
}

impl Inner {
    /// The history must have these. Where they are no news the history is looked at all the
    /// same: the record was written again, maybe because the store has lost something.
    pub(super) fn remember<'a>(&mut self, decisions: impl Iterator<Item = &'a Decision>) {
        for decision in decisions {
            if !self.seen.contains(decision) && !self.untold.contains(decision) {
                self.untold.push(decision.clone());
            }
        }
        // It holds no more either.
        let too_many = self.untold.len().saturating_sub(MOST_DECISIONS);
        self.untold.drain(..too_many);
        self.told = false;
    }

    /// All that the history must have, as far as this gateway knows.
    pub(super) fn remembered(&self) -> Vec<Decision> {
        [&*self.seen, &*self.untold].concat()
    }

    /// The history is this, with all of `told`.
    pub(super) fn told(&mut self, told: &[Decision], history: &History) {
        self.untold.retain(|decision| !told.contains(decision));
        self.seen = history.last(REMEMBERED).to_vec();
    }

    /// The state that holds here: the known one, or what an abort makes of it.
    pub(crate) fn in_effect(&self) -> Option<Arc<State>> {
        let known = self.known.as_ref()?;
        let after = self.cut.as_ref().and_then(|cut| self.state_after(cut));
        Some(after.map_or_else(|| known.state.clone(), Arc::new))
    }

    /// What an abort makes of the known state; none where it is over, because the epoch it
    /// belongs to is.
    pub(super) fn state_after(&self, cut: &Cut) -> Option<State> {
        let (known, said) = (self.known.as_ref()?, self.declared.as_ref()?);
        if known.state.epoch != cut.epoch {
            return None;
        }
        let around = said.around(cut.at, cut.by.clone());
        match &cut.how {
            How::Found(finding) => known.state.finding(finding, &around),
            How::Ordered(command) => known.state.command(command, &around).ok().flatten(),
        }
    }
}

impl Said {
    pub(super) fn around(&self, now: Timestamp, by: Actor) -> Around<'_> {
        Around { settings: &self.declared.settings, pins: &self.pins, now, by }
    }
}

/// Nothing is known: everything on the document's active arm.
fn closed(secret: &Secret, killed: bool) -> View {
    View { weight: 0, active: Slot::First, epoch: 0, open: false, killed, secret: secret.0 }
}
