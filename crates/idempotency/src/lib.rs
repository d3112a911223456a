//! Fences: a keyed write happens once, and every retry of it gets the first one's answer.
//!
//! A client sends `Idempotency-Key` with a write and the same key with every retry of it
//! (the IETF draft `draft-ietf-httpapi-idempotency-key-header`). Two layers keep the promise.
//! [`ReplayLayer`], outer, reads the key and looks it up; it writes nothing. [`FenceLayer`],
//! inner, begins the key on record when the request will really go out, and writes down how
//! it ended. Between them stand the other guards: a stored answer is given also during a
//! freeze, and a request that a guard refuses has begun nothing. [`Fences`] is the home of
//! both: the store, the bounds, who waits for whom.
//!
//! # What is promised
//!
//! - Under `on_unknown: refuse` no key is ever sent twice unless the first attempt provably did
//!   nothing: every change of a key's record is a compare-and-set with a fencing token, and a
//!   record that cannot be read, or whose holder is gone, is refused.
//! - A client that has a whole answer gets that answer for every retry, for the route's `ttl`:
//!   the end is on record before the last of the answer is handed over.
//! - The exchange with the service belongs to the fence. A client that hangs up does not end
//!   it; its retry gets the answer. What the layers further out guard (a freeze's count, a
//!   permit) is held until it is over. Without its client it has a limit of time
//!   (`detached_limit`) and there is a limit to the number of such exchanges; past either it is
//!   broken off and its fate is unknown.
//! - A slow client does not hold the end back: what is kept of an answer (`max_answer`) is read
//!   ahead of it. A larger answer flows at the client's pace; a client that takes nothing of it
//!   for `detached_limit` is given up, and the rest is read without it.
//! - A stored answer is only ever given within its scope: tenant, method, route, and what
//!   `scope` adds.
//!
//! # What a request meets
//!
//! | under its key is | it gets |
//! |---|---|
//! | nothing | through |
//! | a running attempt | the same answer, if that comes within `wait`; else 409 `idempotency_in_flight` |
//! | an answer | that answer, `Idempotency-Replayed: true` |
//! | an intent | the same 202 as the first, `Idempotency-Replayed: true` |
//! | another request | 422 (or 409) `idempotency_conflict`, `differs` says in what |
//! | an attempt whose fate is unknown | 409 `idempotency_outcome_unknown`; or through, under `on_unknown: retry` |
//!
//! Only writes are looked at; a read with a key passes. So does a request to switch protocols.
//! A body is asked for only where it is needed: by the outer layer when something is found
//! under the key (or the key is derived from the body), by the inner one when the key begins.
//! A request that asks with `Expect: 100-continue` therefore gets its 100 when every guard has
//! let it pass.
//!
//! # How an attempt ends
//!
//! | what came back | the key is |
//! |---|---|
//! | a refusal of a guard below, no connection, a status in the upstream's `not_applied` | free again |
//! | 2xx, 3xx, any other 4xx, whole | sealed with status, header fields, body and trailers |
//! | the same, larger than `max_answer` | sealed without its body: a replay says `Sluicegate-Replay: without-body` |
//! | 5xx, nothing, half an answer | unknown |
//!
//! A gRPC answer is judged by its `grpc-status`. Trailers are given again over HTTP/2; over
//! HTTP/1.1 a replay has a length of its own and therefore none. Fields of one connection or
//! message (`Date`, `X-Request-Id`, framing) are not kept; `Set-Cookie` is, within the scope.
//!
//! # What fails how
//!
//! - The store is lost: keyed writes get 503 `store_unavailable` where `when_lost: closed`, and
//!   go through without a fence where `open`. An attempt that is out already goes on; its
//!   client gets the answer, and the keeper writes the end down when the store is back. When
//!   10,000 ends wait for it, the store is not even asked: the route does what it does without.
//! - The store is full: new keys get 503; none that has not expired is thrown away. An end
//!   always fits, if need be without the answer's body.
//! - This process dies: what ran is unknown to whoever comes after it.
//! - The lease of a running attempt lapses (a shared store did not hear of this process): the
//!   key is unknown, until the attempt ends, which still counts unless a newer one has begun.
//! - Without the keeper ([`Fences::run`]) leases lapse and late ends are lost.
//!
//! # Metrics
//!
//! | metric | what |
//! |---|---|
//! | `sluicegate_fence_requests_total{route,result}` | writes by what became of their key: `begun`, `replayed`, `waited`, `conflict`, `in_flight`, `unknown`, `deferred`, `lost_open`, `lost_closed`, `full`, `missing`, `invalid`, `unkeyed` |
//! | `sluicegate_fence_settles_total{route,outcome}` | attempts that ended: `sealed`, `sealed_without_body`, `released`, `unknown` |
//! | `sluicegate_fence_settles_fenced_off_total` | ends refused because a newer attempt had begun |
//! | `sluicegate_fence_settles_late_total` | ends that the store took only at a later try |
//! | `sluicegate_fence_leases_lapsed_total` | attempts that went on after their lease had lapsed |
//! | `sluicegate_fence_keys`, `sluicegate_fence_bytes` | what the store keeps, looked at every 5 s |
//! | `sluicegate_fence_running` | attempts that have not ended |
//! | `sluicegate_fence_waiters` | duplicates that wait |
//! | `sluicegate_fence_detached` | attempts that go on without their clients |
//! | `sluicegate_fence_buffered_bytes` | bodies held in memory |
//! | `sluicegate_fence_settles_waiting` | ends that the store has not taken yet |
//!
//! # In an axum service
//!
//! The guard needs no gateway around it; `examples/keyed_writes.rs` is a whole service. Without a
//! gateway, the method tells reads from writes, and the layer itself notes how far a write
//! got (see [`FenceLayer::over_service`]).
//!
//! ```
//! use std::{convert::Infallible, sync::Arc};
//!
//! use axum::{Router, http::StatusCode, routing::post};
//! use hyper_util::rt::TokioExecutor;
//! use sluicegate_core::{Chance, Clock, Refusal, RespondLayer};
//! use sluicegate_idempotency::{
//!     FenceLayer, Fences, FencesOptions, FencesSettings, IdempotencySettings, ReplayLayer, UpstreamPromises,
//! };
//! use sluicegate_store::{Store, memory::Memory};
//! use tower::{ServiceBuilder, util::MapErrLayer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let fences = Fences::open(
//!     FencesOptions {
//!         store: Store::new(Memory::new(Clock::system())),
//!         clock: Clock::system(),
//!         chance: Arc::new(Chance::from_system()),
//!         settings: FencesSettings::default(),
//!     },
//!     &mut prometheus_client::registry::Registry::default(),
//! );
//! tokio::spawn(fences.run());
//! let plan = fences.plan("documents", &IdempotencySettings::default(), &UpstreamPromises::default());
//!
//! let app: Router = Router::new().route("/documents", post(async || StatusCode::CREATED)).layer(
//!     ServiceBuilder::new()
//!         .layer(RespondLayer)
//!         .layer(ReplayLayer::new(fences.clone()).unclassified(plan))
//!         .layer(FenceLayer::new(fences.clone(), TokioExecutor::new()).over_service())
//!         .layer(MapErrLayer::new(|never: Infallible| -> Refusal { match never {} })),
//! );
//! # use tower::ServiceExt;
//! # for replayed in [false, true] {
//! #     let post = axum::http::Request::post("/documents").header("idempotency-key", "k");
//! #     let answer = app.clone().oneshot(post.body(axum::body::Body::empty())?).await?;
//! #     assert_eq!((answer.status(), answer.headers().contains_key("idempotency-replayed")), (StatusCode::CREATED, replayed));
//! # }
//! # Ok(())
//! # }
//! ```

mod answer;
mod fence;
mod home;
pub mod input;
mod key;
mod metrics;
#[cfg(test)]
mod model;
mod outcome;
mod plan;
mod printing;
mod refuse;
mod replay;
#[cfg(test)]
mod testing;

pub use answer::{REPLAYED, WITHOUT_BODY};
pub use fence::{BrokenOff, Exchange, Fence, FenceBody, FenceFuture, FenceLayer};
pub use home::{
    Fences, FencesOptions, FencesStatus, KeyError, KeyFilter, KeyId, KeyPage, KeyRecord, KeyState, Resolution,
};
pub use input::{
    FencesInput, FencesSettings, IdempotencyInput, IdempotencySettings, KeyPart, KeyPartInput, ScopeInput,
    ScopePart, WhenLost,
};
pub use key::{IDEMPOTENCY_KEY, MAX_KEY};
pub use plan::{IdempotencyPlan, UpstreamPromises};
pub use replay::{Replay, ReplayBody, ReplayFuture, ReplayLayer};
