//! How long a request may wait, and what the upstream is told of the time that is left.

use std::time::{Duration, Instant};

use http::Request;
use sluicegate_tests::{Client, Gate, Gateway, Raw, Upstream, client::full, eventually};
use tokio::time::sleep;

use crate::{Rules, ask, assert_refused, at_rest, held, remaining, send, until};

/// One at a time; a request holds the place until the gate opens.
async fn occupied(rules: &Rules) -> (Upstream, Gateway, Gate, tokio::task::JoinHandle<u16>) {
    let (upstream, gateway) = rules.start().await;
    let gate = Gate::default();
    upstream.on("/r/held", held(&gate));
    let holder = send(&gateway, "/r/held", "");
    eventually("it runs", || upstream.running() == 1).await;
    let holder = tokio::spawn(async move { holder.await.unwrap().status });
    (upstream, gateway, gate, holder)
}

const ONE: Rules =
    Rules { upstream: "", routes: &[("r", "limits: { rps: 0.001, burst: 10, concurrent: 1 }")], extra: "" };

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_past_its_deadline_is_refused_then_and_has_paid_nothing() {
    let (upstream, gateway, gate, holder) = occupied(&ONE).await;
    for millis in [150, 400] {
        let begin = Instant::now();
        let answer = ask(&gateway, "/r/late", &format!("X-Request-Deadline: {millis}\r\n")).await;
        let problem = assert_refused(&answer, 503, "deadline_exceeded");
        assert_eq!(problem["why"], "expired", "{problem}");
        assert!(answer.fields.get("retry-after").is_some(), "{answer:?}");
        assert!(begin.elapsed() >= Duration::from_millis(millis), "{:?}", begin.elapsed());
        until(&gateway, "r", 1, 0).await;
        assert_eq!(remaining(&gateway, "route", "r").await, 9);
    }
    // One whose time is over when it comes has no place either.
    let answer = ask(&gateway, "/r/late", "X-Request-Deadline: 0\r\n").await;
    assert_refused(&answer, 503, "deadline_exceeded");
    gate.open();
    assert_eq!(holder.await.unwrap(), 200, "who holds the place is not touched");
    assert_eq!(upstream.count("/r/late"), 0);
    at_rest(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_may_not_wait_for_longer_than_its_route_allows() {
    let rules = Rules {
        upstream: "concurrent: 1",
        routes: &[("r", ""), ("brief", "limits: { deadline: 300ms }")],
        ..Rules::default()
    };
    let (upstream, gateway, gate, holder) = occupied(&rules).await;
    let begin = Instant::now();
    let answer = ask(&gateway, "/brief/x", "X-Request-Deadline: 15000\r\n").await;
    assert_refused(&answer, 503, "deadline_exceeded");
    let took = begin.elapsed();
    assert!((Duration::from_millis(300)..Duration::from_secs(10)).contains(&took), "{took:?}");
    gate.open();
    assert_eq!((holder.await.unwrap(), upstream.count("/brief/x")), (200, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_let_in_is_not_asked_for_its_body() {
    let (upstream, gateway, gate, holder) = occupied(&ONE).await;
    let head = "POST /r/late HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n";
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send(format!("{head}X-Request-Deadline: 200\r\n\r\n")).await;
    let answer = raw.answer().await.unwrap();
    assert_refused(&answer, 503, "deadline_exceeded");
    assert_eq!(answer.interim, Vec::<u16>::new());
    // Once it is let in it is asked.
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send(format!("{head}\r\n")).await;
    until(&gateway, "r", 1, 1).await;
    gate.open();
    assert_eq!(raw.interim().await, Some(100));
    raw.send("hello").await;
    assert_eq!(raw.answer().await.unwrap().status, 200);
    assert_eq!((holder.await.unwrap(), upstream.count("/r/late")), (200, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn over_grpc_a_wait_that_is_over_and_a_full_queue_are_told_in_grpcs_words() {
    let rules = Rules { routes: &[("r", "limits: { concurrent: 1, queue: 1 }")], ..Rules::default() };
    let (_upstream, gateway, gate, holder) = occupied(&rules).await;
    let call = |timeout: &str| {
        let call =
            Request::post("/r/call").header("content-type", "application/grpc").header("te", "trailers");
        call.header("grpc-timeout", timeout).body(full("")).unwrap()
    };
    let mut client = Client::h2c(gateway.address()).await;
    let answer = client.ask(call("250m")).await;
    assert_eq!((answer.status, answer.header("grpc-status")), (200, "4"), "{answer:?}");
    let waits = send(&gateway, "/r/x", "");
    until(&gateway, "r", 1, 1).await;
    let answer = client.ask(call("15S")).await;
    assert_eq!((answer.status, answer.header("grpc-status")), (200, "14"), "{answer:?}");
    let wait: u64 = answer.header("grpc-retry-pushback-ms").parse().unwrap();
    assert!(wait >= 1_000, "{answer:?}");
    gate.open();
    assert_eq!((holder.await.unwrap(), waits.await.unwrap().status), (200, 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_is_told_what_the_queue_has_left_of_it() {
    const GIVEN: u64 = 15_000;
    let (upstream, gateway, gate, holder) = occupied(&ONE).await;
    let begin = Instant::now();
    let plain = send(&gateway, "/r/plain", &format!("X-Request-Deadline: {GIVEN}\r\n"));
    until(&gateway, "r", 1, 1).await;
    let mut client = Client::h2c(gateway.address()).await;
    let call = Request::post("/r/call").header("content-type", "application/grpc").header("te", "trailers");
    let call = call.header("grpc-timeout", format!("{}S", GIVEN / 1000)).body(full("")).unwrap();
    let call = tokio::spawn(async move { client.ask(call).await.status });
    until(&gateway, "r", 1, 2).await;
    let waiting = Instant::now();
    sleep(Duration::from_millis(300)).await;
    let waited = u64::try_from(waiting.elapsed().as_millis()).unwrap();
    gate.open();
    assert_eq!((holder.await.unwrap(), plain.await.unwrap().status, call.await.unwrap()), (200, 200, 200));
    let took = u64::try_from(begin.elapsed().as_millis()).unwrap() + 1;
    let bounds = GIVEN.saturating_sub(took)..=GIVEN - waited;
    for path in ["/r/plain", "/r/call"] {
        let seen = &upstream.seen_at(path)[0];
        let left: u64 = seen.get("x-request-deadline").expect("a deadline").parse().unwrap();
        assert!(bounds.contains(&left), "{path}: {left} ms left, not {bounds:?}");
        match (path, seen.get("grpc-timeout")) {
            ("/r/plain", timeout) => assert_eq!(timeout, None),
            (_, timeout) => {
                let left: u64 = timeout.unwrap().strip_suffix('m').expect("milliseconds").parse().unwrap();
                assert!(bounds.contains(&left), "{path}: {left} ms left, not {bounds:?}");
            }
        }
    }
    // Where a client says nothing it is the route's.
    assert_eq!(ask(&gateway, "/r/silent", "").await.status, 200);
    let left: u64 = upstream.seen_at("/r/silent")[0].get("x-request-deadline").unwrap().parse().unwrap();
    assert!((40_000..=60_000).contains(&left), "{left}");
}
