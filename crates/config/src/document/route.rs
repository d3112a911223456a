//! `routes`: what is let through, to where, under which rules.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};
use sluicegate_classify::input::MatchInput;
use sluicegate_core::{Access, Lane, PresetName, units::Size};
use sluicegate_idempotency::IdempotencyInput;
use sluicegate_shadow::{AnswersInput, ShadowsInput};
use sluicegate_upstream::rewrite::FieldsInput;

use super::limits::{RouteLimitsInput, RouteTimeoutsInput};

/// One route.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteInput {
    /// Its name, for scopes, metrics and logs; no two routes have the same.
    pub name: String,
    /// Which requests it takes.
    pub r#match: MatchInput,
    /// Whether its requests may change stored state; without it `preset` tells, and without that the method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// The lane of its requests, whatever they say; without it `lanes.from` tells, and without that they are interactive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<Lane>,
    /// The upstream's name, or a rollout.
    pub upstream: UpstreamRef,
    /// Its own limits, instead of those at the top level.
    #[serde(default)]
    pub limits: RouteLimitsInput,
    /// Its own timeouts, instead of those of the upstream or the top level.
    #[serde(default)]
    pub timeouts: RouteTimeoutsInput,
    /// The form in which its refusals are worded; without it `http`, or `json_rpc` where the preset is `mcp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<RefusalForm>,
    /// Whether method-override headers are passed on; otherwise they are stripped.
    #[serde(default)]
    pub allow_method_override: bool,
    /// Whether the client's Host is passed on; otherwise it becomes the endpoint's.
    #[serde(default = "yes")]
    pub preserve_host: bool,
    /// The Host that is sent to the upstream instead of the client's: a host, or host and port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What the path loses at its beginning before it is forwarded; the route's path must begin with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strip_prefix: Option<String>,
    /// Header fields set and removed on requests, last of all before they are sent.
    #[serde(default, skip_serializing_if = "FieldsInput::is_empty")]
    pub request: FieldsInput,
    /// Header fields set and removed on the upstream's answers; not on the gateway's own.
    #[serde(default, skip_serializing_if = "FieldsInput::is_empty")]
    pub response: FieldsInput,
    /// What happens to its writes during a freeze.
    #[serde(default)]
    pub when_frozen: WhenFrozen,
    /// How repeated writes under one `Idempotency-Key` are told apart, so that each happens once; without it keys are passed on and not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency: Option<IdempotencyInput>,
    /// Where a share of its reads is copied to, and how the answers are compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<ShadowsInput>,
    /// Where its answers have ids, scores and texts, for whoever compares them.
    #[serde(default, skip_serializing_if = "AnswersInput::is_empty")]
    pub answers: AnswersInput,
    /// The known API behind it, which tells reads from writes and where its answers have what; without it that of the upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<PresetName>,
    /// The MCP tools that only read; any other is a write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_tools: Option<Vec<String>>,
    /// How much of a body is read where the body tells reads from writes; a larger one is a write.
    #[serde(default = "default_peek")]
    pub peek: Size,
}

impl RouteInput {
    /// The upstream it names, where it names one.
    #[must_use]
    pub fn upstream_name(&self) -> Option<&str> {
        match &self.upstream {
            UpstreamRef::Named(name) => Some(name),
            UpstreamRef::Rollout(_) => None,
        }
    }
}

/// Where a route's requests go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum UpstreamRef {
    /// To this upstream.
    Named(String),
    /// To an arm of a rollout.
    Rollout(RolloutRef),
}

/// A reference to a rollout.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RolloutRef {
    /// The rollout's name.
    pub rollout: String,
    /// Where the route's writes go.
    #[serde(default)]
    pub writes: WritesInput,
    /// Whether a request may name its arm: `X-Sluicegate-Arm: active` or `candidate`. Otherwise the header is taken off and not looked at.
    #[serde(default)]
    pub allow_force: bool,
}

/// Where the writes of a route with a rollout go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WritesInput {
    /// To the active arm, whatever the weight.
    #[default]
    Active,
    /// To the arm that the weight gives, as reads.
    Split,
}

impl<'de> Deserialize<'de> for UpstreamRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = UpstreamRef;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of an upstream")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<UpstreamRef, E> {
                Ok(UpstreamRef::Named(name.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<UpstreamRef, A::Error> {
                RolloutRef::deserialize(MapAccessDeserializer::new(map)).map(UpstreamRef::Rollout)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for UpstreamRef {
    fn schema_name() -> Cow<'static, str> {
        "UpstreamRef".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let rollout = generator.subschema_for::<RolloutRef>();
        json_schema!({
            "description": "The name of an upstream, or `{ rollout: NAME }`.",
            "anyOf": [{ "type": "string" }, rollout]
        })
    }
}

/// The form in which a route's refusals are worded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefusalForm {
    /// Problem details; gRPC requests get gRPC.
    Http,
    /// Requests with a JSON-RPC id get a JSON-RPC error under the same status.
    JsonRpc,
    /// The same, under status 200, for clients that cannot bear another.
    Rpc,
}

/// What happens to a write during a freeze.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WhenFrozen {
    /// It is refused.
    #[default]
    Refuse,
    /// It is kept as an intent and applied after the freeze; needs `idempotency`; a write without a key is refused.
    Queue,
}

const fn default_peek() -> Size {
    Size::kib(64)
}

const fn yes() -> bool {
    true
}
