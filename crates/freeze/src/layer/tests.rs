use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, routing::get};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use serde_json::{Value, json};
use sluicegate_core::{
    Access, Chance, Classified, Deferral, Facts, Lane, Outcome, Refusal, RespondLayer, RoutePlan,
};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn, util::MapErrLayer};

use super::{Freeze, FreezeLayer};
use crate::{
    FreezeOrder, FreezeSettings, Freezes, Scope, StatusRule,
    testing::{at, facts, freezes, request, routes},
};

/// A service that answers at once behind the freeze, and the answer as the client gets it.
async fn ask(freezes: &Freezes, method: &str, facts: &Facts) -> Response<Bytes> {
    let inner =
        service_fn(|_| async { Ok::<_, Refusal>(Response::new(Full::new(Bytes::from_static(b"done")))) });
    let service = RespondLayer.layer(FreezeLayer::new(freezes.clone()).layer(inner));
    let (head, body) = service.oneshot(request(method, facts)).await.unwrap().into_parts();
    Response::from_parts(head, body.collect().await.unwrap().to_bytes())
}

fn json_of(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

fn a_write() -> Facts {
    facts("ingest", "stable", Some("acme"), Access::Write)
}

fn a_read() -> Facts {
    facts("retrieve", "stable", Some("acme"), Access::Read)
}

#[tokio::test(start_paused = true)]
async fn a_refused_write_is_told_which_freeze_why_and_until_when() {
    let freezes = freezes();
    freezes
        .put(
            "reindex",
            FreezeOrder {
                reason: Some("rebuilding the index".into()),
                until: Some(at(3600)),
                ..FreezeOrder::default()
            },
        )
        .await
        .unwrap();
    let answer = ask(&freezes, "POST", &a_write()).await;
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().get("sluicegate-freeze").is_none(), "that one is for reads");
    let after: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((3600..=3630).contains(&after), "{after}");
    let problem = json_of(&answer);
    assert_eq!(problem["code"], "read_only");
    assert_eq!(
        problem["freeze"],
        json!({
            "id": "reindex", "reason": "rebuilding the index",
            "since": "2030-01-05T02:00:00Z", "until": "2030-01-05T03:00:00Z",
        })
    );
    assert_eq!(
        problem["detail"],
        "Writes are frozen by `reindex`: rebuilding the index. It ends at 2030-01-05T03:00:00Z."
    );
}

#[tokio::test(start_paused = true)]
async fn the_status_says_whether_an_end_is_known() {
    let freezes = freezes();
    freezes.put("a", FreezeOrder { until: Some(at(60)), ..FreezeOrder::default() }).await.unwrap();
    for (rule, ended, open) in
        [(StatusRule::Auto, 503, 423), (StatusRule::Locked, 423, 423), (StatusRule::Unavailable, 503, 503)]
    {
        freezes.apply(&FreezeSettings { status: rule, ..FreezeSettings::default() });
        assert_eq!(ask(&freezes, "POST", &a_write()).await.status(), ended, "{rule:?}");
        freezes.put("open", FreezeOrder::default()).await.unwrap();
        let answer = ask(&freezes, "POST", &a_write()).await;
        assert_eq!(answer.status(), open, "{rule:?}: one of the two has no end");
        assert_eq!(json_of(&answer)["freeze"]["id"], "open");
        assert_eq!(json_of(&answer)["freeze"]["until"], Value::Null);
        assert_eq!(answer.headers()["retry-after"], "60");
        freezes.remove("open", None).await.unwrap();
    }
    freezes.put("later", FreezeOrder { until: Some(at(90)), ..FreezeOrder::default() }).await.unwrap();
    assert_eq!(json_of(&ask(&freezes, "POST", &a_write()).await)["freeze"]["id"], "later", "the last to end");
}

