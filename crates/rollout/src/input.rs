//! A rollout of the document: what is written there, and what it means.
//!
//! [`RolloutInput`] is one entry of `rollouts:` as it stands in the file;
//! [`RolloutInput::check`] turns it into [`RolloutSettings`], or says everything that is wrong
//! with it at once. Whether the upstreams exist is for the owner of the whole document to
//! check.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicegate_core::{KeyInput, KeySource, units::Span};

mod check;

/// A pair of upstreams between which traffic is shifted.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RolloutInput {
    /// The upstream that serves now.
    pub active: String,
    /// The upstream that is tried.
    pub candidate: String,
    /// Percent of keys on the candidate until a run is started.
    #[serde(default)]
    #[schemars(range(max = 100))]
    pub weight: u8,
    /// What the keys are hashed with; without it, the rollout's name. Rollouts with one salt put the same keys on the candidate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// What keeps a caller on its arm; without it each request chooses by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky: Option<KeyInput>,
    /// The weights of a run, in order; the last is 100.
    #[serde(default = "default_steps")]
    pub steps: Vec<u8>,
    /// How long each step is looked at.
    #[serde(default)]
    pub window: RolloutWindowInput,
    /// What a step must not exceed.
    #[serde(default)]
    pub gates: GatesInput,
    /// What ends a run at once.
    #[serde(default)]
    pub abort: AbortInput,
    /// Gates that only tell what they find and neither hold nor end a run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dry_run: Vec<GateInput>,
    /// Shadows whose comparisons must say `same` before a run takes its next step or is promoted by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shadows: Vec<ShadowGateInput>,
    /// What follows a switch.
    #[serde(default)]
    pub switch: SwitchInput,
    /// Promote the candidate once the last step has passed; without it that is left to an operator.
    #[serde(default)]
    pub auto_promote: bool,
    /// Everything on the active arm at once, whatever else is set, for as long as this is true.
    #[serde(default)]
    pub kill: bool,
}

/// How long each step of a rollout is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RolloutWindowInput {
    /// The shortest time.
    pub at_least: Span,
    /// The fewest samples per arm.
    #[schemars(range(min = 1))]
    pub samples: u64,
}

impl Default for RolloutWindowInput {
    fn default() -> Self {
        Self { at_least: Span::secs(300), samples: 200 }
    }
}

/// What a step of a rollout must not exceed.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GatesInput {
    /// The share of errors; above 0 and below 1.
    pub error_rate: f64,
    /// How much slower the p95 may be, as a share; above 0 and below 1.
    pub latency_p95_uplift: f64,
}

impl Default for GatesInput {
    fn default() -> Self {
        Self { error_rate: 0.005, latency_p95_uplift: 0.15 }
    }
}

/// What ends a run of a rollout at once.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AbortInput {
    /// The share of errors; not below that of the gates, and below 1.
    pub error_rate: f64,
    /// The candidate's p99 over the active arm's; above 1.
    pub latency_p99_ratio: f64,
}

impl Default for AbortInput {
    fn default() -> Self {
        Self { error_rate: 0.01, latency_p99_ratio: 2.0 }
    }
}

/// One of the things that a run is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GateInput {
    /// `gates.error_rate`.
    ErrorRate,
    /// `gates.latency_p95_uplift`.
    LatencyP95Uplift,
    /// `abort.error_rate`.
    AbortErrorRate,
    /// `abort.latency_p99_ratio`.
    AbortLatencyP99Ratio,
}

/// A shadow that a run waits for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShadowGateInput {
    /// The route whose requests are copied.
    pub route: String,
    /// The upstream that gets the copies; without it the rollout's candidate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

impl ShadowGateInput {
    /// The upstream that gets the copies.
    #[must_use]
    pub fn to<'a>(&'a self, rollout: &'a RolloutInput) -> &'a str {
        self.to.as_deref().unwrap_or(&rollout.candidate)
    }
}

/// What follows a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SwitchInput {
    /// How long the new active arm is watched and taken back where it fails.
    pub hold: Span,
}

impl Default for SwitchInput {
    fn default() -> Self {
        Self { hold: Span::secs(900) }
    }
}

/// The checked entry.
#[derive(Clone, Debug, PartialEq)]
pub struct RolloutSettings {
    /// The document's active upstream.
    pub active: Box<str>,
    /// The document's candidate.
    pub candidate: Box<str>,
    /// Percent of keys on the candidate while no run goes.
    pub weight: u8,
    /// What the keys are hashed with, where it is not the rollout's name.
    pub salt: Option<Box<str>>,
    /// What keeps a caller on its arm.
    pub sticky: KeySource,
    /// The weights of a run; rising, the last is 100.
    pub steps: Box<[u8]>,
    /// The shortest time a step is looked at.
    pub at_least: Duration,
    /// The fewest samples per arm.
    pub samples: u64,
    /// What a step must not exceed.
    pub gates: GatesInput,
    /// What ends a run at once.
    pub abort: AbortInput,
    /// Gates that only tell what they find.
    pub dry_run: Box<[GateInput]>,
    /// How long the new active arm is watched after a switch.
    pub switch_hold: Duration,
    /// Promote once the last step has passed.
    pub auto_promote: bool,
    /// Everything on the active arm.
    pub kill: bool,
}

fn default_steps() -> Vec<u8> {
    vec![5, 25, 50, 100]
}

#[cfg(test)]
mod tests;
