//! `GET /`: what there is.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use serde_json::{Map, Value, json};

use crate::{Shared, problem::fresh_json};

const ENDPOINTS: [(&str, &str); 39] = [
    ("GET /status", "configuration, freezes, readiness, upstreams"),
    ("GET /config", "the document that runs"),
    ("PUT /config", "run another document; ?persist=true also replaces the file"),
    ("POST /reload", "read the configuration file again"),
    ("GET /freeze", "what is frozen; ?wait=30s&since=N waits for a change; text/event-stream sends each"),
    ("GET /freeze/{id}", "one freeze; ?wait=30s waits for its drain"),
    (
        "PUT /freeze/{id}",
        "freeze writes: {\"reason\", \"until\" or \"for\", \"scope\"}; ?wait=30s waits for the drain",
    ),
    ("DELETE /freeze/{id}", "lift a freeze"),
    ("GET /keys", "idempotency keys; ?state, route, tenant, prefix, after, limit"),
    ("GET /keys/{id}", "one key"),
    (
        "POST /keys/{id}/resolve",
        "settle a key whose outcome is unknown: {\"applied\": true, \"status\": 201} or {\"applied\": false}",
    ),
    (
        "GET /intents",
        "writes kept for later, and how many are in each state; ?state, route, tenant, after, limit",
    ),
    ("GET /intents/status", "how the backfill is doing"),
    ("GET /intents/{id}", "one intent"),
    ("POST /intents/{id}/retry", "put a dead one, or one in doubt, into the queue again"),
    ("POST /intents/{id}/drop", "throw one away"),
    (
        "POST /intents/{id}/settle",
        "end one in doubt: {\"applied\": true, \"status\": 201} or {\"applied\": false}",
    ),
    ("POST /intents/pause", "pause the backfill: {\"reason\"} or nothing"),
    ("POST /intents/resume", "let the backfill go on"),
    ("GET /rollouts", "where each rollout stands; ?wait=30s&since=N waits for a change"),
    ("GET /rollouts/{name}", "one rollout"),
    ("GET /rollouts/{name}/history", "what was decided, by whom and from which numbers"),
    ("POST /rollouts/{name}/start", "begin a run at its first step"),
    ("POST /rollouts/{name}/advance", "take the next step now, whatever the gates say"),
    ("POST /rollouts/{name}/hold", "stay at this step: {\"reason\"} or nothing"),
    ("POST /rollouts/{name}/resume", "go on from a hold; the step is looked at anew"),
    ("PUT /rollouts/{name}/weight", "put this percentage of keys on the candidate: {\"weight\": 10}"),
    ("POST /rollouts/{name}/promote", "the candidate becomes the active arm"),
    ("POST /rollouts/{name}/abort", "everything on the active arm, at once: {\"reason\"} or nothing"),
    ("POST /rollouts/{name}/switch", "exchange the arms in one step, and watch the new active one"),
    ("POST /rollouts/{name}/rollback", "exchange them back: {\"reason\"} or nothing"),
    ("GET /shadows", "how the copies of each shadow fare, and its verdict"),
    ("GET /shadows/{route}", "what the comparisons of a route's shadows found; ?to=NAME for one of them"),
    ("GET /shadows/{route}/pairs", "the last pairs of answers that differ; ?to, limit"),
    ("POST /shadows/{route}/reset", "forget what was found, for a version that has just been put there; ?to"),
    ("GET /audit", "the last changes and who asked for them; ?limit=N"),
    ("GET /metrics", "Prometheus metrics"),
    ("GET /livez", "200 while the process runs"),
    ("GET /readyz", "200 while it serves; names what is degraded"),
];

pub(crate) async fn get(State(shared): State<Arc<Shared>>) -> Response {
    let endpoints: Map<_, _> =
        ENDPOINTS.iter().map(|(endpoint, what)| ((*endpoint).to_owned(), Value::from(*what))).collect();
    fresh_json(&json!({ "name": "sluicegate", "version": shared.version, "endpoints": endpoints }))
}
