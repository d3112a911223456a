//! Bodies of all kinds and lengths, both protocols, clients that leave, upgrades.

use futures::{SinkExt, StreamExt, stream};
use http::{Request, header};
use sluicegate_tests::{
    Client, Gateway, Raw, Step, Upstream,
    client::{Body, get, stream as body_of},
    eventually,
    grpc::{GrpcClient, GrpcUpstream, Line},
    h2_upstream::H2Upstream,
    pattern, tick,
};
use tokio::net::TcpStream;
use tokio_tungstenite::{client_async, tungstenite::Message};

use crate::{NO_BREAKER, Rules, come_to, expected, origin::Origin, outcomes, shown};

const LARGE: u64 = 10 << 20;

/// What fits: the default of `max_body`.
const MOST: u64 = 256 << 10;

fn upload(length: u64, known: bool) -> Request<Body> {
    let mut request = Request::post("/x").body(body_of(stream::iter(pattern::pieces(length)))).unwrap();
    if known {
        request.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
    request
}

/// An upstream, its shadow, and a gateway between.
async fn both() -> (Upstream, Upstream, Gateway) {
    let (main, lab) = (Upstream::start().await, Upstream::start().await);
    let rules = Rules { extra: "limits: { max_body: 100MiB }", ..Rules::default() };
    let gateway = rules.start(&main.url(), &lab.url());
    (main, lab, gateway)
}

fn assert_whole(upstream: &Upstream, at: usize, length: u64) {
    let seen = &upstream.seen_at("/x")[at];
    assert_eq!((seen.length, seen.complete), (length, true));
    assert_eq!(seen.digest.as_deref(), Some(pattern::digest(length).as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_for_a_copy_loses_its_copy_and_nothing_else() {
    let (main, lab, gateway) = both().await;
    let clients = [Client::h1(gateway.address()).await, Client::h2c(gateway.address()).await];
    let mut asked = 0;
    for mut client in clients {
        for (length, known) in [(LARGE, false), (LARGE, true), (MOST + 1, false), (MOST + 1, true)] {
            assert_eq!(client.ask(upload(length, known)).await.status, 200);
            assert_whole(&main, asked, length);
            asked += 1;
        }
    }
    come_to(&gateway, &[("body_too_large", asked as u64)]).await;
    assert_eq!((main.count("/x"), lab.count("/x")), (asked, 0));
    assert_eq!(main.violations(), Vec::<String>::new());
    assert!(gateway.peak_memory() < 64 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_fits_is_copied_byte_for_byte() {
    let (main, lab, gateway) = both().await;
    let clients = [Client::h1(gateway.address()).await, Client::h2c(gateway.address()).await];
    let mut asked = 0_usize;
    for mut client in clients {
        for (length, known) in
            [(MOST, false), (MOST, true), (1, false), (0, false), (0, true), (70_000, true)]
        {
            assert_eq!(client.ask(upload(length, known)).await.status, 200);
            asked += 1;
            come_to(&gateway, &[("answered", asked as u64)]).await;
            assert_whole(&main, asked - 1, length);
            assert_whole(&lab, asked - 1, length);
        }
    }
    assert_eq!((main.violations(), lab.violations()), (Vec::new(), Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_in_the_middle_of_its_body_has_no_copy() {
    let (main, lab, gateway) = both().await;
    let head = "POST /x HTTP/1.1\r\nHost: localhost\r\n";
    let half = [
        format!("{head}Content-Length: 1000\r\n\r\n{}", "q".repeat(500)),
        format!("{head}Transfer-Encoding: chunked\r\n\r\n1f4\r\n{}\r\n", "q".repeat(500)),
    ];
    for (at, half) in half.into_iter().enumerate() {
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send(half).await;
        let arrived = || main.seen_at("/x").get(at).is_some_and(|seen| seen.length == 500);
        eventually("half of the body has arrived", arrived).await;
        raw.reset();
        come_to(&gateway, &[("unsent", at as u64 + 1)]).await;
    }
    assert_eq!(lab.count("/x"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_goes_out_when_the_last_byte_has_passed_and_not_before() {
    let (main, lab, gateway) = both().await;
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send("POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhello").await;
    eventually("half of the body has arrived", || main.seen_at("/x").iter().any(|it| it.length == 5)).await;
    let half = tick();
    raw.send("hello").await;
    assert_eq!(raw.answer().await.unwrap().status, 200);
    come_to(&gateway, &[("answered", 1)]).await;
    let copy = &lab.seen_at("/x")[0];
    assert!(copy.began > half && copy.body == b"hellohello", "{copy:?}");
    assert_eq!(copy.get("content-length"), Some("10"));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_a_body_are_copied_once_each() {
    let (main, lab) = (Origin::plain().await, Origin::plain().await);
    let gateway = Rules::default().start(&main.url(), &lab.url());
    for mut client in [Client::h1(gateway.address()).await, Client::h2c(gateway.address()).await] {
        for method in ["GET", "HEAD", "OPTIONS", "DELETE"] {
            let mut request = get("/x?a=1&b=%20c");
            *request.method_mut() = method.parse().unwrap();
            assert_eq!(client.ask(request).await.status, 200, "{method}");
        }
    }
    come_to(&gateway, &[("answered", 8)]).await;
    for origin in [&main, &lab] {
        let mut lines: Vec<_> =
            origin.seen().into_iter().map(|asked| format!("{} {}", asked.method, asked.path)).collect();
        lines.sort_unstable();
        let wanted = ["DELETE", "GET", "HEAD", "OPTIONS"].map(|method| format!("{method} /x?a=1&b=%20c"));
        let wanted: Vec<_> = wanted.into_iter().flat_map(|line| [line.clone(), line]).collect();
        assert_eq!(lines, wanted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_is_copied_as_http2() {
    let (main, lab) = (H2Upstream::start().await, H2Upstream::start().await);
    let rules = Rules { upstream: "protocol: http2, breaker: { consecutive: 0 }", ..Rules::default() };
    let gateway = rules.start(&main.url(), &lab.url());
    let mut client = Client::h2c(gateway.address()).await;
    for length in [0, 1000] {
        let answer = client.ask(upload(length, false)).await;
        assert_eq!((answer.status, answer.body.len() as u64), (200, length));
        assert_eq!(answer.trailers.unwrap()["x-answered"], "yes");
    }
    come_to(&gateway, &[("answered", 2)]).await;
    // Copies may overtake each other.
    let lines = |upstream: &H2Upstream| {
        let mut lines: Vec<_> = upstream.seen().into_iter().map(|it| (it.line, it.body)).collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(lines(&main), lines(&lab));
    assert!(lab.seen().iter().all(|copy| copy.headers["x-sluicegate-shadow"] == "1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_read_is_copied_and_its_answers_are_compared() {
    let (main, lab) = (GrpcUpstream::start().await, GrpcUpstream::start().await);
    let rules = Rules {
        upstream: "protocol: http2, breaker: { consecutive: 0 }",
        ..Rules::of("percent: 100, noise: 0, compare: {}")
    };
    let gateway = rules.start(&main.url(), &lab.url());
    let mut client = GrpcClient::connect(gateway.address()).await;
    for number in 0..10 {
        let line = Line { text: "hello".to_owned(), number };
        let said = client.say(tonic::Request::new(line.clone())).await.unwrap();
        assert_eq!(said.into_inner(), line);
    }
    come_to(&gateway, &[("answered", 10)]).await;
    assert_eq!((main.calls(), lab.calls()), (10, 10));
    assert_eq!(crate::judged(&gateway, "shadow", 10).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_is_not_copied() {
    let (main, lab) = (Upstream::start().await, Origin::plain().await);
    main.on("/socket", [Step::WebSocket]);
    let gateway = Rules::default().start(&main.url(), &lab.url());
    let tcp = TcpStream::connect(gateway.address()).await.unwrap();
    let (mut socket, _) = client_async("ws://localhost/socket", tcp).await.expect("an upgrade");
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
    socket.close(None).await.unwrap();
    // One that is copied, to see that it is counted and the other is not.
    assert_eq!(Client::h1(gateway.address()).await.ask(get("/x")).await.status, 200);
    come_to(&gateway, &[("answered", 1)]).await;
    assert_eq!(lab.count(), 1);
    assert_eq!(outcomes(&gateway).await, expected(&[("answered", 1)]));
    assert_eq!(shown(&gateway).await["in_flight"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_several_shadows_gets_its_copy() {
    let (main, lab, other) = (Origin::plain().await, Origin::plain().await, Origin::plain().await);
    let two = "shadow: [{ to: lab, percent: 100 }, { to: other, percent: 100, max_body: 3B }]";
    let document = Rules::default().with(&main.url(), &lab.url(), two);
    let upstream = format!("upstreams:\n  other: {{ endpoints: [\"{}\"], {NO_BREAKER} }}", other.url());
    let gateway = Gateway::start(&document.replacen("upstreams:", &upstream, 1));
    let mut client = Client::h1(gateway.address()).await;
    for body in ["abc", "abcd"] {
        assert_eq!(client.ask(sluicegate_tests::client::post("/x", body)).await.status, 200);
    }
    come_to(&gateway, &[("answered", 2)]).await;
    let found = crate::outcomes_of(&gateway, "other").await;
    assert_eq!(found, expected(&[("answered", 1), ("body_too_large", 1)]));
    assert_eq!((main.count(), lab.count(), other.count()), (2, 2, 1));
}
