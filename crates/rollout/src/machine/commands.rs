//! What operators ask for, and what becomes of the state.

use std::fmt;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::{Act, Around, Phase, State};

/// What an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Begin a run at its first step.
    Start,
    /// Take the next step now, whatever the gates say.
    Advance,
    /// Stay at this step.
    Hold {
        /// Why.
        #[serde(default)]
        reason: Option<String>,
    },
    /// Go on; the step is looked at anew.
    Resume,
    /// Put this percentage of keys on the candidate.
    SetWeight {
        /// 0 to 100.
        weight: u8,
    },
    /// The candidate becomes the active arm, for good.
    Promote,
    /// Everything on the active arm, at once.
    Abort {
        /// Why.
        #[serde(default)]
        reason: Option<String>,
    },
    /// Exchange the roles in one step and watch the new active arm.
    Switch,
    /// Exchange the roles back.
    Rollback {
        /// Why.
        #[serde(default)]
        reason: Option<String>,
    },
}

/// A command that is not possible now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The phase the rollout is in.
    pub phase: &'static str,
    /// Why not, and what is possible.
    pub message: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Command {
    /// Its name.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Advance => "advance",
            Self::Hold { .. } => "hold",
            Self::Resume => "resume",
            Self::SetWeight { .. } => "set_weight",
            Self::Promote => "promote",
            Self::Abort { .. } => "abort",
            Self::Switch => "switch",
            Self::Rollback { .. } => "rollback",
        }
    }

    /// Whether it may only be made while both arms are ready and what they are pinned to.
    /// Ways out are open always.
    #[must_use]
    pub const fn needs_ready_arms(&self) -> bool {
        matches!(self, Self::Start | Self::Advance | Self::Promote | Self::Switch)
    }
}

impl State {
    /// What becomes of the state by this command; none where it is as asked for already.
    pub fn command(&self, command: &Command, around: &Around<'_>) -> Result<Option<Self>, Refused> {
        let (now, by) = (around.now, || around.by.clone());
        let next = match (&self.phase, command) {
            // Ends what is there and begins a run: the callers are dealt anew.
            (
                Phase::Idle { .. } | Phase::Aborted { .. } | Phase::Manual { .. } | Phase::Switched { .. },
                Command::Start,
            ) => {
                if around.settings.kill {
                    return Err(self.refused(command, "the document says `kill: true`; take that out first"));
                }
                let mut next = self.next(Phase::Running { step: 0, since: now }, Act::Started, around);
                next.run += 1;
                next.window = 0;
                next.voided();
                next.told(around, None)
            }
            // To the next step, or past the last one.
            (Phase::Running { step, .. } | Phase::Held { step, .. }, Command::Advance) => {
                self.advanced(*step, around).told(around, None)
            }
            // The judging goes on, and only an abort heeds it.
            (Phase::Running { step, .. }, Command::Hold { reason }) => {
                let held = Phase::Held { step: *step, since: now, by: by(), reason: reason.clone() };
                self.next(held, Act::Held, around).told(around, reason.clone())
            }
            // The step is looked at anew: what came during the hold may be of another time.
            (Phase::Held { step, .. }, Command::Resume) => {
                self.next(Phase::Running { step: *step, since: now }, Act::Resumed, around).told(around, None)
            }
            // Out of every phase, also out of an abort: the operator knows better.
            (_, Command::SetWeight { weight }) => {
                let manual = Phase::Manual { weight: (*weight).min(100), since: now, by: by() };
                self.next(manual, Act::Weighed, around).told(around, None)
            }
            // The roles are exchanged and the run is over.
            (
                Phase::Running { .. } | Phase::Held { .. } | Phase::Manual { .. } | Phase::Complete { .. },
                Command::Promote,
            ) => self.promoted(around),
            // Safe to say twice.
            (Phase::Aborted { .. }, Command::Abort { .. }) => return Ok(None),
            // While the new active arm is watched, out means back.
            (Phase::Switched { hold_until, .. }, Command::Abort { reason }) if now < *hold_until => {
                let reason = reason.clone().unwrap_or_else(|| "an operator's abort".to_owned());
                self.rolled_back(reason, around)
            }
            // Out of every other phase.
            (_, Command::Abort { reason }) => {
                let reason = reason.clone().unwrap_or_else(|| "an operator's abort".to_owned());
                self.aborted(reason, around)
            }
            // Out of every phase. What is the active arm now stays as it is, as the way back.
            (_, Command::Switch) => {
                let hold =
                    SignedDuration::try_from(around.settings.switch_hold).unwrap_or(SignedDuration::MAX);
                let hold_until = now.checked_add(hold).unwrap_or(jiff::Timestamp::MAX);
                let switched = Phase::Switched { since: now, hold_until, by: by() };
                let mut next = self.next(switched, Act::Switched, around);
                next.window = 0;
                next.exchanged();
                next.told(around, None)
            }
            // Back over the way that a switch or a promote has left open.
            (Phase::Switched { .. } | Phase::Idle { promoted: true }, Command::Rollback { reason }) => {
                let reason = reason.clone().unwrap_or_else(|| "an operator's rollback".to_owned());
                self.rolled_back(reason, around)
            }
            (_, Command::Start) => {
                return Err(self.refused(command, "a run goes already; abort it to begin another"));
            }
            (_, Command::Advance | Command::Promote) => {
                return Err(self.refused(command, "no run goes that it could be done to"));
            }
            (_, Command::Hold { .. }) => return Err(self.refused(command, "only a running step can be held")),
            (_, Command::Resume) => return Err(self.refused(command, "only a held step can be resumed")),
            (_, Command::Rollback { .. }) => {
                let why = "a way back is open only after a switch or a promote; `switch` exchanges the roles";
                return Err(self.refused(command, why));
            }
        };
        Ok(Some(next))
    }

    fn refused(&self, command: &Command, why: &str) -> Refused {
        let phase = &self.phase;
        let message = format!(
            "{} is not possible: the rollout {phase}, and {why}; possible now: {}",
            command.as_str(),
            phase.can().join(", ")
        );
        Refused { phase: phase.as_str(), message }
    }

    /// One step on from `step`.
    pub(super) fn advanced(&self, step: usize, around: &Around<'_>) -> Self {
        let (step, since) = (step + 1, around.now);
        if step < around.settings.steps.len() {
            self.next(Phase::Running { step, since }, Act::Advanced, around)
        } else {
            self.next(Phase::Complete { since }, Act::Completed, around)
        }
    }

    /// The candidate is the active arm now; the other one stays as the way back.
    pub(super) fn promoted(&self, around: &Around<'_>) -> Self {
        let mut next = self.next(Phase::Idle { promoted: true }, Act::Promoted, around);
        next.exchanged();
        next.told(around, None)
    }

    /// Nothing reaches the candidate.
    pub(super) fn aborted(&self, reason: String, around: &Around<'_>) -> Self {
        let aborted = Phase::Aborted { since: around.now, by: around.by.clone(), reason: reason.clone() };
        let mut next = self.next(aborted, Act::Aborted, around);
        next.voided();
        next.told(around, Some(reason))
    }

    /// The roles are as before the switch, and nothing reaches the arm that was left.
    pub(super) fn rolled_back(&self, reason: String, around: &Around<'_>) -> Self {
        let aborted = Phase::Aborted { since: around.now, by: around.by.clone(), reason: reason.clone() };
        let mut next = self.next(aborted, Act::RolledBack, around);
        next.exchanged();
        next.told(around, Some(reason))
    }
}
