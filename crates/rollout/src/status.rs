//! What is shown of a rollout.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    machine::{ArmPins, Decision, Objection, Phase},
    stats::{Report, Verdict},
};

/// A rollout at one moment, as this gateway sees it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct RolloutStatus {
    /// Its name.
    pub name: String,
    /// The version of its state; 0 before the record was read.
    pub version: u64,
    /// Rises whenever all assignments are void.
    pub epoch: u64,
    /// The number of the run.
    pub run: u64,
    /// Where it stands.
    pub phase: Phase,
    /// Percent of keys on the candidate, on this gateway.
    pub weight: u8,
    /// The upstream that serves, on this gateway.
    pub active: String,
    /// The other one.
    pub candidate: String,
    /// The weights of a run.
    pub steps: Vec<u8>,
    /// The document says `kill`.
    pub killed: bool,
    /// Whether anything may reach the candidate on this gateway.
    pub open: bool,
    /// The gateway that tells this.
    pub gateway: String,
    /// Gateways that do not want the next step to be taken.
    pub objections: Vec<Objection>,
    /// How far the present window has come on this gateway.
    pub progress: Option<Progress>,
    /// How it came to be where it is.
    pub last: Option<Decision>,
    /// What both upstreams are pinned to in this gateway's document.
    pub pins: ArmPins,
    /// What is not as it should be.
    pub troubles: Vec<String>,
    /// The commands that are possible now.
    pub can: Vec<String>,
}

/// How far the window that is looked at has come, by this gateway's own traffic.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Progress {
    /// Which step, from 0; none where it is not one of a run.
    pub step: Option<usize>,
    /// How many steps a run has.
    pub of: usize,
    /// Percent of keys on the candidate.
    pub weight: u8,
    /// The weight of the next step.
    pub next: Option<u8>,
    /// How long it is looked at, in milliseconds.
    pub elapsed_ms: u64,
    /// The shortest time for a step, in milliseconds.
    pub at_least_ms: u64,
    /// What remains of that, in milliseconds.
    pub remaining_ms: u64,
    /// Samples of the active arm and of the candidate.
    pub samples: [u64; 2],
    /// How many of each are needed at least.
    pub samples_needed: u64,
    /// How many are missing until a verdict, as far as that can be told.
    pub missing: [u64; 2],
    /// The verdict so far, without the gates that are dry runs.
    pub verdict: Verdict,
    /// In one line.
    pub says: String,
    /// Each gate with its numbers.
    pub report: Report,
}
