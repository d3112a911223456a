//! The paths of the service and what all answers share.
//!
//! Every answer carries the pins in `X-WFGY`: those of the index it was made from, else the
//! present ones. Every request outside `/debug` is counted until its answer was sent to the
//! end. What no path takes is answered by a problem, as every other error is.

mod counted;
mod debug;
mod reads;
mod writes;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, MatchedPath, Request, State, rejection::PathRejection},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use bytes::Bytes;
use http::{StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::watch;

use self::counted::Counted;
use crate::{
    audit::{Audit, Requests},
    chance::Chance,
    faults::BreakOff,
    index::{Index, Seal},
    keys::Keys,
    pins::PINS_HEADER,
    problem::Problem,
    switches::Switches,
};

/// The largest request body, in bytes.
pub const MAX_BODY: usize = 1 << 20;

/// Everything the paths share.
pub(crate) struct Service {
    pub(crate) index: Index,
    pub(crate) switches: Switches,
    pub(crate) chance: Chance,
    pub(crate) audit: Audit,
    pub(crate) requests: Requests,
    pub(crate) keys: Keys,
    /// Turns true when the instance stops; its sender lives in `Running`.
    pub(crate) stopping: watch::Receiver<bool>,
}

pub(crate) fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/v1/retrieve", post(reads::retrieve))
        .route("/v1/answer", post(reads::answer).get(reads::answer_by_query))
        .route("/v1/documents", get(reads::list).post(writes::create))
        .route("/v1/documents/{id}", put(writes::put).get(reads::document).delete(writes::delete))
        .route("/index/manifest", get(reads::manifest))
        .route("/healthz", get(reads::health))
        .route("/debug/switches", get(debug::switches).put(debug::switch).delete(debug::switch_back))
        .route("/debug/writes", get(debug::writes))
        .route("/debug/requests", get(debug::requests))
        .fallback(|| async {
            Problem::new(StatusCode::NOT_FOUND, "no_such_path", "this service has no such path")
        })
        .method_not_allowed_fallback(|| async {
            let detail = "this path does not take that method; Allow names those it takes";
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
        })
        // The bodies are bounded by `read_body`, which answers by a problem.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(Arc::clone(&service), shared))
        .with_state(service)
}

/// Counts a request and gives its answer the pins.
async fn shared(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str);
    let in_flight = (!path.starts_with("/debug/")).then(|| service.requests.came(path, request.method()));
    let mut response = next.run(request).await;
    let seal = response.extensions_mut().remove::<Seal>().unwrap_or_else(|| service.index.seal());
    response.headers_mut().insert(PINS_HEADER, seal.header());
    let Some(mut in_flight) = in_flight else { return response };
    if response.extensions().get::<BreakOff>().is_none() {
        in_flight.answered(response.status());
    }
    response.map(|body| Body::new(Counted::new(body, in_flight)))
}

/// The whole body, or the problem with it.
async fn read_body(body: Body) -> Result<Bytes, Problem> {
    match Limited::new(body, MAX_BODY).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            let detail = format!("the body is larger than {MAX_BODY} bytes");
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail))
        }
        Err(error) => Err(Problem::bad_request(format!("the body broke off: {error}"))),
    }
}

/// A body read as JSON, whatever its content type says, so that a bare `curl -d` works.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body)
        .map_err(|error| Problem::bad_request(format!("the body is not what this path takes: {error}")))
}

/// The id in a path, if it can be one.
fn id_of(path: Result<axum::extract::Path<String>, PathRejection>) -> Result<String, Problem> {
    let id = path.map_err(|error| Problem::bad_request(error.to_string()))?.0;
    check_id(&id)?;
    Ok(id)
}

fn check_id(id: &str) -> Result<(), Problem> {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:@".contains(&byte);
    if (1..=128).contains(&id.len()) && id.bytes().all(letter) {
        return Ok(());
    }
    Err(Problem::bad_request("a document id is 1 to 128 characters out of letters, digits and -._~:@"))
}

/// An answer in JSON, made from the index as `seal` has it.
fn json(value: &impl Serialize, seal: Seal) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => {
            let mut response = ([(header::CONTENT_TYPE, "application/json")], body).into_response();
            response.extensions_mut().insert(seal);
            response
        }
        Err(error) => {
            let detail = format!("the answer cannot be written as JSON: {error}");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail).into_response()
        }
    }
}
