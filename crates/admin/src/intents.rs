//! The intents' endpoints: what is kept for later, deciding about one, pausing the backfill.
//!
//! Lists come oldest first, with `next` where there may be more and with `tally`, how many
//! intents are in each state. Each decision is one compare-and-set in the store: what moved
//! meanwhile is not touched, and the answer says so. A pause is kept in the store: it holds
//! for every gateway that shares it, and through restarts.

use std::{collections::BTreeMap, num::NonZeroUsize, sync::Arc};

use axum::{
    extract::{Query, Request, State, rejection::QueryRejection},
    response::Response,
};
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sluicegate_intents::{
    IntentError, IntentPage, IntentQuery, IntentRecord, IntentsStatus, PausedRecord, Settlement,
};
use sluicegate_store::EntryState;

use crate::{
    Shared,
    actor::Actor,
    audit::Entry,
    body,
    endpoint::{self, Endpoint, Parameter, schema_of},
    extract::Segment,
    keys::{LIMIT, ROUTE, TENANT, page_size},
    problem::{Problem, fresh_json},
    verdict::{Verdict, Written},
};

/// An order is a word, or a reason.
const LARGEST_ORDER: usize = 16 << 10;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    let state = Parameter::new("state", "Where they stand.", schema_of::<EntryState>);
    let after = Parameter::new("after", "The `next` of the page before.", id_schema);
    let decided = |endpoint: Endpoint| {
        endpoint
            .answers::<IntentRecord>()
            .refuses(404, &["intent_unknown"])
            .refuses(409, &["intent_state", "intent_key_taken", "intent_changed"])
            .refuses(503, &["store_unavailable"])
    };
    endpoint::of(
        "intents",
        vec![
            Endpoint::get("/intents", list)
                .named(
                    "intents",
                    "writes kept for later, and how many are in each state; ?state, route, tenant, after, limit",
                )
                .query(&[state, ROUTE, TENANT, after, LIMIT])
                .answers::<Listed>()
                .refuses(503, &["store_unavailable"]),
            Endpoint::get("/intents/status", status)
                .named("intentsStatus", "how the backfill is doing")
                .answers::<IntentsStatus>()
                .refuses(503, &["store_unavailable"]),
            Endpoint::get("/intents/{id}", get)
                .named("intent", "one intent")
                .answers::<IntentRecord>()
                .refuses(404, &["intent_unknown"])
                .refuses(503, &["store_unavailable"]),
            decided(
                Endpoint::post("/intents/{id}/retry", retry)
                    .named("retryIntent", "put a dead one, or one in doubt, into the queue again")
                    .takes::<body::Nothing>(false),
            ),
            decided(
                Endpoint::post("/intents/{id}/drop", drop_intent)
                    .named("dropIntent", "throw one away")
                    .takes::<body::Nothing>(false),
            ),
            decided(
                Endpoint::post("/intents/{id}/settle", settle)
                    .named(
                        "settleIntent",
                        "end one in doubt: {\"applied\": true, \"status\": 201} or {\"applied\": false}",
                    )
                    .takes::<Written>(true),
            ),
            Endpoint::post("/intents/pause", pause)
                .named("pauseBackfill", "pause the backfill: {\"reason\"} or nothing")
                .takes::<Pause>(false)
                .answers::<Paused>()
                .refuses(503, &["store_unavailable"]),
            Endpoint::post("/intents/resume", resume)
                .named("resumeBackfill", "let the backfill go on")
                .takes::<body::Nothing>(false)
                .answers::<Paused>()
                .refuses(503, &["store_unavailable"]),
        ],
    )
}

/// The id of an intent.
fn id_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "string", "pattern": "^[0-9a-f]{32}$" })
}

/// A page, and how many there are.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "IntentList")]
struct Listed {
    #[serde(flatten)]
    page: IntentPage,
    /// How many intents are in each state.
    tally: BTreeMap<String, u64>,
}

/// Whether the backfill is paused.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "BackfillPaused")]
struct Paused {
    /// The pause that holds.
    paused: Option<PausedRecord>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    state: Option<EntryState>,
    route: Option<String>,
    tenant: Option<String>,
    after: Option<String>,
    limit: Option<NonZeroUsize>,
}

pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(ListQuery { state, route, tenant, after, limit }) = query.map_err(|error| {
        Problem::bad_request(format!(
            "the parameters here are `state` (queued, applying, in_doubt, applied, dead, expired, dropped), `route`, \
             `tenant`, `after` (the `next` of the page before) and `limit`, a number from 1 ({})",
            error.body_text()
        ))
    })?;
    let query = IntentQuery { state, route, tenant, after, limit: page_size(limit) };
    let page = shared.intents.list(&query).await.map_err(|error| problem(&error))?;
    let status = shared.intents.status().await.map_err(|error| problem(&error))?;
    Ok(fresh_json(&json!(Listed { page, tally: status.count })))
}

pub(crate) async fn status(State(shared): State<Arc<Shared>>) -> Result<Response, Problem> {
    let status = shared.intents.status().await.map_err(|error| problem(&error))?;
    Ok(fresh_json(&json!(status)))
}

pub(crate) async fn get(
    State(shared): State<Arc<Shared>>,
    Segment(id): Segment,
) -> Result<Response, Problem> {
    let record = shared.intents.show(&id).await.map_err(|error| problem(&error))?;
    Ok(fresh_json(&json!(record)))
}

