//! A plain axum service whose writes are kept while a flag is on, and applied when it is off.
//!
//! `cargo run -p sluicegate-intents --example kept_writes`

use std::{convert::Infallible, error::Error, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::Path, http::StatusCode, routing::put};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use prometheus_client::registry::Registry;
use sha2::{Digest, Sha256};
use sluicegate_body::{Budget, Gathered};
use sluicegate_core::{
    Access, Chance, Classified, Clock, Deferral, Facts, Lane, Refusal, RespondLayer, RoutePlan,
};
use sluicegate_intents::{
    Freezer, Intents, IntentsLayer, IntentsSettings, OpenOptions, Prepared, RouteRules, RunOutcome, Runner,
};
use sluicegate_store::{
    RecordKey, Store, fence::StoredBody, fingerprint::FingerprintRules, keyed::Keyed, memory::Memory,
};
use tokio::{sync::watch, time::Instant};
use tower::{
    ServiceBuilder, ServiceExt,
    util::{MapErrLayer, MapRequestLayer},
};

/// Since when writes go through; none while they are frozen.
#[derive(Clone)]
struct Flag(watch::Sender<Option<Instant>>);

impl Freezer for Flag {
    fn open_since(&self, _route: &str, _upstream: &str, _tenant: Option<&str>) -> Option<Instant> {
        *self.0.borrow()
    }

    fn earliest(&self) -> Option<Instant> {
        *self.0.borrow()
    }

    async fn changed(&self) {
        let _ = self.0.subscribe().changed().await;
    }
}

/// Applies an intent: the service itself is its upstream.
struct Apply(Router);

impl Runner for Apply {
    async fn run(&self, prepared: Prepared) -> RunOutcome {
        let Ok(answer) = self.0.clone().oneshot(prepared.request.map(Body::from)).await;
        let (head, body) = answer.into_parts();
        match body.collect().await {
            Ok(body) => RunOutcome::Answered(Response::from_parts(head, StoredBody::Whole(body.to_bytes()))),
            Err(error) => RunOutcome::Unknown(error.to_string().into()),
        }
    }
}

/// What a gateway's outer layers do: say what the request is, read its key, and mark it while
/// the flag is on.
fn classify(flag: &Flag, plan: &Arc<RoutePlan>, request: Request<Body>) -> Request<Gathered<Body>> {
    let (mut head, body) = request.into_parts();
    let facts = Facts::of(&head.headers, &mut head.extensions);
    facts.classify(Classified {
        route: plan.clone(),
        access: Access::of_method(&head.method),
        tenant: None,
        lane: Lane::Interactive,
        cost: 1,
        deadline: None,
        rpc: None,
    });
    if let Some(key) = head.headers.get("idempotency-key").and_then(|key| key.to_str().ok()) {
        let id = RecordKey(Sha256::digest(key).into());
        head.extensions.insert(Keyed::new(id, key.into(), None, Arc::new(FingerprintRules::default())));
    }
    if facts.classified().is_some_and(|settled| settled.access == Access::Write) && flag.0.borrow().is_none()
    {
        facts.defer();
    }
    Request::from_parts(head, Gathered::untouched(body))
}

fn write(key: &str) -> Result<Request<Body>, http::Error> {
    Request::put("/documents/7").header("idempotency-key", key).body(Body::from("{}"))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let clock = Clock::system();
    let options = OpenOptions {
        // In memory, for the example: a service keeps its intents on disk, or in Redis.
        store: Store::new(Memory::new(clock.clone())),
        accept_loss: true,
        clock,
        chance: Arc::new(Chance::from_system()),
    };
    let intents = Intents::open(options, &mut Registry::default());
    let settings = Arc::new(IntentsSettings { soak: Duration::ZERO, ..IntentsSettings::default() });
    let rules = RouteRules::default();
    intents.apply(settings.clone(), [("documents".to_owned(), rules.clone())]);
    let plan =
        RoutePlan::new("documents", "self").with(Deferral).with(intents.plan("documents", settings, rules));

    let service = Router::new().route(
        "/documents/{id}",
        put(async |Path(id): Path<String>| (StatusCode::CREATED, format!("wrote {id}"))),
    );
    let flag = Flag(watch::Sender::new(Some(Instant::now())));
    let (marks, plan) = (flag.clone(), Arc::new(plan));
    let app = service.clone().layer(
        ServiceBuilder::new()
            .layer(RespondLayer)
            .layer(MapRequestLayer::new(move |request| classify(&marks, &plan, request)))
            .layer(IntentsLayer::new(intents.clone(), Budget::new(64 << 20)))
            .layer(MapRequestLayer::new(|request: Request<Gathered<Body>>| request.map(Body::new)))
            .layer(MapErrLayer::new(|never: Infallible| -> Refusal { match never {} })),
    );
    tokio::spawn(intents.run(flag.clone(), Apply(service)));

    let through = app.clone().oneshot(write("a")?).await?;
    println!("open: {}", through.status());
    assert_eq!(through.status(), StatusCode::CREATED);

    flag.0.send_replace(None);
    let kept = app.oneshot(write("b")?).await?;
    let place = kept.headers()["location"].to_str()?.to_owned();
    println!("frozen: {}, to be watched at {place}", kept.status());
    assert_eq!(kept.status(), StatusCode::ACCEPTED);

    flag.0.send_replace(Some(Instant::now()));
    let answer: Response<Bytes> = loop {
        match intents.resource(&Method::GET, &format!("{place}/response"), None).await {
            Ok(answer) => break answer,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    println!("open again: {}, {:?}", answer.status(), answer.body());
    assert_eq!(answer.body(), "wrote 7");
    Ok(())
}
