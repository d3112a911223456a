//! Interim answers: who is asked for a body, and when; all but 100 are dropped.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, Instant};

use sluicegate_tests::{Gateway, Raw, Step, Upstream, config, upstream::response};

async fn start(extra: &str) -> (Upstream, Gateway) {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&config(&upstream.url(), extra));
    (upstream, gateway)
}

const EXPECTING: &str =
    "POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn the_body_waits_for_the_upstreams_100() {
    let (upstream, gateway) = start("").await;
    upstream.on(
        "/",
        [
            Step::Quiet(Duration::from_millis(300)),
            Step::Send("HTTP/1.1 100 Continue\r\n\r\n".into()),
            Step::Read,
            Step::Send(response("200 OK", "", "ok")),
        ],
    );
    let mut raw = Raw::connect(gateway.address()).await;
    // The body is sent at once: the client may, and the gateway must hold it all the same.
    let answer = raw.ask(format!("{EXPECTING}hello")).await;
    assert_eq!(answer.status, 200);
    let seen = &upstream.seen()[0];
    assert_eq!(seen.get("expect").map(str::to_lowercase).as_deref(), Some("100-continue"));
    assert_eq!(seen.body, b"hello");
    assert_eq!(upstream.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_interim_answer_asks_for_the_body() {
    let (upstream, gateway) = start("").await;
    upstream.on(
        "/",
        [
            Step::Send("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n".into()),
            Step::Quiet(Duration::from_millis(300)),
            Step::Send("HTTP/1.1 100 Continue\r\n\r\n".into()),
            Step::Read,
            Step::Send(response("200 OK", "", "ok")),
        ],
    );
    let mut raw = Raw::connect(gateway.address()).await;
    let answer = raw.ask(format!("{EXPECTING}hello")).await;
    assert_eq!((answer.status, upstream.seen()[0].body.as_slice()), (200, &b"hello"[..]));
    assert_eq!(upstream.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_asked_for_its_body_and_an_upstream_without_100_gets_it_after_a_second() {
    let (upstream, gateway) = start("").await;
    upstream.on(
        "/",
        [Step::Quiet(Duration::from_millis(700)), Step::Read, Step::Send(response("200 OK", "", "ok"))],
    );
    let mut raw = Raw::connect(gateway.address()).await;
    let start = Instant::now();
    raw.send(EXPECTING).await;
    let interim = raw.interim().await;
    assert_eq!(interim, Some(100));
    raw.send("hello").await;
    assert_eq!(raw.answer().await.unwrap().status, 200);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(upstream.seen()[0].body, b"hello");
    assert_eq!(upstream.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstreams_final_answer_spares_the_body() {
    let (upstream, gateway) = start("").await;
    upstream.on(
        "/",
        [Step::Send(response("417 Expectation Failed", "Connection: close\r\n", "no")), Step::Close],
    );
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send(EXPECTING).await;
    let answer = raw.answer().await.unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (417, "no"));
    assert_eq!(answer.interim, Vec::<u16>::new());
    assert_eq!(upstream.seen()[0].length, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_write_is_not_asked_for_its_body() {
    let (upstream, gateway) = start("freeze: { read_only: true }").await;
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send(EXPECTING).await;
    let answer = raw.answer().await.unwrap();
    assert_eq!((answer.status, answer.code().as_str(), answer.interim), (423, "read_only", Vec::new()));
    assert!(upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn other_interim_answers_are_dropped() {
    let (upstream, gateway) = start("").await;
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n";
    let ok = String::from_utf8(response("200 OK", "", "ok").to_vec()).unwrap();
    upstream.answer("/", format!("HTTP/1.1 102 Processing\r\n\r\n{hints}{hints}{ok}"));
    let mut raw = Raw::connect(gateway.address()).await;
    for _ in 0..3 {
        let answer = raw.ask("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert_eq!((answer.status, answer.interim, answer.fields.get("link")), (200, vec![], None));
    }
}
