//! Shadow traffic: copies that cannot hurt, comparisons that tell.
//!
//! A share of a route's reads is copied to another upstream, and the answers may be compared
//! with those that the clients got. [`ShadowLayer`] makes the copies; [`Shadows`] is the home of
//! what outlives a reload, and of the threads that send and compare.
//!
//! # Why this way
//!
//! - **The copy is made from what passes.** The body streams to the primary as it would; what
//!   has passed is kept under a cap, and the copy goes out when the last byte has. Nothing is
//!   read ahead, and a body past the cap loses its copy and nothing else.
//! - **The worker hands over and forgets.** Copies are sent by threads of the lowest priority,
//!   over connections and breakers of their own, behind a queue that drops what it cannot take.
//!   Nothing that a shadow does (hang, refuse, reset, trickle, answer gigabytes, be missing from
//!   DNS) is ever waited for.
//! - **Differences are weighed against noise.** Two answers of the same version differ as well:
//!   a time stamp, a sampled text. A share of the copies goes to the route's own upstream a second
//!   time, and a difference counts only where it is proven to be more frequent than between those
//!   ([`noise`]).
//!
//! # What is promised
//!
//! - A request's answer never depends on a shadow: not its bytes, not its status, not its time,
//!   but for the processor time that copying takes.
//! - A copy carries no credential of its request's, is never charged, never sent twice, and is a
//!   write only where the shadow says `writes: true`.
//! - A key is copied whole or not at all, in the share that is set.
//! - What is held for copies is at most a quarter of what all held bodies may take; each copy
//!   that is left out is counted by why.
//! - No value of an answer is kept or shown that `show` does not name, but for numbers, truth
//!   values and the retrieved ids.
//!
//! Metrics are listed in [`metrics`].
//!
//! # In an axum service
//!
//! A service that copies one search in ten to a service beside it, and compares the answers:
//!
//! ```
//! use std::{convert::Infallible, path::Path, sync::Arc};
//!
//! use axum::{Router, routing::get};
//! use prometheus_client::registry::Registry;
//! use sluicegate_body::Budget;
//! use sluicegate_core::{Chance, Clock, Refusal, RespondLayer};
//! use sluicegate_shadow::{
//!     AnswersInput, ShadowInput, ShadowLayer, ShadowPlan, Shadows, ShadowsOptions, Targets,
//! };
//! use sluicegate_upstream::{UpstreamMetrics, UpstreamSettings, Upstreams, input::UpstreamInput};
//! use tower::{ServiceBuilder, util::MapErrLayer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut registry = Registry::default();
//! let as_written = |path: &Path| path.to_owned();
//! let lab: UpstreamInput = serde_json::from_str(r#"{ "endpoints": ["http://127.0.0.1:7002"] }"#)?;
//! let lab = UpstreamSettings::check("lab", &lab, &as_written).map_err(|it| format!("{it:?}"))?;
//! let upstreams =
//!     Upstreams::new(UpstreamMetrics::register(&mut registry), tokio::runtime::Handle::current());
//! let prepared = upstreams.prepare(vec![lab]);
//! let shadow = prepared.get("lab").expect("just prepared").clone();
//!
//! let settings: ShadowInput =
//!     serde_json::from_str(r#"{ "to": "lab", "percent": 10, "compare": { "ignore": ["/took"] } }"#)?;
//! let settings =
//!     settings.check(&AnswersInput::default(), &as_written).map_err(|it| format!("{it:?}"))?;
//! let shadows = Shadows::open(
//!     ShadowsOptions {
//!         bodies: Budget::new(64 << 20),
//!         clock: Clock::system(),
//!         chance: Arc::new(Chance::from_system()),
//!     },
//!     &mut registry,
//! );
//! let targets = Targets { shadow, own: [None, None], version: "1".to_owned(), rewrite: None };
//! let shadowing = shadows.shadowing("search", settings, targets);
//! shadows.apply(std::slice::from_ref(&shadowing));
//!
//! let app: Router = Router::new().route("/search", get(async || "found")).layer(
//!     ServiceBuilder::new()
//!         .layer(RespondLayer)
//!         .layer(
//!             ShadowLayer::new(shadows.clone(), Chance::from_system())
//!                 .with_plan(ShadowPlan([shadowing].into())),
//!         )
//!         .layer(MapErrLayer::new(|never: Infallible| -> Refusal { match never {} }))
//!         .map_request(|request: axum::http::Request<_>| request.map(axum::body::Body::new)),
//! );
//! # use tower::ServiceExt;
//! # let request = axum::http::Request::get("/search").body(axum::body::Body::empty())?;
//! # assert_eq!(app.oneshot(request).await?.status(), 200);
//! # assert_eq!(shadows.status().len(), 1);
//! # Ok(())
//! # }
//! ```

mod answered;
pub mod compare;
pub mod comparison;
mod head;
pub mod home;
pub mod input;
mod layer;
pub mod ledger;
pub mod log;
pub mod metrics;
pub mod noise;
mod outcome;
mod pairing;
pub mod plan;
mod rate;
pub mod report;
mod room;
mod runner;
mod sample;
mod send;
mod tap;
#[cfg(test)]
mod testing;

pub use answered::AnswerTap;
pub use compare::{AnswersInput, CompareInput, Comparer, Pointers};
pub use comparison::{Answer, Comparison, Difference, IdsCompared, Kind, Seen, Shown};
pub use home::{ShadowReport, ShadowStatus, Shadows, ShadowsOptions};
pub use input::{MOST_SHADOWS, ShadowInput, ShadowSettings, ShadowsInput};
pub use layer::{Shadow, ShadowFuture, ShadowLayer};
pub use ledger::{Against, KeptPair};
pub use plan::{ShadowPlan, Shadowing, Targets};
pub use report::{Report, Verdict};
pub use tap::CopyTap;
