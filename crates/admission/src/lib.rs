//! Admission: who is let in, how fast, and who waits.
//!
//! A service does its work at a certain pace. What comes faster has to wait or to be refused,
//! and the earlier the better: a request that is refused at once costs its client a retry, one
//! that is served too late costs the service its work as well. [`AdmissionLayer`] asks three
//! guards in turn, each of which can be used alone:
//!
//! 1. [`buckets`]: how *fast* a route, a tenant, a lane and the gateway may be used;
//! 2. [`budget`]: how many *tokens* of language models a tenant may use;
//! 3. [`queue`]: how many requests run *at once*, who waits, for how long, and who goes first.
//!
//! # What is promised
//!
//! - What one guard refuses, the guards before it get back: a refused request costs nothing.
//! - A permit and a reservation are held until the answer's body has ended or is dropped. An
//!   exchange that goes on without its client goes on holding them.
//! - Refusals say when to come back, and that is true: a client that waits so long, alone, is
//!   let in.
//! - A route without limits costs one branch.
//!
//! # What a client sees
//!
//! | refusal | when |
//! |---|---|
//! | `rate_limited` 429 | a bucket or a budget is empty; `RateLimit` and `RateLimit-Policy` say which numbers hold |
//! | `overloaded` 503 | the queue is full, or load is being shed |
//! | `deadline_exceeded` 503 | the deadline passed in the queue |
//! | `body_too_large` 413 | the request costs more than its bucket or budget can ever hold |
//!
//! Answers that passed carry the `RateLimit` fields as well. Upstreams get `Sluicegate-Pressure`,
//! from 0.00 to 1.00, so that they may do less per request before any has to be refused.
//!
//! # Metrics
//!
//! Those of each guard: see their pages.
//!
//! # In an axum service
//!
//! The guard needs no gateway around it; `examples/paced.rs` is a whole service. Without a gateway
//! all requests are interactive, cost one, and have no tenant.
//!
//! ```
//! use std::convert::Infallible;
//!
//! use axum::{Router, extract::Request, http::StatusCode, routing::get};
//! use sluicegate_admission::{
//!     Admission, AdmissionLayer, AdmissionOptions, RouteLimits, SharedLimits, input::RateInput,
//! };
//! use sluicegate_body::{Budget, Gathered};
//! use sluicegate_core::{Chance, Refusal, RespondLayer};
//! use tower::{ServiceBuilder, util::{MapErrLayer, MapRequestLayer}};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let options = AdmissionOptions { bodies: Budget::new(64 << 20), chance: Chance::from_system() };
//! let admission = Admission::open(options, &mut prometheus_client::registry::Registry::default());
//! let limits = RouteLimits {
//!     rate: Some(RateInput { rps: 1.0, burst: Some(2) }.check()?),
//!     concurrent: Some(16),
//!     ..RouteLimits::default()
//! };
//! let shared = admission.shared(&SharedLimits::default());
//! let plan = admission.plan("search", &[("own", None)], &limits, &shared)?.expect("something is limited");
//! admission.apply(&[plan.clone()]);
//!
//! let app: Router = Router::new().route("/search", get(async || "found")).layer(
//!     ServiceBuilder::new()
//!         .layer(RespondLayer)
//!         .layer(MapRequestLayer::new(|request: Request| request.map(Gathered::untouched)))
//!         .layer(AdmissionLayer::new(admission.clone()).with_plan(plan))
//!         .layer(MapErrLayer::new(|never: Infallible| -> Refusal { match never {} })),
//! );
//! # use tower::ServiceExt;
//! # for expected in [StatusCode::OK, StatusCode::OK, StatusCode::TOO_MANY_REQUESTS] {
//! #     let request = axum::http::Request::get("/search").body(axum::body::Body::empty())?;
//! #     assert_eq!(app.clone().oneshot(request).await?.status(), expected);
//! # }
//! # Ok(())
//! # }
//! ```

pub mod buckets;
pub mod budget;
mod home;
pub mod input;
mod layer;
mod plan;
pub mod queue;
mod refuse;

pub use home::{Admission, AdmissionOptions, AdmissionStatus};
pub use input::Per;
pub use layer::{AdmissionBody, AdmissionFuture, AdmissionLayer, Admit};
pub use plan::{AdmissionPlan, RouteLimits, SharedBuckets, SharedLimits, TenantClasses};
