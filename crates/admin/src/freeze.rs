//! The freeze's endpoints: what is on, switching on, lifting, and following it.
//!
//! `GET /freeze` answers at once; with `?wait=30s&since=N` it waits until the version is
//! another than `N`, and with `Accept: text/event-stream` it sends every change as an event
//! ([`follow`]). `PUT /freeze/{id}` is idempotent: it switches the freeze on, or replaces its
//! reason, end and scope. With `?wait=30s` it answers when every write that was let through
//! has a known end, or when the time is up, with `drain.drained` telling which; so does
//! `GET /freeze/{id}?wait=30s` for a freeze that is on already. The freeze holds from the moment
//! it is switched on, whether or not the client stays for the answer, or there is a place to wait.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Query, Request, State, rejection::QueryRejection},
    response::Response,
};
use http::StatusCode;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sluicegate_core::units::Span;
use sluicegate_freeze::{Applied, DrainReport, FreezeError, FreezeRecord, FreezeStatus};

use crate::{
    Shared,
    actor::Actor,
    audit::Entry,
    body,
    endpoint::{self, Endpoint, Parameter, schema_of, text},
    extract::Segment,
    problem::{Problem, fresh_json},
};

pub(crate) mod follow;
mod order;

/// An order is a reason and a few names.
const LARGEST_ORDER: usize = 64 << 10;

/// A wait past this is more likely a slip than a wish; a client may always ask again.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

const NOT_PERSISTED: &str = "freeze_not_persisted";

pub(crate) fn endpoints() -> Vec<Endpoint> {
    let wait = Parameter::new("wait", "How long to wait for the drain, such as 30s.", schema_of::<Span>);
    let change = Parameter::new("wait", "How long to wait for a change, such as 30s.", schema_of::<Span>);
    let since = Parameter::new("since", "The version that is known already.", endpoint::whole);
    endpoint::of(
        "freeze",
        vec![
            Endpoint::get("/freeze", follow::get)
                .named(
                    "freezes",
                    "what is frozen; ?wait=30s&since=N waits for a change; text/event-stream sends each",
                )
                .query(&[change, since])
                .answers::<FreezeStatus>()
                .also(200, "text/event-stream", text)
                .refuses(503, &["too_many_followers"]),
            Endpoint::get("/freeze/{id}", get)
                .named("freeze", "one freeze; ?wait=30s waits for its drain")
                .query(&[wait])
                .answers::<Shown>()
                .refuses(404, &["freeze_unknown"])
                .refuses(503, &["too_many_followers"]),
            Endpoint::put("/freeze/{id}", put)
                .named(
                    "putFreeze",
                    "freeze writes: {\"reason\", \"until\" or \"for\", \"scope\"}; ?wait=30s waits for the drain",
                )
                .segment(id_schema)
                .query(&[wait])
                .takes::<order::Written>(false)
                .answers::<Shown>()
                .refuses(400, &["freeze_invalid", "scope_unknown"])
                .refuses(409, &["freeze_reserved", "freeze_configured"])
                .refuses(500, &[NOT_PERSISTED]),
            Endpoint::delete("/freeze/{id}", delete)
                .named("deleteFreeze", "lift a freeze")
                .answers::<Lifted>()
                .refuses(404, &["freeze_unknown"])
                .refuses(409, &["freeze_reserved", "freeze_configured"])
                .refuses(500, &[NOT_PERSISTED]),
        ],
    )
}

/// What the id of a freeze may be.
fn id_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "string",
        "pattern": "^[A-Za-z0-9._~:@+-]{1,64}$",
        // Kept for the configuration; the others are no names in a path.
        "not": { "enum": ["config", ".", ".."] },
    })
}

/// A freeze, and how its drain went where that was waited for.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Freeze")]
struct Shown {
    #[serde(flatten)]
    freeze: FreezeRecord,
    /// The version of the state that this is from.
    version: u64,
    /// How the drain went.
    #[serde(skip_serializing_if = "Option::is_none")]
    drain: Option<DrainReport>,
}

