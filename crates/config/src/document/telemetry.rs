//! `telemetry`: what is told to others of each request.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicegate_spans::OtlpInput;

/// What is sent elsewhere of each request.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryInput {
    /// Spans, to a collector of OpenTelemetry; without it none are made. Needs a build with the feature `otlp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp: Option<OtlpInput>,
}
