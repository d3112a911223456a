//! What `GET /status` shows of webhooks.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::input::WebhookEvent;

/// How one receiver fares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookStatus {
    /// Its name.
    pub name: String,
    /// Where it is: scheme, host and port.
    pub url: String,
    /// What it is told of.
    pub events: Vec<WebhookEvent>,
    /// Messages that are still to be delivered.
    pub pending: usize,
    /// Messages it has taken from this gateway.
    pub delivered: u64,
    /// Messages that another gateway of the store has delivered.
    pub elsewhere: u64,
    /// Messages whose tries were used up.
    pub given_up: u64,
    /// Messages for which there was no room.
    pub dropped: u64,
    /// Tries that have failed since the last that did not.
    pub failures_in_a_row: u32,
    /// The last message it has taken.
    pub last_delivery: Option<LastDelivery>,
    /// The last try that has failed.
    pub last_failure: Option<LastFailure>,
    /// When the oldest pending message is tried again, where it waits for that.
    pub next_try: Option<Timestamp>,
}

/// A message that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastDelivery {
    /// When.
    pub at: Timestamp,
    /// Its `webhook-id`.
    pub id: String,
    /// Its event.
    pub event: WebhookEvent,
    /// What it was about.
    pub about: String,
    /// What the receiver answered.
    pub status: u16,
}

/// A try that has failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastFailure {
    /// When.
    pub at: Timestamp,
    /// The message's `webhook-id`.
    pub id: String,
    /// What went wrong.
    pub error: String,
}
