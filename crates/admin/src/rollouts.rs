//! The rollouts' endpoints: where each stands, what was decided, and commands.
//!
//! `GET /rollouts` answers at once; with `?wait=30s&since=N` it waits until the version is
//! another than `N`. The progress of a step is a change as well, at most once a second for each
//! rollout.
//!
//! A command is one compare-and-set of the record that all gateways share, judged anew where
//! somebody else was faster. Its answer is the rollout as it stands after it. What is not
//! possible in the rollout's phase is refused with what is (`can`); what the arms are not ready
//! for, with what stands in the way (`diffs`).
//!
//! An abort takes effect on this gateway before the store is asked. Where the store then cannot
//! be reached the answer is 503 `only_here` with `in_effect: true`: the others go on until the
//! store is back. An abort may be repeated at any time.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Query, State, rejection::QueryRejection},
    response::Response,
};
use http::{HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sluicegate_core::units::Span;
use sluicegate_rollout::{History, RolloutError, RolloutStatus};

use crate::{
    Shared,
    endpoint::{self, Endpoint, Parameter, schema_of},
    extract::Segment,
    freeze::follow::place,
    problem::{Problem, fresh_json},
};

mod orders;

/// A long poll is answered by then, change or not.
const LONGEST_POLL: Duration = Duration::from_secs(5 * 60);

pub(crate) fn endpoints() -> Vec<Endpoint> {
    let wait = Parameter::new("wait", "How long to wait for a change, such as 30s.", schema_of::<Span>);
    let since = Parameter::new("since", "The version that is known already.", endpoint::whole);
    let mut endpoints = vec![
        Endpoint::get("/rollouts", list)
            .named("rollouts", "where each rollout stands; ?wait=30s&since=N waits for a change")
            .query(&[wait, since])
            .answers::<Listed>()
            .refuses(503, &["too_many_followers"]),
        Endpoint::get("/rollouts/{name}", show)
            .named("rollout", "one rollout")
            .answers::<RolloutStatus>()
            .refuses(404, &["unknown_rollout"]),
        Endpoint::get("/rollouts/{name}/history", history)
            .named("rolloutHistory", "what was decided, by whom and from which numbers")
            .answers::<History>()
            .refuses(404, &["unknown_rollout"])
            .refuses(503, &["store_unavailable"]),
    ];
    endpoints.extend(orders::endpoints());
    endpoint::of("rollouts", endpoints)
}

/// All rollouts.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RolloutList")]
struct Listed {
    /// Rises with each change.
    version: u64,
    /// Where each stands.
    rollouts: Vec<RolloutStatus>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    wait: Option<Span>,
    since: Option<u64>,
}

async fn list(
    State(shared): State<Arc<Shared>>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(ListQuery { wait, since }) = query.map_err(|error| {
        Problem::bad_request(format!(
            "the parameters here are `wait`, a duration such as 30s, and `since`, a version ({})",
            error.body_text()
        ))
    })?;
    let (version, rollouts) = if let Some(wait) = wait {
        let _place = place(&shared)?;
        let since = since.unwrap_or_else(|| shared.rollouts.version());
        shared.rollouts.changed(since, wait.0.min(LONGEST_POLL)).await
    } else {
        // The version first: what changes in between is then told again, and never missed.
        (shared.rollouts.version(), shared.rollouts.status())
    };
    Ok(fresh_json(&json!(Listed { version, rollouts })))
}

async fn show(State(shared): State<Arc<Shared>>, Segment(name): Segment) -> Result<Response, Problem> {
    let status = shared.rollouts.status_of(&name).map_err(|error| problem(&error, None))?;
    Ok(fresh_json(&json!(status)))
}

async fn history(State(shared): State<Arc<Shared>>, Segment(name): Segment) -> Result<Response, Problem> {
    let history = shared.rollouts.history(&name).await.map_err(|error| problem(&error, None))?;
    Ok(fresh_json(&json!(history)))
}

/// The error as an answer, with the rollout as it stands now where there is one.
fn problem(error: &RolloutError, now: Option<&RolloutStatus>) -> Problem {
    let (status, title) = match error {
        RolloutError::Unknown { .. } => (StatusCode::NOT_FOUND, "There is no such rollout"),
        RolloutError::Invalid(_) => (StatusCode::BAD_REQUEST, "The command cannot be understood"),
        RolloutError::Refused { .. } => (StatusCode::CONFLICT, "This is not possible in the rollout's phase"),
        RolloutError::NotReady { .. } => (StatusCode::CONFLICT, "An arm of the rollout is not ready"),
        RolloutError::Elsewhere { .. } => (StatusCode::CONFLICT, "The record is about other upstreams"),
        RolloutError::Busy => (StatusCode::CONFLICT, "The rollout kept changing"),
        RolloutError::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, "The store cannot be used"),
        RolloutError::OnlyHere(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "In effect on this gateway, and not told to the others")
        }
        RolloutError::NoRoom(_) => (StatusCode::INSUFFICIENT_STORAGE, "The store has no room for it"),
    };
    let problem = Problem::new(status, error.code(), title, error.to_string());
    let problem = match error {
        RolloutError::Unknown { known, .. } => problem.member("known", json!(known)),
        RolloutError::Refused { phase, .. } => {
            let can = now.map(|now| json!(now.can));
            problem.member("phase", json!(phase)).member("can", can.unwrap_or_default())
        }
        RolloutError::NotReady { diffs } => problem.member("diffs", json!(diffs)),
        RolloutError::Store(_) | RolloutError::OnlyHere(_) => {
            problem.header(header::RETRY_AFTER, HeaderValue::from_static("5"))
        }
        _ => problem,
    };
    if error.in_effect() {
        problem.member("in_effect", Value::Bool(true)).member("rollout", json!(now))
    } else {
        problem
    }
}
