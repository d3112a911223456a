//! The paths that change documents.
//!
//! A write is recorded when its head is here, then its body is read, then its key is
//! looked up, then the switches have their say, then it is applied. Applying, marking the
//! record and keeping the answer under the key happen without a wait between them, so a
//! write that is given up was either wholly done or not at all.

use std::sync::Arc;

use axum::{
    extract::{Path, Request, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header, request::Parts};
use serde::Deserialize;
use serde_json::json;

use super::{Service, check_id, id_of, parse, read_body};
use crate::{
    audit::Ticket,
    corpus::Document,
    faults::{Fault, Kind, break_off, pass},
    index::{Change, IndexError, Seal},
    keys::{Answer, Claimed, fingerprint, key_of},
    problem::{PROBLEM_JSON, Problem},
    stop,
    switches::Reset,
};

const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    id: Option<String>,
    #[serde(default)]
    title: String,
    text: String,
}

enum Write {
    Create,
    Put(String),
    Delete(String),
}

pub(super) async fn create(State(service): State<Arc<Service>>, request: Request) -> Response {
    arrive(service, request, Ok(Write::Create)).await
}

pub(super) async fn put(
    State(service): State<Arc<Service>>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    arrive(service, request, id_of(path).map(Write::Put)).await
}

pub(super) async fn delete(
    State(service): State<Arc<Service>>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    arrive(service, request, id_of(path).map(Write::Delete)).await
}

async fn arrive(service: Arc<Service>, request: Request, write: Result<Write, Problem>) -> Response {
    let (head, body) = request.into_parts();
    let ticket = service.audit.arrived(&head);
    let write = match (write, read_body(body).await) {
        (Ok(write), Ok(body)) => Arrived { service, head, body, write },
        (Err(problem), _) | (_, Err(problem)) => {
            ticket.end(problem.status);
            return problem.into_response();
        }
    };
    if !write.service.switches.get().run_on {
        return write.work(ticket).await;
    }
    let mut stopping = write.service.stopping.clone();
    let task = tokio::spawn(async move {
        tokio::select! {
            response = write.work(ticket) => Some(response),
            () = stop::told(&mut stopping) => None,
        }
    });
    match task.await {
        Ok(Some(response)) => response,
        _ => break_off(),
    }
}

/// A write that has been read in full.
struct Arrived {
    service: Arc<Service>,
    head: Parts,
    body: Bytes,
    write: Write,
}

impl Arrived {
    async fn work(self, ticket: Ticket) -> Response {
        match self.decide(&ticket).await {
            Ok(response) => {
                ticket.end(response.status());
                response
            }
            // Without a status, as one that was given up: the client gets no answer either.
            Err(Broken) => break_off(),
        }
    }

    async fn decide(&self, ticket: &Ticket) -> Result<Response, Broken> {
        let claimed = match self.claim() {
            Ok(claimed) => claimed,
            Err(problem) => return Ok(problem.into_response()),
        };
        let claim = match claimed {
            Some(Claimed::Again(answer)) => return Ok(replayed(answer)),
            Some(Claimed::Running) => {
                let detail = "the first request under this Idempotency-Key is still running; try again later";
                return Ok(Problem::new(StatusCode::CONFLICT, "key_in_use", detail).into_response());
            }
            Some(Claimed::Other) => {
                let detail = "this Idempotency-Key was used for another request; take a new one";
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                return Ok(Problem::new(status, "key_conflict", detail).into_response());
            }
            Some(Claimed::First(claim)) => Some(claim),
            None => None,
        };
        let reset = match pass(&self.service.switches, &self.service.chance, Kind::Write).await {
            Ok(reset) => reset,
            Err(Fault::Break) => return Err(Broken),
            Err(fault) => return Ok(fault.into_response()),
        };
        let answer = match self.apply(ticket) {
            Ok(answer) => answer,
            Err(problem) => return Ok(problem.into_response()),
        };
        if let Some(claim) = claim {
            claim.settle(&answer);
        }
        if matches!(reset, Reset::After | Reset::Midway) { Err(Broken) } else { Ok(answer.into_response()) }
    }

    fn claim(&self) -> Result<Option<Claimed>, Problem> {
        if !self.service.switches.get().honour_keys {
            return Ok(None);
        }
        let Some(key) = key_of(&self.head.headers)? else { return Ok(None) };
        let print = fingerprint(&self.head.method, self.head.uri.path(), &self.body);
        Ok(Some(self.service.keys.claim(key, print)))
    }

    /// Changes the documents. A problem is returned where the request cannot be understood;
    /// what was decided, also against it, is an answer.
    fn apply(&self, ticket: &Ticket) -> Result<Answer, Problem> {
        let index = &self.service.index;
        let (id, done) = match &self.write {
            Write::Delete(id) => (id.clone(), index.delete(id)),
            Write::Put(id) => {
                let input = parse::<Input>(&self.body)?;
                if input.id.as_ref().is_some_and(|named| named != id) {
                    return Err(Problem::bad_request("the id in the body is not the one in the path"));
                }
                let document = Document { id: id.clone(), title: input.title, text: input.text };
                (id.clone(), index.put(document, false))
            }
            Write::Create => {
                let input = parse::<Input>(&self.body)?;
                let id = input.id.unwrap_or_else(|| self.service.chance.id());
                check_id(&id)?;
                let document = Document { id: id.clone(), title: input.title, text: input.text };
                (id, index.put(document, true))
            }
        };
        Ok(match done {
            Ok((change, seal)) => {
                ticket.applied();
                written(&id, change, seal)
            }
            Err(error) => refused(error, index.seal()),
        })
    }
}

/// The connection is to be broken off.
struct Broken;

fn written(id: &str, change: Change, seal: Seal) -> Answer {
    let (status, result) = match change {
        Change::Created => (StatusCode::CREATED, "created"),
        Change::Replaced => (StatusCode::OK, "replaced"),
        Change::Deleted => (StatusCode::OK, "deleted"),
    };
    let body = json!({ "id": id, "result": result, "index_hash": seal.hash(), "doc_count": seal.count() });
    let location = (change == Change::Created)
        .then(|| HeaderValue::try_from(format!("/v1/documents/{id}")).ok())
        .flatten();
    let content_type = HeaderValue::from_static("application/json");
    Answer { status, content_type, location, body: body.to_string().into(), seal }
}

fn refused(error: IndexError, seal: Seal) -> Answer {
    let (status, code) = match error {
        IndexError::Exists => (StatusCode::CONFLICT, "document_exists"),
        IndexError::Missing => (StatusCode::NOT_FOUND, "no_such_document"),
        IndexError::Full => (StatusCode::INSUFFICIENT_STORAGE, "index_full"),
    };
    let body = Problem::new(status, code, error.to_string()).json().into();
    Answer { status, content_type: PROBLEM_JSON, location: None, body, seal }
}

fn replayed(answer: Answer) -> Response {
    let mut response = answer.into_response();
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let content_type = [(header::CONTENT_TYPE, self.content_type)];
        let mut response = (self.status, content_type, self.body).into_response();
        if let Some(location) = self.location {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response.extensions_mut().insert(self.seal);
        response
    }
}
