//! The state of a rollout and what may become of it. Pure: no clock, no store, no task.
//!
//! One [`State`] is one value of the record that all gateways share. It changes by
//! [`State::command`] (what an operator asks for), [`State::finding`] (what a gateway has
//! found in its own traffic) and [`State::configured`] (the document names other upstreams).
//! Each makes a whole new state, one version up, that its caller writes by compare-and-set;
//! [`meet`] tells what to do about the state that is found in the store.
//!
//! | phase | weight | leaves it by |
//! |---|---|---|
//! | idle | the document's; 0 once the roles were exchanged | start, set weight, switch, abort; rollback after a promote |
//! | running | of the step | pass and advance (next step, or complete), hold, set weight, promote, switch, fail and abort |
//! | held | of the step | resume, advance, set weight, promote, switch, abort |
//! | manual | as set | start, set weight, promote, switch, abort |
//! | complete | of the last step | promote, set weight, switch, abort |
//! | aborted | 0, and nothing else reaches the candidate | start, set weight, switch |
//! | switched | 0 | rollback, start, set weight, switch, abort |
//!
//! The *epoch* rises with start, promote, abort, switch, rollback and a change of the names:
//! all assignments of callers to arms are void then. A state is later than another by its
//! epoch first and by its version second. So an abort that a store has lost comes back, even
//! when another gateway has written since.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicegate_core::arm::Slot;

use crate::{input::RolloutSettings, stats::Verdict};

mod commands;
mod decision;
mod findings;
mod meeting;
mod phase;
mod secret;

pub use commands::{Command, Refused};
pub use decision::{Act, Actor, ActorKind, ArmPins, Decision};
pub use findings::{Finding, OBJECTION_LASTS};
pub use meeting::{Meeting, meet};
pub use phase::Phase;
pub use secret::Secret;

/// The form of the record that this version writes and reads.
pub const FORMAT: u8 = 1;

/// What all gateways know of one rollout.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct State {
    /// Of the record: [`FORMAT`].
    pub format: u8,
    /// One more with each change.
    pub version: u64,
    /// One more whenever all assignments of callers to arms are void.
    pub epoch: u64,
    /// Signs the cookies.
    pub secret: Secret,
    /// The upstream that serves.
    pub active: String,
    /// The upstream that is tried, or was left.
    pub candidate: String,
    /// The number of the run; 0 before the first.
    pub run: u64,
    /// How many times the judging has begun anew in this run.
    pub window: u32,
    /// Where it stands.
    pub phase: Phase,
    /// How it came to be there.
    pub last: Decision,
    /// The decisions before it that the history was not seen to have when this was written,
    /// oldest first: who made them may be gone before it could tell them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub untold: Vec<Decision>,
    /// Gateways that do not want the next step to be taken.
    #[serde(default)]
    pub objections: Vec<Objection>,
}

/// A gateway whose own numbers are outside a gate.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub struct Objection {
    /// Which.
    pub gateway: String,
    /// Its verdict.
    pub verdict: Verdict,
    /// In words.
    pub says: String,
    /// Until when it holds, unless it is said again.
    pub until: Timestamp,
}

/// What is around a change: who makes it, when, and by which settings.
#[derive(Clone, Debug)]
pub struct Around<'a> {
    /// The document's part.
    pub settings: &'a RolloutSettings,
    /// What both upstreams are pinned to, by their names.
    pub pins: &'a ArmPins,
    /// The present time.
    pub now: Timestamp,
    /// Who.
    pub by: Actor,
}

/// What a gateway has to do with its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Serving {
    /// Percent of keys on the candidate.
    pub weight: u8,
    /// The active arm.
    pub active: Slot,
    /// Whether anything may reach the candidate.
    pub open: bool,
    /// The epoch of the assignments.
    pub epoch: u64,
}

/// What a phase is judged for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Judged {
    /// For nothing.
    Not,
    /// By the gates, and for an abort.
    Whole,
    /// For an abort alone.
    Abort,
    /// The new active arm after a switch, for an abort alone.
    Switch,
}

impl State {
    /// The first state of a rollout that no store knows.
    #[must_use]
    pub fn first(secret: Secret, around: &Around<'_>) -> Self {
        let settings = around.settings;
        let phase = Phase::Idle { promoted: false };
        Self {
            format: FORMAT,
            version: 1,
            epoch: 1,
            secret,
            active: settings.active.to_string(),
            candidate: settings.candidate.to_string(),
            run: 0,
            window: 0,
            phase: phase.clone(),
            last: Decision {
                seq: 1,
                version: 1,
                epoch: 1,
                run: 0,
                at: around.now,
                by: around.by.clone(),
                act: Act::Configured,
                from: phase.clone(),
                to: phase,
                weight: [0, settings.weight],
                active: settings.active.to_string(),
                candidate: settings.candidate.to_string(),
                reason: None,
                report: None,
                pins: around.pins.clone(),
            },
            untold: Vec::new(),
            objections: Vec::new(),
        }
    }

    /// The state after the document has named other upstreams; none where it names the same.
    #[must_use]
    pub fn configured(&self, around: &Around<'_>) -> Option<Self> {
        let settings = around.settings;
        if self.slot_of_active(settings).is_some() {
            return None;
        }
        let mut next = self.next(Phase::Idle { promoted: false }, Act::Configured, around);
        next.active = settings.active.to_string();
        next.candidate = settings.candidate.to_string();
        next.voided();
        let reason = format!("before, it was about `{}` and `{}`", self.active, self.candidate);
        Some(next.told(around, Some(reason)))
    }

