//! The document: every key a configuration can have.
//!
//! A guard's settings are that guard's own input types; what concerns the gateway as a whole
//! stands here. Only `listen`, `upstreams`
//! and `routes` are required. The doc comment of a field is its line in the JSON Schema.

mod admin;
mod claims;
mod cors;
mod limits;
mod presets;
mod process;
mod rewrite;
mod route;
mod store;
mod telemetry;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicegate_classify::input::TenantsInput;
use sluicegate_core::{TrustedPeers, secret_file};
use sluicegate_freeze::input::FreezeInput;
use sluicegate_idempotency::FencesInput;
use sluicegate_intents::IntentsInput;
use sluicegate_rollout::RolloutInput;
use sluicegate_server::input::ListenInput;
use sluicegate_spans::OtlpInput;
use sluicegate_tokens::JwtInput;
use sluicegate_upstream::input::{RetriesInput, UpstreamInput};
use sluicegate_webhooks::WebhookInput;

pub use self::{
    admin::{AdminInput, AdminRole, AdminTokenFile, AdminTokenInput},
    cors::CorsInput,
    limits::{LanesInput, LimitsInput, RouteLimitsInput, RouteTimeoutsInput, TimeoutsInput},
    process::{AccessLogInput, LogFormat, LogInput, LogLevel, PeerInput, ShutdownInput},
    route::{RefusalForm, RolloutRef, RouteInput, UpstreamRef, WhenFrozen, WritesInput},
    store::{EmbeddedInput, MemoryInput, StoreInput, SyncInput},
    telemetry::TelemetryInput,
};

/// The configuration of a gateway: YAML or JSON. Only `listen`, `upstreams` and `routes` are required.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Sluicegate configuration")]
pub struct Document {
    /// Where it listens; at least one.
    pub listen: Vec<ListenInput>,
    /// The admin API.
    #[serde(default)]
    pub admin: AdminInput,
    /// Where state that outlives the process is kept; exactly one of them.
    #[serde(default)]
    pub store: StoreInput,
    /// The pools of endpoints, by name.
    pub upstreams: BTreeMap<String, UpstreamInput>,
    /// Who a request is for; without it requests have no tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenants: Option<TenantsInput>,
    /// How the tokens of clients are verified; without it nothing can go by a claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwt: Option<JwtInput>,
    /// People who wait, and jobs that do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lanes: Option<LanesInput>,
    /// What a route takes where it says nothing.
    #[serde(default)]
    pub limits: LimitsInput,
    /// How long the gateway waits for what.
    #[serde(default)]
    pub timeouts: TimeoutsInput,
    /// How often, and how soon, a request is sent again; without it only what reached nobody, or died on a kept-alive connection, is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<RetriesInput>,
    /// What is let through, to where; the first match wins. At least one.
    pub routes: Vec<RouteInput>,
    /// Pairs of upstreams between which traffic is shifted, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rollouts: BTreeMap<String, RolloutInput>,
    /// The write freeze.
    #[serde(default)]
    pub freeze: FreezeInput,
    /// Who is told of freezes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub webhooks: Vec<WebhookInput>,
    /// Which pages of other origins may read the gateway's own answers; without it none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors: Option<CorsInput>,
    /// What all idempotency keys together may take.
    #[serde(default)]
    pub fences: FencesInput,
    /// Writes kept during a freeze and applied after it, on routes with `when_frozen: queue`.
    #[serde(default)]
    pub intents: IntentsInput,
    /// The networks whose `X-Forwarded-*` headers count: an address or `address/bits`.
    #[serde(default)]
    pub trusted_peers: Vec<PeerInput>,
    /// Connections of clients at one time, over all listeners.
    #[serde(default = "default_max_connections")]
    #[schemars(range(min = 1))]
    pub max_connections: u32,
    /// Worker threads; without it one per core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub workers: Option<u16>,
    /// How the gateway stops.
    #[serde(default)]
    pub shutdown: ShutdownInput,
    /// One JSON line per request; without it none is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_log: Option<AccessLogInput>,
    /// What is sent elsewhere of each request.
    #[serde(default)]
    pub telemetry: TelemetryInput,
    /// The gateway's own log, on standard error.
    #[serde(default)]
    pub log: LogInput,
}

impl Document {
    /// Whose word is taken for whom a connection or a request is from.
    #[must_use]
    pub fn trusted_peers(&self) -> TrustedPeers {
        TrustedPeers::new(self.trusted_peers.iter().map(|peer| peer.0).collect())
    }

    /// The document as JSON, as `GET /config` shows it: with every default filled in, and
    /// passwords replaced by `[redacted]`.
    #[must_use]
    pub fn redacted(&self) -> serde_json::Value {
        let mut shown = self.clone();
        if let StoreInput::Redis(redis) = &mut shown.store {
            redis.redact();
        }
        // They are there to carry the gateway's own credentials.
        secret_file::redact(shown.intents.headers.values_mut());
        shown.webhooks.iter_mut().for_each(WebhookInput::redact);
        shown.telemetry.otlp.iter_mut().for_each(OtlpInput::redact);
        shown.jwt.iter_mut().for_each(JwtInput::redact);
        for route in &mut shown.routes {
            route.request.redact();
        }
        for shadows in shown.routes.iter_mut().filter_map(|route| route.shadow.as_mut()) {
            shadows.redact();
        }
        shown.to_json()
    }

    /// The document as JSON with every default filled in, secrets included.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        // Every key is text and every number finite, so there is nothing to fail on.
        serde_json::to_value(self).unwrap_or_default()
    }
}

const fn default_max_connections() -> u32 {
    10_000
}
