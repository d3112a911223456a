//! Webhooks: tells others what has happened, signed, retried, and never waited for.
//!
//! Each receiver of the configuration has an outbox of its own and a task of its own that
//! empties it, one message after another. Whoever has something to tell puts a [`Message`]
//! into the outboxes and goes on; nothing ever waits for a receiver, and no receiver for
//! another.
//!
//! # What is sent
//!
//! `POST` with a JSON body, signed as Standard Webhooks 1.0 says, for which libraries exist in
//! most languages: `webhook-id` (the same for each try of a message), `webhook-timestamp` (the
//! time of this try) and `webhook-signature`, `v1,` and the HMAC-SHA256 of
//! `id.timestamp.body`; one for each secret, so that a secret can be changed without a gap.
//! Any 2xx is taken as thanks. Redirects are not followed: a signed message goes where the
//! operator said and nowhere else. Nothing goes through a proxy of the environment.
//!
//! # What is promised
//!
//! - A receiver gets the messages in their order. One that cannot be delivered holds up those
//!   behind it until its tries are used up, and is then given up, counted and logged.
//! - Between tries there is a pause with full jitter, doubled with each try up to a cap, and not
//!   shorter than a `Retry-After` within that cap. `410 Gone` ends the tries at once.
//! - Of the gateways that share a store, one delivers a message that all of them know
//!   (`Message::shared`): they claim it in the store. *At least once*: where the store cannot
//!   be asked, or a gateway dies between delivery and its note of it, a message comes again
//!   under the same `webhook-id`.
//! - An outbox is bounded ([`OUTBOX`]); what does not fit is dropped, counted and logged. It is
//!   kept in memory: what has not been delivered when the process ends is not delivered by it.
//!
//! # Metrics
//!
//! | metric | what |
//! |---|---|
//! | `sluicegate_webhook_messages_total{webhook,outcome}` | messages by how they ended: `delivered`, `elsewhere` (by another gateway), `given_up`, `dropped` |
//! | `sluicegate_webhook_tries_total{webhook,result}` | tries: `ok`, `refused` (any other status), `timeout`, `unreachable` |
//! | `sluicegate_webhook_pending{webhook}` | messages in the outbox |

mod claims;
mod deliver;
mod home;
pub mod input;
mod message;
mod metrics;
mod outbox;
mod post;
mod settings;
mod sign;
mod status;

pub use home::{OpenOptions, Webhooks};
pub use input::{WebhookEvent, WebhookInput};
pub use message::Message;
pub use outbox::OUTBOX;
pub use settings::WebhookSettings;
pub use status::{LastDelivery, LastFailure, WebhookStatus};
