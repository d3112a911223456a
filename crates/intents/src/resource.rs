//! The place where a client watches its intent.
//!
//! `GET /.sluicegate/intents/{id}` tells how it stands, `/{id}/response` gives the upstream's
//! own answer once there is one. Only the tenant that made an intent can see it: to others it
//! does not exist.

use bytes::Bytes;
use http::{HeaderValue, Method, Response, header};
use serde_json::{Value, json};
use sluicegate_core::{Code, Refusal};
use sluicegate_store::{EntryId, EntryState, INTENTS_PATH, StoreError};

use crate::{
    answer,
    home::Intents,
    intent::{Intent, Note},
    operator::timestamp,
    refuse,
};

impl Intents {
    /// Answers a request for a path below [`INTENTS_PATH`]; `tenant` is who asks.
    pub async fn resource(
        &self,
        method: &Method,
        path: &str,
        tenant: Option<&str>,
    ) -> Result<Response<Bytes>, Refusal> {
        let (id, of_response) = named(path).ok_or_else(|| not_here(path))?;
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Err(Refusal::new(Code::BadRequest, "an intent can only be read, with GET")
                .status(http::StatusCode::METHOD_NOT_ALLOWED)
                .header(header::ALLOW, HeaderValue::from_static("GET, HEAD")));
        }
        let lost = |error: StoreError| refuse::store_lost(&error);
        let entry = self.0.store.entry(id).await.map_err(lost)?.ok_or_else(|| not_here(path))?;
        let intent = Intent::decode(&entry.value).map_err(lost)?;
        if intent.tenant.as_deref() != tenant {
            return Err(not_here(path));
        }
        let note = Note::decode(&entry.note).map_err(lost)?;
        if !of_response {
            return Ok(json(&shown(id, entry.state, &intent, &note)));
        }
        match &note.answer {
            Some(answer) => Ok(answer::shown(answer)),
            None => Err(Refusal::new(
                Code::NoRoute,
                format!("this intent is {} and has no answer of the upstream", entry.state.as_str()),
            )
            .member("state", entry.state.as_str().into())),
        }
    }
}

/// The id that a path names, and whether it asks for the response.
fn named(path: &str) -> Option<(EntryId, bool)> {
    let rest = path.strip_prefix(INTENTS_PATH)?;
    let (id, of_response) = match rest.split_once('/') {
        None => (rest, false),
        Some((id, "response")) => (id, true),
        Some(_) => return None,
    };
    Some((EntryId::from_text(id)?, of_response))
}

fn shown(id: EntryId, state: EntryState, intent: &Intent, note: &Note) -> Value {
    let id = id.to_text();
    let response = note
        .answer
        .as_ref()
        .map(|answer| json!({ "status": answer.status, "location": format!("{INTENTS_PATH}{id}/response") }));
    json!({
        "id": id,
        "state": state.as_str(),
        "route": intent.route,
        "key": intent.key,
        "order_key": intent.order_key,
        "created_at": timestamp(intent.created_ms),
        "attempts": note.attempts,
        "response": response,
    })
}

fn json(value: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(format!("{value}\n")));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn not_here(path: &str) -> Refusal {
    Refusal::new(
        Code::NoRoute,
        format!("there is nothing at {path}; an intent that is over is kept for a while only"),
    )
}

#[cfg(test)]
mod tests;
