use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use sluicegate_body::{Budget, Gathered};
use sluicegate_core::{Code, Facts, Refusal, RoutePlan};
use sluicegate_store::{
    Backfill, Caps, EntryId, EntryState, Expect, Put, Store, Tag,
    fence::{Fence, FenceState},
    keyed::Keyed,
    memory::Memory,
};
use tokio::time::Instant;
use tower::{Layer, ServiceExt, service_fn};

use super::IntentsLayer;
use crate::{
    Intents, IntentsSettings, OpenOptions, RouteRules,
    intent::Intent,
    testing::{self, Rig, Shaky, Switch, Upstream, advance, fence_id, quick, until, write},
};

type Body = Gathered<Full<Bytes>>;

/// What passed through to the upstream.
#[derive(Clone, Default)]
struct Passed(Arc<AtomicUsize>);

impl Passed {
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

async fn ask_within(
    rig: &Rig,
    passed: &Passed,
    budget: Budget,
    request: Request<Body>,
) -> Result<Response<Bytes>, Refusal> {
    let passed = passed.0.clone();
    let inner = service_fn(move |request: Request<Body>| {
        passed.fetch_add(1, Ordering::SeqCst);
        async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            Ok::<_, Refusal>(Response::new(Full::new(body)))
        }
    });
    let answer = IntentsLayer::new(rig.intents.clone(), budget).layer(inner).oneshot(request).await?;
    let (head, body) = answer.into_parts();
    Ok(Response::from_parts(head, body.collect().await.unwrap().to_bytes()))
}

async fn ask(rig: &Rig, passed: &Passed, request: Request<Body>) -> Result<Response<Bytes>, Refusal> {
    ask_within(rig, passed, Rig::budget(), request).await
}

fn rig() -> Rig {
    Rig::new(quick(), RouteRules::default())
}

