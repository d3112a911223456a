//! The admin API: how operators, schedulers, scrapers and probes see and steer the gateway.
//!
//! `GET /` lists the endpoints, `GET /openapi.json` describes them; both are made from the same
//! values as the router (see the module `endpoint`), and so is `docs/admin-api.md` checked.
//!
//! It runs on the side runtime, away from the workers that carry traffic. Errors are
//! `application/problem+json` with a stable `code`. A change runs to its end and is recorded
//! in the audit log before it is answered, whether or not the client stays.
//!
//! With tokens configured everything but the probes needs `Authorization: Bearer TOKEN`, and what
//! changes something one with the role `operate`. Without any, only what comes over loopback and under
//! its names is answered, and nothing is changed for a page of another origin (the module `guard`).
//!
//! Metrics: `sluicegate_admin_requests_total{endpoint,status}`,
//! `sluicegate_admin_audit_failures_total`.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Query, Request, State},
    middleware,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sluicegate_core::Clock;
use sluicegate_freeze::{Freezes, Scope};
use sluicegate_idempotency::Fences;
use sluicegate_intents::Intents;
use sluicegate_rollout::Rollouts;
use sluicegate_shadow::Shadows;
use tokio::sync::Semaphore;

mod actor;
pub mod audit;
mod body;
mod config;
mod endpoint;
mod extract;
mod freeze;
mod guard;
mod index;
mod intents;
mod keys;
mod metrics;
mod openapi;
mod problem;
mod readiness;
mod rollouts;
mod server;
mod shadows;
mod status;
mod tokens;
mod verdict;

pub use actor::{ACTOR_HEADER, Actor, Peer};
pub use audit::{Audit, Entry};
pub use config::{
    Applied, ConfigControl, ConfigProblem, ConfigSummary, ConfigView, LastError, Rejection, ScopeNames,
};
pub use readiness::{Phase, Readiness};
pub use server::serve;
pub use status::StatusSection;
pub use tokens::{NamedToken, Role, Tokens};

use endpoint::{Endpoint, Parameter, schema_of, text};
use problem::{Problem, fresh_json};

/// What the API shows and steers.
pub struct AdminParts {
    /// The freezes that hold now.
    pub freezes: Freezes,
    /// The idempotency keys.
    pub fences: Fences,
    /// The writes that are kept for later.
    pub intents: Intents,
    /// The rollouts.
    pub rollouts: Rollouts,
    /// The shadows.
    pub shadows: Shadows,
    /// The configuration.
    pub config: Arc<dyn ConfigControl>,
    /// The registry behind `/metrics`.
    pub registry: Arc<Mutex<Registry>>,
    /// What `/readyz` tells.
    pub readiness: Arc<Readiness>,
    /// What `/status` tells besides.
    pub sections: Vec<Arc<dyn StatusSection>>,
    /// Where changes are written down.
    pub audit: Audit,
    /// The tokens that requests may carry.
    pub tokens: Arc<Tokens>,
    /// The present time.
    pub clock: Clock,
    /// The gateway's version, as `/status` shows it.
    pub version: &'static str,
}

/// The admin API, ready to be served.
pub struct Admin(Arc<Shared>);

/// What every endpoint may use.
pub(crate) struct Shared {
    freezes: Freezes,
    fences: Fences,
    intents: Intents,
    rollouts: Rollouts,
    shadows: Shadows,
    config: Arc<dyn ConfigControl>,
    registry: Arc<Mutex<Registry>>,
    readiness: Arc<Readiness>,
    sections: Vec<Arc<dyn StatusSection>>,
    audit: Audit,
    tokens: Arc<Tokens>,
    clock: Clock,
    version: &'static str,
    started_at: Timestamp,
    requests: metrics::Requests,
    followers: Arc<Semaphore>,
    drains: Arc<Semaphore>,
}

impl Admin {
    /// Takes its parts and registers the API's own metrics.
    #[must_use]
    pub fn new(parts: AdminParts) -> Self {
        let requests = metrics::Requests::registered(&mut parts.registry.lock());
        let started_at = Timestamp::try_from(parts.clock.now()).unwrap_or_default();
        Self(Arc::new(Shared {
            freezes: parts.freezes,
            fences: parts.fences,
            intents: parts.intents,
            rollouts: parts.rollouts,
            shadows: parts.shadows,
            config: parts.config,
            registry: parts.registry,
            readiness: parts.readiness,
            sections: parts.sections,
            audit: parts.audit,
            tokens: parts.tokens,
            clock: parts.clock,
            version: parts.version,
            started_at,
            requests,
            followers: Arc::new(Semaphore::new(freeze::follow::FOLLOWERS)),
            drains: Arc::new(Semaphore::new(freeze::follow::DRAINS)),
        }))
    }

