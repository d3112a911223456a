//! Writes accepted during a freeze, kept durably, applied after it.
//!
//! On a route that says `when_frozen: queue` a write is not refused during a freeze: it is kept
//! as an *intent* and answered `202` with the place where it can be watched. When the freeze is
//! over and drained, and a soak has passed, the backfill applies what is kept, in order, at a
//! bounded pace. [`Intents`] is the home of the intents; [`IntentsLayer`] keeps them;
//! [`Intents::run`] applies them.
//!
//! # What is promised
//!
//! - An intent that was acknowledged is in the store: on disk, or acknowledged by Redis. It is
//!   appended in the same transaction that moves the fence of its idempotency key to
//!   *deferred*, so that the same key gives the same intent, and only one.
//! - It is applied at most once. Where the upstream honours keys, what was in flight when a
//!   gateway died is sent again with its key; where it does not, it is *in doubt* and waits for
//!   an operator: at each kill at most as many as the backfill applies at one time.
//! - Intents of one line are applied in the order they came in; a line is held up by an intent
//!   that is being tried again or is in doubt. A line is what `order_by` says, of one tenant;
//!   without it, a route and a tenant. While intents wait in a line, a new write of it goes
//!   behind them, freeze or not, checked and appended in one transaction. What `order_by` said
//!   when an intent was kept holds for it.
//! - Its end, and the end of its key's fence, are one transaction. The fence's life counts from
//!   there.
//! - Only the tenant that made an intent can see it.
//! - Credentials are not stored. Which headers are kept is a list ([`ALWAYS_KEPT`] and
//!   `keep_headers`); [`CREDENTIALS`] cannot be on it. What the upstream needs to know the
//!   gateway by is set when an intent is applied (`headers`). Trailers are not kept.
//!
//! # States
//!
//! | state | means | leaves it by |
//! |---|---|---|
//! | queued | it waits in its line | being claimed, expiry, an operator |
//! | applying | a gateway has claimed it | its outcome, the death of that gateway |
//! | in doubt | it may or may not have been applied; it holds its line | an operator: retry, drop, settle; the slow gateway that knows after all |
//! | applied | it was done; its answer is kept | the end of `keep` |
//! | dead | the upstream refused it, or its tries are used up with nothing applied | an operator: retry, drop; the end of `keep` |
//! | expired | it waited for longer than `ttl` | the end of `keep` |
//! | dropped | an operator threw it away | the end of `keep` |
//!
//! # What is refused
//!
//! A write without an idempotency key: `read_only` as without a queue while it is frozen,
//! `idempotency_key_missing` behind older ones, since to let it by would break the order. A body past
//! `max_body`: `body_too_large`. No room: `read_only` as without a queue, or `overloaded` behind
//! older ones. gRPC calls and upgrades, whose callers do not understand a `202`: `read_only`. A
//! store that could lose the intent: `store_unavailable`.
//!
//! # What fails how
//!
//! - A store that is away refuses writes that should be kept. The backfill waits for it and goes
//!   on by itself; what it has in flight is settled when the store is back.
//! - Whether older intents wait in a write's line is asked of the store, unless it is certain
//!   that none waits at all: in a store that is this process's own that costs one load. In a
//!   store that others share each write of a queueing route asks. While the store is away such a
//!   write is refused, or goes by where the route says so (`open_when_lost`), counted.
//! - An intent of a form that this version cannot read stays where it is, and holds its line.
//! - An upstream that answers nothing but unknown outcomes makes the backfill rest, longer each
//!   time, so that not every line comes to be in doubt.
//! - A freeze that begins in the middle puts back what was not sent yet.
//! - A process that ends without [`Intents::stop`] leaves what is in flight in doubt.
//!
//! # Metrics
//!
//! | metric | what |
//! |---|---|
//! | `sluicegate_intents{state}` | intents that are kept |
//! | `sluicegate_intents_bytes`, `_oldest_seconds` | bytes of those that are not over, and the age of the oldest |
//! | `sluicegate_intents_in_flight`, `_paused` | what this gateway is applying; whether an operator paused it |
//! | `sluicegate_intents_accepted_total{route,why}` | writes kept: `frozen`, or `behind` older ones |
//! | `sluicegate_intents_refused_total{route,why}` | writes that could not be kept |
//! | `sluicegate_intents_sent_total{route}` | intents sent, tries included: its rate is the backfill's |
//! | `sluicegate_intents_reached_total{route,state}` | steps into a state: `applied`, `dead`, `in_doubt`; `queued` counts retries |
//! | `sluicegate_intents_late_outcomes_total` | outcomes that came when the intent had been given up |
//! | `sluicegate_intents_unchecked_total{route}` | writes let by without knowing the order, since the store was away |
//! | `sluicegate_intents_store_errors_total` | times the backfill could not use the store |
//!
//! # In an axum service
//!
//! The guard needs no gateway around it. Something has to say what a request is
//! ([`Classified`](sluicegate_core::Classified)), read its key
//! ([`Keyed`](sluicegate_store::keyed::Keyed)) and mark it while writes are frozen
//! ([`Facts::defer`](sluicegate_core::Facts::defer)); the layers of the gateway do so, and here
//! a few lines.
//!
//! ```
#![doc = include_str!("../examples/kept_writes.rs")]
//! ```

mod answer;
mod backfill;
mod error;
mod home;
pub mod input;
mod intent;
mod kept;
mod layer;
mod line;
mod metrics;
mod operator;
mod outcome;
mod outside;
mod plan;
mod quiet;
mod refuse;
mod resource;
mod step;
#[cfg(test)]
mod testing;

pub use error::IntentError;
pub use home::{Intents, OpenOptions};
pub use input::{BackfillInput, BackfillSettings, IntentsInput, IntentsSettings, OrderBy, OrderByInput};
pub use kept::ALWAYS_KEPT;
pub use layer::{IntentsLayer, IntentsQueue, ResponseFuture};
pub use operator::{
    ErrorRecord, IntentPage, IntentQuery, IntentRecord, IntentsStatus, PausedRecord, ResponseRecord,
    Settlement,
};
pub use outside::{Freezer, Prepared, RunOutcome, Runner};
pub use plan::{IntentsPlan, RouteRules};
pub use sluicegate_core::headers::CREDENTIALS;
