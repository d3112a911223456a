//! The keys' endpoints: which idempotency keys are remembered, and settling one by hand.
//!
//! `GET /keys` gives a page in the order of the ids; `next` names where the next one begins,
//! also where a page is empty, since one look goes through a limited number of records.
//! `POST /keys/{id}/resolve` settles a key whose outcome is unknown by what an operator found
//! out at the upstream. It is refused while an attempt runs, and where nothing is unknown: an
//! answer that clients may have seen is never changed.

use std::{num::NonZeroUsize, sync::Arc};

use axum::{
    extract::{Query, Request, State, rejection::QueryRejection},
    response::Response,
};
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sluicegate_idempotency::{KeyError, KeyFilter, KeyId, KeyPage, KeyRecord, KeyState, Resolution};

use crate::{
    Shared,
    actor::Actor,
    audit::Entry,
    body,
    endpoint::{self, Endpoint, Parameter, schema_of},
    extract::Segment,
    problem::{Problem, fresh_json},
    verdict::{Verdict, Written},
};

/// A verdict is a word and a number.
const LARGEST_VERDICT: usize = 4 << 10;

/// Keys on a page where nothing is asked for, and at most.
pub(crate) const PAGE: (usize, usize) = (100, 500);

/// What pages are asked for by.
pub(crate) const LIMIT: Parameter =
    Parameter::new("limit", "How many on a page at most.", endpoint::from_one);
pub(crate) const ROUTE: Parameter = Parameter::new("route", "Of this route alone.", schema_of::<String>);
pub(crate) const TENANT: Parameter = Parameter::new("tenant", "Of this tenant alone.", schema_of::<String>);

pub(crate) fn endpoints() -> Vec<Endpoint> {
    let state = Parameter::new("state", "Where they stand.", schema_of::<KeyState>);
    let prefix = Parameter::new("prefix", "How the key begins.", schema_of::<String>);
    let after = Parameter::new("after", "The `next` of the page before.", id_schema);
    endpoint::of(
        "keys",
        vec![
            Endpoint::get("/keys", list)
                .named("keys", "idempotency keys; ?state, route, tenant, prefix, after, limit")
                .query(&[state, ROUTE, TENANT, prefix, after, LIMIT])
                .answers::<KeyPage>()
                .refuses(503, &["store_unavailable"]),
            Endpoint::get("/keys/{id}", get)
                .named("key", "one key")
                .segment(id_schema)
                .answers::<KeyRecord>()
                .refuses(404, &["key_unknown"])
                .refuses(503, &["store_unavailable"]),
            Endpoint::post("/keys/{id}/resolve", resolve)
                .named(
                    "resolveKey",
                    "settle a key whose outcome is unknown: {\"applied\": true, \"status\": 201} or {\"applied\": false}",
                )
                .segment(id_schema)
                .takes::<Written>(true)
                .answers::<Resolved>()
                .refuses(404, &["key_unknown"])
                .refuses(409, &["key_running", "key_settled", "key_deferred", "key_changed"])
                .refuses(503, &["store_unavailable"]),
        ],
    )
}

/// The id of a key.
fn id_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "string", "pattern": "^[0-9a-fA-F]{64}$" })
}

/// A key that was settled by hand.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "KeyResolved")]
struct Resolved {
    /// Its id.
    id: String,
    /// Whether the write was applied.
    applied: bool,
    /// What duplicates get, where it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// What the key was before.
    was: KeyRecord,
}

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
    Segment(text): Segment,
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
    Segment(text): Segment,
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
        Ok(was) => {
            let (applied, status) = match verdict {
                Verdict::Applied(status) => (true, Some(status.as_u16())),
                Verdict::NotApplied => (false, None),
            };
            Ok(fresh_json(&json!(Resolved { id: id.to_string(), applied, status, was })))
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
