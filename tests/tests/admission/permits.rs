//! From when to when an exchange counts: until its answer has ended, or nobody wants it.

use futures::{SinkExt, StreamExt};
use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::json;
use sluicegate_tests::{
    Client, Fenced, Gate, Gateway, Raw, Step, Upstream, client::full, comes_true, eventually,
    upstream::response,
};
use tokio::net::TcpStream;
use tokio_tungstenite::{client_async, tungstenite::Message};

use crate::{Rules, at_rest, held, queue, read, remaining, send, until};

const TWO: Rules = Rules { upstream: "", routes: &[("r", "limits: { concurrent: 2 }")], extra: "" };

/// A write under a key.
fn keyed(path: &str, key: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: {key}\r\nContent-Length: 2\r\n\r\n{{}}"
    )
}

/// A stream of events: one now, and the last once the gate is open.
fn events(gate: &Gate) -> [Step; 4] {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    [
        Step::Read,
        Step::Send(format!("{head}9\r\ndata: a\n\n\r\n").into()),
        Step::Wait(gate.clone()),
        Step::Send("9\r\ndata: b\n\n\r\n0\r\n\r\n".into()),
    ]
}

/// Opens a stream and reads its first event.
async fn open(gateway: &Gateway, path: &str, h2: bool) -> (Client, Incoming) {
    let address = gateway.address();
    let mut client = if h2 { Client::h2c(address).await } else { Client::h1(address).await };
    let mut body = client.open(Request::get(path).body(full("")).unwrap()).await.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "data: a\n\n");
    (client, body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_counts_until_it_ends_or_its_client_leaves() {
    for h2 in [false, true] {
        let (upstream, gateway) = TWO.start().await;
        let gates = [Gate::default(), Gate::default(), Gate::default()];
        for (number, gate) in gates.iter().enumerate() {
            upstream.on(&format!("/r/{number}"), events(gate));
        }
        let first = open(&gateway, "/r/0", h2).await;
        let second = open(&gateway, "/r/1", h2).await;
        let third = send(&gateway, "/r/x", "");
        until(&gateway, "r", 2, 1).await;
        assert_eq!(upstream.count("/r/x"), 0, "h2 {h2}");
        // One ends by itself.
        gates[0].open();
        let rest = first.1.collect().await.unwrap().to_bytes();
        assert_eq!(rest, "data: b\n\n");
        assert_eq!(third.await.unwrap().status, 200);
        until(&gateway, "r", 1, 0).await;
        // One is left by its client in the middle.
        let _fourth = open(&gateway, "/r/2", h2).await;
        let fifth = send(&gateway, "/r/x", "");
        until(&gateway, "r", 2, 1).await;
        drop(second);
        assert_eq!(fifth.await.unwrap().status, 200, "h2 {h2}");
        until(&gateway, "r", 1, 0).await;
        gates[2].open();
        at_rest(&gateway).await;
        eventually("the upstream is rid of it", || upstream.running() == 1).await;
        gates[1].open();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_resets_while_the_upstream_works_counts_no_longer() {
    let (upstream, gateway) = TWO.start().await;
    upstream.on("/r/hangs", [Step::Read, Step::Hang]);
    let mut left = Vec::new();
    for number in 1..=2 {
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send(read("/r/hangs", "")).await;
        eventually("it runs", || upstream.running() == number).await;
        left.push(raw);
    }
    let third = send(&gateway, "/r/x", "");
    until(&gateway, "r", 2, 1).await;
    left.pop().unwrap().reset();
    assert_eq!(third.await.unwrap().status, 200);
    left.pop().unwrap().reset();
    at_rest(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn however_an_exchange_ends_its_place_is_free_again() {
    let rules = Rules {
        upstream: "breaker: { consecutive: 0 }",
        routes: &[("r", "access: read, limits: { concurrent: 1, queue: 0, max_body: 1KiB }")],
        ..Rules::default()
    };
    let (upstream, gateway) = rules.start().await;
    let short = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort";
    let ways = [
        ("whole", vec![Step::Read, Step::Send(response("200 OK", "", "done"))], 200),
        ("empty", vec![Step::Read, Step::Send("HTTP/1.1 204 No Content\r\n\r\n".into())], 204),
        ("same", vec![Step::Read, Step::Send("HTTP/1.1 304 Not Modified\r\n\r\n".into())], 304),
        ("fails", vec![Step::Read, Step::Send(response("500 Internal Server Error", "", "no"))], 500),
        ("resets", vec![Step::Read, Step::Reset], 502),
        ("breaks", vec![Step::Read, Step::Send(short.into()), Step::Reset], 200),
        ("late", vec![Step::Read, Step::Hang], 504),
        ("large", vec![Step::Read, Step::Send(response("200 OK", "", ""))], 413),
    ];
    for (name, steps, status) in ways {
        let path = format!("/r/{name}");
        upstream.on(&path, steps);
        let request = match name {
            "late" => read(&path, "X-Request-Deadline: 300\r\n"),
            "large" => format!(
                "POST {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n\
                                800\r\n{}\r\n0\r\n\r\n",
                "x".repeat(0x800)
            ),
            _ => read(&path, ""),
        };
        let methods: &[&str] =
            if name == "whole" || name == "empty" { &["GET ", "HEAD "] } else { &["GET "] };
        for method in methods {
            let mut raw = Raw::connect(gateway.address()).await;
            raw.send(request.replacen("GET ", method, 1)).await;
            let answer = raw.answer_to(*method == "HEAD ").await.unwrap();
            assert_eq!(answer.status, status, "{method}{path}: {answer:?} {}", answer.text());
            at_rest(&gateway).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_counts_until_it_is_closed() {
    let (upstream, gateway) = TWO.start().await;
    upstream.on("/r/socket", [Step::WebSocket]);
    let mut sockets = Vec::new();
    for _ in 0..2 {
        let stream = TcpStream::connect(gateway.address()).await.unwrap();
        let mut socket = client_async("ws://localhost/r/socket", stream).await.unwrap().0;
        socket.send(Message::text("hello")).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
        sockets.push(socket);
    }
    for closed in [true, false] {
        let next = send(&gateway, "/r/x", "");
        until(&gateway, "r", sockets.len() as u64, u64::from(closed)).await;
        let mut socket = sockets.pop().unwrap();
        if closed {
            socket.close(None).await.unwrap();
            while let Some(Ok(_)) = socket.next().await {}
        }
        drop(socket);
        assert_eq!(next.await.unwrap().status, 200);
    }
    at_rest(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyed_write_counts_until_it_is_done_though_its_client_has_left() {
    let fenced = Fenced { extra: "limits: { concurrent: 1 }".to_owned(), ..Fenced::default() };
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&fenced.document(&upstream.url()));
    let gate = Gate::default();
    upstream.on("/held", held(&gate));
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send("POST /held HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: k\r\nContent-Length: 2\r\n\r\n{}")
        .await;
    eventually("it runs", || upstream.running() == 1).await;
    raw.reset();
    let detached = async || gateway.metric("sluicegate_fence_detached").await.iter().any(|it| it.1 >= 1.0);
    comes_true("it goes on without its client", detached).await;
    let next = send(&gateway, "/x", "");
    until(&gateway, "ingest", 1, 1).await;
    assert_eq!(upstream.count("/x"), 0);
    gate.open();
    assert_eq!(next.await.unwrap().status, 200);
    assert!(!upstream.seen_at("/held")[0].cut_off);
    at_rest(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_that_was_let_in_gives_its_place_back_and_waits() {
    let fenced = Fenced { extra: "limits: { concurrent: 2 }".to_owned(), ..Fenced::default() };
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&fenced.document(&upstream.url()));
    let (others, gate) = (Gate::default(), Gate::default());
    upstream.on("/other", held(&others)).on("/twice", held(&gate));
    let holders = [send(&gateway, "/other", ""), send(&gateway, "/other", "")];
    until(&gateway, "ingest", 2, 0).await;
    // Neither has begun, so each waits for a place of its own.
    let address = gateway.address();
    let write = || tokio::spawn(async move { Raw::connect(address).await.ask(keyed("/twice", "k")).await });
    let twins = [write(), write()];
    until(&gateway, "ingest", 2, 2).await;
    others.open();
    eventually("one of them runs", || upstream.count("/twice") == 1 && upstream.running() == 1).await;
    until(&gateway, "ingest", 1, 0).await;
    assert!(twins.iter().all(|twin| !twin.is_finished()));
    gate.open();
    for twin in twins {
        assert_eq!(twin.await.unwrap().status, 200);
    }
    for holder in holders {
        assert_eq!(holder.await.unwrap().status, 200);
    }
    assert_eq!(upstream.count("/twice"), 1);
    at_rest(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn intents_that_are_applied_pay_no_bucket_and_take_their_permits() {
    const MANY: usize = 8;
    let fenced = Fenced {
        extra: "limits: { rps: 0.001, burst: 3, concurrent: 2 }".to_owned(),
        ..Fenced::embedded().queueing(4)
    };
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&fenced.document(&upstream.url()));
    gateway.freeze("window?wait=10s", &json!({ "reason": "reindex" })).await;
    let gates: Vec<_> = (0..MANY).map(|_| Gate::default()).collect();
    for (number, gate) in gates.iter().enumerate() {
        let path = format!("/{number}");
        upstream.on(&path, held(gate));
        let line = format!("\r\nX-Document-Id: d{number}\r\n");
        let request = keyed(&path, &format!("k{number}")).replacen("\r\n", &line, 1);
        let answer = Raw::connect(gateway.address()).await.ask(request).await;
        assert_eq!(answer.status, 202, "{answer:?} {}", answer.text());
    }
    gateway.thaw("window").await;
    until(&gateway, "ingest", 2, 2).await;
    assert_eq!(queue(&gateway, "ingest").await["waiting_batch"], 2, "they are in nobody's way");
    eventually("two are at the upstream", || upstream.running() == 2).await;
    // A reader takes the first place that comes back, though they have waited for longer.
    let reader = send(&gateway, "/x", "");
    until(&gateway, "ingest", 2, 3).await;
    let first: usize = upstream.seen()[0].target[1..].parse().unwrap();
    gates[first].open();
    assert_eq!(reader.await.unwrap().status, 200);
    gates.iter().for_each(Gate::open);
    eventually("all are applied", || upstream.seen().len() == MANY + 1 && upstream.running() == 0).await;
    at_rest(&gateway).await;
    assert_eq!(remaining(&gateway, "route", "ingest").await, 2, "the reader alone has paid");
}
