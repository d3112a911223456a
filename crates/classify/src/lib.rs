//! Route match, read or write, tenant, lane, cost: what a request is, settled once.
//!
//! Every guard asks the same questions of a request: which route is it, may it change
//! stored state, who is it for, how long may it take? This layer answers them once, from one
//! snapshot of the rules, and writes the answer ([`Classified`](sluicegate_core::Classified))
//! into the request's [`Facts`](sluicegate_core::Facts). In order:
//!
//! 1. the path is brought into the one form in which it is matched *and* forwarded, or
//!    refused ([`path`]);
//! 2. the first route whose path pattern ([`Pattern`]) and methods admit the request is
//!    taken ([`Router`]);
//! 3. `access` is the route's, else by the method: GET, HEAD, OPTIONS and TRACE read, all
//!    else writes;
//! 4. the tenant is read from its header;
//! 5. the lane is the route's, else what a header says, else interactive; the cost is the
//!    route's [`Cost`];
//! 6. the deadline is the route's, or what the client's `X-Request-Deadline` or
//!    `grpc-timeout` leaves if that is less;
//! 7. method-override headers are stripped, unless the route allows them; then a request
//!    that carries one counts as a write where the route does not say otherwise;
//! 8. where the route speaks JSON-RPC, up to 64 KiB of a posted JSON body are read for the
//!    request's id, so that a refusal can carry it, and given back ([`PeekedBody`]).
//!
//! **Promise.** What was matched is what is forwarded. A request is judged by one snapshot,
//! loaded once and never held across an await. Routes that do not speak JSON-RPC pay one
//! branch for it, and a request whose path is canonical already is settled without
//! allocating.
//!
//! **Failure.** A request that can be read in two ways gets `bad_request`, one that no route
//! takes `no_route`; neither reaches the service inside. Nothing here keeps state or can be
//! unavailable.
//!
//! **Metrics.** None of its own: requests and refusals are counted where the answer leaves,
//! by route and code.
//!
//! # In an axum app
//!
//! The layer goes around the whole app, so that axum, too, routes by the canonical path.
//!
//! ```
//! use std::{convert::Infallible, sync::Arc, time::Duration};
//!
//! use axum::{Extension, body::Body, routing::post};
//! use http::{Method, Request, StatusCode};
//! use sluicegate_classify::{ClassifyLayer, Pattern, RouteEntry, RouteMatch, Router, Rules};
//! use sluicegate_core::{Access, Facts, RespondLayer, RoutePlan};
//! use tower::{Layer, ServiceExt, util::MapErrLayer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! async fn retrieve(Extension(facts): Extension<Facts>) -> &'static str {
//!     facts.classified().map_or("?", |settled| settled.access.as_str())
//! }
//!
//! let mut entry = RouteEntry::new(Arc::new(RoutePlan::new("retrieve", "local")));
//! entry.access = Some(Access::Read); // a query, though it is posted
//! entry.deadline = Some(Duration::from_millis(800));
//! let ask = RouteMatch::path(Pattern::parse("/v1/retrieve")?).methods([Method::POST]);
//! let rules = Rules { router: Router::new([(ask, Arc::new(entry))]), tenant: None, lane: None };
//!
//! let app = axum::Router::new().route("/v1/retrieve", post(retrieve));
//! let app = (
//!     RespondLayer,
//!     ClassifyLayer::new(Arc::new(rules)),
//!     MapErrLayer::new(|never: Infallible| match never {}),
//! )
//!     .layer(app);
//!
//! let ask = |path: &str| Request::post(path).body(Body::empty());
//! let response = app.clone().oneshot(ask("//v1/%72etrieve")?).await?;
//! assert_eq!(response.status(), StatusCode::OK);
//! let response = app.oneshot(ask("/v1/x/..%2fretrieve")?).await?;
//! assert_eq!(response.status(), StatusCode::BAD_REQUEST);
//! # Ok(())
//! # }
//! ```

mod body;
mod cost;
mod deadline;
pub mod input;
mod lane;
mod layer;
pub mod path;
pub mod pattern;
mod peek;
pub mod router;
mod rpc;
pub mod rules;
mod service;
mod settle;
mod tenant;

pub use body::PeekedBody;
pub use cost::Cost;
pub use input::PatternError;
pub use layer::ClassifyLayer;
pub use pattern::Pattern;
pub use router::{RouteMatch, Router};
pub use rules::{RouteEntry, RpcForm, Rules, Table};
pub use service::{Classify, ClassifyFuture};

#[cfg(test)]
mod tests;
