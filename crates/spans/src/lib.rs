//! Spans on their way to a collector.
//!
//! [`Spans`] is their home. Requests hand finished spans to the [`Tracer`] of their snapshot, which
//! puts them into a queue; a task of its own on the side runtime takes them out, and gives them to a
//! [`Carrier`] in batches of up to 512, or what has come within a second. How they are carried is not
//! known here: a build without the feature `otlp` has no carrier, and refuses a document that asks
//! for one.
//!
//! # Which requests
//!
//! A request with a trace context is sampled as whoever began the trace decided. Where the trace
//! begins here, the share `sample` of all traces is, by their ids, so that every gateway with the
//! same share decides alike.
//!
//! # What is promised
//!
//! - No request ever waits for its spans, whatever the collector does: what the queue cannot hold is
//!   dropped and counted.
//! - Memory is bounded: `queue` spans and one batch, each span a few KiB at most.
//! - A batch that is not taken for a reason that may pass is sent again, twice; a collector that is
//!   back within a few seconds has lost nothing.
//! - A change of the section takes effect with the reload, for the requests that begin after it.
//!   What began before goes to the collector that it began under. An unchanged section keeps its
//!   queue and its connection.
//! - A stop sends what waits, for two seconds at most.
//!
//! # Metrics
//!
//! | metric | says |
//! |---|---|
//! | `sluicegate_spans_sent_total` | spans that a collector has taken |
//! | `sluicegate_spans_dropped_total{reason}` | spans that none has: `queue_full`, `unreachable`, `timeout`, `refused`, `stopping` |
//!
//! They are there, and zero, in every build.

mod carrier;
mod export;
mod home;
mod input;
mod metrics;
mod settings;
mod tracer;

pub use carrier::{Carried, Carrier, Connect, Undelivered, Why};
pub use home::{Faults, Spans, check};
pub use input::{OtlpInput, OtlpProtocol};
pub use settings::OtlpSettings;
pub use tracer::Tracer;
