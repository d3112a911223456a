//! The paths for tests and the demo: the switches and the record of what arrived.

use std::sync::Arc;

use axum::{
    extract::{Query, Request, State, rejection::QueryRejection},
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::{Service, json, read_body};
use crate::problem::Problem;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Since {
    /// Only writes with a higher `seq`.
    #[serde(default)]
    after: u64,
    /// At most so many, the newest.
    limit: Option<usize>,
}

pub(super) async fn switches(State(service): State<Arc<Service>>) -> Response {
    json(&service.switches.get(), service.index.seal())
}

pub(super) async fn switch(State(service): State<Arc<Service>>, request: Request) -> Response {
    let body = match read_body(request.into_body()).await {
        Ok(body) => body,
        Err(problem) => return problem.into_response(),
    };
    match service.switches.update_json(&body) {
        Ok(settings) => json(&settings, service.index.seal()),
        Err(error) => Problem::bad_request(error.to_string()).into_response(),
    }
}

pub(super) async fn switch_back(State(service): State<Arc<Service>>) -> Response {
    service.switches.reset();
    json(&service.switches.get(), service.index.seal())
}

pub(super) async fn writes(
    State(service): State<Arc<Service>>,
    since: Result<Query<Since>, QueryRejection>,
) -> Response {
    match since {
        Ok(Query(since)) => {
            let look = service.audit.writes(since.after, since.limit.unwrap_or(usize::MAX));
            json(&look, service.index.seal())
        }
        Err(error) => Problem::bad_request(error.body_text()).into_response(),
    }
}

pub(super) async fn requests(State(service): State<Arc<Service>>) -> Response {
    json(&service.requests.look(), service.index.seal())
}
