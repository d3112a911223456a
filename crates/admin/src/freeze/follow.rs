//! `GET /freeze`: now, at the next change, or every change as it comes.
//!
//! Job schedulers follow the freeze here. A long poll answers when the version is another
//! than the one it names, so that no change between two polls is missed; what a follower
//! gets is always the present state, and a follower that is slow skips states in between.
//! As server-sent events, each change is an event `freeze` whose id is the version (after a
//! break, `Last-Event-ID` spares it the state it has), and a comment every 15 s keeps
//! proxies and clients from giving the connection up.
//!
//! Those who wait are bounded, so that they can never take the connections that an operator
//! needs: past the bound they get 503 and poll again. Those who wait for a drain have places of
//! their own: an operator's `freeze --wait` is not turned away because many jobs follow.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::{Query, State, rejection::QueryRejection},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{Stream, stream};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::json;
use sluicegate_core::units::Span;
use sluicegate_freeze::Freezes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    Shared,
    problem::{Problem, fresh_json},
};

/// Half of the connections that the port takes.
pub(crate) const FOLLOWERS: usize = 128;

/// A quarter more, for those who wait for a drain.
pub(crate) const DRAINS: usize = 64;

const HEARTBEAT: Duration = Duration::from_secs(15);

/// A long poll is answered by then, change or not.
const LONGEST_POLL: Duration = Duration::from_secs(5 * 60);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GetQuery {
    wait: Option<Span>,
    since: Option<u64>,
}

pub(crate) async fn get(
    State(shared): State<Arc<Shared>>,
    query: Result<Query<GetQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|error| {
        Problem::bad_request(format!(
            "the parameters here are `wait`, a duration such as 30s, and `since`, a version ({})",
            error.body_text()
        ))
    })?;
    if wants_events(&headers) {
        let seen = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok()).or(query.since);
        let events = events(shared.freezes.clone(), seen, place(&shared)?);
        let events = Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("still here"));
        return Ok(([(header::CACHE_CONTROL, "no-store")], events).into_response());
    }
    let status = match (query.wait, query.since) {
        (None, _) => shared.freezes.status(),
        (Some(wait), since) => {
            let _place = place(&shared)?;
            let since = since.unwrap_or_else(|| shared.freezes.version());
            shared.freezes.changed(since, wait.0.min(LONGEST_POLL)).await
        }
    };
    Ok(fresh_json(&json!(status)))
}

fn wants_events(headers: &HeaderMap) -> bool {
    let accepts = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepts.into_iter().any(|value| value.contains("text/event-stream"))
}

/// A place among those who wait for a change, of the freezes or of a rollout.
pub(crate) fn place(shared: &Shared) -> Result<OwnedSemaphorePermit, Problem> {
    among(&shared.followers, FOLLOWERS, "changes")
}

/// A place among those who wait for a drain.
pub(super) fn drain_place(shared: &Shared) -> Result<OwnedSemaphorePermit, Problem> {
    among(&shared.drains, DRAINS, "drains")
}

fn among(places: &Arc<Semaphore>, all: usize, what: &str) -> Result<OwnedSemaphorePermit, Problem> {
    places.clone().try_acquire_owned().map_err(|_| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too_many_followers",
            "Too many wait already",
            format!("{all} clients wait for {what} already; poll without `wait`, or try again"),
        )
        .header(header::RETRY_AFTER, HeaderValue::from_static("5"))
    })
}

/// The present state unless its version is `seen`, then every change.
fn events(
    freezes: Freezes,
    seen: Option<u64>,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let versions = freezes.subscribe();
    stream::unfold((freezes, versions, seen, place), |(freezes, mut versions, seen, place)| async move {
        loop {
            versions.mark_unchanged();
            let status = freezes.status();
            if Some(status.version) != seen {
                let event = Event::default()
                    .event("freeze")
                    .id(status.version.to_string())
                    .data(json!(status).to_string());
                return Some((Ok(event), (freezes, versions, Some(status.version), place)));
            }
            // An error means that the freezes are gone, and nothing will change any more.
            versions.changed().await.ok()?;
        }
    })
}
