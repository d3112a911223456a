//! A small real RAG service over an embedded corpus, for the demo and the tests.
//!
//! It retrieves with BM25 over documents that can be written while it runs, answers
//! questions as server-sent events with citations, and tells its versions as pins. What
//! makes it fit for tests are its switches (slow, failing, hanging, breaking off, honouring
//! idempotency keys) and its record of every write that arrived. An instance is started in
//! the process that uses it, so that three of them cost no more than three ports.
//!
//! | path | does |
//! |---|---|
//! | `POST /v1/retrieve {"query","k"?}` | the best documents with their scores |
//! | `POST /v1/answer {"question","k"?,"max_tokens"?}`, `GET /v1/answer?q=` | an event stream: `retrieval`, `token`…, `done` |
//! | `GET /v1/documents?after=&limit=`, `GET /v1/documents/{id}` | the documents |
//! | `POST /v1/documents {"id"?,"title"?,"text"}` | creates, 409 where it exists |
//! | `PUT /v1/documents/{id} {"title"?,"text"}`, `DELETE /v1/documents/{id}` | replaces or creates, deletes |
//! | `GET /index/manifest` | the pins as members of a JSON object |
//! | `GET /healthz` | 200, or 503 by switch |
//! | `GET`, `PUT`, `DELETE /debug/switches` | shows the [`Settings`], changes those named, puts all back |
//! | `GET /debug/writes?after=&limit=` | [`Writes`]: counts and the newest writes |
//! | `GET /debug/requests` | [`RequestCounts`] by route |
//!
//! It speaks HTTP/1.1 and HTTP/2 without encryption on one port. Errors are
//! `application/problem+json`. It has no metrics of its own: it stands for the service that
//! is measured from outside. Nothing is kept on disk, and every table has a bound:
//! [`MAX_BODY`], [`MAX_DOCUMENTS`], [`MAX_BYTES`], [`KEPT_KEYS`], [`KEPT_WRITES`].
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
//! let instance = sluicegate_demo_rag::start(sluicegate_demo_rag::Options::default()).await?;
//! println!("listening on {}", instance.address());
//! let before = instance.audit().now_ms();
//! instance.switches().update(|switches| switches.delay_ms = 20).expect("in range");
//! assert!(instance.audit().counts().quiet_since(before));
//! instance.stop().await;
//! # Ok(()) }
//! ```

mod answer;
mod api;
mod audit;
mod chance;
mod connection;
mod corpus;
mod faults;
mod index;
mod keys;
mod pins;
mod problem;
mod server;
mod stop;
mod switches;

pub use api::MAX_BODY;
pub use audit::{Audit, KEPT_WRITES, RequestCounts, RouteCounts, WriteRecord, Writes};
pub use corpus::{CorpusError, Document, embedded, parse};
pub use index::{MAX_BYTES, MAX_DOCUMENTS};
pub use keys::KEPT_KEYS;
pub use server::{Options, Running, STOP_GRACE, start};
pub use switches::{MAX_DELAY_MS, Reset, Scope, Settings, SwitchError, Switches};
