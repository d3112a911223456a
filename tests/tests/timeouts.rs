//! Whoever is too slow is cut off: in the head, in the body, at rest, upstream and down.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use sluicegate_tests::{Client, Gateway, Raw, Step, Upstream, client::get, config, eventually};

const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

async fn start(timeouts: &str) -> (Upstream, Gateway) {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&config(&upstream.url(), timeouts));
    (upstream, gateway)
}

/// Sends a byte every 50 ms until the gateway closes, and returns what came back.
async fn trickle(raw: &mut Raw, piece: &str) -> Vec<u8> {
    for _ in 0..200 {
        raw.send(piece).await;
        if raw.closed_within(Duration::from_millis(50)).await {
            return Vec::new();
        }
        let got = raw.some_now();
        if !got.is_empty() {
            return got.to_vec();
        }
    }
    panic!("it was never cut off");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_trickles_is_cut_off_though_every_byte_is_new() {
    let (upstream, gateway) = start("timeouts: { header_read: 300ms, idle: 30s }").await;
    let mut raw = Raw::connect(gateway.address()).await;
    let start = Instant::now();
    raw.send("GET / HTTP/1.1\r\nHost: localhost\r\nSlow: ").await;
    let got = trickle(&mut raw, "x").await;
    let took = start.elapsed();
    assert!(got.is_empty() || got.starts_with(b"HTTP/1.1 408 "), "{:?}", String::from_utf8_lossy(&got));
    assert!(took >= Duration::from_millis(250), "cut off after {took:?}");
    assert!(took < Duration::from_secs(5), "cut off after {took:?}");
    assert!(raw.closed_within(Duration::from_secs(5)).await);
    assert!(upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_head_behind_an_answered_request_is_cut_off_too() {
    let (upstream, gateway) = start("timeouts: { header_read: 300ms, idle: 30s }").await;
    let mut raw = Raw::connect(gateway.address()).await;
    assert_eq!(raw.ask(GET).await.status, 200);
    raw.send("GET / HTTP/1.1\r\n").await;
    let rest = raw.rest().await;
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408 "), "{:?}", String::from_utf8_lossy(&rest));
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_connection_rests_for_the_idle_time_and_not_the_header_time() {
    let (_upstream, gateway) = start("timeouts: { header_read: 100ms, idle: 600ms }").await;
    let mut raw = Raw::connect(gateway.address()).await;
    assert_eq!(raw.ask(GET).await.status, 200);
    assert!(!raw.closed_within(Duration::from_millis(400)).await, "closed before the idle time");
    assert_eq!(raw.ask(GET).await.status, 200);
    let start = Instant::now();
    assert_eq!(raw.rest().await, b"", "an idle connection is closed without a word");
    assert!(start.elapsed() >= Duration::from_millis(500), "closed after {:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_never_says_anything_is_closed() {
    let (_upstream, gateway) = start("timeouts: { header_read: 200ms, idle: 400ms }").await;
    let mut raw = Raw::connect(gateway.address()).await;
    let rest = raw.rest().await;
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408 "), "{:?}", String::from_utf8_lossy(&rest));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stops_is_answered_408_and_never_looks_complete() {
    let (upstream, gateway) = start("timeouts: { body_idle: 300ms }").await;
    for (framing, part) in [("Content-Length: 10", "hello"), ("Transfer-Encoding: chunked", "5\r\nhello\r\n")]
    {
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send(format!("POST / HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n{part}")).await;
        let answer = raw.answer().await.unwrap();
        assert_eq!((answer.status, answer.code().as_str()), (408, "request_timeout"), "{framing}");
        assert_eq!(raw.rest().await, b"");
    }
    eventually("the upstream is idle", || upstream.running() == 0).await;
    assert!(upstream.seen().iter().all(|seen| !seen.complete && seen.cut_off));
    assert_eq!(upstream.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_slow_but_never_stops_goes_through() {
    let (upstream, gateway) = start("timeouts: { body_idle: 400ms, header_read: 300ms, idle: 300ms }").await;
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n").await;
    for _ in 0..10 {
        // Nothing comes meanwhile; the wait is the slowness itself.
        assert!(!raw.closed_within(Duration::from_millis(100)).await);
        raw.send("x").await;
    }
    assert_eq!(raw.answer().await.unwrap().status, 200);
    assert_eq!(upstream.seen()[0].length, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deadline_bounds_the_time_to_the_head() {
    let (upstream, gateway) = start("limits: { deadline: 300ms }").await;
    upstream.on("/", [Step::Read, Step::Hang]);
    let start = Instant::now();
    let answer = Client::h1(gateway.address()).await.ask(get("/")).await;
    assert_eq!((answer.status, answer.code().as_str()), (504, "deadline_exceeded"));
    assert!((Duration::from_millis(250)..Duration::from_secs(5)).contains(&start.elapsed()));
    eventually("the upstream's connection was closed", || upstream.running() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deadline_does_not_cut_a_body_that_streams() {
    let (upstream, gateway) = start("limits: { deadline: 300ms }\ntimeouts: { per_try: 250ms }").await;
    upstream.on("/", [Step::Read, Step::Events(10, Duration::from_millis(100))]);
    let body = Client::h1(gateway.address()).await.open(get("/")).await.unwrap().into_body();
    let body = body.collect().await.expect("an unbroken stream").to_bytes();
    assert_eq!(String::from_utf8(body.to_vec()).unwrap().matches("data: ").count(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_stops_is_cut_off_and_never_looks_complete() {
    let (upstream, gateway) = start("timeouts: { stream_idle: 300ms }").await;
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    upstream.on("/", [Step::Read, Step::Send(head.into()), Step::Hang]);
    let mut raw = Raw::connect(gateway.address()).await;
    let answer = raw.ask(GET).await;
    assert_eq!((answer.status, answer.text().as_str(), answer.complete), (200, "hello", false));
    let response = Client::h2c(gateway.address()).await.open(get("/")).await.unwrap();
    assert!(response.into_body().collect().await.is_err(), "cut off without a sign");
    eventually("the upstream's connections were closed", || upstream.running() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_and_an_upstream_may_have_timeouts_of_their_own() {
    let upstream = Upstream::start().await;
    upstream.on("/fast/x", [Step::Read, Step::Hang]).on("/slow/x", [Step::Read, Step::Hang]);
    let gateway = Gateway::start(&format!(
        r#"
listen: [{{ address: "127.0.0.1:0" }}]
admin: {{ address: "127.0.0.1:0" }}
upstreams:
  main: {{ endpoints: ["{}"], timeouts: {{ per_try: 1s }} }}
routes:
  - {{ name: fast, match: {{ path: "/fast/{{*rest}}" }}, upstream: main, timeouts: {{ per_try: 200ms }} }}
  - {{ name: slow, match: {{ path: "/slow/{{*rest}}" }}, upstream: main }}
timeouts: {{ per_try: 20s }}
"#,
        upstream.url()
    ));
    let time = async |path: &str| {
        let start = Instant::now();
        let answer = Client::h1(gateway.address()).await.ask(get(path)).await;
        assert_eq!((answer.status, answer.code().as_str()), (504, "upstream_timeout"), "{path}");
        start.elapsed()
    };
    let (fast, slow) = (time("/fast/x").await, time("/slow/x").await);
    assert!(fast < Duration::from_millis(900), "{fast:?}");
    assert!((Duration::from_millis(900)..Duration::from_secs(10)).contains(&slow), "{slow:?}");
}
