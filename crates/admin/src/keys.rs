//! The keys' endpoints: which idempotency keys are remembered, and settling one by hand.
//!
//! `GET /keys` gives a page in the order of the ids; `next` names where the next one begins,
//! also where a page is empty, since one look goes through a limited number of records.
//! `POST /keys/{id}/resolve` settles a key whose outcome is unknown by what an operator found
//! out at the upstream. It is refused while an attempt runs, and where nothing is unknown: an
//! answer that clients may have seen is never changed.

use std::{num::NonZeroUsize, sync::Arc};

use axum::{
    extract::{Path, Query, Request, State, rejection::QueryRejection},
    response::Response,
};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use sluicegate_idempotency::{KeyError, KeyFilter, KeyId, KeyState, Resolution};

use crate::{
    Shared,
    actor::Actor,
    audit::Entry,
    body,
    problem::{Problem, fresh_json},
    verdict::Verdict,
};

/// A verdict is a word and a number.
const LARGEST_VERDICT: usize = 4 << 10;

/// Keys on a page where nothing is asked for, and at most.
pub(crate) const PAGE: (usize, usize) = (100, 500);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    state: Option<KeyState>,
    route: Option<String>,
    tenant: Option<String>,
    prefix: Option<String>,
    after: Option<String>,
    limit: Option<NonZeroUsize>,
}

pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(ListQuery { state, route, tenant, prefix, after, limit }) = query.map_err(|error| {
        Problem::bad_request(format!(
            "the parameters here are `state` (running, unknown, sealed, deferred), `route`, `tenant`, `prefix` (of \
             the key), `after` (the `next` of the page before) and `limit`, a number from 1 ({})",
            error.body_text()
        ))
    })?;
    let after = after.as_deref().map(id).transpose()?;
    let filter = KeyFilter { state, route, tenant, prefix };
    let page = shared.fences.list(&filter, after, page_size(limit)).await;
    Ok(fresh_json(&json!(page.map_err(|error| problem(&error))?)))
}

/// How many a page holds.
pub(crate) fn page_size(limit: Option<NonZeroUsize>) -> usize {
    limit.map_or(PAGE.0, |limit| limit.get().min(PAGE.1))
}

pub(crate) async fn get(
    State(shared): State<Arc<Shared>>,
    Path(text): Path<String>,
) -> Result<Response, Problem> {
    let id = id(&text)?;
    match shared.fences.show(id).await {
        Ok(Some(record)) => Ok(fresh_json(&json!(record))),
        Ok(None) => Err(problem(&KeyError::NotFound(id))),
        Err(error) => Err(problem(&error)),
    }
}

pub(crate) async fn resolve(
    State(shared): State<Arc<Shared>>,
    Path(text): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let id = id(&text)?;
    let by = Actor::of(&request);
    let verdict = Verdict::read(&body::read(request, LARGEST_VERDICT).await?)?;
    body::to_the_end(async move { settle(&shared, id, verdict, by).await }).await
}

async fn settle(shared: &Shared, id: KeyId, verdict: Verdict, by: Actor) -> Result<Response, Problem> {
    let resolution = match verdict {
        Verdict::Applied(status) => Resolution::Applied { status: status.as_u16() },
        Verdict::NotApplied => Resolution::NotApplied,
    };
    let made = shared.fences.resolve(id, resolution).await;
    let mut told = verdict.told();
    let entry = match &made {
        Ok(was) => {
            told["was"] = json!(was);
            Entry::done("key_resolve", id.to_string(), by, told.clone())
        }
        Err(error) => {
            let mut entry =
                Entry::failed("key_resolve", id.to_string(), by, problem(error).code(), &error.to_string());
            entry.detail["asked"] = told.clone();
            entry
        }
    };
    shared.audit.record(entry).await;
    match made {
        Ok(_) => {
            told["id"] = id.to_string().into();
            Ok(fresh_json(&told))
        }
        Err(error @ KeyError::Deferred(_)) => {
            // Its name is what the caller needs next; without it the refusal still stands.
            let intent = shared.fences.show(id).await.ok().flatten().and_then(|record| record.intent);
            Err(problem(&error).member("intent", json!(intent)))
        }
        Err(KeyError::Store(error)) => Err(Problem::store_on_change(&error)),
        Err(error) => Err(problem(&error)),
    }
}

fn id(text: &str) -> Result<KeyId, Problem> {
    text.parse().map_err(|error: KeyError| problem(&error))
}

fn problem(error: &KeyError) -> Problem {
    let (status, code, title) = match error {
        KeyError::NotAnId(_) | KeyError::Status(_) => return Problem::bad_request(error.to_string()),
        KeyError::Store(error) => return Problem::store(error),
        KeyError::NotFound(_) => (StatusCode::NOT_FOUND, "key_unknown", "There is no such key"),
        KeyError::Running(_) => (StatusCode::CONFLICT, "key_running", "An attempt under the key is running"),
        KeyError::Settled { .. } => (StatusCode::CONFLICT, "key_settled", "Nothing about the key is unknown"),
        KeyError::Deferred(_) => (StatusCode::CONFLICT, "key_deferred", "The key belongs to an intent"),
        KeyError::Changed(_) => (StatusCode::CONFLICT, "key_changed", "The key changed meanwhile"),
    };
    Problem::new(status, code, title, error.to_string())
}
