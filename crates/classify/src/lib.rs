//! Route match, read or write, tenant, lane, cost: what a request is, settled once.
//!
//! Every guard asks the same questions of a request: which route is it, may it change
//! stored state, who is it for, how long may it take? This layer answers them once, from one
//! snapshot of the rules, and writes the answer ([`Classified`](sluicegate_core::Classified))
//! into the request's [`Facts`](sluicegate_core::Facts). In order:
//!
//! 1. the path is brought into the one form in which it is matched *and* forwarded, or
//!    refused ([`path`]);
//! 2. the first route whose path pattern ([`Pattern`]), methods, hosts and header fields admit
//!    the request is taken ([`Router`]);
//! 3. `access` is the route's, else its [`Preset`]'s (under which a WebSocket is a write: nobody
//!    sees what passes through it), else by the method: GET, HEAD, OPTIONS and TRACE read, all else
//!    writes;
//! 4. the tenant is read from where it stands ([`TenantFrom`]); where that is a claim, or a guard
//!    of the route goes by one, the request's token is verified first, and its claims are put into
//!    the facts;
//! 5. the lane is the route's, else what a header says, else interactive; the cost is the
//!    route's [`Cost`];
//! 6. the deadline is the route's, or what the client's `X-Request-Deadline` or
//!    `grpc-timeout` leaves if that is less;
//! 7. method-override headers are stripped, unless the route allows them; then a request
//!    that carries one counts as a write where the route does not say otherwise;
//! 8. where the body is to tell something, it is read up to a cap of 64 KiB or what the route
//!    says, and given back byte for byte ([`PeekedBody`]): whether the request reads or writes,
//!    where the preset has a rule for that, and the id of a JSON-RPC request, or those of a batch,
//!    so that a refusal can carry them. What cannot be read in one way only is a write, and says
//!    why ([`Doubt`](sluicegate_core::Doubt)).
//!
//! **Promise.** What was matched is what is forwarded. A request is judged by one snapshot,
//! loaded once and never held across an await. Routes whose bodies tell nothing pay one branch for
//! it, what is read of bodies counts against a [budget](ClassifyLayer::holding), and a request whose
//! path is canonical already is settled without allocating.
//!
//! **Failure.** A request that can be read in two ways gets `bad_request`, one that no route
//! takes `no_route`; neither reaches the service inside. What a route took and is refused for its
//! token, tenant, deadline, lane or cost is classified as far as it was known, so that the refusal
//! is told under its route, and in JSON-RPC where that is its form. Nothing here keeps state or can
//! be unavailable.
//!
//! **Metrics.** None of its own: requests, refusals and doubts are counted where the answer
//! leaves, by route and code.
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
//! let rules = Rules { router: Router::new([(ask, Arc::new(entry))]), tenant: None, lane: None, tokens: None };
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
mod content;
mod cost;
mod deadline;
mod field;
mod host;
pub mod input;
mod lane;
mod layer;
pub mod path;
pub mod pattern;
mod peek;
pub mod preset;
pub mod router;
mod rpc;
pub mod rules;
mod service;
mod settle;
mod tenant;

pub use body::PeekedBody;
pub use cost::Cost;
pub use field::FieldMatch;
pub use host::HostPattern;
pub use input::PatternError;
pub use layer::ClassifyLayer;
pub use pattern::Pattern;
pub use preset::{ByPreset, Preset};
pub use router::{Asked, RouteMatch, Router};
pub use rules::{RouteEntry, RpcForm, Rules, Table};
pub use service::{Classify, ClassifyFuture};
pub use tenant::TenantFrom;

#[cfg(test)]
mod tests;