#[tokio::test(start_paused = true)]
async fn a_retry_is_asked_for_after_the_end_and_within_the_spread() {
    let freezes = freezes();
    freezes.put("x", FreezeOrder { until: Some(at(100)), ..FreezeOrder::default() }).await.unwrap();
    let view = freezes.0.live().load_full();
    let mut seen = Vec::new();
    for seed in 0..2000 {
        let chance = Chance::seeded(seed);
        let refusal = crate::refuse::refusal(&view.active[0], &view.settings, at(40), &chance);
        let answer = refusal.into_response(&a_write());
        let after: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((60..=90).contains(&after), "{after} with seed {seed}");
        seen.push(after);
    }
    seen.sort_unstable();
    seen.dedup();
    assert!(seen.len() >= 30, "the spread is used: {seen:?}");
    // At the very end, and past it: never below a second.
    let none = FreezeSettings { retry_spread: Duration::ZERO, ..FreezeSettings::default() };
    for now in [at(100), at(101)] {
        let refusal = crate::refuse::refusal(&view.active[0], &none, now, &Chance::seeded(1));
        assert_eq!(refusal.into_response(&a_write()).headers()["retry-after"], "1");
    }
}

#[tokio::test(start_paused = true)]
async fn reads_pass_and_carry_the_freezes_that_cover_them() {
    let freezes = freezes();
    let banner = async |facts: &Facts| {
        let answer = ask(&freezes, "GET", facts).await;
        assert_eq!((answer.status(), answer.body().as_ref()), (StatusCode::OK, b"done".as_slice()));
        answer.headers().get("sluicegate-freeze").map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(banner(&a_read()).await, None);
    freezes.put("a", FreezeOrder { until: Some(at(60)), ..FreezeOrder::default() }).await.unwrap();
    assert_eq!(banner(&a_read()).await.as_deref(), Some("id=a;until=2030-01-05T02:01:00Z"));
    freezes.put("b", FreezeOrder { scope: routes(&["retrieve"]), ..FreezeOrder::default() }).await.unwrap();
    assert_eq!(banner(&a_read()).await.as_deref(), Some("id=a;until=2030-01-05T02:01:00Z, id=b"));
    freezes.remove("a", None).await.unwrap();
    assert_eq!(banner(&a_read()).await.as_deref(), Some("id=b"));
    assert_eq!(banner(&facts("elsewhere", "stable", None, Access::Read)).await, None);
    assert_eq!(freezes.0.in_flight(), 0, "reads are not counted");
}

#[tokio::test(start_paused = true)]
async fn a_scope_freezes_what_it_names_and_nothing_else() {
    let freezes = freezes();
    let scope =
        Scope { tenants: Some(vec!["acme".into()]), upstreams: Some(vec!["stable".into()]), routes: None };
    freezes.put("x", FreezeOrder { scope, ..FreezeOrder::default() }).await.unwrap();
    for (route, upstream, tenant, status) in [
        ("ingest", "stable", Some("acme"), 423),
        ("other", "stable", Some("acme"), 423),
        ("ingest", "next", Some("acme"), 200),
        ("ingest", "stable", Some("trial"), 200),
        ("ingest", "stable", None, 200),
    ] {
        let answer = ask(&freezes, "POST", &facts(route, upstream, tenant, Access::Write)).await;
        assert_eq!(answer.status(), status, "{route} {upstream} {tenant:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn access_is_what_classify_says_and_else_the_method() {
    let freezes = freezes();
    freezes.put("x", FreezeOrder::default()).await.unwrap();
    let plain = || Facts::new("r".parse().unwrap(), None, tokio::time::Instant::now(), false);
    assert_eq!(ask(&freezes, "POST", &a_read()).await.status(), 200);
    assert_eq!(ask(&freezes, "GET", &a_write()).await.status(), 423);
    assert_eq!(ask(&freezes, "POST", &plain()).await.status(), 423);
    assert_eq!(ask(&freezes, "GET", &plain()).await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_classified_before_the_document_changed_is_refused_after() {
    let freezes = freezes();
    let held = a_write();
    freezes.apply(&FreezeSettings { read_only: true, ..FreezeSettings::default() });
    let answer = ask(&freezes, "POST", &held).await;
    assert_eq!(
        (answer.status(), json_of(&answer)["freeze"]["id"].as_str()),
        (StatusCode::LOCKED, Some("config"))
    );
}

#[tokio::test]
async fn without_a_proxy_below_the_layer_tells_how_a_write_ended() {
    let freezes = freezes();
    let plain = || Facts::new("r".parse().unwrap(), None, tokio::time::Instant::now(), false);
    let layer = FreezeLayer::new(freezes.clone());

    let whole =
        service_fn(|_| async { Ok::<_, Refusal>(Response::new(Full::new(Bytes::from_static(b"a")))) });
    let done = plain();
    let body = layer.layer(whole).oneshot(request("POST", &done)).await.unwrap().into_body();
    assert_eq!(done.attempt().outcome(), Outcome::Unknown, "its body has not gone out");
    body.collect().await.unwrap();
    assert_eq!(done.attempt().outcome(), Outcome::Final);

    let empty = service_fn(|_| async { Ok::<_, Refusal>(Response::new(Empty::<Bytes>::new())) });
    let done = plain();
    drop(layer.layer(empty).oneshot(request("POST", &done)).await.unwrap());
    assert_eq!(done.attempt().outcome(), Outcome::Final, "a server does not poll an empty body");

    let busy = service_fn(|_| async {
        Err::<Response<Empty<Bytes>>, _>(Refusal::new(sluicegate_core::Code::Overloaded, ""))
    });
    let refused = plain();
    drop(layer.layer(busy).oneshot(request("POST", &refused)).await.unwrap_err());
    assert_eq!(refused.attempt().outcome(), Outcome::NotApplied);

    let hangs = || service_fn(|_| std::future::pending::<Result<Response<Empty<Bytes>>, Refusal>>());
    let dropped = plain();
    drop(layer.layer(hangs()).call(request("POST", &dropped)));
    assert_eq!(dropped.attempt().outcome(), Outcome::Unknown);

    let classified = a_write();
    drop(layer.layer(hangs()).call(request("POST", &classified)));
    assert_eq!(
        classified.attempt().outcome(),
        Outcome::NotApplied,
        "the proxy's to say, and it sent nothing"
    );
    let classified = a_write();
    drop(layer.clone().over_service().layer(hangs()).call(request("POST", &classified)));
    assert_eq!(classified.attempt().outcome(), Outcome::Unknown);

    freezes.put("x", FreezeOrder::default()).await.unwrap();
    assert_eq!(freezes.status().freezes[0].unsettled, 2);
}

#[tokio::test]
async fn it_guards_a_plain_axum_service() {
    let freezes = freezes();
    let guarded = ServiceBuilder::new()
        .layer(RespondLayer)
        .layer(FreezeLayer::new(freezes.clone()))
        .layer(MapErrLayer::new(|never: Infallible| -> Refusal { match never {} }));
    let app: Router = Router::new()
        .route("/documents", get(async || "all of them").post(async || StatusCode::CREATED))
        .layer(guarded);
    let ask = async |method: &str| {
        let request =
            Request::builder().method(method).uri("/documents").body(axum::body::Body::empty()).unwrap();
        app.clone().oneshot(request).await.unwrap()
    };
    assert_eq!(ask("POST").await.status(), 201);
    freezes.put("x", FreezeOrder::default()).await.unwrap();
    let refused = ask("POST").await;
    assert_eq!(refused.status(), 423);
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
    let read = ask("GET").await;
    assert_eq!(
        (read.status(), read.headers()["sluicegate-freeze"].to_str().unwrap()),
        (StatusCode::OK, "id=x")
    );
}

/// The barrier over real threads: fifty times, writers without pause and a freeze among them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn after_the_drain_no_write_runs_through_the_layer() {
    let freezes = freezes();
    let timekeeper = tokio::spawn(freezes.run());
    let running = Arc::new(AtomicUsize::new(0));
    let started = Arc::new(AtomicUsize::new(0));
    for round in 0..50 {
        let writers: Vec<_> = (0..8)
            .map(|_| {
                let (freezes, running, started) = (freezes.clone(), running.clone(), started.clone());
                tokio::spawn(async move {
                    let inner = service_fn(|_| {
                        started.fetch_add(1, Ordering::SeqCst);
                        running.fetch_add(1, Ordering::SeqCst);
                        let running = running.clone();
                        async move {
                            tokio::task::yield_now().await;
                            running.fetch_sub(1, Ordering::SeqCst);
                            Ok::<_, Refusal>(Response::new(Empty::<Bytes>::new()))
                        }
                    });
                    let mut service = FreezeLayer::new(freezes).over_service().layer(inner);
                    while service.call(request("POST", &a_write())).await.is_ok() {
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        while started.load(Ordering::SeqCst) <= round {
            tokio::task::yield_now().await;
        }
        freezes.put("x", FreezeOrder::default()).await.unwrap();
        let report = freezes.wait_drained("x", Duration::from_secs(10)).await.unwrap();
        let (running, before) = (running.load(Ordering::SeqCst), started.load(Ordering::SeqCst));
        assert_eq!((report.drained, report.unsettled, running), (true, 0, 0), "round {round}");
        for writer in writers {
            writer.await.unwrap();
        }
        assert_eq!(started.load(Ordering::SeqCst), before, "none started after the drain, round {round}");
        freezes.remove("x", None).await.unwrap();
    }
    timekeeper.abort();
}

#[test]
fn the_layer_holds_only_what_may_be_shared() {
    fn shared<T: Send + Sync + Clone + 'static>() {}
    fn sent<T: Send + 'static>() {}
    shared::<FreezeLayer>();
    shared::<Freeze<Router>>();
    sent::<super::ResponseFuture<std::future::Ready<()>>>();
    sent::<crate::FreezeBody<Full<Bytes>>>();
    assert!(size_of::<super::ResponseFuture<()>>() <= 64, "{}", size_of::<super::ResponseFuture<()>>());
}

/// The facts of a write on a route that keeps its writes for later.
fn a_write_that_can_wait() -> Facts {
    let facts = Facts::new(HeaderValue::from_static("req-1"), None, tokio::time::Instant::now(), false);
    facts.classify(Classified {
        route: Arc::new(RoutePlan::new("ingest", "stable").with(Deferral)),
        access: Access::Write,
        tenant: None,
        lane: Lane::Interactive,
        cost: 1,
        deadline: None,
        rpc: None,
    });
    facts
}

#[tokio::test(start_paused = true)]
async fn a_write_that_can_wait_goes_on_marked_and_uncounted() {
    let freezes = freezes();
    let before = a_write_that_can_wait();
    assert_eq!(ask(&freezes, "POST", &before).await.status(), 200);
    assert!(!before.is_deferred());

    freezes.put("reindex", FreezeOrder::default()).await.unwrap();
    let during = a_write_that_can_wait();
    let inside = Arc::new(AtomicUsize::new(usize::MAX));
    let seen = (freezes.clone(), inside.clone());
    let inner = service_fn(move |_| {
        seen.1.store(seen.0.0.in_flight(), Ordering::Relaxed);
        async { Ok::<_, Refusal>(Response::new(Full::new(Bytes::from_static(b"kept")))) }
    });
    let answer = FreezeLayer::new(freezes.clone()).layer(inner).oneshot(request("POST", &during)).await;
    assert_eq!(answer.unwrap().status(), 200);
    assert!(during.is_deferred());
    assert_eq!(inside.load(Ordering::Relaxed), 0, "the barrier does not wait for it");
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_exchange_outlives_its_client_is_counted_until_that_is_over() {
    let freezes = freezes();
    tokio::spawn(freezes.run());
    let write = a_write();
    let inner = service_fn(|_| std::future::pending::<Result<Response<Full<Bytes>>, Refusal>>());
    let mut service = FreezeLayer::new(freezes.clone()).layer(inner);
    let asking = service.call(request("POST", &write));
    write.attempt().sent();
    write.outlive();
    drop(asking);
    freezes.put("reindex", FreezeOrder::default()).await.unwrap();
    assert_eq!(freezes.0.in_flight(), 1, "the client has left, the write has not");
    write.attempt().ended();
    write.over();
    let report = freezes.wait_drained("reindex", Duration::from_secs(1)).await.unwrap();
    assert_eq!((report.drained, report.unsettled), (true, 0));
}
