//! What the document says about one upstream.
//!
//! These are plain input types: their shape and their defaults. What they mean together is
//! checked by the configuration crate, which knows where each value stands in the file, and
//! by the pools, which know the network.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicegate_core::{PresetName, units::Span};

use crate::affinity::AffinityInput;

/// A named pool of endpoints that serve the same version.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamInput {
    /// Where it is reached: `http://host:port` or `https://host:port`, at least one.
    pub endpoints: Vec<String>,
    /// The known API that it serves, which tells reads from writes on the routes to it that name none themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<PresetName>,
    /// The protocol spoken to it.
    #[serde(default)]
    pub protocol: Protocol,
    /// How its certificate is checked, and the gateway's own; only `https` endpoints use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ClientTlsInput>,
    /// Active probes; without it every endpoint counts as healthy until requests fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthInput>,
    /// When an endpoint that fails requests is left out for a while.
    #[serde(default)]
    pub breaker: BreakerInput,
    /// Requests that run at one time on all its endpoints together, from all routes; further ones wait in their route's queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub concurrent: Option<u32>,
    /// What names a session, whose requests stay on one endpoint; without it each request goes to any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<AffinityInput>,
    /// From one look at what the endpoints' names resolve to, to the next.
    #[serde(default = "default_resolve")]
    pub resolve: Span,
    /// Idle connections kept per endpoint and worker.
    #[serde(default = "default_max_idle")]
    #[schemars(range(max = 65535))]
    pub max_idle: u32,
    /// Timeouts of this upstream, instead of those at the top level.
    #[serde(default, skip_serializing_if = "UpstreamTimeoutsInput::is_empty")]
    pub timeouts: UpstreamTimeoutsInput,
    /// The versions it serves, as texts: `MODEL_VER`, `INDEX_HASH` or any other name. What it tells of them itself, in the header `X-WFGY` of its answers and in its manifest, is compared with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pins: Option<BTreeMap<String, String>>,
    /// Where it tells its pins itself, besides its answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<ManifestInput>,
    /// What becomes of an answer of which it says that it was made with other pins.
    #[serde(default)]
    pub on_mismatch: OnMismatch,
    /// Whether it dedupes by `Idempotency-Key` itself: a keyed write whose fate is unknown may then be sent to it again.
    #[serde(default)]
    pub honours_keys: bool,
    /// The statuses by which it promises that nothing was done. 503 belongs here only where nothing in between answers it after the request went out.
    #[serde(default = "default_not_applied")]
    pub not_applied: Vec<u16>,
}

/// The protocol spoken to an upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1 in plain text; over TLS what ALPN agrees on.
    #[default]
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2; in plain text with prior knowledge (h2c).
    Http2,
}

/// How an upstream's certificate is checked, and the gateway's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClientTlsInput {
    /// A PEM file of the authorities to trust, instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// The name the certificate must carry (and the SNI sent), instead of the endpoint's host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// A PEM file with the gateway's own certificate, then its intermediates, for upstreams that ask for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// A PEM file with the unencrypted private key of `cert`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
}

/// Active probes of each endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthInput {
    /// The path asked for with GET.
    pub path: String,
    /// From one probe to the next.
    #[serde(default = "default_interval")]
    pub interval: Span,
    /// How long a probe may take.
    #[serde(default = "default_timeout")]
    pub timeout: Span,
    /// Good probes in a row after which an unhealthy endpoint is used again.
    #[serde(default = "default_healthy_after")]
    #[schemars(range(min = 1))]
    pub healthy_after: u32,
    /// Bad probes in a row after which an endpoint is no longer used.
    #[serde(default = "default_unhealthy_after")]
    #[schemars(range(min = 1))]
    pub unhealthy_after: u32,
    /// The statuses that count as good; without it any from 200 to 299.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Vec<u16>>,
}

/// When an endpoint is left out because requests to it failed (a connect failure, a reset, a
/// timeout, a 502, 503 or 504).
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerInput {
    /// Failures in a row after which it is left out; 0 does not look at them.
    pub consecutive: u32,
    /// The share of failures over the last ten seconds from which it is left out, from above 0 to 1; without it the share is not looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
    /// Answers within these ten seconds below which the share says nothing.
    #[schemars(range(min = 1))]
    pub minimum: u32,
    /// How long the first time; twice as long each further time.
    pub base: Span,
    /// The longest it is left out.
    pub max: Span,
    /// Requests that are let through to it when that time is over; all of them must succeed.
    #[schemars(range(min = 1))]
    pub probes: u32,
}

impl Default for BreakerInput {
    fn default() -> Self {
        Self { consecutive: 5, ratio: None, minimum: 20, base: Span::secs(1), max: Span::secs(30), probes: 3 }
    }
}

/// How often, and how soon, a request is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetriesInput {
    /// Tries in all; 1 sends nothing again.
    #[schemars(range(min = 1, max = 10))]
    pub tries: u32,
    /// The limit of the first pause; the pause is drawn below it, and it doubles with each try.
    pub base: Span,
    /// The limit of any pause.
    pub cap: Span,
    /// Retries as a share of an upstream's requests; three per second are always allowed.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub budget: f64,
}

impl Default for RetriesInput {
    fn default() -> Self {
        Self { tries: 3, base: Span::millis(250), cap: Span::secs(10), budget: 0.2 }
    }
}

/// Timeouts of one upstream; what is left out comes from the top level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamTimeoutsInput {
    /// Until a connection stands, TLS included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<Span>,
    /// Until the response head of one try has come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_try: Option<Span>,
    /// How long a response body may stay without a byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_idle: Option<Span>,
    /// How long a request body may stay without a byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_idle: Option<Span>,
}

impl UpstreamTimeoutsInput {
    /// Whether it overrides nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What becomes of an answer of which the upstream says that it was made with other pins. It is
/// counted and logged either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnMismatch {
    /// The client gets it.
    #[default]
    Pass,
    /// A read is refused with `index_mismatch`, and an endpoint that serves with other pins gets no requests. What a write was answered the client gets.
    Refuse,
}

/// A JSON object of the upstream that has its pins as members: texts, numbers or booleans.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ManifestInput {
    /// The path asked for with GET.
    pub path: String,
    /// From one look to the next.
    #[serde(default = "default_manifest_interval")]
    pub interval: Span,
    /// How long a look may take.
    #[serde(default = "default_timeout")]
    pub timeout: Span,
}

const fn default_max_idle() -> u32 {
    64
}

const fn default_resolve() -> Span {
    Span::secs(30)
}

const fn default_interval() -> Span {
    Span::secs(2)
}

const fn default_timeout() -> Span {
    Span::secs(1)
}

const fn default_healthy_after() -> u32 {
    1
}

const fn default_unhealthy_after() -> u32 {
    2
}

fn default_not_applied() -> Vec<u16> {
    vec![401, 403, 408, 421, 423, 425, 429]
}

const fn default_manifest_interval() -> Span {
    Span::secs(10)
}
