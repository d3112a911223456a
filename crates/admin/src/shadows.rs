//! The shadows' endpoints: how copies fare, what comparisons found, and beginning anew.
//!
//! A shadow is named by its route and the upstream that gets the copies, `to`. Where a route has
//! one shadow `to` may be left out; where it has several, `GET /shadows/{route}` tells of all, and
//! what needs one is refused with their names (`known`). What is asked of a shadow that does not
//! compare is refused, as there is nothing to show or to forget.
//!
//! A reset forgets what the comparisons found, and nothing else: copies go on, their counters stay.
//! What the shadow had been judged as is written down in the audit log.

use std::{num::NonZeroUsize, sync::Arc};

use axum::{
    extract::{Query, Request, State, rejection::QueryRejection},
    response::Response,
};
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sluicegate_shadow::{KeptPair, ShadowReport, ShadowStatus};

use crate::{
    Shared,
    actor::Actor,
    audit::Entry,
    body,
    endpoint::{self, Endpoint, Parameter, schema_of},
    extract::Segment,
    nearest,
    problem::{Problem, fresh_json},
};

/// A reset has no words of its own.
const LARGEST_ORDER: usize = 4 << 10;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    let to = Parameter::new("to", "The upstream that gets the copies.", schema_of::<String>);
    let limit = Parameter::new("limit", "How many at most, the newest.", endpoint::from_one);
    let shown =
        |path| Endpoint::get(path, show).query(&[to]).answers::<OfRoute>().refuses(404, &["shadow_unknown"]);
    endpoint::of(
        "shadows",
        vec![
            Endpoint::get("/shadows", list)
                .named("shadows", "how the copies of each shadow fare, and its verdict")
                .answers::<All>(),
            shown("/shadows/{route}")
                .named("shadow", "what the comparisons of a route's shadows found; ?to=NAME for one of them"),
            shown("/shadow/{route}").named("shadowOfRoute", "the same as `GET /shadows/{route}`"),
            Endpoint::get("/shadows/{route}/pairs", pairs)
                .named("shadowPairs", "the last pairs of answers that differ; ?to, limit")
                .query(&[to, limit])
                .answers::<Differing<'_>>()
                .refuses(400, &["shadow_ambiguous"])
                .refuses(404, &["shadow_unknown"])
                .refuses(409, &["shadow_not_compared"]),
            Endpoint::post("/shadows/{route}/reset", reset)
                .named(
                    "resetShadow",
                    "forget what was found, for a version that has just been put there; ?to",
                )
                .query(&[to])
                .takes::<body::Nothing>(false)
                .answers::<ShadowReport>()
                .refuses(400, &["shadow_ambiguous"])
                .refuses(404, &["shadow_unknown"])
                .refuses(409, &["shadow_not_compared"]),
        ],
    )
}

/// All shadows.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ShadowList")]
struct All {
    /// How each is doing.
    shadows: Vec<ShadowStatus>,
}

/// The shadows of a route.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ShadowsOfRoute")]
struct OfRoute {
    /// The route.
    route: String,
    /// What is known of each.
    shadows: Vec<ShadowReport>,
}

/// The last pairs that differ.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ShadowPairs")]
struct Differing<'a> {
    /// The route.
    route: String,
    /// The upstream that gets the copies.
    to: String,
    /// How many are kept.
    kept: usize,
    /// The newest first.
    pairs: Vec<&'a KeptPair>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    to: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PairsQuery {
    to: Option<String>,
    limit: Option<NonZeroUsize>,
}

async fn list(State(shared): State<Arc<Shared>>) -> Response {
    fresh_json(&json!(All { shadows: shared.shadows.status() }))
}

async fn show(
    State(shared): State<Arc<Shared>>,
    Segment(route): Segment,
    query: Result<Query<Which>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(Which { to }) = query.map_err(|error| only_to(&error))?;
    let mut reports = of_route(&shared, &route)?;
    if let Some(to) = to {
        let at = place(&reports, &route, Some(&to))?;
        reports = vec![reports.swap_remove(at)];
    }
    Ok(fresh_json(&json!(OfRoute { route, shadows: reports })))
}

async fn pairs(
    State(shared): State<Arc<Shared>>,
    Segment(route): Segment,
    query: Result<Query<PairsQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(PairsQuery { to, limit }) = query.map_err(|error| {
        Problem::bad_request(format!(
            "the parameters here are `to`, the upstream that gets the copies, and `limit`, a number from 1 ({})",
            error.body_text()
        ))
    })?;
    let ShadowReport { status, .. } = one(&shared, &route, to.as_deref())?;
    let mut pairs = shared.shadows.pairs(&route, &status.to).unwrap_or_default();
    let kept = pairs.len();
    pairs.truncate(limit.map_or(usize::MAX, NonZeroUsize::get));
    let pairs = pairs.iter().map(|pair| &**pair).collect();
    Ok(fresh_json(&json!(Differing { route, to: status.to, kept, pairs })))
}

