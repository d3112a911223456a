//! What is kept of each change.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Phase;
use crate::stats::Report;

/// What upstreams are pinned to: name and value of each pin, by the upstream's name.
pub type ArmPins = BTreeMap<String, BTreeMap<String, String>>;

/// One change of a rollout, with what it was made from.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Decision {
    /// One more with each decision.
    pub seq: u64,
    /// The version of the state that it led to.
    pub version: u64,
    /// The epoch of that state.
    pub epoch: u64,
    /// The run of that state.
    pub run: u64,
    /// When, by the clock of the gateway that made it.
    pub at: Timestamp,
    /// Who.
    pub by: Actor,
    /// What was done.
    pub act: Act,
    /// The phase before.
    pub from: Phase,
    /// The phase after.
    pub to: Phase,
    /// Percent of keys on the candidate, before and after.
    pub weight: [u8; 2],
    /// The active upstream after it.
    pub active: String,
    /// The candidate after it.
    pub candidate: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The verdict with the numbers of each arm, of the gateway that made the decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
    /// What both upstreams were pinned to.
    #[serde(default, skip_serializing_if = "ArmPins::is_empty")]
    pub pins: ArmPins,
}

/// Who made a change.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[schemars(rename = "DecisionActor")]
pub struct Actor {
    /// What they are.
    pub kind: ActorKind,
    /// Their name: what the operator gave, or the gateway's.
    pub name: String,
}

/// What somebody is who makes a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// A person or a script.
    Operator,
    /// A gateway, by what it measured.
    Gateway,
    /// A gateway, by what its document says.
    Document,
}

impl Actor {
    /// An operator.
    #[must_use]
    pub fn operator(name: &str) -> Self {
        Self { kind: ActorKind::Operator, name: name.to_owned() }
    }

    /// A gateway that has measured.
    #[must_use]
    pub fn gateway(name: &str) -> Self {
        Self { kind: ActorKind::Gateway, name: name.to_owned() }
    }

    /// A gateway that has read its document.
    #[must_use]
    pub fn document(name: &str) -> Self {
        Self { kind: ActorKind::Document, name: name.to_owned() }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ActorKind::Operator => write!(f, "operator {}", self.name),
            ActorKind::Gateway => write!(f, "gateway {}", self.name),
            ActorKind::Document => write!(f, "the document of gateway {}", self.name),
        }
    }
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// The document named the upstreams.
    Configured,
    /// A run began.
    Started,
    /// The next step was taken.
    Advanced,
    /// The last step has passed.
    Completed,
    /// The run stays at its step.
    Held,
    /// The run goes on.
    Resumed,
    /// The weight was set.
    Weighed,
    /// The candidate became the active arm at the end of a run.
    Promoted,
    /// Everything went to the active arm.
    Aborted,
    /// The roles were exchanged in one step.
    Switched,
    /// The roles were exchanged back.
    RolledBack,
}

impl Act {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Configured => "configured",
            Self::Started => "started",
            Self::Advanced => "advanced",
            Self::Completed => "completed",
            Self::Held => "held",
            Self::Resumed => "resumed",
            Self::Weighed => "weighed",
            Self::Promoted => "promoted",
            Self::Aborted => "aborted",
            Self::Switched => "switched",
            Self::RolledBack => "rolled_back",
        }
    }
}
