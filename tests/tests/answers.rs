//! An upstream that refuses, hangs, breaks off or talks nonsense gives the right code, and
//! never another client's answer.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::TcpListener;

use http_body_util::BodyExt;
use sluicegate_tests::{
    Client, Gateway, Raw, Step, Upstream,
    client::{get, post},
    config, eventually,
    upstream::response,
};

fn send(bytes: &str) -> Step {
    Step::Send(bytes.to_owned().into())
}

/// What an upstream does instead of answering, and the code that the client gets.
fn faults() -> Vec<(&'static str, Vec<Step>, u16, &'static str)> {
    let then_close = |bytes: &str| vec![Step::Read, send(bytes), Step::Close];
    let then_hang = |bytes: &str| vec![Step::Read, send(bytes), Step::Hang];
    vec![
        ("reset", vec![Step::Read, Step::Reset], 502, "upstream_reset"),
        ("reset-unread", vec![Step::Reset], 502, "upstream_reset"),
        ("close", vec![Step::Read, Step::Close], 502, "upstream_reset"),
        ("close-unread", vec![Step::Close], 502, "upstream_reset"),
        ("hang", vec![Step::Read, Step::Hang], 504, "upstream_timeout"),
        ("hang-unread", vec![Step::Hang], 504, "upstream_timeout"),
        ("half-a-head", then_close("HTTP/1.1 200 OK\r\nContent-Le"), 502, "upstream_reset"),
        ("half-a-head-and-hang", then_hang("HTTP/1.1 200 OK\r\nContent-Le"), 504, "upstream_timeout"),
        ("only-interim", then_close("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"), 502, "upstream_reset"),
        ("nonsense", then_hang("\u{1}\u{2}\u{3}nonsense\r\n\r\n"), 502, "upstream_reset"),
        ("mail", then_hang("220 ready\r\n250 ok\r\n\r\n"), 502, "upstream_reset"),
        ("status-of-letters", then_hang("HTTP/1.1 abc OK\r\n\r\n"), 502, "upstream_reset"),
        ("status-of-four", then_hang("HTTP/1.1 2000 OK\r\n\r\n"), 502, "upstream_reset"),
        ("another-version", then_hang("HTTP/7.3 200 OK\r\nContent-Length: 0\r\n\r\n"), 502, "upstream_reset"),
        (
            "two-lengths",
            then_hang("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!"),
            502,
            "upstream_reset",
        ),
        (
            "wrong-length",
            then_hang("HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok"),
            502,
            "upstream_reset",
        ),
        (
            "space-before-colon",
            then_hang("HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok"),
            502,
            "upstream_reset",
        ),
        (
            "nul-in-a-field",
            then_hang("HTTP/1.1 200 OK\r\nFoo: x\0y\r\nContent-Length: 2\r\n\r\nok"),
            502,
            "upstream_reset",
        ),
        (
            "field-of-1-mib",
            then_hang(&format!("HTTP/1.1 200 OK\r\nFoo: {}\r\n\r\n", "x".repeat(1 << 20))),
            502,
            "upstream_reset",
        ),
        (
            "unasked-upgrade",
            then_hang("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n"),
            502,
            "upstream_reset",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_does_not_answer_properly_gives_the_right_code() {
    let upstream = Upstream::start().await;
    let faults = faults();
    for (name, script, ..) in &faults {
        upstream.on(&format!("/{name}"), script.clone());
    }
    // A breaker would leave it out after the fifth.
    let document = config(&upstream.url(), "timeouts: { per_try: 500ms }")
        .replace("endpoints:", "breaker: { consecutive: 0 }, endpoints:");
    let gateway = Gateway::start(&document);
    let mut wrong = Vec::new();
    for (name, _, status, code) in &faults {
        for write in [false, true] {
            for mut client in [Client::h1(gateway.address()).await, Client::h2c(gateway.address()).await] {
                let path = format!("/{name}");
                let request = if write { post(&path, "hello") } else { get(&path) };
                let answer = client.send(request).await.map(|answer| (answer.status, answer.code()));
                let got = answer.unwrap_or_else(|error| (0, format!("{error:?}")));
                if got != (*status, (*code).to_owned()) {
                    wrong.push(format!("{name}, write {write}: {got:?}, not {status} {code}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The gateway is none the worse for it.
    assert_eq!(Client::h1(gateway.address()).await.ask(get("/fine")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_refuses_connections_is_unreachable() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gateway = Gateway::start(&config(&format!("http://{address}"), ""));
    for request in [get("/"), post("/", "hello")] {
        let answer = Client::h1(gateway.address()).await.ask(request).await;
        assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_unreachable"));
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.json()["request_id"], answer.header("x-request-id"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_whose_backlog_is_full_is_given_up_after_the_connect_timeout() {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    // Connections that nobody accepts fill the backlog; the next is not answered at all.
    let mut waiting = Vec::new();
    while let Ok(stream) =
        std::net::TcpStream::connect_timeout(&address, std::time::Duration::from_millis(300))
    {
        waiting.push(stream);
        assert!(waiting.len() < 100, "the backlog does not fill");
    }
    let gateway = Gateway::start(&config(&format!("http://{address}"), "timeouts: { connect: 200ms }"));
    let answer = Client::h1(gateway.address()).await.ask(get("/")).await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_unreachable"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_never_looks_complete() {
    let upstream = Upstream::start().await;
    for (name, head, body) in [
        ("length", "Content-Length: 10", "hello"),
        ("chunks", "Transfer-Encoding: chunked", "5\r\nhello\r\n"),
        ("bad-chunk", "Transfer-Encoding: chunked", "5\r\nhello\r\nnonsense\r\n0\r\n\r\n"),
        ("half-a-chunk", "Transfer-Encoding: chunked", "a\r\nhello"),
        ("no-last-line", "Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n"),
    ] {
        let bytes = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}");
        for (how, end) in [("reset", Step::Reset), ("close", Step::Close)] {
            let path = format!("/{name}-{how}");
            // The pause lets the bytes go ahead of a reset, which would overtake them.
            let pause = Step::Pause(std::time::Duration::from_millis(50));
            upstream.on(&path, [Step::Read, send(&bytes), pause, end]);
        }
    }
    let gateway = Gateway::start(&config(&upstream.url(), ""));
    for name in ["length", "chunks", "bad-chunk", "half-a-chunk", "no-last-line"] {
        for how in ["reset", "close"] {
            let path = format!("/{name}-{how}");
            let mut raw = Raw::connect(gateway.address()).await;
            raw.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
            let answer = raw.answer().await.unwrap();
            assert!(answer.status == 200 || answer.code() == "upstream_reset", "{path}: {answer:?}");
            assert!(answer.status != 200 || !answer.complete, "{path} looks complete: {answer:?}");
            let mut h2 = Client::h2c(gateway.address()).await;
            let response = h2.open(get(&path)).await.unwrap();
            let broken = response.status() != 200 || response.into_body().collect().await.is_err();
            assert!(broken, "{path} looks complete over HTTP/2");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_ends_with_its_connection_is_whole() {
    let upstream = Upstream::start().await;
    upstream.on("/", [Step::Read, send("HTTP/1.1 200 OK\r\n\r\nhello"), Step::Close]);
    upstream.on("/old", [Step::Read, send("HTTP/1.0 200 OK\r\n\r\nhello"), Step::Close]);
    let gateway = Gateway::start(&config(&upstream.url(), ""));
    for path in ["/", "/old"] {
        let mut raw = Raw::connect(gateway.address()).await;
        let answer = raw.ask(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        assert!(answer.complete, "{answer:?}");
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
        assert_eq!(Client::h2c(gateway.address()).await.ask(get(path)).await.body, "hello");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_behind_an_answer_are_nobodys_answer() {
    let upstream = Upstream::start().await;
    let evil = response("200 OK", "", "evil");
    for (name, answer) in [
        ("/length", response("200 OK", "", "mine")),
        ("/none", "HTTP/1.1 204 No Content\r\n\r\n".into()),
        ("/both", "HTTP/1.1 200 OK\r\nContent-Length: 60\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nmine\r\n0\r\n\r\n".into()),
    ] {
        upstream.answer(name, [answer, evil.clone()].concat());
    }
    let gateway = Gateway::start(&config(&upstream.url(), "workers: 1"));
    for path in ["/length", "/none", "/both"] {
        for _ in 0..20 {
            let mut client = Client::h1(gateway.address()).await;
            let first = client.ask(get(path)).await;
            assert!(
                first.body == "mine" || first.body.is_empty() || first.code() == "upstream_reset",
                "{path}: {first:?}"
            );
            let other = Client::h1(gateway.address()).await.ask(get("/another")).await;
            assert_eq!((other.status, &other.body[..]), (200, &b"ok"[..]), "after {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_before_the_request_was_read_reaches_the_client() {
    let upstream = Upstream::start().await;
    let too_large = response("413 Content Too Large", "Connection: close\r\n", "too much");
    upstream.on("/", [Step::Send(too_large), Step::Read]);
    let gateway = Gateway::start(&config(&upstream.url(), ""));
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\nthe beginning").await;
    let answer = raw.answer().await.unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (413, "too much"));
    drop(raw);
    eventually("the upstream is idle", || upstream.running() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_ends_the_exchange_with_the_upstream() {
    let upstream = Upstream::start().await;
    upstream.on("/", [Step::Read, Step::Hang]);
    let gateway = Gateway::start(&config(&upstream.url(), ""));
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    eventually("the request arrived", || upstream.running() == 1).await;
    drop(raw);
    eventually("the upstream's connection was closed", || upstream.running() == 0).await;
    assert!(upstream.seen()[0].cut_off);
}
