//! Bodies stream: 50 MiB go through both ways unchanged, and never lie in the gateway's memory.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use futures::stream;
use http::{Request, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use sluicegate_tests::{
    Client, Gateway, Step, Upstream,
    client::{Body, get, stream as body_of},
    config,
    pattern::{self, Digest},
    tick::{eventually, within},
};

const LENGTH: u64 = 50 * 1024 * 1024;
const MEMORY: u64 = 64 * 1024 * 1024;

fn gateway(upstream: &Upstream) -> Gateway {
    Gateway::start(&config(&upstream.url(), "limits: { max_body: 100MiB }"))
}

fn upload(path: &str) -> Request<Body> {
    Request::post(path).body(body_of(stream::iter(pattern::pieces(LENGTH)))).unwrap()
}

fn head(length: u64) -> Step {
    Step::Send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into())
}

/// Length and digest of an answer's content.
async fn read(mut body: Incoming) -> (u64, String) {
    let (mut length, mut digest) = (0, Digest::default());
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.expect("an unbroken answer").into_data() {
            length += data.len() as u64;
            digest.add(&data);
        }
    }
    (length, digest.finish())
}

fn assert_memory(gateway: &Gateway) {
    let peak = gateway.peak_memory();
    assert!(peak < MEMORY, "the gateway had {} MiB resident", peak >> 20);
}

fn assert_arrived(upstream: &Upstream, path: &str) {
    let seen = upstream.seen_at(path);
    assert_eq!(seen.len(), 1);
    assert!(seen[0].complete);
    assert_eq!(seen[0].length, LENGTH);
    assert_eq!(seen[0].digest.as_deref(), Some(pattern::digest(LENGTH).as_str()));
    assert_eq!(upstream.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_mebibytes_go_up_in_chunks() {
    let upstream = Upstream::start().await;
    let gateway = gateway(&upstream);
    let answer = Client::h1(gateway.address()).await.ask(upload("/up")).await;
    assert_eq!(answer.status, 200);
    assert_arrived(&upstream, "/up");
    assert_memory(&gateway);
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_mebibytes_go_up_by_length() {
    let upstream = Upstream::start().await;
    let gateway = gateway(&upstream);
    let mut request = upload("/up");
    request.headers_mut().insert(header::CONTENT_LENGTH, LENGTH.into());
    let answer = Client::h1(gateway.address()).await.ask(request).await;
    assert_eq!(answer.status, 200);
    assert_arrived(&upstream, "/up");
    assert_eq!(upstream.seen()[0].get("content-length"), Some(LENGTH.to_string().as_str()));
    assert_memory(&gateway);
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_mebibytes_go_up_over_http2() {
    let upstream = Upstream::start().await;
    let gateway = gateway(&upstream);
    let answer = Client::h2c(gateway.address()).await.ask(upload("/up")).await;
    assert_eq!(answer.status, 200);
    assert_arrived(&upstream, "/up");
    assert_memory(&gateway);
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_mebibytes_come_down() {
    let upstream = Upstream::start().await;
    upstream.on("/down", [Step::Read, head(LENGTH), Step::Pattern(LENGTH)]);
    let gateway = gateway(&upstream);
    for mut client in [Client::h1(gateway.address()).await, Client::h2c(gateway.address()).await] {
        let response = client.open(get("/down")).await.unwrap();
        assert_eq!(read(response.into_body()).await, (LENGTH, pattern::digest(LENGTH)));
    }
    assert_memory(&gateway);
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_mebibytes_go_both_ways_at_once() {
    let upstream = Upstream::start().await;
    upstream.on("/echo", [Step::Echo]);
    let gateway = gateway(&upstream);
    let response = Client::h1(gateway.address()).await.open(upload("/echo")).await.unwrap();
    assert_eq!(read(response.into_body()).await, (LENGTH, pattern::digest(LENGTH)));
    assert_arrived(&upstream, "/echo");
    assert_memory(&gateway);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_holds_the_upstream_back() {
    let upstream = Upstream::start().await;
    upstream.on("/down", [Step::Read, head(LENGTH), Step::Pattern(LENGTH), Step::Pause(Duration::ZERO)]);
    let gateway = gateway(&upstream);
    let response = Client::h1(gateway.address()).await.open(get("/down")).await.unwrap();
    let finished = || upstream.seen()[0].ended.is_some();
    assert!(!within(Duration::from_millis(500), finished).await, "50 MiB were taken in ahead");
    assert_eq!(read(response.into_body()).await.0, LENGTH);
    eventually("the upstream finished", finished).await;
    assert_memory(&gateway);
}