    /// The endpoints, behind the token and the counters. Serve it with [`serve`], which tells
    /// the audit log where requests came from.
    pub fn router(self) -> Router {
        let shared = self.0;
        endpoint::router(endpoints())
            .fallback(not_found)
            .method_not_allowed_fallback(method_not_allowed)
            .layer(middleware::from_fn_with_state(shared.clone(), guard::judge))
            .with_state(shared)
    }
}

/// Everything that can be asked for.
fn endpoints() -> Vec<Endpoint> {
    [
        status::endpoints(),
        config::endpoints(),
        freeze::endpoints(),
        keys::endpoints(),
        intents::endpoints(),
        rollouts::endpoints(),
        shadows::endpoints(),
        own_endpoints(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn own_endpoints() -> Vec<Endpoint> {
    let limit = Parameter::new("limit", "How many lines at most, the newest.", endpoint::whole);
    endpoint::of(
        "gateway",
        vec![
            Endpoint::get("/", index::get).named("index", "this list").answers::<index::Index>(),
            Endpoint::get("/audit", audit_log)
                .named("auditLog", "the last changes and who asked for them; ?limit=N")
                .query(&[limit])
                .answers::<AuditLog>(),
            Endpoint::get("/metrics", show_metrics)
                .named("metrics", "Prometheus metrics")
                .also(200, metrics::OPEN_METRICS_KIND, text)
                .also(200, metrics::CLASSIC_KIND, text),
            Endpoint::get("/openapi.json", openapi::get)
                .named("describeApi", "this API, as OpenAPI 3.1")
                .answers::<serde_json::Map<String, Value>>(),
            Endpoint::get("/livez", livez)
                .named("livez", "200 while the process runs")
                .also(200, "text/plain", text)
                .open(),
            Endpoint::get("/readyz", readyz)
                .named("readyz", "200 while it serves; names what is degraded")
                .answers::<readiness::View>()
                .also(200, "text/plain", text)
                .also(503, "application/json", schema_of::<readiness::View>)
                .also(503, "text/plain", text)
                .open(),
        ],
    )
}

impl Shared {
    /// Refuses a scope that names what the configuration does not have: such a freeze would
    /// cover nothing, and its maker would believe otherwise. Tenants are no part of the
    /// configuration and cannot be checked.
    fn known(&self, scope: &Scope) -> Result<(), Problem> {
        let names = self.config.names();
        for (kind, named, known) in
            [("route", &scope.routes, &names.routes), ("upstream", &scope.upstreams, &names.upstreams)]
        {
            let Some(strange) = named.iter().flatten().find(|name| !known.contains(name)) else { continue };
            let near = match nearest(strange, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are {}", known.join(", ")),
            };
            return Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "scope_unknown",
                "The scope names what is not there",
                format!("the configuration has no {kind} `{strange}`; {near}"),
            ));
        }
        Ok(())
    }
}

/// The name that was probably meant, if one is near enough.
fn nearest<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|name| (strsim::damerau_levenshtein(written, name), name))
        .filter(|(distance, name)| *distance <= 2.max(name.len() / 3) && *distance < name.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

async fn livez() -> &'static str {
    "alive\n"
}

async fn readyz(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    shared.readiness.answer(accept.contains("json"))
}

async fn show_metrics(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    metrics::answer(&shared.registry, &headers)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AuditQuery {
    limit: Option<usize>,
}

/// The last changes.
#[derive(Serialize, JsonSchema)]
struct AuditLog {
    /// The newest first.
    entries: Vec<audit::Line>,
}

async fn audit_log(
    State(shared): State<Arc<Shared>>,
    query: Result<Query<AuditQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    let Query(AuditQuery { limit }) =
        query.map_err(|_| Problem::bad_request("the only parameter here is `limit`, a number"))?;
    Ok(fresh_json(&json!(AuditLog { entries: shared.audit.recent(limit.unwrap_or(usize::MAX)) })))
}

async fn not_found(request: Request) -> Response {
    Problem::new(
        StatusCode::NOT_FOUND,
        "not_found",
        "There is no such endpoint",
        format!("the admin API has no `{}`; `GET /` lists what there is", request.uri().path()),
    )
    .into_response()
}

async fn method_not_allowed(request: Request) -> Response {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "The endpoint does not take this method",
        format!("`{}` does not take {}; see `Allow`", request.uri().path(), request.method()),
    )
    .into_response()
}

#[cfg(test)]
mod tests;
