//! Where a rollout stands.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Actor;

/// Where a rollout stands. The table in the module above says how each is left.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum Phase {
    /// No run goes.
    Idle {
        /// The last run was promoted, and the way back is open.
        promoted: bool,
    },
    /// A run goes through its steps.
    Running {
        /// Which step, from 0.
        step: usize,
        /// Since when it is looked at.
        since: Timestamp,
    },
    /// The run stays at its step.
    Held {
        /// Which step, from 0.
        step: usize,
        /// Since when.
        since: Timestamp,
        /// Who holds it.
        by: Actor,
        /// Why.
        reason: Option<String>,
    },
    /// An operator has set the weight.
    Manual {
        /// Percent of keys on the candidate.
        weight: u8,
        /// Since when.
        since: Timestamp,
        /// Who set it.
        by: Actor,
    },
    /// The last step has passed.
    Complete {
        /// Since when.
        since: Timestamp,
    },
    /// Nothing reaches the candidate.
    Aborted {
        /// Since when.
        since: Timestamp,
        /// Who aborted it.
        by: Actor,
        /// Why.
        reason: String,
    },
    /// The roles were exchanged in one step, and the way back is open.
    Switched {
        /// Since when.
        since: Timestamp,
        /// Until when the new active arm is watched and taken back where it fails.
        hold_until: Timestamp,
        /// Who switched.
        by: Actor,
    },
}

impl Phase {
    /// Its name.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Idle { .. } => "idle",
            Self::Running { .. } => "running",
            Self::Held { .. } => "held",
            Self::Manual { .. } => "manual",
            Self::Complete { .. } => "complete",
            Self::Aborted { .. } => "aborted",
            Self::Switched { .. } => "switched",
        }
    }

    /// The names of all phases.
    pub const NAMES: [&str; 7] = ["idle", "running", "held", "manual", "complete", "aborted", "switched"];

    /// The step of a run that is at one.
    #[must_use]
    pub const fn step(&self) -> Option<usize> {
        match self {
            Self::Running { step, .. } | Self::Held { step, .. } => Some(*step),
            _ => None,
        }
    }

    /// The commands that are possible now.
    #[must_use]
    pub const fn can(&self) -> &'static [&'static str] {
        match self {
            Self::Idle { promoted: false } => &["start", "set_weight", "switch", "abort"],
            Self::Running { .. } => &["advance", "hold", "set_weight", "promote", "switch", "abort"],
            Self::Held { .. } => &["resume", "advance", "set_weight", "promote", "switch", "abort"],
            Self::Manual { .. } => &["start", "set_weight", "promote", "switch", "abort"],
            Self::Complete { .. } => &["promote", "set_weight", "switch", "abort"],
            Self::Aborted { .. } => &["start", "set_weight", "switch"],
            Self::Idle { promoted: true } | Self::Switched { .. } => {
                &["rollback", "start", "set_weight", "switch", "abort"]
            }
        }
    }
}

/// In words: `is running, at step 2`.
impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle { promoted: false } => f.write_str("is idle"),
            Self::Idle { promoted: true } => f.write_str("is idle after a promote"),
            Self::Running { step, since } => write!(f, "is running, at step {} since {since}", step + 1),
            Self::Held { step, since, by, .. } => {
                write!(f, "is held at step {} since {since} by {by}", step + 1)
            }
            Self::Manual { weight, since, by } => {
                write!(f, "has the weight {weight} that {by} set at {since}")
            }
            Self::Complete { since } => write!(f, "is complete since {since}"),
            Self::Aborted { since, by, .. } => write!(f, "is aborted since {since} by {by}"),
            Self::Switched { since, by, .. } => write!(f, "is switched since {since} by {by}"),
        }
    }
}
