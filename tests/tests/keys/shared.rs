//! Redis: keys that several gateways share, and what happens while it cannot be had.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use sluicegate_test_servers::Redis;
use sluicegate_tests::{
    Fenced, Gate, Gateway, LIMIT, Raw, Step, Upstream, comes_true, eventually, raw::RawAnswer,
    upstream::response,
};

use crate::{answers, assert_refused, replayed, request, with_lines, write};

async fn redis() -> Redis {
    Redis::start().await.expect("a Redis")
}

async fn pair(redis: &Redis) -> (Upstream, Gateway, Gateway) {
    let upstream = Upstream::start().await;
    let document = Fenced::redis(&redis.url()).document(&upstream.url());
    (upstream, Gateway::start(&document), Gateway::start(&document))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_gateway_sealed_another_replays() {
    let redis = redis().await;
    let (upstream, one, other) = pair(&redis).await;
    upstream.on("/", answers("201 Created", "X-Made: here\r\n", "made"));
    assert!(!replayed(&write(&one, "/", "k", "{}").await));
    let answer = write(&other, "/", "k", "{}").await;
    assert_eq!((answer.status, answer.text().as_str(), replayed(&answer)), (201, "made", true), "{answer:?}");
    assert_eq!(answer.fields.get("x-made"), Some("here"));
    assert_refused(&write(&other, "/", "k", "{\"a\":1}").await, 422, "idempotency_conflict");
    assert_eq!(upstream.count("/"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_through_one_gateway_another_waits_for() {
    let redis = redis().await;
    let (upstream, one, other) = pair(&redis).await;
    let gate = Gate::default();
    upstream.on("/", [Step::Read, Step::Wait(gate.clone()), Step::Send(response("201 Created", "", "made"))]);
    let (first, again) = tokio::join!(write(&one, "/", "k", "{}"), async {
        eventually("it runs", || upstream.running() == 1).await;
        let (again, ()) = tokio::join!(write(&other, "/", "k", "{}"), async {
            let waits = async || {
                let requests = other.metric("sluicegate_worker_requests").await;
                requests.iter().map(|(_, count)| *count).sum::<f64>() >= 1.0
            };
            comes_true("the duplicate waits", waits).await;
            gate.open();
        });
        again
    });
    assert_eq!((first.status, again.status, replayed(&again)), (201, 201, true), "{again:?}");
    assert_eq!(upstream.count("/"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_gateway_had_under_way_is_unknown_to_the_others() {
    let redis = redis().await;
    let (upstream, mut one, other) = pair(&redis).await;
    upstream.on("/", [Step::Read, Step::Hang]);
    let mut raw = Raw::connect(one.address()).await;
    raw.send(request("/", "Idempotency-Key: k\r\n", "{}")).await;
    eventually("it runs", || upstream.running() == 1).await;
    one.kill();
    upstream.on("/", answers("200 OK", "", "ok"));
    // Until its lease is over it may live.
    let mut answer = RawAnswer::default();
    let known = async || {
        answer = write(&other, "/", "k", "{}").await;
        answer.code() != "idempotency_in_flight"
    };
    comes_true("the lease is over", known).await;
    assert_refused(&answer, 409, "idempotency_outcome_unknown");
    assert_eq!(upstream.count("/"), 1);
}

/// Two gateways of which one has a write under way and is then stopped for longer than its
/// lease; returns once the other one finds the key unknown, or runs it anew.
async fn stalled(redis: &Redis, on_unknown: &str, then: &'static str) -> (Upstream, Gateway, Gateway, Gate) {
    let upstream = Upstream::start().await;
    let fenced = Fenced {
        store: format!("redis: {{ url: \"{}\", lease: 3s }}", redis.url()),
        idempotency: format!("required: true, wait: 500ms, on_unknown: {on_unknown}"),
        ..Fenced::default()
    };
    let document = fenced.document(&upstream.url());
    let (one, other) = (Gateway::start(&document), Gateway::start(&document));
    let gate = Gate::default();
    upstream.on("/", [Step::Read, Step::Wait(gate.clone()), Step::Send(response("201 Created", "", "late"))]);
    let mut raw = Raw::connect(one.address()).await;
    raw.send(request("/", "Idempotency-Key: k\r\n", "{}")).await;
    eventually("it runs", || upstream.running() == 1).await;
    one.signal(Signal::STOP);
    upstream.on("/", answers("200 OK", "", "anew"));
    let known = async || {
        let answer = write(&other, "/", "k", "{}").await;
        let in_flight = answer.code() == "idempotency_in_flight";
        assert!(in_flight || answer.code() == then || answer.text() == then, "{answer:?} {}", answer.text());
        !in_flight
    };
    comes_true("the lease is over", known).await;
    (upstream, one, other, gate)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_was_only_slow_still_settles_its_key() {
    let redis = redis().await;
    let (upstream, one, other, gate) = stalled(&redis, "refuse", "idempotency_outcome_unknown").await;
    gate.open();
    one.signal(Signal::CONT);
    let settled = async || write(&other, "/", "k", "{}").await.code() != "idempotency_outcome_unknown";
    comes_true("its outcome is known", settled).await;
    let answer = write(&other, "/", "k", "{}").await;
    assert_eq!((answer.status, answer.text().as_str(), replayed(&answer)), (201, "late", true), "{answer:?}");
    assert_eq!(upstream.count("/"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_was_overtaken_settles_nothing() {
    let redis = redis().await;
    let (upstream, one, other, gate) = stalled(&redis, "retry", "anew").await;
    gate.open();
    one.signal(Signal::CONT);
    eventually("the late answer has come", || upstream.running() == 0).await;
    // It has served requests since, so it had its time to write.
    for _ in 0..20 {
        for gateway in [&one, &other] {
            let answer = write(gateway, "/", "k", "{}").await;
            assert_eq!((answer.text().as_str(), replayed(&answer)), ("anew", true), "{answer:?}");
        }
    }
    assert_eq!(upstream.count("/"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ran_when_the_store_forgot_everything_is_not_run_again() {
    let redis = redis().await;
    let (upstream, one, other) = pair(&redis).await;
    let gate = Gate::default();
    upstream.on("/", [Step::Read, Step::Wait(gate.clone()), Step::Send(response("201 Created", "", "made"))]);
    let mut raw = Raw::connect(one.address()).await;
    raw.send(request("/", "Idempotency-Key: k\r\n", "{}")).await;
    eventually("it runs", || upstream.running() == 1).await;
    let _redis = redis.restart_empty().await.unwrap();
    upstream.on("/", answers("200 OK", "", "anew"));
    // For as long as it takes until new keys are accepted again.
    let back = async || {
        let answer = write(&other, "/", "k", "{}").await;
        assert_ne!(answer.text(), "anew", "it ran twice");
        write(&other, "/other", "another", "{}").await.status == 200
    };
    comes_true("keyed writes pass again", back).await;
    gate.open();
    let answer = raw.answer().await.unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (201, "made"));
    for gateway in [&one, &other] {
        let answer = write(gateway, "/", "k", "{}").await;
        assert_ne!(answer.text(), "anew", "it ran twice");
    }
    assert_eq!(upstream.count("/"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_store_closes_keyed_writes_until_it_is_back() {
    let mut redis = redis().await;
    let (upstream, gateway, _other) = pair(&redis).await;
    assert!(!replayed(&write(&gateway, "/", "old", "{}").await));
    assert!(gateway.readiness().await.json()["degraded"].as_array().is_none_or(Vec::is_empty));
    redis.kill();
    for key in ["old", "new"] {
        let begun = Instant::now();
        let answer = write(&gateway, "/", key, "{}").await;
        assert_refused(&answer, 503, "store_unavailable");
        assert!(answer.fields.get("retry-after").is_some(), "{answer:?}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
    // Reads go on, and the gateway stays in rotation but says what is wrong.
    let read = Raw::connect(gateway.address()).await.ask("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(read.status, 200);
    let mut readiness = None;
    let named = async || {
        let answer = gateway.readiness().await;
        let named = String::from_utf8_lossy(&answer.body).contains("redis");
        readiness = Some(answer);
        named
    };
    comes_true("/readyz names it", named).await;
    assert_eq!(readiness.unwrap().status, 200);
    let seen = upstream.count("/");

    let redis = redis.restart().await.unwrap();
    let begun = Instant::now();
    let back = async || write(&gateway, "/", "new", "{}").await.status == 200;
    comes_true("keyed writes pass again", back).await;
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert!(replayed(&write(&gateway, "/", "old", "{}").await));
    assert!(replayed(&write(&gateway, "/", "new", "{}").await));
    // One more for `new`, and the read.
    assert_eq!(upstream.count("/"), seen + 1);
    let well = async || !String::from_utf8_lossy(&gateway.readiness().await.body).contains("cannot");
    comes_true("/readyz is well", well).await;
    drop(redis);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_route_says_so_writes_pass_without_a_store() {
    let mut redis = redis().await;
    let upstream = Upstream::start().await;
    let fenced =
        Fenced { idempotency: "required: true, when_lost: open".to_owned(), ..Fenced::redis(&redis.url()) };
    let gateway = Gateway::start(&fenced.document(&upstream.url()));
    assert!(!replayed(&write(&gateway, "/", "k", "{}").await));
    redis.kill();
    for _ in 0..2 {
        let answer = write(&gateway, "/", "k", "{}").await;
        assert_eq!((answer.status, replayed(&answer)), (200, false), "{answer:?}");
    }
    assert_eq!(upstream.count("/"), 3);
    // A key is still required.
    assert_refused(&with_lines(&gateway, "/", "", "{}").await, 400, "idempotency_key_missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_takes_no_writes_is_a_lost_store() {
    let redis = redis().await;
    let (upstream, gateway, _other) = pair(&redis).await;
    assert!(!replayed(&write(&gateway, "/", "old", "{}").await));
    // A replica of nobody: it answers reads, and refuses writes.
    redis.command(&["REPLICAOF", "127.0.0.1", "1"]).unwrap();
    assert_refused(&write(&gateway, "/", "new", "{}").await, 503, "store_unavailable");
    redis.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    let back = async || write(&gateway, "/", "new", "{}").await.status == 200;
    comes_true("keyed writes pass again", back).await;
    assert_eq!(upstream.count("/"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_slow_is_not_waited_for_without_end() {
    let redis = redis().await;
    let (upstream, gateway, _other) = pair(&redis).await;
    assert!(!replayed(&write(&gateway, "/", "old", "{}").await));
    redis.command(&["CLIENT", "PAUSE", "6000", "ALL"]).unwrap();
    let begun = Instant::now();
    let answer = write(&gateway, "/", "new", "{}").await;
    assert_refused(&answer, 503, "store_unavailable");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    // What was refused was not sent, and its key is not left behind as running or unknown.
    assert_eq!(upstream.count("/"), 1);
    let mut last = String::new();
    let end = Instant::now() + LIMIT;
    loop {
        let answer = write(&gateway, "/", "new", "{}").await;
        if answer.status == 200 {
            break;
        }
        last = if answer.code() == last { last } else { answer.code() };
        assert_ne!(last, "idempotency_outcome_unknown", "nothing was sent");
        assert!(Instant::now() < end, "{last}");
    }
    assert_eq!(upstream.count("/"), 2);
}
