//! The answer to a write that is kept as an intent: the same one however often it is asked.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use sluicegate_core::OwnAnswer;

use crate::EntryId;

/// Below this path the gateway itself tells how intents are doing.
pub const INTENTS_PATH: &str = "/.sluicegate/intents/";

impl EntryId {
    /// The id as it is written in paths and answers: a UUID.
    #[must_use]
    pub fn to_text(self) -> String {
        uuid::Uuid::from_u128(self.0).hyphenated().to_string()
    }

    /// Reads an id as it is written.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        uuid::Uuid::try_parse(text).ok().map(|id| Self(id.as_u128()))
    }
}

/// In a request's extensions: it is this intent, being applied.
///
/// Its key's fence says so already ([`FenceState::Deferred`](crate::fence::FenceState::Deferred)),
/// and whoever applies it settles that fence: the layers that would keep the write or begin its
/// key let it pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backfill(pub EntryId);

/// `202 Accepted`, with the place where the intent can be watched.
#[must_use]
pub fn accepted(intent: EntryId) -> Response<Bytes> {
    let id = intent.to_text();
    let location = format!("{INTENTS_PATH}{id}");
    let body = format!("{{\"id\":\"{id}\",\"state\":\"queued\",\"location\":\"{location}\"}}\n");
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = StatusCode::ACCEPTED;
    let headers = response.headers_mut();
    if let Ok(location) = HeaderValue::try_from(location) {
        headers.insert(header::LOCATION, location);
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.extensions_mut().insert(OwnAnswer);
    response
}
