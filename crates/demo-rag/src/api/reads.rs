//! The paths that change nothing: retrieve, answer, documents, manifest, health.

use std::{io, sync::Arc, time::Duration, vec};

use axum::{
    extract::{
        Path, Query, Request, State,
        rejection::{PathRejection, QueryRejection},
    },
    response::{IntoResponse, Response, Sse, sse::Event as Frame},
};
use futures_util::stream;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Service, id_of, json as answer_json, parse, read_body};
use crate::{
    answer::{Event, Question, events},
    faults::{Kind, break_off, pass},
    problem::Problem,
    switches::Reset,
};

const MAX_K: usize = 50;
const MAX_QUERY: usize = 4096;
const MAX_LIMIT: usize = 1000;
/// The wait before a stream is broken off, for the events before it to leave: a reset
/// overtakes what HTTP/2 has queued.
const BREAK_PAUSE: Duration = Duration::from_millis(20);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Retrieve {
    query: String,
    #[serde(default = "five")]
    k: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ask {
    #[serde(alias = "q")]
    question: String,
    #[serde(default = "three")]
    k: usize,
    max_tokens: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    #[serde(default)]
    after: String,
    #[serde(default = "hundred")]
    limit: usize,
}

const fn five() -> usize {
    5
}

const fn three() -> usize {
    3
}

const fn hundred() -> usize {
    100
}

fn check_text(name: &str, text: &str, k: usize) -> Result<(), Problem> {
    if text.trim().is_empty() || text.len() > MAX_QUERY {
        return Err(Problem::bad_request(format!("the {name} must have 1 to {MAX_QUERY} bytes")));
    }
    if !(1..=MAX_K).contains(&k) {
        return Err(Problem::bad_request(format!("k is {k}; it must be 1 to {MAX_K}")));
    }
    Ok(())
}

/// Lets a read wait and fail as the switches say, then answers it.
async fn faulted(service: &Service, answer: impl FnOnce(Reset) -> Result<Response, Problem>) -> Response {
    let reset = match pass(&service.switches, &service.chance, Kind::Read).await {
        Ok(reset) => reset,
        Err(fault) => return fault.into_response(),
    };
    let response = answer(reset).unwrap_or_else(IntoResponse::into_response);
    let streamed = response.extensions().get::<Streamed>().is_some();
    match reset {
        Reset::After => break_off(),
        Reset::Midway if !streamed => break_off(),
        _ => response,
    }
}

/// The mark on an answer that breaks off by itself in its middle.
#[derive(Clone, Copy)]
struct Streamed;

pub(super) async fn retrieve(State(service): State<Arc<Service>>, request: Request) -> Response {
    let body = read_body(request.into_body()).await;
    faulted(&service, |_| {
        let asked = parse::<Retrieve>(&body?)?;
        check_text("query", &asked.query, asked.k)?;
        let (hits, seal) = service.index.search(&asked.query, asked.k);
        let hits = hits.iter().map(|hit| {
            let document = &hit.document;
            json!({ "id": document.id, "score": hit.score, "title": document.title, "text": document.text })
        });
        let hits = hits.collect::<Vec<_>>();
        let found = json!({ "query": asked.query, "hits": hits, "index_hash": seal.hash() });
        Ok(answer_json(&found, seal))
    })
    .await
}

pub(super) async fn answer(State(service): State<Arc<Service>>, request: Request) -> Response {
    let asked = match read_body(request.into_body()).await {
        Ok(body) => parse(&body),
        Err(problem) => Err(problem),
    };
    stream_answer(service, asked).await
}

pub(super) async fn answer_by_query(
    State(service): State<Arc<Service>>,
    query: Result<Query<Ask>, QueryRejection>,
) -> Response {
    let asked = query.map(|Query(asked)| asked).map_err(|error| Problem::bad_request(error.body_text()));
    stream_answer(service, asked).await
}

async fn stream_answer(service: Arc<Service>, asked: Result<Ask, Problem>) -> Response {
    faulted(&service, |reset| {
        let asked = asked?;
        check_text("question", &asked.question, asked.k)?;
        let (hits, seal) = service.index.search(&asked.question, asked.k);
        let question = Question {
            text: &asked.question,
            hits: &hits,
            max_tokens: asked.max_tokens.unwrap_or(usize::MAX),
            model: service.index.pins().version(),
            index_hash: seal.hash(),
        };
        let events = events(&service.index, &question);
        let break_at = if reset == Reset::Midway { events.len() / 2 } else { usize::MAX };
        let source = Source { service: Arc::clone(&service), events: events.into_iter(), sent: 0, break_at };
        let mut response = Sse::new(stream::unfold(source, next_event)).into_response();
        response.extensions_mut().insert(seal);
        response.extensions_mut().insert(Streamed);
        Ok(response)
    })
    .await
}

struct Source {
    service: Arc<Service>,
    events: vec::IntoIter<Event>,
    sent: usize,
    /// The event in whose place the connection is broken off.
    break_at: usize,
}

async fn next_event(mut source: Source) -> Option<(io::Result<Frame>, Source)> {
    let event = source.events.next()?;
    if event.name == "token" {
        // Read for each token, so that an answer under way is slowed as well.
        let pause = source.service.switches.get().slow_tokens_ms;
        if pause > 0 {
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }
    if source.sent == source.break_at {
        tokio::time::sleep(BREAK_PAUSE).await;
        return Some((Err(io::Error::other("switched to break off midway")), source));
    }
    source.sent += 1;
    let frame = Frame::default().event(event.name).id(source.sent.to_string()).data(event.data.to_string());
    Some((Ok(frame), source))
}

pub(super) async fn document(
    State(service): State<Arc<Service>>,
    path: Result<Path<String>, PathRejection>,
) -> Response {
    faulted(&service, |_| {
        let (document, seal) = service.index.get(&id_of(path)?);
        let Some(document) = document else {
            let detail = "no document has this id; GET /v1/documents lists them";
            return Err(Problem::new(StatusCode::NOT_FOUND, "no_such_document", detail));
        };
        Ok(answer_json(document.as_ref(), seal))
    })
    .await
}

pub(super) async fn list(
    State(service): State<Arc<Service>>,
    page: Result<Query<Page>, QueryRejection>,
) -> Response {
    faulted(&service, |_| {
        let Query(page) = page.map_err(|error| Problem::bad_request(error.body_text()))?;
        if !(1..=MAX_LIMIT).contains(&page.limit) {
            let detail = format!("limit is {}; it must be 1 to {MAX_LIMIT}", page.limit);
            return Err(Problem::bad_request(detail));
        }
        // One more than asked for tells whether there is a next page.
        let (mut documents, seal) = service.index.list(&page.after, page.limit + 1);
        let more = documents.len() > page.limit;
        documents.truncate(page.limit);
        let next = if more { documents.last().map(|last| last.id.clone()) } else { None };
        let documents = documents.iter().map(|d| json!({ "id": d.id, "title": d.title }));
        let documents = documents.collect::<Vec<_>>();
        let listed = json!({
            "count": seal.count(), "index_hash": seal.hash(), "documents": documents, "next": next,
        });
        Ok(answer_json(&listed, seal))
    })
    .await
}

pub(super) async fn manifest(State(service): State<Arc<Service>>) -> Response {
    let (members, seal) = service.index.manifest();
    answer_json(&Value::Object(members), seal)
}

pub(super) async fn health(State(service): State<Arc<Service>>) -> Response {
    if !service.switches.get().healthy {
        let detail = "the switch healthy is off";
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unhealthy", detail).into_response();
    }
    let health = json!({ "status": "ok", "version": service.index.pins().version() });
    answer_json(&health, service.index.seal())
}
