//! What is told.

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use sluicegate_core::headers::hex;

use crate::input::WebhookEvent;

/// A message to all receivers that asked for its event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its id: the same for every receiver and every try.
    pub(crate) id: String,
    pub(crate) event: WebhookEvent,
    pub(crate) about: String,
    /// Whether the other gateways of the store know the same message under the same id.
    pub(crate) shared: bool,
    pub(crate) body: Bytes,
}

impl Message {
    /// A message about `about`, which happened at `time`; `key` says what makes it this one and
    /// no other. `shared` is for what every gateway of the group tells under the same key.
    #[must_use]
    pub fn new(
        event: WebhookEvent,
        about: &str,
        time: Timestamp,
        key: &[&str],
        shared: bool,
        members: Map<String, Value>,
    ) -> Self {
        let mut digest = Sha256::new_with_prefix(event.as_str());
        for part in key {
            digest.update([0]);
            digest.update(part);
        }
        let id = format!("evt_{}", hex(&digest.finalize()[..16]));
        let mut body = json!({ "id": id, "type": event.as_str(), "time": time });
        if let Some(body) = body.as_object_mut() {
            body.extend(members);
        }
        Self { id, event, about: about.to_owned(), shared, body: body.to_string().into() }
    }
}