async fn reset(
    State(shared): State<Arc<Shared>>,
    Segment(route): Segment,
    query: Result<Query<Which>, QueryRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let by = Actor::of(&request);
    let Query(Which { to }) = query.map_err(|error| only_to(&error))?;
    body::nothing(&body::read(request, LARGEST_ORDER).await?)?;
    body::to_the_end(async move { begun_anew(&shared, &route, to.as_deref(), by).await }).await
}

/// Forgets, writes that down, and answers with the empty report.
async fn begun_anew(shared: &Shared, route: &str, to: Option<&str>, by: Actor) -> Result<Response, Problem> {
    let made = one(shared, route, to).and_then(|before| {
        // A reload may have removed it since.
        if shared.shadows.reset(route, &before.status.to) {
            Ok(before)
        } else {
            Err(strange(&of_route(shared, route)?, route, &before.status.to))
        }
    });
    let entry = match &made {
        Ok(before) => Entry::done("shadow_reset", route, by, told(before)),
        Err(problem) => {
            let mut entry = Entry::failed("shadow_reset", route, by, problem.code(), problem.detail());
            entry.detail["asked"] = json!({ "to": to });
            entry
        }
    };
    shared.audit.record(entry).await;
    let before = made?;
    let now = shared.shadows.report(route).into_iter().find(|now| now.status.to == before.status.to);
    Ok(fresh_json(&json!(now.unwrap_or(before))))
}

/// What is forgotten, for whoever looks for it later.
fn told(before: &ShadowReport) -> Value {
    let counts = before.report.as_ref().map(|report| {
        json!({
            "since": report.since,
            "verdict": report.verdict,
            "pairs": report.shadow.pairs,
            "differing": report.shadow.differing,
        })
    });
    json!({ "to": before.status.to, "was": counts })
}

/// One shadow of a route, which compares.
fn one(shared: &Shared, route: &str, to: Option<&str>) -> Result<ShadowReport, Problem> {
    let mut reports = of_route(shared, route)?;
    let at = place(&reports, route, to)?;
    let found = reports.swap_remove(at);
    if found.report.is_some() {
        return Ok(found);
    }
    let detail = format!(
        "the shadow of `{route}` to `{}` does not compare answers; add `compare: {{}}` to it in the configuration",
        found.status.to
    );
    Err(Problem::new(StatusCode::CONFLICT, "shadow_not_compared", "The shadow compares nothing", detail))
}

/// The reports of a route that has shadows.
fn of_route(shared: &Shared, route: &str) -> Result<Vec<ShadowReport>, Problem> {
    let reports = shared.shadows.report(route);
    if reports.is_empty() { Err(no_shadow(&shared.shadows.status(), route)) } else { Ok(reports) }
}

fn no_shadow(all: &[ShadowStatus], route: &str) -> Problem {
    let mut known: Vec<_> = all.iter().map(|shadow| shadow.route.as_str()).collect();
    known.dedup();
    let near = match (nearest(route, known.iter().copied()), known.is_empty()) {
        (_, true) => "no route has one: add `shadow` to one in the configuration".to_owned(),
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, _) => format!("routes that have one: {}", known.join(", ")),
    };
    unknown(format!("no route `{route}` has a shadow; {near}"), &known)
}

/// Which of a route's shadows is meant.
fn place(reports: &[ShadowReport], route: &str, to: Option<&str>) -> Result<usize, Problem> {
    let Some(to) = to else {
        if let [_] = reports {
            return Ok(0);
        }
        let known: Vec<_> = reports.iter().map(|report| report.status.to.as_str()).collect();
        let detail = format!("`{route}` has {} shadows; name one by `to`: {}", known.len(), known.join(", "));
        let (status, title) = (StatusCode::BAD_REQUEST, "Several shadows may be meant");
        return Err(Problem::new(status, "shadow_ambiguous", title, detail).member("known", json!(known)));
    };
    let at = reports.iter().position(|report| report.status.to == to);
    at.ok_or_else(|| strange(reports, route, to))
}

/// The problem of a shadow that a route does not have among its own.
fn strange(reports: &[ShadowReport], route: &str, to: &str) -> Problem {
    let known: Vec<_> = reports.iter().map(|report| report.status.to.as_str()).collect();
    let detail = format!("copies of `{route}` do not go to `{to}`; they go to {}", known.join(", "));
    unknown(detail, &known)
}

fn unknown(detail: String, known: &[&str]) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "shadow_unknown", "There is no such shadow", detail)
        .member("known", json!(known))
}

fn only_to(error: &QueryRejection) -> Problem {
    Problem::bad_request(format!(
        "the only parameter here is `to`, the upstream that gets the copies ({})",
        error.body_text()
    ))
}