#[tokio::test(start_paused = true)]
async fn a_marked_write_is_kept_with_its_fence_and_answered_202() {
    let (rig, passed) = (rig(), Passed::default());
    let answer = ask(&rig, &passed, rig.marked("k1", "7")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let id = rig.id("k1").await;
    assert_eq!(answer.headers()["location"], format!("/.sluicegate/intents/{id}"));
    assert_eq!(passed.count(), 0);
    let entry = &rig.entries().await[0];
    assert_eq!(rig.fence("k1").await, Some(FenceState::Deferred(entry.id)));
    let intent = Intent::decode(&entry.value).unwrap();
    assert_eq!((&*intent.method, &*intent.target), ("POST", "/v1/documents/7?v=1"));
    assert_eq!((&*intent.order_key, &*intent.route, &*intent.upstream), ("7", "ingest", "stable"));
    assert_eq!(intent.body, "{\"key\":\"k1\"}");
    let names: Vec<_> = intent.headers.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["content-type", "idempotency-key", "x-doc"], "no credentials");
    assert!(!entry.value.windows(6).any(|bytes| bytes == b"s3cret"));
    assert!(rig.scrape().contains("sluicegate_intents_accepted_total{route=\"ingest\",why=\"frozen\"} 1"));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_taken_is_given_back_and_nothing_is_kept() {
    let (rig, passed) = (rig(), Passed::default());
    let store = &rig.home().store;
    let print = testing::intent("ingest", None, "/v1/documents/7?v=1", b"{}").print;
    for (key, state) in [
        ("running", FenceState::Running),
        ("unknown", FenceState::Unknown("?".into())),
        ("deferred", FenceState::Deferred(EntryId(5))),
    ] {
        let fence = Fence {
            key: key.into(),
            route: "ingest".into(),
            method: "POST".into(),
            tenant: None,
            request_id: "r".into(),
            print: print.clone(),
            created_ms: 0,
            changed_ms: 0,
            state,
        };
        let put = Put {
            tag: Tag(9),
            value: fence.encode().unwrap(),
            owner: "".into(),
            ttl: Duration::from_secs(60),
            held: true,
        };
        store.swap(fence_id(key), Expect::Absent, Some(put)).await.unwrap();
        let request = rig.marked(key, "7");
        let keyed = request.extensions().get::<Keyed>().unwrap().clone();
        let refusal = ask(&rig, &passed, request).await.unwrap_err();
        assert_eq!(refusal.code(), Code::IdempotencyInFlight, "{key}");
        let returned = keyed.take_back().unwrap();
        assert_eq!(returned.body.bytes, format!("{{\"key\":\"{key}\"}}"));
        assert_eq!(returned.head.uri, "/v1/documents/7?v=1");
    }
    assert!(rig.entries().await.is_empty());
    assert_eq!(passed.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_same_key_gives_the_same_intent_and_another_request_none() {
    let (rig, passed) = (rig(), Passed::default());
    ask(&rig, &passed, rig.marked("k1", "7")).await.unwrap();
    for doc in ["7", "8"] {
        let refusal = ask(&rig, &passed, rig.marked("k1", doc)).await.unwrap_err();
        assert_eq!(refusal.code(), Code::IdempotencyInFlight);
    }
    assert_eq!(rig.entries().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn under_retry_a_write_of_unknown_fate_is_kept_anew() {
    let rules = RouteRules { on_unknown: sluicegate_store::fence::OnUnknown::Retry, ..RouteRules::default() };
    let (rig, passed) = (Rig::new(quick(), rules), Passed::default());
    ask(&rig, &passed, rig.marked("k1", "7")).await.unwrap();
    let record = rig.home().store.get(fence_id("k1")).await.unwrap().unwrap();
    let fence = Fence::decode(&record.value).unwrap();
    let unknown = Fence { state: FenceState::Unknown("?".into()), ..fence };
    let put = Put {
        tag: Tag(3),
        value: unknown.encode().unwrap(),
        owner: "".into(),
        ttl: Duration::from_secs(9),
        held: false,
    };
    rig.home().store.swap(fence_id("k1"), Expect::Tag(record.tag), Some(put)).await.unwrap();
    assert_eq!(ask(&rig, &passed, rig.marked("k1", "7")).await.unwrap().status(), 202);
    assert_eq!(rig.entries().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_kept_is_refused_and_says_why() {
    let (rig, passed) = (rig(), Passed::default());
    let mut unkeyed = rig.marked("k1", "7");
    unkeyed.extensions_mut().remove::<Keyed>();
    let mut upgrade = rig.marked("k1", "7");
    upgrade.headers_mut().insert("upgrade", HeaderValue::from_static("websocket"));
    let mut large = rig.marked("k1", "7");
    *large.body_mut() = Gathered::untouched(Full::from(vec![0; rig.settings.max_body + 1]));
    let grpc = Facts::new(HeaderValue::from_static("r"), None, Instant::now(), true);
    grpc.classify(sluicegate_core::Classified {
        route: Arc::new(RoutePlan::new("ingest", "stable").with(rig.plan("ingest"))),
        access: sluicegate_core::Access::Write,
        tenant: None,
        lane: sluicegate_core::Lane::Interactive,
        cost: 1,
        deadline: None,
        rpc: None,
    });
    grpc.defer();
    for (request, code, words) in [
        (unkeyed, Code::ReadOnly, "only under an Idempotency-Key"),
        (upgrade, Code::ReadOnly, "an upgrade of the connection cannot be kept"),
        (large, Code::BodyTooLarge, "larger than the 1048576 bytes"),
        (write(&grpc, "k1", "7"), Code::ReadOnly, "a gRPC call cannot be kept"),
    ] {
        let refusal = ask_within(&rig, &passed, Budget::new(8 << 20), request).await.unwrap_err();
        assert_eq!(refusal.code(), code);
        assert!(refusal.to_string().contains(words), "{refusal}");
    }
    let refusal = ask_within(&rig, &passed, Budget::new(3), rig.marked("k1", "7")).await.unwrap_err();
    assert_eq!(refusal.code(), Code::Overloaded);
    assert!(rig.entries().await.is_empty());
    assert_eq!(passed.count(), 0);
    assert!(
        rig.scrape().contains("sluicegate_intents_refused_total{route=\"ingest\",why=\"key_missing\"} 1")
    );
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_like_any_write_and_takes_the_next_when_there_is_room() {
    let settings = IntentsSettings { caps: Caps { max_count: 2, max_bytes: 1 << 20, share: 1.0 }, ..quick() };
    let (rig, passed) = (Rig::new(settings, RouteRules::default()), Passed::default());
    for key in ["a", "b"] {
        ask(&rig, &passed, rig.marked(key, key)).await.unwrap();
    }
    let refusal = ask(&rig, &passed, rig.marked("c", "c")).await.unwrap_err();
    assert_eq!(refusal.code(), Code::ReadOnly);
    assert!(
        refusal.to_string().contains("the queue that keeps them for later holds as many as it may"),
        "{refusal}"
    );
    let answer = refusal.into_response(&rig.facts("ingest", None));
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["retry-after"]),
        (503, &HeaderValue::from_static("30"))
    );
    assert_eq!(rig.fence("c").await, None, "its key is free");
    let backfill = rig.run(&Switch::open(), &Upstream::new());
    until("both are applied", async || rig.state("b").await == Some(EntryState::Applied)).await;
    backfill.abort();
    assert_eq!(ask(&rig, &passed, rig.marked("c", "c")).await.unwrap().status(), 202);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_could_lose_intents_keeps_none() {
    let rig = rig();
    let clock = testing::clock();
    let store = Store::new(Memory::new(clock.clone()));
    assert!(store.not_durable().is_some());
    let open = |accept_loss| {
        let options = OpenOptions {
            store: store.clone(),
            clock: clock.clone(),
            chance: Arc::new(sluicegate_core::Chance::seeded(1)),
            accept_loss,
        };
        Rig {
            intents: Intents::open(options, &mut prometheus_client::registry::Registry::default()),
            ..Rig::new(quick(), RouteRules::default())
        }
    };
    let passed = Passed::default();
    let refusal = ask(&open(false), &passed, rig.marked("k", "7")).await.unwrap_err();
    assert_eq!(refusal.code(), Code::StoreUnavailable);
    assert!(refusal.to_string().contains("the store could lose it"), "{refusal}");
    assert_eq!(ask(&open(true), &passed, rig.marked("k", "7")).await.unwrap().status(), 202);
}

#[tokio::test(start_paused = true)]
async fn an_append_whose_answer_was_lost_is_kept_once() {
    let (rig, passed) = (rig(), Passed::default());
    rig.store.lose(2);
    assert_eq!(ask(&rig, &passed, rig.marked("k", "7")).await.unwrap().status(), 202);
    assert_eq!(rig.entries().await.len(), 1);
    rig.store.fail(100);
    let refusal = ask(&rig, &passed, rig.marked("l", "7")).await.unwrap_err();
    assert_eq!(refusal.code(), Code::StoreUnavailable);
    assert!(refusal.to_string().contains("send it again with the same Idempotency-Key"), "{refusal}");
    rig.store.fail(0);
    assert_eq!(rig.entries().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn unmarked_writes_go_behind_older_ones_of_their_line_alone() {
    let (rig, passed) = (rig(), Passed::default());
    ask(&rig, &passed, rig.marked("k1", "7")).await.unwrap();
    let facts = rig.facts("ingest", None);
    assert_eq!(ask(&rig, &passed, write(&facts, "k2", "7")).await.unwrap().status(), 202);
    assert_eq!(passed.count(), 0);
    let other = ask(&rig, &passed, write(&facts, "k3", "8")).await.unwrap();
    assert_eq!((other.status().as_u16(), other.body().as_ref()), (200, &b"{\"key\":\"k3\"}"[..]));
    assert_eq!(passed.count(), 1);
    let tenant = rig.facts("ingest", Some("acme"));
    ask(&rig, &passed, write(&tenant, "k4", "7")).await.unwrap();
    assert_eq!(passed.count(), 2, "another tenant's line is another line");
    let mut unkeyed = write(&facts, "k5", "7");
    unkeyed.extensions_mut().remove::<Keyed>();
    let refusal = ask(&rig, &passed, unkeyed).await.unwrap_err();
    assert_eq!(refusal.code(), Code::IdempotencyKeyMissing);
    assert!(refusal.to_string().contains("older writes of the same order key wait"), "{refusal}");

    let backfill = rig.run(&Switch::open(), &Upstream::new());
    until("all are applied", async || rig.state("k2").await == Some(EntryState::Applied)).await;
    backfill.abort();
    ask(&rig, &passed, write(&facts, "k6", "7")).await.unwrap();
    assert_eq!(passed.count(), 3, "nothing waits any more");
}

/// A body whose one frame comes when a test sends it.
struct Late(Option<tokio::sync::oneshot::Receiver<Bytes>>);

impl http_body::Body for Late {
    type Data = Bytes;
    type Error = tokio::sync::oneshot::error::RecvError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        let Some(frame) = &mut self.0 else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(frame).poll(cx));
        self.0 = None;
        Poll::Ready(Some(frame.map(http_body::Frame::data)))
    }
}

#[tokio::test(start_paused = true)]
async fn a_line_that_empties_while_the_body_comes_lets_the_write_pass_whole() {
    let rig = rig();
    rig.keep("k1", "7").await;
    let (send, late) = tokio::sync::oneshot::channel();
    let inner = service_fn(async |request: Request<Gathered<Late>>| {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Ok::<_, Refusal>(Response::new(Full::new(body)))
    });
    let facts = rig.facts("ingest", None);
    let request = write(&facts, "k2", "7").map(|_| Gathered::untouched(Late(Some(late))));
    let asking =
        tokio::spawn(IntentsLayer::new(rig.intents.clone(), Rig::budget()).layer(inner).oneshot(request));
    advance(100).await;
    let backfill = rig.run(&Switch::open(), &Upstream::new());
    until("it is applied", async || rig.state("k1").await == Some(EntryState::Applied)).await;
    send.send(Bytes::from_static(b"all of it")).unwrap();
    let answer = asking.await.unwrap().unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "all of it");
    assert_eq!(rig.entries().await.len(), 1);
    backfill.abort();
}

#[tokio::test(start_paused = true)]
async fn where_nothing_waits_the_store_is_not_asked() {
    let (rig, passed) = (rig(), Passed::default());
    let backfill = rig.run(&Switch::open(), &Upstream::new());
    advance(10).await;
    rig.store.fail(u32::MAX);
    let facts = rig.facts("ingest", None);
    ask(&rig, &passed, write(&facts, "k1", "7")).await.unwrap();
    assert_eq!(passed.count(), 1);
    rig.store.fail(0);
    ask(&rig, &passed, rig.marked("k2", "7")).await.unwrap();
    rig.store.fail(1);
    let refusal = ask(&rig, &passed, write(&facts, "k3", "7")).await.unwrap_err();
    assert_eq!(refusal.code(), Code::StoreUnavailable, "something waits, and nobody knows in which line");
    backfill.abort();
}

#[tokio::test(start_paused = true)]
async fn in_a_shared_store_each_write_asks_since_others_append_too() {
    let store = Shaky::shared(testing::clock());
    let (one, two) = (
        Rig::over(store.clone(), quick(), RouteRules::default()),
        Rig::over(store, quick(), RouteRules::default()),
    );
    let passed = Passed::default();
    let freezer = Switch::frozen();
    let backfill = one.run(&freezer, &Upstream::new());
    advance(10).await;
    ask(&two, &passed, two.marked("k1", "7")).await.unwrap();
    let facts = one.facts("ingest", None);
    assert_eq!(ask(&one, &passed, write(&facts, "k2", "7")).await.unwrap().status(), 202);
    assert_eq!(passed.count(), 0);
    backfill.abort();
}

#[tokio::test(start_paused = true)]
async fn a_lost_store_lets_writes_by_only_where_the_route_says_so() {
    for open_when_lost in [true, false] {
        let rules = RouteRules { open_when_lost, ..RouteRules::default() };
        let (rig, passed) = (Rig::new(quick(), rules), Passed::default());
        rig.store.fail(u32::MAX);
        let facts = rig.facts("ingest", None);
        let answer = ask(&rig, &passed, write(&facts, "k1", "7")).await;
        assert_eq!(answer.is_ok(), open_when_lost);
        assert_eq!(passed.count(), usize::from(open_when_lost));
        assert_eq!(
            rig.scrape().contains("sluicegate_intents_unchecked_total{route=\"ingest\"} 1"),
            open_when_lost
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_intent_being_applied_passes_and_never_comes_in_again() {
    let (rig, passed) = (rig(), Passed::default());
    ask(&rig, &passed, rig.marked("k1", "7")).await.unwrap();
    let id = rig.entries().await[0].id;
    let facts = rig.facts("ingest", None);
    let mut request = write(&facts, "k1", "7");
    request.extensions_mut().insert(Backfill(id));
    ask(&rig, &passed, request).await.unwrap();
    assert_eq!(passed.count(), 1);
    let mut request = rig.marked("k1", "7");
    request.extensions_mut().insert(Backfill(id));
    assert_eq!(ask(&rig, &passed, request).await.unwrap_err().code(), Code::ReadOnly);
    assert_eq!((passed.count(), rig.entries().await.len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn routes_without_a_queue_and_reads_pass_and_a_mark_nobody_can_keep_is_refused() {
    let (rig, passed) = (rig(), Passed::default());
    ask(&rig, &passed, rig.marked("k1", "7")).await.unwrap();
    let plain = testing::facts(RoutePlan::new("plain", "stable"), None);
    ask(&rig, &passed, write(&plain, "k2", "7")).await.unwrap();
    plain.defer();
    assert_eq!(ask(&rig, &passed, write(&plain, "k2", "7")).await.unwrap_err().code(), Code::ReadOnly);
    let mut bare = write(&plain, "k2", "7");
    bare.extensions_mut().clear();
    ask(&rig, &passed, bare).await.unwrap();
    assert_eq!(passed.count(), 2);
}

#[test]
fn the_layer_holds_only_what_may_be_shared_and_its_future_is_small() {
    fn shared<T: Send + Sync + 'static>() {}
    fn sent<T: Send>(_: &T) {}
    shared::<IntentsLayer>();
    shared::<super::IntentsQueue<axum::Router>>();
    let inner =
        service_fn(|_: Request<Body>| async { Ok::<_, Refusal>(Response::new(Full::<Bytes>::default())) });
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let rig = rig();
        let mut service = IntentsLayer::new(rig.intents.clone(), Rig::budget()).layer(inner);
        let future = tower::Service::call(&mut service, rig.marked("k1", "7"));
        sent(&future);
        let small = std::mem::size_of_val(&future);
        assert!(small <= 256, "{small}");
    });
}
