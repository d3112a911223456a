use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, StatusCode};
use http_body::Frame;
use http_body_util::{Full, channel::Channel};
use sluicegate_core::{Access, BoxError, Facts, RoutePlan};
use sluicegate_store::{
    EntryId, Expect, Put, Records, Tag,
    fence::{Fence, FenceState, OnUnknown},
    fingerprint::FingerprintRules,
};
use tokio::{sync::oneshot, time::Instant};

use crate::{
    FencesSettings, IdempotencySettings, KeyFilter, KeyPart, ScopePart, UpstreamPromises, WhenLost,
    testing::{Act, Body, Failing, Gate, Rig, RigOptions, answer, full, post, until},
};

mod waiting;

fn settings() -> IdempotencySettings {
    IdempotencySettings::default()
}

fn required() -> IdempotencySettings {
    IdempotencySettings { required: true, when_lost: WhenLost::Closed, ..settings() }
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_gets_the_first_answer_and_nothing_is_done_twice() {
    let rig = Rig::new();
    rig.upstream.then(answer(201, "made"));
    let first = rig.ask(post("k-1", r#"{"a":1}"#)).await;
    assert_eq!((first.status, first.text(), first.is_replay()), (201, "made", false));
    let second = rig.ask(post("\"k-1\"", r#"{ "a": 1.0 }"#)).await;
    assert_eq!((second.status, second.text(), second.is_replay()), (201, "made", true));
    assert_eq!(second.headers["x-made-by"], "upstream");
    assert_eq!(rig.upstream.effects(), 1);
    assert_eq!(rig.upstream.last_seen().headers["idempotency-key"], "k-1", "the key goes on");
    let other = rig.ask(post("k-2", r#"{"a":1}"#)).await;
    assert!(!other.is_replay());
    assert_eq!((rig.results("begun"), rig.results("replayed")), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_missing_or_unusable_key_is_refused_and_nothing_is_sent() {
    let rig = Rig::under(required());
    let unkeyed = || Request::post("/v1/documents/7").body(full("{}")).unwrap();
    let got = rig.ask(unkeyed()).await;
    assert_eq!((got.status, got.code().as_str()), (400, "idempotency_key_missing"));
    let got = rig.ask(post(&"k".repeat(256), "{}")).await;
    assert_eq!((got.status, got.code().as_str()), (400, "idempotency_key_invalid"));
    assert!(got.json()["detail"].as_str().unwrap().contains("256 characters"));
    let mut two = post("a", "{}");
    two.headers_mut().append("idempotency-key", HeaderValue::from_static("b"));
    assert_eq!(rig.ask(two).await.code(), "idempotency_key_invalid");
    assert_eq!(rig.upstream.calls(), 0);

    let free = Rig::new();
    assert_eq!(free.ask(unkeyed()).await.status, 201);
    assert_eq!(free.ask(unkeyed()).await.text(), "answer 2", "without a key each is its own");
    assert_eq!((free.results("unkeyed"), rig.results("missing"), rig.results("invalid")), (2, 1, 2));
}

#[tokio::test(start_paused = true)]
async fn another_request_under_a_known_key_is_refused_with_what_differs() {
    let rig = Rig::new();
    rig.ask(post("k", r#"{"a":1,"secret":"x"}"#)).await;
    let got = rig.ask(post("k", r#"{"a":2,"secret":"y"}"#)).await;
    assert_eq!((got.status, got.code().as_str()), (422, "idempotency_conflict"));
    assert_eq!(got.json()["differs"], serde_json::json!(["/a", "/secret"]));
    assert!(!got.text().contains("\"y\""), "never values");
    let mut elsewhere = post("k", r#"{"a":1,"secret":"x"}"#);
    *elsewhere.uri_mut() = "/v1/documents/8?x=1".parse().unwrap();
    assert_eq!(rig.ask(elsewhere).await.json()["differs"], serde_json::json!(["path", "query"]));

    let rules = FingerprintRules { ignore: vec!["/at".into()] };
    let lenient = Rig::under(IdempotencySettings {
        rules: Arc::new(rules),
        conflict_status: StatusCode::CONFLICT,
        ..settings()
    });
    lenient.ask(post("k", r#"{"a":1,"at":1}"#)).await;
    assert!(lenient.ask(post("k", r#"{"at":2,"a":1}"#)).await.is_replay());
    assert_eq!(lenient.ask(post("k", r#"{"a":2}"#)).await.status, 409);
    assert_eq!(rig.upstream.effects() + lenient.upstream.effects(), 2);
}

#[tokio::test(start_paused = true)]
async fn reads_upgrades_and_routes_without_a_plan_pass_untouched() {
    let rig = Rig::new();
    let with = |facts: Facts| {
        let mut request = post("k", "{}");
        request.extensions_mut().insert(facts);
        request
    };
    for _ in 0..2 {
        assert!(!rig.ask(with(rig.facts(Access::Read, None))).await.is_replay());
        let mut upgrade = post("k", "");
        upgrade.headers_mut().insert("upgrade", HeaderValue::from_static("websocket"));
        assert!(!rig.ask(upgrade).await.is_replay());
        let bare = Facts::new(HeaderValue::from_static("r"), None, Instant::now(), false);
        let mut settled = rig.classified(Access::Write, None);
        settled.route = Arc::new(RoutePlan::new("other", "stable"));
        bare.classify(settled);
        assert!(!rig.ask(with(bare)).await.is_replay());
    }
    assert_eq!(rig.upstream.calls(), 6);
    assert!(rig.fences.list(&KeyFilter::default(), None, 10).await.unwrap().keys.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_key_counts_within_its_scope_alone() {
    let shop = HeaderName::from_static("x-shop");
    let rig = Rig::under(IdempotencySettings { scope: vec![ScopePart::Header(shop.clone())], ..settings() });
    let request = |tenant: Option<&str>, method: &str, in_shop: Option<&'static str>| {
        let mut request = post("k", "{}");
        request.extensions_mut().insert(rig.facts(Access::Write, tenant));
        *request.method_mut() = method.parse().unwrap();
        if let Some(name) = in_shop {
            request.headers_mut().insert(shop.clone(), HeaderValue::from_static(name));
        }
        request
    };
    let scopes = [
        (Some("acme"), "POST", None),
        (Some("other"), "POST", None),
        (None, "POST", None),
        (Some("acme"), "PATCH", None),
        (Some("acme"), "POST", Some("a")),
        (Some("acme"), "POST", Some("b")),
    ];
    for again in [false, true] {
        for (tenant, method, in_shop) in scopes {
            assert_eq!(rig.ask(request(tenant, method, in_shop)).await.is_replay(), again);
        }
    }
    assert_eq!(rig.upstream.effects(), scopes.len());
}

#[tokio::test(start_paused = true)]
async fn a_sender_without_the_header_is_fenced_by_what_its_key_is_derived_from() {
    let delivery = KeyPart::Header(HeaderName::from_static("x-delivery"));
    let rig = Rig::under(IdempotencySettings {
        key_from: vec![delivery, KeyPart::Json("/id".into())],
        ..required()
    });
    let event = |delivery: &'static str, body: &'static str| {
        Request::post("/hook").header("x-delivery", delivery).body(full(body)).unwrap()
    };
    let first = rig.ask(event("d-1", r#"{"id":7,"x":1}"#)).await;
    assert_eq!(first.status, 201);
    let seen = rig.upstream.last_seen();
    assert_eq!(seen.body, r#"{"id":7,"x":1}"#, "the body that was read for the key goes on whole");
    let key = seen.headers["idempotency-key"].to_str().unwrap().to_owned();
    assert_eq!(key.len(), 66, "the upstream gets the derived key: {key}");
    assert!(rig.ask(event("d-1", r#"{"x":1,"id":7}"#)).await.is_replay());
    assert!(!rig.ask(event("d-2", r#"{"id":7,"x":1}"#)).await.is_replay());
    assert!(!rig.ask(event("d-1", r#"{"id":8}"#)).await.is_replay());
    assert_eq!(rig.ask(event("d-1", "{}")).await.code(), "idempotency_key_missing");
    // What a client sends is never taken for a derived key.
    let mut forged = event("d-9", r#"{"id":7,"x":1}"#);
    forged.headers_mut().insert("idempotency-key", HeaderValue::try_from(key).unwrap());
    *forged.uri_mut() = "/hook".parse().unwrap();
    assert!(!rig.ask(forged).await.is_replay());
}

#[tokio::test(start_paused = true)]
async fn a_stored_answer_is_given_also_while_the_guards_below_refuse() {
    let rig = Rig::new();
    rig.ask(post("k", "{}")).await;
    rig.between(Gate::Refuse);
    assert!(rig.ask(post("k", "{}")).await.is_replay());
    assert_eq!(rig.ask(post("new", "{}")).await.code(), "read_only");
    assert_eq!(rig.upstream.calls(), 1);
    assert!(!rig.ask(post("new", "{}")).await.is_replay(), "a refusal is never stored");
}

/// A body that counts how often it is asked for.
struct Asked(Full<Bytes>, Arc<AtomicUsize>);

impl http_body::Body for Asked {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.0).poll_frame(cx).map_err(|never| match never {})
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_is_asked_for_only_when_the_guards_have_let_it_pass() {
    let rig = Rig::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let request = || {
        let body = Asked(Full::new(Bytes::from_static(b"{}")), asked.clone());
        post("k", "").map(|_| Body::new(body))
    };
    rig.between(Gate::Refuse);
    assert_eq!(rig.ask(request()).await.code(), "read_only");
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    assert_eq!(rig.ask(request()).await.status, 201);
    assert!(asked.load(Ordering::Relaxed) > 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_past_the_cap_needs_its_digest() {
    let rig = Rig::under(IdempotencySettings { max_body: 4, ..settings() });
    let got = rig.ask(post("k", "12345")).await;
    assert_eq!((got.status, got.code().as_str()), (413, "body_too_large"));
    assert_eq!(rig.upstream.calls(), 0);
    let digested = |key: &str, digest: &'static str| {
        let mut request = post(key, "12345");
        request.headers_mut().insert("content-digest", HeaderValue::from_static(digest));
        request
    };
    let one = "sha-256=:WZRHGrsBESr8wYFZ9sx0tPURuZgG2lmzyvWpwXPKz8U=:";
    let other = "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:";
    assert_eq!(rig.ask(digested("k", one)).await.status, 201);
    assert_eq!(rig.upstream.last_seen().body, "12345");
    assert!(rig.ask(digested("k", one)).await.is_replay());
    assert_eq!(rig.ask(digested("k", other)).await.json()["differs"], serde_json::json!(["body"]));
    let got = rig.ask(post("k", "12345")).await;
    assert_eq!(got.status, 413, "a duplicate without its digest cannot be compared");
    assert_eq!(rig.ask(post("at", "1234")).await.status, 201);
}

#[tokio::test(start_paused = true)]
async fn a_big_body_is_compared_on_another_thread_and_counts_the_same() {
    let rig = Rig::new();
    let big = |x: usize| format!(r#"{{"text":"{}","x":{x}}}"#, "t".repeat(100_000));
    assert_eq!(rig.ask(post("k", &big(1))).await.status, 201);
    assert!(rig.ask(post("k", &big(1))).await.is_replay());
    assert_eq!(rig.ask(post("k", &big(2))).await.json()["differs"], serde_json::json!(["/x"]));
}

#[tokio::test(start_paused = true)]
async fn bodies_that_are_held_share_one_room() {
    let bounds = FencesSettings { max_buffered: 10, ..FencesSettings::default() };
    let rig = Rig::with(RigOptions { bounds, ..RigOptions::default() });
    let (mut sender, channel) = Channel::<Bytes, BoxError>::new(1);
    let first = tokio::spawn(rig.ask(post("a", "").map(|_| Body::new(channel))));
    sender.send_data(Bytes::from_static(b"12345678")).await.unwrap();
    until(|| rig.fences.budget().taken() == 8).await;
    let got = rig.ask(post("b", "12345678")).await;
    assert_eq!((got.status, got.code().as_str()), (503, "overloaded"));
    assert!(got.headers.contains_key("retry-after"));
    drop(sender);
    assert_eq!(first.await.unwrap().status, 201);
    assert_eq!(rig.ask(post("b", "12345678")).await.status, 201, "there is room again");
    assert_eq!(rig.fences.budget().taken(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_is_kept_as_an_intent_is_told_the_same_place_again() {
    let rig = Rig::new();
    rig.ask(post("k", "{}")).await;
    // What the intents layer writes instead of a running fence.
    let (id, record) = rig.store.memory.page(None, 1).await.unwrap().remove(0);
    let fence = Fence::decode(&record.value).unwrap();
    let deferred = Fence { state: FenceState::Deferred(EntryId(7)), ..fence };
    let put = Put {
        tag: Tag(99),
        value: deferred.encode().unwrap(),
        owner: "acme".into(),
        ttl: Duration::from_secs(60),
        held: false,
    };
    rig.store.memory.swap(id, Expect::Tag(record.tag), Some(put)).await.unwrap();
    let got = rig.ask(post("k", "{}")).await;
    assert_eq!((got.status, got.is_replay()), (202, true));
    assert_eq!(got.headers["location"], format!("/.sluicegate/intents/{}", EntryId(7).to_text()));
    assert_eq!(rig.ask(post("k", "[]")).await.status, 422, "another request is refused all the same");
    assert_eq!((rig.results("deferred"), rig.upstream.calls()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_fate_is_refused_or_tried_again_as_the_route_says() {
    let refusing = Rig::new();
    refusing.upstream.then(Act::Reset);
    assert_eq!(refusing.ask(post("k", "{}")).await.status, 502);
    for _ in 0..2 {
        let got = refusing.ask(post("k", "{}")).await;
        assert_eq!((got.status, got.code().as_str()), (409, "idempotency_outcome_unknown"));
        assert!(got.json()["detail"].as_str().unwrap().contains("upstream_reset"));
        assert!(!got.headers.contains_key("retry-after"), "no retry under this key will help");
    }
    assert_eq!(refusing.upstream.calls(), 1);

    let honours = UpstreamPromises { honours_keys: true, ..UpstreamPromises::default() };
    let retry = IdempotencySettings { on_unknown: Some(OnUnknown::Retry), ..settings() };
    let refuse = IdempotencySettings { on_unknown: Some(OnUnknown::Refuse), ..settings() };
    for (settings, promises, calls) in
        [(retry, UpstreamPromises::default(), 2), (settings(), honours.clone(), 2), (refuse, honours, 1)]
    {
        let rig = Rig::with(RigOptions { settings, promises, ..RigOptions::default() });
        rig.upstream.then(Act::Reset);
        rig.ask(post("k", "{}")).await;
        let second = rig.ask(post("k", "{}")).await;
        assert_eq!(second.status, if calls == 2 { 201 } else { 409 });
        assert_eq!(rig.ask(post("k", "{}")).await.is_replay(), calls == 2);
        assert_eq!(rig.upstream.calls(), calls);
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_be_asked_closes_the_route_or_leaves_it_open() {
    let closed = Rig::under(required());
    closed.store.fail(Failing::Unheard);
    let got = closed.ask(post("k", "{}")).await;
    assert_eq!((got.status, got.code().as_str()), (503, "store_unavailable"));
    assert_eq!(got.headers["retry-after"], "1");
    assert_eq!((closed.upstream.calls(), closed.results("lost_closed")), (0, 1));
    closed.store.fail(Failing::No);
    assert_eq!(closed.ask(post("k", "{}")).await.status, 201, "it heals by itself");

    let open = Rig::new();
    open.store.fail(Failing::Unheard);
    assert_eq!(open.ask(post("k", "{}")).await.status, 201);
    assert_eq!((open.results("lost_open"), open.results("begun")), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_another_version_has_written_is_never_run_again() {
    let rig = Rig::new();
    rig.ask(post("k", "{}")).await;
    let (id, record) = rig.store.memory.page(None, 1).await.unwrap().remove(0);
    let put = Put {
        tag: Tag(99),
        value: Bytes::from_static(b"\x09from the future"),
        owner: "acme".into(),
        ttl: Duration::from_secs(60),
        held: false,
    };
    rig.store.memory.swap(id, Expect::Tag(record.tag), Some(put)).await.unwrap();
    let got = rig.ask(post("k", "{}")).await;
    assert_eq!((got.status, got.code().as_str()), (503, "store_unavailable"), "even where the route is open");
    assert_eq!(rig.upstream.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn grpc_clients_are_told_in_their_own_words() {
    let rig = Rig::new();
    let grpc = |body: &str| {
        let facts = Facts::new(HeaderValue::from_static("r"), None, Instant::now(), true);
        facts.classify(rig.classified(Access::Write, None));
        let mut request = post("k", body);
        request.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
        request.extensions_mut().insert(facts);
        request
    };
    rig.ask(grpc("a")).await;
    let got = rig.ask(grpc("b")).await;
    assert_eq!((got.status, got.headers["grpc-status"].as_bytes()), (200, &b"9"[..]));
}

#[tokio::test(start_paused = true)]
async fn a_key_is_forgotten_when_its_life_is_over() {
    let rig = Rig::under(IdempotencySettings { ttl: Duration::from_secs(60), ..settings() });
    rig.ask(post("k", "{}")).await;
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert!(rig.ask(post("k", "{}")).await.is_replay());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!rig.ask(post("k", "[]")).await.is_replay());
    assert_eq!(rig.upstream.effects(), 2);
}

fn told() -> (oneshot::Sender<()>, Gate) {
    let (sender, receiver) = oneshot::channel();
    (sender, Gate::Wait(receiver))
}
