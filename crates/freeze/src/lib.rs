//! The write freeze: read-only switch, windows and the drain barrier.
//!
//! A freeze is the state in which writes are not let through while reads go on. It is on when
//! the configuration says `read_only`, when a window of its calendar has come (once, or by a
//! [rule](Recurrence) in a time zone), or when an
//! operator said so; several may be on at once, each with an id, a reason, perhaps an end, and
//! a [`Scope`]. [`Freezes`] holds that state for as long as the process lives, and what
//! operators set survives restarts; [`FreezeLayer`] is the guard in the stack.
//!
//! # What is promised
//!
//! - A freeze is in effect when the call that puts it on takes effect, for every request that
//!   comes to the layer after it, whatever configuration the request was classified by.
//! - A freeze is *drained* when every write that it covers and that was let through has ended.
//!   From that moment no such write runs through this process and none can start while the
//!   freeze is on. There is no gap between the check and the count.
//! - A write whose end cannot be known (bytes went out, no whole answer came back: a timeout, a
//!   reset, a client that went away) does not hold the drain up; it is listed as *unsettled*.
//!   So is one that went out of sight up to `unsettled_memory` before the freeze.
//! - Streamed answers and tunnels on write routes end `stream_grace` after the freeze and their
//!   own start, whichever is later, and are then unsettled. What a client does not read cannot
//!   be ended here: that is for the server's timeouts.
//! - Reads are not touched, but for the header [`BANNER`].
//!
//! # What a client sees
//!
//! A refused write gets 503 with a known end and 423 without one (or the status that is
//! configured), `code: read_only`, a true `Retry-After` with a spread, and the member
//! `freeze: {id, reason, since, until}` of the freeze that ends last.
//!
//! # What fails how
//!
//! - A state file that cannot be read stops the opening: a damaged file must not thaw anything.
//! - A change that cannot be written down is in effect all the same; the call says
//!   [`FreezeError::NotPersisted`], and the timekeeper tries again.
//! - A process that is killed forgets the writes it had in flight; after the restart a freeze
//!   is drained as far as the new process can tell.
//! - Without the timekeeper ([`Freezes::run`]) windows do not begin, ends do not come, and no
//!   drain is noted.
//!
//! # Metrics
//!
//! | metric | what |
//! |---|---|
//! | `sluicegate_freeze_blocked_writes_total{route,freeze}` | writes not let through: refused, or kept for later; past a thousand pairs `freeze` is `other` |
//! | `sluicegate_freeze_writes_in_flight` | writes let through that have not ended |
//! | `sluicegate_freeze_active` | freezes that are on |
//! | `sluicegate_freeze_unsettled_total{route}` | writes whose end could not be known |
//! | `sluicegate_freeze_drain_seconds` | from the start of a freeze until its drain |
//!
//! # In an axum service
//!
//! The guard needs no gateway around it. Without one, the method tells reads from writes, and
//! the layer itself notes how a write ended (see [`FreezeLayer::over_service`]).
//!
//! ```
//! use std::{convert::Infallible, sync::Arc};
//!
//! use axum::{Router, http::StatusCode, routing::get};
//! use sluicegate_core::{Chance, Clock, Refusal, RespondLayer};
//! use sluicegate_freeze::{FreezeLayer, FreezeOrder, Freezes, OpenOptions};
//! use tower::{ServiceBuilder, util::MapErrLayer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let state_file = folder.path().join("freeze.json");
//! let mut registry = prometheus_client::registry::Registry::default();
//! let freezes = Freezes::open(
//!     OpenOptions {
//!         path: Some(state_file),
//!         clock: Clock::system(),
//!         chance: Arc::new(Chance::from_system()),
//!         shards: 2,
//!     },
//!     &mut registry,
//! )?;
//! tokio::spawn(freezes.run());
//!
//! let app: Router = Router::new()
//!     .route("/documents", get(async || "all of them").post(async || StatusCode::CREATED))
//!     .layer(
//!         ServiceBuilder::new()
//!             .layer(RespondLayer)
//!             .layer(FreezeLayer::new(freezes.clone()))
//!             .layer(MapErrLayer::new(|never: Infallible| -> Refusal { match never {} })),
//!     );
//!
//! // Before a migration: no write runs when this is done.
//! freezes.put("migration", FreezeOrder::default()).await?;
//! let report = freezes.wait_drained("migration", std::time::Duration::from_secs(30)).await?;
//! assert!(report.drained && report.unsettled == 0);
//! # use tower::ServiceExt;
//! # let post = axum::http::Request::post("/documents").body(axum::body::Body::empty())?;
//! # assert_eq!(app.oneshot(post).await?.status(), 423);
//! # Ok(())
//! # }
//! ```

mod banner;
mod barrier;
mod body;
mod calendar;
mod error;
mod events;
mod flight;
mod guard;
mod home;
pub mod input;
mod layer;
mod metrics;
mod recurrence;
mod refuse;
mod saved;
mod scope;
mod status;
#[cfg(test)]
mod testing;
mod view;

pub use banner::BannerPage;
pub use body::{Cut, FreezeBody};
pub use error::{FreezeError, OpenError};
pub use events::{FreezeEvent, FreezeEventKind};
pub use home::{Applied, FreezeOrder, Freezes, OpenOptions, Removed};
pub use input::{
    BannerInput, FreezeInput, FreezeSettings, Moments, RetryAfterInput, StatusRule, Window, WindowInput,
};
pub use layer::{Freeze, FreezeLayer, ResponseFuture};
pub use recurrence::Recurrence;
pub use refuse::BANNER;
pub use scope::Scope;
pub use status::{
    DrainReport, FreezeRecord, FreezeStatus, NEXT_SHOWN, Next, UNSETTLED_SHOWN, UnsettledAttempt,
};
pub use view::Source;
