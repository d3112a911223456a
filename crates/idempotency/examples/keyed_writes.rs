//! A plain axum service whose writes happen once per idempotency key.
//!
//! ```text
//! cargo run -p sluicegate-idempotency --example keyed_writes
//! curl -i -H 'Idempotency-Key: k-1' -d '{"text":"hello"}' http://127.0.0.1:3000/documents
//! ```
//!
//! Send it twice: the second answer is the first one's, with `Idempotency-Replayed: true`.
//! Send another text under the same key: it is refused.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use hyper_util::rt::TokioExecutor;
use prometheus_client::registry::Registry;
use sluicegate_core::{Chance, Clock, Refusal, RespondLayer};
use sluicegate_idempotency::{
    FenceLayer, Fences, FencesOptions, FencesSettings, IdempotencySettings, ReplayLayer, UpstreamPromises,
};
use sluicegate_store::{Store, memory::Memory};
use tower::{ServiceBuilder, util::MapErrLayer};

/// Fences in memory, and their keeper.
pub(crate) fn fences() -> Fences {
    let clock = Clock::system();
    let fences = Fences::open(
        FencesOptions {
            store: Store::new(Memory::new(clock.clone())),
            clock,
            chance: Arc::new(Chance::from_system()),
            settings: FencesSettings::default(),
        },
        &mut Registry::default(),
    );
    tokio::spawn(fences.run());
    fences
}

/// Puts the fences around all routes of a service.
pub(crate) fn fenced(routes: Router, fences: &Fences) -> Router {
    let settings = IdempotencySettings { required: true, ..IdempotencySettings::default() };
    let plan = fences.plan("documents", &settings, &UpstreamPromises::default());
    routes.layer(
        ServiceBuilder::new()
            .layer(RespondLayer)
            .layer(ReplayLayer::new(fences.clone()).unclassified(plan))
            // Other guards, such as a freeze, stand here.
            .layer(FenceLayer::new(fences.clone(), TokioExecutor::new()).over_service())
            .layer(MapErrLayer::new(|never: Infallible| -> Refusal { match never {} })),
    )
}

async fn make(State(made): State<Arc<AtomicUsize>>, text: String) -> (StatusCode, String) {
    let number = made.fetch_add(1, Ordering::Relaxed) + 1;
    (StatusCode::CREATED, format!("document {number}: {text}\n"))
}

async fn count(State(made): State<Arc<AtomicUsize>>) -> String {
    format!("{} documents\n", made.load(Ordering::Relaxed))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let routes = Router::new().route("/documents", get(count).post(make)).with_state(Arc::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, fenced(routes, &fences())).await
}
