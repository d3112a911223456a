//! Sections that later versions fill.
//!
//! Their shape is checked, so that a file written for them is told its mistakes today;
//! then the check refuses them as not available yet. A key that would be ignored in
//! silence is never accepted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicegate_core::units::Span;
use sluicegate_rollout::input::KeyInput;

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

const fn default_shadow_timeout() -> Span {
    Span::secs(5)
}