    /// Where the active upstream stands in the document; none where the document names other
    /// upstreams than the record.
    #[must_use]
    pub fn slot_of_active(&self, settings: &RolloutSettings) -> Option<Slot> {
        let names = (self.active.as_str(), self.candidate.as_str());
        if names == (&*settings.active, &*settings.candidate) {
            Some(Slot::First)
        } else if names == (&*settings.candidate, &*settings.active) {
            Some(Slot::Second)
        } else {
            None
        }
    }

    /// Percent of keys on the candidate.
    #[must_use]
    pub fn weight(&self, settings: &RolloutSettings) -> u8 {
        match &self.phase {
            // The document's weight is of the document's candidate.
            Phase::Idle { .. } if self.slot_of_active(settings) == Some(Slot::First) => settings.weight,
            Phase::Running { step, .. } | Phase::Held { step, .. } => weight_of(settings, *step),
            Phase::Manual { weight, .. } => (*weight).min(100),
            Phase::Complete { .. } => weight_of(settings, usize::MAX),
            Phase::Idle { .. } | Phase::Aborted { .. } | Phase::Switched { .. } => 0,
        }
    }

    /// What this state means to requests. A gateway whose document names other upstreams
    /// keeps to its own active one.
    #[must_use]
    pub fn serving(&self, settings: &RolloutSettings) -> Serving {
        let slot = self.slot_of_active(settings);
        let open = slot.is_some() && !settings.kill && !matches!(self.phase, Phase::Aborted { .. });
        Serving {
            weight: if open { self.weight(settings) } else { 0 },
            active: slot.unwrap_or(Slot::First),
            open,
            epoch: self.epoch,
        }
    }

    /// What is judged now.
    #[must_use]
    pub fn judged(&self, now: Timestamp) -> Judged {
        match &self.phase {
            Phase::Running { .. } => Judged::Whole,
            Phase::Held { .. } | Phase::Manual { .. } | Phase::Complete { .. } => Judged::Abort,
            Phase::Switched { hold_until, .. } if now < *hold_until => Judged::Switch,
            Phase::Idle { .. } | Phase::Aborted { .. } | Phase::Switched { .. } => Judged::Not,
        }
    }

    /// The objections of others that hold.
    pub fn objections_to<'a>(
        &'a self,
        gateway: &'a str,
        now: Timestamp,
    ) -> impl Iterator<Item = &'a Objection> {
        self.objections.iter().filter(move |held| held.gateway != gateway && now < held.until)
    }

    /// The same under another version, to be written where the store has lost it.
    #[must_use]
    pub fn again(&self, version: u64) -> Self {
        Self { version, ..self.clone() }
    }

    /// A state one version up in this phase. The decision that led to it is not told yet: see
    /// [`State::told`].
    fn next(&self, to: Phase, act: Act, around: &Around<'_>) -> Self {
        let mut next = self.clone();
        next.version += 1;
        next.objections.clear();
        // Where a hold begins, the judging goes on.
        if !matches!(to, Phase::Held { .. }) {
            next.window = self.window.saturating_add(1);
        }
        next.last = Decision {
            seq: self.last.seq + 1,
            version: next.version,
            epoch: self.epoch,
            run: self.run,
            at: around.now,
            by: around.by.clone(),
            act,
            from: self.phase.clone(),
            to: to.clone(),
            weight: [self.serving(around.settings).weight; 2],
            active: String::new(),
            candidate: String::new(),
            reason: None,
            report: None,
            pins: around.pins.clone(),
        };
        next.phase = to;
        next
    }

    /// All assignments are void.
    fn voided(&mut self) {
        self.epoch += 1;
    }

    /// The roles are exchanged, and with them all assignments are void.
    fn exchanged(&mut self) {
        std::mem::swap(&mut self.active, &mut self.candidate);
        self.voided();
    }

    /// Notes in the decision what has become of the state.
    fn told(mut self, around: &Around<'_>, reason: Option<String>) -> Self {
        let weight = self.serving(around.settings).weight;
        let (epoch, run) = (self.epoch, self.run);
        let (active, candidate) = (self.active.clone(), self.candidate.clone());
        let [from, _] = self.last.weight;
        self.last = Decision { epoch, run, active, candidate, reason, weight: [from, weight], ..self.last };
        self
    }
}

/// The weight of a step; of the last one where there are fewer, because the document was
/// changed within a run.
fn weight_of(settings: &RolloutSettings, step: usize) -> u8 {
    settings.steps.get(step).or(settings.steps.last()).copied().unwrap_or(0)
}

/// What the upstreams of a rollout are pinned to, as it is kept with decisions.
#[must_use]
pub fn pins_of<'a>(arms: impl IntoIterator<Item = (&'a str, &'a sluicegate_core::pins::Pins)>) -> ArmPins {
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    arms.into_iter()
        .map(|(upstream, pins)| (upstream.to_owned(), pins.iter().map(owned).collect::<BTreeMap<_, _>>()))
        .collect()
}

#[cfg(test)]
mod tests;