/// A freeze that was lifted.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "FreezeLifted")]
struct Lifted {
    /// The version without it.
    version: u64,
    /// Its id.
    id: String,
    /// The end of its window, where it was one of the calendar: until then it is left out.
    dismissed_until: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WaitQuery {
    wait: Option<Span>,
}

pub(crate) async fn put(
    State(shared): State<Arc<Shared>>,
    Segment(id): Segment,
    query: Result<Query<WaitQuery>, QueryRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let wait = wait(query)?;
    let by = Actor::of(&request);
    let body = body::read(request, LARGEST_ORDER).await?;
    let order = order::read(&body, shared.clock.now(), by.to_string())?;
    shared.known(&order.scope)?;
    let applied = body::to_the_end({
        let (shared, id) = (shared.clone(), id.clone());
        async move { switch_on(&shared, &id, order, by).await }
    })
    .await?;
    if let Some(limit) = wait {
        // Without a place to wait in it is told how far the drain is now.
        let place = follow::drain_place(&shared).ok();
        let limit = place.as_ref().map_or(Duration::ZERO, |_| limit);
        if let Some(answer) = drained(&shared, &id, limit).await {
            return Ok(fresh_json(&json!(answer)));
        }
    }
    // Lifted between the two calls: its words are those it was put with.
    let lifted = DrainReport { drained: false, waited_for: 0, in_flight: 0, unsettled: 0, ended: true };
    let answer =
        Shown { freeze: applied.freeze, version: applied.version, drain: wait.is_some().then_some(lifted) };
    Ok(fresh_json(&json!(answer)))
}

/// The freeze as it is once it is drained or the time is up, with how that went; none where
/// no such freeze is on.
async fn drained(shared: &Shared, id: &str, limit: Duration) -> Option<Shown> {
    let before = shared.freezes.status();
    let report = shared.freezes.wait_drained(id, limit).await.ok()?;
    let after = shared.freezes.status();
    // One that ended meanwhile is shown as it last was.
    let all = after.freezes.into_iter().chain(before.freezes);
    let freeze = all.into_iter().find(|freeze| freeze.id == id)?;
    Some(Shown { freeze, version: after.version, drain: Some(report) })
}

pub(crate) async fn get(
    State(shared): State<Arc<Shared>>,
    Segment(id): Segment,
    query: Result<Query<WaitQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let answer = if let Some(limit) = wait(query)? {
        let _place = follow::drain_place(&shared)?;
        drained(&shared, &id, limit).await
    } else {
        let status = shared.freezes.status();
        let freeze = status.freezes.into_iter().find(|freeze| freeze.id == id);
        freeze.map(|freeze| Shown { freeze, version: status.version, drain: None })
    };
    answer.map(|answer| fresh_json(&json!(answer))).ok_or_else(|| {
        let active = shared.freezes.status().freezes.into_iter().map(|freeze| freeze.id).collect();
        problem(&FreezeError::Unknown { id, active })
    })
}

fn wait(query: Result<Query<WaitQuery>, QueryRejection>) -> Result<Option<Duration>, Problem> {
    let Query(query) = query.map_err(|error| {
        Problem::bad_request(format!(
            "the only parameter here is `wait`, a duration such as 30s ({})",
            error.body_text()
        ))
    })?;
    Ok(query.wait.map(|wait| wait.0.min(LONGEST_WAIT)))
}

async fn switch_on(
    shared: &Shared,
    id: &str,
    order: sluicegate_freeze::FreezeOrder,
    by: Actor,
) -> Result<Applied, Problem> {
    let asked = json!({ "reason": order.reason, "until": order.until, "scope": order.scope });
    let made = shared.freezes.put(id, order).await;
    let entry = match &made {
        Ok(_) => Entry::done("freeze", id, by, asked),
        Err(error) => {
            let mut entry = Entry::failed("freeze", id, by, code(error), &error.to_string());
            entry.detail["asked"] = asked;
            entry
        }
    };
    shared.audit.record(entry).await;
    made.map_err(|error| {
        let freeze = shared.freezes.status().freezes.into_iter().find(|freeze| freeze.id == id);
        let problem = problem(&error);
        if error.in_effect() { problem.member("freeze", json!(freeze)) } else { problem }
    })
}

pub(crate) async fn delete(
    State(shared): State<Arc<Shared>>,
    Segment(id): Segment,
    request: Request,
) -> Result<Response, Problem> {
    let by = Actor::of(&request);
    body::to_the_end(async move {
        let made = shared.freezes.remove(&id, Some(&by.to_string())).await;
        let entry = match &made {
            Ok(removed) => {
                let detail = json!({ "dismissed_until": removed.dismissed_until });
                Entry::done("thaw", id.as_str(), by, detail)
            }
            Err(error) => Entry::failed("thaw", id.as_str(), by, code(error), &error.to_string()),
        };
        shared.audit.record(entry).await;
        let removed = made.map_err(|error| problem(&error))?;
        let lifted =
            Lifted { version: removed.version, id: removed.id, dismissed_until: removed.dismissed_until };
        Ok(fresh_json(&json!(lifted)))
    })
    .await
}

/// The stable word for each way it can fail.
const fn code(error: &FreezeError) -> &'static str {
    match error {
        FreezeError::Invalid(_) => "freeze_invalid",
        FreezeError::Reserved { .. } => "freeze_reserved",
        FreezeError::Configured => "freeze_configured",
        FreezeError::Unknown { .. } => "freeze_unknown",
        FreezeError::NotPersisted { .. } => NOT_PERSISTED,
    }
}

fn problem(error: &FreezeError) -> Problem {
    let (status, title) = match error {
        FreezeError::Invalid(_) => (StatusCode::BAD_REQUEST, "The freeze cannot be set like this"),
        FreezeError::Reserved { .. } => (StatusCode::CONFLICT, "The id belongs to the configuration"),
        FreezeError::Configured => (StatusCode::CONFLICT, "The configuration holds the freeze"),
        FreezeError::Unknown { .. } => (StatusCode::NOT_FOUND, "No such freeze is on"),
        FreezeError::NotPersisted { .. } => {
            (StatusCode::INTERNAL_SERVER_ERROR, "The change is in effect but would not survive a restart")
        }
    };
    let problem = Problem::new(status, code(error), title, error.to_string());
    match error {
        FreezeError::Invalid(faults) => problem.member(
            "problems",
            faults.iter().map(|(path, message)| json!({ "path": path, "message": message })).collect(),
        ),
        FreezeError::Unknown { active, .. } => problem.member("active", json!(active)),
        FreezeError::NotPersisted { .. } => problem.member("in_effect", Value::Bool(true)),
        FreezeError::Reserved { .. } | FreezeError::Configured => problem,
    }
}
