//! From what happens to freezes to what webhooks are told.
//!
//! What the calendar brings about happens on every gateway that runs the same document, and is
//! told once by those that share a store. What one gateway does by itself it tells under an id
//! of its own: an operator's freeze, its own drain, a window that was lifted here before its
//! end, and one that begins here again (a reload gave it another scope, or took it out and
//! brought it back; the clock was set back): under the id that receivers have seen already
//! they would take no notice of it.

use std::{collections::VecDeque, sync::Arc};

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sluicegate_freeze::{FreezeEvent, FreezeEventKind};
use sluicegate_webhooks::{Message, WebhookEvent, Webhooks};
use tokio::sync::broadcast::{Receiver, error::RecvError};

/// So many times of windows that have ended here are kept in mind.
const REMEMBERED: usize = 256;

/// Tells what happens, for as long as something can.
pub(crate) async fn tell(mut events: Receiver<FreezeEvent>, webhooks: Webhooks, gateway: String) {
    let mut ended = Ended::default();
    loop {
        match events.recv().await {
            Ok(event) => {
                let again = ended.note(&event);
                if !webhooks.is_empty() {
                    webhooks.send(message(&event, &gateway, again));
                }
            }
            Err(RecvError::Lagged(lost)) => {
                tracing::error!(lost, "more happened to freezes than webhooks could be told of");
                webhooks.missed(lost);
            }
            Err(RecvError::Closed) => return,
        }
    }
}

/// The times of windows that have ended on this gateway, by id and start; the newest last.
#[derive(Debug, Default)]
struct Ended(VecDeque<(Arc<str>, Timestamp)>);

impl Ended {
    /// Whether this is about a time of a window that has ended here before; notes it where it
    /// ends now.
    fn note(&mut self, event: &FreezeEvent) -> bool {
        let Some(start) = event.window else { return false };
        let known = self.0.iter().any(|(id, at)| *at == start && *id == event.id);
        if event.kind == FreezeEventKind::End && !known {
            if self.0.len() >= REMEMBERED {
                self.0.pop_front();
            }
            self.0.push_back((event.id.clone(), start));
        }
        known
    }
}

fn message(event: &FreezeEvent, gateway: &str, again: bool) -> Message {
    let kind = match event.kind {
        FreezeEventKind::Announce => WebhookEvent::Announce,
        FreezeEventKind::Start => WebhookEvent::Start,
        FreezeEventKind::Drained => WebhookEvent::Drained,
        FreezeEventKind::End => WebhookEvent::End,
    };
    let lifted = event.kind == FreezeEventKind::End && event.until.is_none_or(|until| event.at < until);
    let shared = event.window.is_some() && kind != WebhookEvent::Drained && !lifted && !again;
    let (began, whose) = match event.window.filter(|_| shared) {
        Some(start) => (start, ""),
        None => (event.since, gateway),
    };
    let began = began.as_millisecond().to_string();
    let scope = (!event.scope.is_everything()).then_some(&event.scope);
    let mut freeze = json!({
        "id": event.id,
        "reason": event.reason,
        "since": event.since,
        "until": event.until,
        "scope": scope,
        "source": event.source,
        "by": event.by,
        "drained_at": event.drained_at,
    });
    if kind == WebhookEvent::End {
        freeze["lifted"] = lifted.into();
    }
    let members: Map<String, Value> =
        [("gateway".to_owned(), gateway.into()), ("freeze".to_owned(), freeze)].into_iter().collect();
    Message::new(kind, &event.id, event.at, &[&event.id, &began, whose], shared, members)
}