pub(crate) async fn retry(
    State(shared): State<Arc<Shared>>,
    Segment(id): Segment,
    request: Request,
) -> Result<Response, Problem> {
    let by = Actor::of(&request);
    body::nothing(&body::read(request, LARGEST_ORDER).await?)?;
    body::to_the_end(async move {
        let made = shared.intents.retry(&id).await;
        decided(&shared, "intent_retry", &id, by, json!({}), made).await
    })
    .await
}

pub(crate) async fn drop_intent(
    State(shared): State<Arc<Shared>>,
    Segment(id): Segment,
    request: Request,
) -> Result<Response, Problem> {
    let by = Actor::of(&request);
    body::nothing(&body::read(request, LARGEST_ORDER).await?)?;
    body::to_the_end(async move {
        let made = shared.intents.drop_intent(&id).await;
        decided(&shared, "intent_drop", &id, by, json!({}), made).await
    })
    .await
}

pub(crate) async fn settle(
    State(shared): State<Arc<Shared>>,
    Segment(id): Segment,
    request: Request,
) -> Result<Response, Problem> {
    let by = Actor::of(&request);
    let verdict = Verdict::read(&body::read(request, LARGEST_ORDER).await?)?;
    let settlement = match verdict {
        Verdict::Applied(status) => Settlement::Applied(status),
        Verdict::NotApplied => Settlement::NotApplied,
    };
    body::to_the_end(async move {
        let made = shared.intents.settle(&id, settlement).await;
        decided(&shared, "intent_settle", &id, by, verdict.told(), made).await
    })
    .await
}

/// Writes down what was decided about an intent, and answers with what it is now.
async fn decided(
    shared: &Shared,
    action: &'static str,
    id: &str,
    by: Actor,
    asked: Value,
    made: Result<IntentRecord, IntentError>,
) -> Result<Response, Problem> {
    let detail = made.as_ref().map(|now| {
        json!({ "asked": asked, "state": now.state, "route": now.route, "tenant": now.tenant, "key": now.key })
    });
    record(shared, action, id, by, detail, &asked).await;
    made.map(|now| fresh_json(&json!(now))).map_err(|error| failed(&error))
}

/// Why the backfill is paused.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Pause {
    /// For whoever wonders.
    #[schemars(length(max = 1024))]
    reason: Option<String>,
}

pub(crate) async fn pause(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Problem> {
    let by = Actor::of(&request);
    let body = body::read(request, LARGEST_ORDER).await?;
    let reason = if body.trim_ascii().is_empty() {
        None
    } else {
        let Pause { reason } = body::object(&body).map_err(|error| {
            Problem::bad_request(format!(
                "the body cannot be read: {error}; send {{\"reason\": \"...\"}} or nothing"
            ))
        })?;
        reason
    };
    body::to_the_end(async move {
        let made = shared.intents.pause(Some(&by.to_string()), reason.as_deref()).await;
        let asked = json!({ "reason": reason });
        record(&shared, "backfill_pause", "", by, made.as_ref().map(|_| asked.clone()), &asked).await;
        made.map(|paused| fresh_json(&json!(Paused { paused: Some(paused) }))).map_err(|error| failed(&error))
    })
    .await
}

pub(crate) async fn resume(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Problem> {
    let by = Actor::of(&request);
    body::nothing(&body::read(request, LARGEST_ORDER).await?)?;
    body::to_the_end(async move {
        let made = shared.intents.resume().await;
        record(&shared, "backfill_resume", "", by, made.as_ref().map(|()| json!({})), &json!({})).await;
        made.map(|()| fresh_json(&json!(Paused { paused: None }))).map_err(|error| failed(&error))
    })
    .await
}

async fn record(
    shared: &Shared,
    action: &'static str,
    id: &str,
    by: Actor,
    made: Result<Value, &IntentError>,
    asked: &Value,
) {
    let entry = match made {
        Ok(detail) => Entry::done(action, id, by, detail),
        Err(error) => {
            let mut entry = Entry::failed(action, id, by, problem(error).code(), &error.to_string());
            entry.detail["asked"] = asked.clone();
            entry
        }
    };
    shared.audit.record(entry).await;
}

/// Why a change was not made, or may not have been.
fn failed(error: &IntentError) -> Problem {
    match error {
        IntentError::Store(error) => Problem::store_on_change(error),
        error => problem(error),
    }
}

fn problem(error: &IntentError) -> Problem {
    let (status, code, title) = match error {
        IntentError::Invalid(_) => return Problem::bad_request(error.to_string()),
        IntentError::Store(error) => return Problem::store(error),
        IntentError::Unknown(_) => (StatusCode::NOT_FOUND, "intent_unknown", "There is no such intent"),
        IntentError::WrongState { .. } => {
            (StatusCode::CONFLICT, "intent_state", "The intent is not where this can be done to it")
        }
        IntentError::KeyTaken(_) => {
            (StatusCode::CONFLICT, "intent_key_taken", "The intent's key is no longer its own")
        }
        IntentError::Moved(_) => (StatusCode::CONFLICT, "intent_changed", "The intent moved meanwhile"),
    };
    let problem = Problem::new(status, code, title, error.to_string());
    match error {
        IntentError::WrongState { state, allowed, .. } => {
            problem.member("state", json!(state)).member("allowed", json!(allowed))
        }
        _ => problem,
    }
}
