//! The intents' endpoints: what is kept for later, deciding about one, pausing the backfill.
//!
//! Lists come oldest first, with `next` where there may be more and with `tally`, how many
//! intents are in each state. Each decision is one compare-and-set in the store: what moved
//! meanwhile is not touched, and the answer says so. A pause is kept in the store: it holds
//! for every gateway that shares it, and through restarts.

use std::{num::NonZeroUsize, sync::Arc};

use axum::{
    extract::{Path, Query, Request, State, rejection::QueryRejection},
    response::Response,
};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use sluicegate_intents::{IntentError, IntentQuery, IntentRecord, Settlement};
use sluicegate_store::EntryState;

use crate::{
    Shared,
    actor::Actor,
    audit::Entry,
    body,
    keys::page_size,
    problem::{Problem, fresh_json},
    verdict::Verdict,
};

/// An order is a word, or a reason.
const LARGEST_ORDER: usize = 16 << 10;

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
    let mut answer = json!(page);
    answer["tally"] = json!(status.count);
    Ok(fresh_json(&answer))
}

pub(crate) async fn status(State(shared): State<Arc<Shared>>) -> Result<Response, Problem> {
    let status = shared.intents.status().await.map_err(|error| problem(&error))?;
    Ok(fresh_json(&json!(status)))
}

pub(crate) async fn get(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let record = shared.intents.show(&id).await.map_err(|error| problem(&error))?;
    Ok(fresh_json(&json!(record)))
}

pub(crate) async fn retry(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let by = Actor::of(&request);
    nothing(&body::read(request, LARGEST_ORDER).await?)?;
    body::to_the_end(async move {
        let made = shared.intents.retry(&id).await;
        decided(&shared, "intent_retry", &id, by, json!({}), made).await
    })
    .await
}

pub(crate) async fn drop_intent(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let by = Actor::of(&request);
    nothing(&body::read(request, LARGEST_ORDER).await?)?;
    body::to_the_end(async move {
        let made = shared.intents.drop_intent(&id).await;
        decided(&shared, "intent_drop", &id, by, json!({}), made).await
    })
    .await
}

pub(crate) async fn settle(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
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

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pause {
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
        made.map(|paused| fresh_json(&json!({ "paused": paused }))).map_err(|error| failed(&error))
    })
    .await
}

pub(crate) async fn resume(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Problem> {
    let by = Actor::of(&request);
    nothing(&body::read(request, LARGEST_ORDER).await?)?;
    body::to_the_end(async move {
        let made = shared.intents.resume().await;
        record(&shared, "backfill_resume", "", by, made.as_ref().map(|()| json!({})), &json!({})).await;
        made.map(|()| fresh_json(&json!({ "paused": null }))).map_err(|error| failed(&error))
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

/// An order that needs no words takes none: a settlement that was sent to `retry` must not
/// send the write again.
fn nothing(body: &[u8]) -> Result<(), Problem> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}

    if body.trim_ascii().is_empty() {
        return Ok(());
    }
    body::object::<Nothing>(body).map(drop).map_err(|error| {
        Problem::bad_request(format!("this takes no body, or {{}}, and nothing was changed: {error}"))
    })
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
