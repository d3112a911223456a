//! The admin API: how operators, schedulers, scrapers and probes see and steer the gateway.
//!
//! | endpoint | what |
//! |---|---|
//! | `GET /` | this list |
//! | `GET /status` | configuration, freezes, readiness, and what each part of the gateway adds |
//! | `GET /config`, `PUT /config[?persist=true]` | the document that runs; run another |
//! | `POST /reload` | read the configuration's source again |
//! | `GET /freeze[?wait=30s&since=N]` | what is frozen; at the next change; as server-sent events |
//! | `GET /freeze/{id}[?wait=30s]` | one freeze; when it is drained |
//! | `PUT /freeze/{id}[?wait=30s]`, `DELETE /freeze/{id}` | switch a freeze on; lift it |
//! | `GET /keys[?state=&route=&tenant=&prefix=&after=&limit=]` | idempotency keys, page by page |
//! | `GET /keys/{id}`, `POST /keys/{id}/resolve` | one key; settle one whose outcome is unknown |
//! | `GET /intents[?state=&route=&tenant=&after=&limit=]` | writes kept for later, page by page |
//! | `GET /intents/status` | how the backfill is doing |
//! | `GET /intents/{id}` | one intent |
//! | `POST /intents/{id}/retry`, `/drop`, `/settle` | decide about one |
//! | `POST /intents/pause`, `/intents/resume` | pause the backfill; let it go on |
//! | `GET /rollouts[?wait=30s&since=N]` | where each rollout stands; at the next change |
//! | `GET /rollouts/{name}`, `/rollouts/{name}/history` | one rollout; what was decided, and from which numbers |
//! | `POST /rollouts/{name}/start`, `/advance`, `/hold`, `/resume` | a run, and its steps |
//! | `PUT /rollouts/{name}/weight` | put this percentage of keys on the candidate |
//! | `POST /rollouts/{name}/promote`, `/switch`, `/rollback` | exchange the arms; exchange them back |
//! | `POST /rollouts/{name}/abort` | everything on the active arm, at once |
//! | `GET /shadows` | how the copies of each shadow fare, and its verdict |
//! | `GET /shadows/{route}[?to=NAME]` | what the comparisons of a route's shadows found |
//! | `GET /shadows/{route}/pairs[?to=NAME&limit=N]` | the last pairs of answers that differ, the newest first |
//! | `POST /shadows/{route}/reset[?to=NAME]` | forget what was found, and begin anew |
//! | `GET /audit[?limit=N]` | the last changes, who asked, how they ended |
//! | `GET /metrics` | Prometheus, classic or `OpenMetrics` |
//! | `GET /livez`, `GET /readyz` | for probes; never ask for a token |
//!
//! It runs on the side runtime, away from the workers that carry traffic. Errors are
//! `application/problem+json` with a stable `code`. A change runs to its end and is recorded
//! in the audit log before it is answered, whether or not the client stays.
//!
//! Who may ask is told in the guard's own terms: with a token configured everything but the
//! probes needs `Authorization: Bearer TOKEN`; without one, changes are taken from loopback
//! names only and from no foreign page.
//!
//! Metrics: `sluicegate_admin_requests_total{endpoint,status}`,
//! `sluicegate_admin_audit_failures_total`.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Query, Request, State},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use serde::Deserialize;
use serde_json::json;
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
mod freeze;
mod guard;
mod index;
mod intents;
mod keys;
mod metrics;
mod problem;
mod readiness;
mod rollouts;
mod server;
mod shadows;
mod status;
mod token;
mod verdict;

pub use actor::{ACTOR_HEADER, Actor, Peer};
pub use audit::{Audit, Entry};
pub use config::{Applied, ConfigControl, ConfigProblem, ConfigView, LastError, Rejection, ScopeNames};
pub use readiness::{Phase, Readiness};
pub use server::serve;
pub use status::StatusSection;
pub use token::Token;

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
    /// The token that requests must carry.
    pub token: Arc<Token>,
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
    token: Arc<Token>,
    clock: Clock,
    version: &'static str,
    started_at: Timestamp,
    requests: metrics::Requests,
    followers: Arc<Semaphore>,
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
            token: parts.token,
            clock: parts.clock,
            version: parts.version,
            started_at,
            requests,
            followers: Arc::new(Semaphore::new(freeze::follow::FOLLOWERS)),
        }))
    }

    /// The endpoints, behind the token and the counters. Serve it with [`serve`], which tells
    /// the audit log where requests came from.
    pub fn router(self) -> Router {
        let shared = self.0;
        Router::new()
            .route("/", get(index::get))
            .route("/status", get(status::get))
            .route("/config", get(config::get).put(config::put))
            .route("/reload", post(config::reload))
            .route("/freeze", get(freeze::follow::get))
            .route("/freeze/{id}", get(freeze::get).put(freeze::put).delete(freeze::delete))
            .route("/keys", get(keys::list))
            .route("/keys/{id}", get(keys::get))
            .route("/keys/{id}/resolve", post(keys::resolve))
            .route("/intents", get(intents::list))
            .route("/intents/status", get(intents::status))
            .route("/intents/pause", post(intents::pause))
            .route("/intents/resume", post(intents::resume))
            .route("/intents/{id}", get(intents::get))
            .route("/intents/{id}/retry", post(intents::retry))
            .route("/intents/{id}/drop", post(intents::drop_intent))
            .route("/intents/{id}/settle", post(intents::settle))
            .merge(rollouts::routes())
            .merge(shadows::routes())
            .route("/audit", get(audit_log))
            .route("/metrics", get(show_metrics))
            .route("/livez", get(livez))
            .route("/readyz", get(readyz))
            .fallback(not_found)
            .method_not_allowed_fallback(method_not_allowed)
            .layer(middleware::from_fn_with_state(shared.clone(), guard::judge))
            .with_state(shared)
    }
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

async fn audit_log(
    State(shared): State<Arc<Shared>>,
    query: Result<Query<AuditQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    let Query(AuditQuery { limit }) =
        query.map_err(|_| Problem::bad_request("the only parameter here is `limit`, a number"))?;
    Ok(fresh_json(&json!({ "entries": shared.audit.recent(limit.unwrap_or(usize::MAX)) })))
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
