//! Sections that later versions fill.
//!
//! Their shape is checked, so that a file written for them is told its mistakes today;
//! then the check refuses them as not available yet. A key that would be ignored in
//! silence is never accepted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicegate_core::units::Span;

/// What makes requests belong together.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyInput {
    /// The value of this request header.
    Header(String),
    /// The value of this cookie, which the gateway sets where it is missing.
    Cookie(String),
    /// The tenant.
    Tenant(bool),
    /// This claim of a verified JWT.
    Claim(String),
    /// The client's address.
    Client(bool),
}

/// Not available yet. A pair of upstreams between which traffic is shifted.
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
    /// What keeps a caller on its arm; without it each request chooses by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky: Option<KeyInput>,
    /// The weights of a run, in order.
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
}

/// Not available yet. How long each step of a rollout is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RolloutWindowInput {
    /// The shortest time.
    pub at_least: Span,
    /// The fewest samples per arm.
    pub samples: u64,
}

impl Default for RolloutWindowInput {
    fn default() -> Self {
        Self { at_least: Span::secs(300), samples: 200 }
    }
}

/// Not available yet. What a step of a rollout must not exceed.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GatesInput {
    /// The share of errors.
    pub error_rate: f64,
    /// How much slower the p95 may be, as a share.
    pub latency_p95_uplift: f64,
}

impl Default for GatesInput {
    fn default() -> Self {
        Self { error_rate: 0.005, latency_p95_uplift: 0.15 }
    }
}

/// Not available yet. What ends a run of a rollout at once.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AbortInput {
    /// The share of errors.
    pub error_rate: f64,
    /// The candidate's p99 over the active arm's.
    pub latency_p99_ratio: f64,
}

impl Default for AbortInput {
    fn default() -> Self {
        Self { error_rate: 0.01, latency_p99_ratio: 2.0 }
    }
}

/// Not available yet. Where a share of reads is copied to.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShadowInput {
    /// The upstream that gets the copies.
    pub to: String,
    /// The share of reads that is copied.
    #[schemars(range(min = 0, max = 100))]
    pub percent: f64,
    /// The most copies per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rps: Option<f64>,
    /// How long a copy may take.
    #[serde(default = "default_shadow_timeout")]
    pub timeout: Span,
    /// What makes requests belong together, so that all or none are copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_by: Option<KeyInput>,
    /// Headers taken off the copies, besides the credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strip: Option<Vec<String>>,
}

fn default_steps() -> Vec<u8> {
    vec![5, 25, 50, 100]
}

const fn default_shadow_timeout() -> Span {
    Span::secs(5)
}
