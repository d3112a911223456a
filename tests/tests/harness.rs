//! The harness itself: an upstream that overlooks a fault would let every test pass.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use sluicegate_tests::{
    Audited, Client, Raw, Step, Upstream, Write,
    audit::{Choice, chaos, prompt},
    client::{get, post},
    eventually,
    grpc::{GrpcClient, GrpcUpstream, Line},
    h2_upstream::H2Upstream,
    load::Load,
    pattern,
    tls::Authority,
    wire::Framing,
};
use tokio_tungstenite::{client_async, tungstenite::Message};

#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_overlooks_nothing() {
    let post = "POST / HTTP/1.1\r\nHost: localhost\r\n";
    for (invalid, complaint) in [
        ("GET / HTTP/1.0\r\nHost: localhost\r\n\r\n".to_owned(), "version"),
        ("GET /\u{e9} HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), "target"),
        ("GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), "target"),
        ("GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), "form"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "Host"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n".to_owned(), "Host"),
        ("GET / HTTP/1.1\r\nHost: a\r\nFoo: x\ny\r\n\r\n".to_owned(), "value"),
        ("GET / HTTP/1.1\r\nHost: a\r\n Foo: x\r\n\r\n".to_owned(), "name"),
        (format!("{post}Content-Length: 1\r\nContent-Length: 1\r\n\r\nx"), "Content-Length"),
        (format!("{post}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), "Content-Length"),
        (format!("{post}Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n"), "Transfer-Encoding"),
        (format!("{post}Transfer-Encoding: chunked\r\n\r\n1;a\r\nx\r\n0\r\n\r\n"), "chunk size"),
        (format!("{post}Transfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n"), "chunk"),
        (format!("{post}Content-Length: 1\r\n\r\nxnonsense\r\n\r\n"), "form"),
    ] {
        let upstream = Upstream::start().await;
        let mut raw = Raw::connect(upstream.address()).await;
        raw.send(&invalid).await;
        eventually("a complaint", || !upstream.violations().is_empty()).await;
        let found = upstream.violations();
        assert!(found[0].contains(complaint), "{invalid:?}: {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_writes_down_what_came() {
    let upstream = Upstream::start().await;
    upstream.on("/echo", [Step::Echo]);
    let mut raw = Raw::connect(upstream.address()).await;
    assert_eq!(raw.ask("GET /a?b HTTP/1.1\r\nHost: localhost\r\n\r\n").await.text(), "ok");
    let chunked = "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n\
                   3\r\nhel\r\n2\r\nlo\r\n0\r\nX-Sum: 1\r\n\r\n";
    let answer = raw.ask(chunked).await;
    assert!(answer.complete);
    assert_eq!(answer.text(), "hello");
    let mut cut = Raw::connect(upstream.address()).await;
    cut.send("POST /cut HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhello").await;
    eventually("its body is read", || upstream.seen_at("/cut").iter().any(|seen| seen.length == 5)).await;
    cut.reset();
    eventually("idle", || upstream.running() == 0).await;
    let seen = upstream.seen();
    assert_eq!(
        (seen[0].line().as_str(), seen[0].framing, seen[0].complete),
        ("GET /a?b", Framing::None, true)
    );
    assert_eq!((seen[1].framing, seen[1].length, &seen[1].body[..]), (Framing::Chunked, 5, &b"hello"[..]));
    assert_eq!((seen[1].trailers.get("x-sum"), seen[1].complete), (Some("1"), true));
    assert_eq!((seen[2].length, seen[2].complete, seen[2].cut_off), (5, false, true));
    assert!(seen[0].began < seen[0].ended.unwrap() && seen[0].ended.unwrap() < seen[1].began);
    assert_eq!((upstream.connections(), upstream.violations()), (2, vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_and_the_other_upstreams_speak_to_one_another() {
    let authority = Authority::default();
    let upstream = Upstream::start_tls(authority.identity().server(&["http/1.1"])).await;
    let length = 1 << 20;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    upstream.on("/pattern", [Step::Read, Step::Send(head.into()), Step::Pattern(length)]);
    let mut client = Client::tls(upstream.address(), &authority, &["h2", "http/1.1"]).await;
    let answer = client.ask(get("/pattern")).await;
    let mut digest = pattern::Digest::default();
    digest.add(&answer.body);
    assert_eq!((client.is_h2(), digest.finish()), (false, pattern::digest(length)));

    let h2 = H2Upstream::start().await;
    let address = h2.url().strip_prefix("http://").unwrap().parse().unwrap();
    let answer = Client::h2c(address).await.ask(post("/x", "hello")).await;
    assert_eq!(
        (&answer.body[..], &answer.trailers.unwrap()["x-answered"]),
        (&b"hello"[..], &"yes".parse().unwrap())
    );

    let talk = GrpcUpstream::start().await;
    let address = talk.url().strip_prefix("http://").unwrap().parse().unwrap();
    let mut client = GrpcClient::connect(address).await;
    let mut lines = client.count(Line { text: "x".into(), number: 1 }).await.unwrap().into_inner();
    assert_eq!(lines.message().await.unwrap().unwrap().number, 0);
    assert_eq!(lines.message().await.unwrap_err().metadata().get("x-counted").unwrap(), "1");

    let sockets = Upstream::start().await;
    sockets.on("/", [Step::WebSocket]);
    let stream = tokio::net::TcpStream::connect(sockets.address()).await.unwrap();
    let mut socket = client_async("ws://localhost/", stream).await.unwrap().0;
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_load_keeps_account() {
    let upstream = Upstream::start().await;
    let slow =
        sluicegate_tests::upstream::response("503 Unavailable", "Retry-After: 3\r\n", "{\"code\":\"x\"}");
    let load = Load::start(upstream.address(), 4, "/load");
    eventually("it runs", || load.reads() > 20 && load.writes() > 20).await;
    upstream.answer("/load", slow);
    eventually("it is refused", || load.refused() > 20).await;
    upstream.on("/load", [Step::Read, Step::Pause(Duration::from_millis(1)), Step::Close]);
    eventually("it is cut off", || load.refused() > 200).await;
    let account = load.stop().await;
    assert!(account.closed > 0 && account.announced == 0);
    let failed = account.failed();
    assert!(failed.iter().any(|sample| sample.retry_after.as_deref() == Some("3") && sample.code == "x"));
    assert!(failed.iter().any(|sample| sample.status == 0));
}

fn numbered(number: u64) -> Write {
    Write { number, line: "d".to_owned(), place: number }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audited_upstream_counts_every_effect() {
    let upstream = Audited::start(1, prompt()).await;
    let mut raw = Raw::connect(upstream.url(0)[7..].parse().unwrap()).await;
    let first = raw.ask(numbered(1).request(false, "")).await;
    let again = raw.ask(numbered(1).request(true, "")).await;
    assert_eq!((first.status, again.status), (201, 201));
    assert_ne!(first.body, again.body, "each effect has an answer of its own");
    let ledger = upstream.ledger();
    assert_eq!((ledger.count(), ledger.duplicates(), ledger.arrivals_of(1).len()), (2, 1, 2));
    assert_eq!(ledger.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audited_upstream_that_honours_keys_has_one_effect() {
    let upstream = Audited::honouring(1, prompt()).await;
    let mut raw = Raw::connect(upstream.url(0)[7..].parse().unwrap()).await;
    let first = raw.ask(numbered(1).request(false, "")).await;
    let again = raw.ask(numbered(1).request(true, "")).await;
    assert_eq!(first.body, again.body);
    assert_eq!((upstream.ledger().count(), upstream.ledger().arrivals().len()), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audited_upstream_sees_a_body_under_the_key_of_another() {
    let upstream = Audited::start(1, prompt()).await;
    let mut raw = Raw::connect(upstream.url(0)[7..].parse().unwrap()).await;
    raw.send(numbered(1).request_with(&numbered(2).body(false), false, "")).await;
    assert!(raw.answer().await.is_err());
    // The connection ends before it is on record.
    eventually("it is on record", || upstream.ledger().violations().len() == 1).await;
    assert_eq!(upstream.ledger().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_repeats_what_the_audited_upstream_does() {
    let (one, same, other) = (chaos(7), chaos(7), chaos(8));
    let acts = |choice: &Choice| {
        (0..1000)
            .map(|number| choice(&numbered(number), usize::try_from(number % 3).unwrap()))
            .collect::<Vec<_>>()
    };
    assert_eq!(acts(&one), acts(&same));
    assert_ne!(acts(&one), acts(&other));
    let doubtful = acts(&one).into_iter().filter(|act| act.leaves_doubt()).count();
    assert!((40..160).contains(&doubtful), "{doubtful} of 1000 leave doubt");
}
