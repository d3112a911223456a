//! What there is, and what must hold of it.

use std::{
    hash::{Hash, Hasher},
    sync::LazyLock,
};

use sluicegate_rollout::{
    RolloutInput, RolloutSettings,
    machine::{Actor, ArmPins, Around, Phase, Secret, State},
};

/// Each gateway sees versions and epochs rise only.
pub(crate) const FORWARD: &str = "on no gateway do versions or epochs go back";
/// So does the store, as far as it forgets nothing.
pub(crate) const ONWARD: &str =
    "every write is above what it replaces, and above all that any gateway knows of its line";
/// Once seen, an abort holds.
pub(crate) const ABORT_HOLDS: &str = "no gateway that has seen an abort serves the candidate in its epoch";
/// Once written, an abort is not undone by anything that was found before it.
pub(crate) const ABORT_STAYS: &str = "no write takes the record back to an epoch that is over";
/// One verdict, one step.
pub(crate) const ONCE: &str = "a write is made at most once, and only over what it was made from";
/// An abort reaches the store.
pub(crate) const TOLD: &str = "when all is quiet, an abort that somebody living has seen is in the record";

/// A state that can be hashed: by all that decides what becomes of it.
#[derive(Clone, Debug)]
pub(crate) struct Seen(pub(crate) State);

impl Seen {
    fn key(&self) -> (u64, u64, u64, u32, &Phase, &str, u64) {
        let State { version, epoch, run, window, phase, active, last, .. } = &self.0;
        (*version, *epoch, *run, *window, phase, active, last.seq)
    }
}

impl PartialEq for Seen {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Seen {}

impl Hash for Seen {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.key().hash(hasher);
    }
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Stored {
    pub(crate) tag: u8,
    pub(crate) state: Seen,
}

/// A write on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Write {
    pub(crate) expect: Option<u8>,
    pub(crate) put: Stored,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Gateway {
    pub(crate) known: Option<Stored>,
    /// The epoch in which it aborts.
    pub(crate) cut: Option<u64>,
    /// What it has read and not met yet.
    pub(crate) read: Option<Option<Stored>>,
    pub(crate) write: Option<Write>,
    /// A write was not made, or nobody knows: the record is read before anything else is
    /// written.
    pub(crate) stale: bool,
    /// The last epoch that it has seen aborted.
    pub(crate) aborted: u64,
}

/// What must never come about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Foul {
    pub(crate) went_back: bool,
    pub(crate) overtaken: bool,
    pub(crate) undone: bool,
    pub(crate) twice: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) record: Option<Stored>,
    /// What the record was before its last write.
    pub(crate) before: Option<Stored>,
    pub(crate) gateways: Vec<Gateway>,
    /// Writes that nobody waits for.
    pub(crate) flying: Vec<Write>,
    pub(crate) tags: u8,
    /// The tags of the writes that were made.
    pub(crate) made: Vec<u8>,
    pub(crate) passes: u8,
    pub(crate) bads: u8,
    pub(crate) orders: usize,
    pub(crate) crashes: u8,
    pub(crate) silences: u8,
    pub(crate) losses: u8,
    pub(crate) foul: Foul,
}

pub(crate) static SETTINGS: LazyLock<RolloutSettings> = LazyLock::new(|| {
    let text = r#"{"active":"stable","candidate":"next","steps":[50,100]}"#;
    serde_json::from_str::<RolloutInput>(text).unwrap().check().unwrap()
});

/// Runs `judge` with what is around a change by this gateway.
pub(crate) fn around<T>(gateway: usize, judge: impl FnOnce(&Around<'_>) -> T) -> T {
    let by = Actor::gateway(&gateway.to_string());
    let now = jiff::Timestamp::UNIX_EPOCH;
    judge(&Around { settings: &SETTINGS, pins: &ArmPins::new(), now, by })
}

pub(crate) fn first() -> State {
    around(0, |around| State::first(Secret([0; 32]), around))
}

impl World {
    /// Nothing is under way, and everybody knows the record.
    pub(crate) fn is_quiet(&self) -> bool {
        let tag = self.record.as_ref().map(|record| record.tag);
        let still = |gateway: &Gateway| {
            let known = gateway.known.as_ref().map(|known| (known.tag, known.state.0.epoch));
            let writes = known.is_some_and(|(_, epoch)| gateway.cut == Some(epoch));
            gateway.read.is_none()
                && !gateway.stale
                && gateway.write.is_none()
                && !writes
                && known.map(|(tag, _)| tag) == tag
                && tag.is_some()
        };
        self.flying.is_empty() && self.gateways.iter().all(still)
    }
}
