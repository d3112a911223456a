//! An endpoint at which requests fail in a row is left out for a while, and tried again with a few.

use std::time::{Duration, Instant};

use sluicegate_tests::{
    Client, Gate, Gateway, Raw, Step, Upstream,
    client::{get, post},
    comes_true, eventually,
    load::Load,
    upstream::response,
};

use crate::{all_served, available, state, two, until};

/// How often breakers have changed to a state.
async fn transitions(gateway: &Gateway, to: &str) -> u64 {
    gateway.count("sluicegate_upstream_breaker_transitions_total", &format!("to=\"{to}\"")).await
}

/// What the metrics say of an endpoint's breaker: 0 closed, 1 half open, 2 open.
async fn gauge(gateway: &Gateway, endpoint: &Upstream) -> u64 {
    gateway.count("sluicegate_upstream_breaker_state", &format!("endpoint=\"{}\"", endpoint.url())).await
}

/// Asks until `one` has failed so many requests.
async fn fail(gateway: &Gateway, one: &Upstream, path: &str, failures: usize) {
    let mut client = Client::h1(gateway.address()).await;
    let before = one.count(path);
    let ask = async || {
        client.ask(get(path)).await;
        one.count(path) >= before + failures
    };
    comes_true("it has failed", ask).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_in_a_row_leave_it_out_until_the_time_is_over() {
    let (one, other, gateway) = two(", breaker: { consecutive: 3, base: 2s, max: 2s }").await;
    one.answer("/x", response("503 Away", "", ""));
    fail(&gateway, &one, "/x", 2).await;
    assert_eq!(state(&gateway, &one).await, "healthy", "two failures are not three");
    // A success in between begins the row anew.
    let before = one.count("/fine");
    let mut client = Client::h1(gateway.address()).await;
    let ask = async || {
        client.ask(get("/fine")).await;
        one.count("/fine") > before
    };
    comes_true("it has succeeded", ask).await;
    fail(&gateway, &one, "/x", 2).await;
    assert_eq!(state(&gateway, &one).await, "healthy");

    fail(&gateway, &one, "/x", 1).await;
    assert_eq!(state(&gateway, &one).await, "open");
    assert_eq!(available(&gateway, &one).await, Some(0.0));
    assert_eq!(transitions(&gateway, "open").await, 1);
    assert_eq!(gauge(&gateway, &one).await, 2);
    let (seen, others) = (one.seen().len(), other.seen().len());
    all_served(&gateway, 20, || get("/x")).await;
    assert_eq!((one.seen().len(), other.seen().len()), (seen, others + 20), "it is left out");

    one.answer("/x", response("200 OK", "", "ok"));
    until(&gateway, &one, "half_open").await;
    let ask = async || {
        all_served(&gateway, 2, || get("/x")).await;
        state(&gateway, &one).await == "healthy"
    };
    comes_true("enough requests have succeeded", ask).await;
    assert!(one.seen().len() >= seen + 3, "it has proven itself");
    let told = (transitions(&gateway, "half_open").await, transitions(&gateway, "closed").await);
    assert_eq!((told, gauge(&gateway, &one).await), ((1, 1), 0));
    all_served(&gateway, 20, || get("/x")).await;
    assert_eq!((available(&gateway, &one).await, available(&gateway, &other).await), (Some(1.0), Some(1.0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_and_a_timeout_and_garbage_count_as_failures() {
    for steps in [
        vec![Step::Read, Step::Reset],
        vec![Step::Read, Step::Hang],
        vec![Step::Read, Step::Send("nonsense\r\n\r\n".into()), Step::Close],
        vec![Step::Read, Step::Send(response("502 Bad Gateway", "", "")), Step::Close],
        vec![Step::Read, Step::Send(response("504 Gateway Timeout", "", "")), Step::Close],
    ] {
        let (one, other, gateway) =
            two(", breaker: { consecutive: 2, base: 1m, max: 1m }, timeouts: { per_try: 200ms }").await;
        one.on("/x", steps.clone());
        // Writes: a read on a pooled connection may go out twice.
        let mut client = Client::h1(gateway.address()).await;
        let ask = async || {
            client.ask(post("/x", "hello")).await;
            one.count("/x") >= 2
        };
        comes_true("it has failed", ask).await;
        assert_eq!(state(&gateway, &one).await, "open", "{steps:?}");
        let before = other.count("/x");
        all_served(&gateway, 10, || post("/x", "hello")).await;
        assert_eq!((one.count("/x"), other.count("/x")), (2, before + 10), "{steps:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_no_gateway_errors_never_leave_it_out() {
    let (one, other, gateway) = two(", breaker: { consecutive: 1, base: 1m, max: 1m }").await;
    for status in ["500 Broken", "404 Gone", "429 Slow", "501 Not Here"] {
        one.answer("/x", response(status, "", ""));
        fail(&gateway, &one, "/x", 3).await;
        assert_eq!(state(&gateway, &one).await, "healthy", "{status}");
    }
    // A client that goes away is no fault of the endpoint's.
    one.on("/x", [Step::Read, Step::Hang]);
    other.on("/x", [Step::Read, Step::Hang]);
    for _ in 0..6 {
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        eventually("it runs", || one.running() + other.running() == 1).await;
        raw.reset();
        eventually("it is over", || one.running() + other.running() == 0).await;
    }
    assert_eq!(
        (state(&gateway, &one).await.as_str(), state(&gateway, &other).await.as_str()),
        ("healthy", "healthy")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn where_all_are_left_out_requests_are_refused_and_told_when_to_come_back() {
    let (one, other, gateway) = two(", breaker: { consecutive: 1, base: 2s, max: 2s }").await;
    let mut client = Client::h1(gateway.address()).await;
    for upstream in [&one, &other] {
        upstream.answer("/x", response("503 Away", "", ""));
    }
    // One each, since the second cannot meet the first one's.
    for _ in 0..2 {
        assert_eq!(client.ask(get("/x")).await.status, 503);
    }
    let asked = (one.count("/x"), other.count("/x"));
    assert_eq!(asked, (1, 1));
    let refusal = client.ask(get("/")).await;
    assert_eq!((refusal.status, refusal.code().as_str()), (503, "overloaded"), "{refusal:?}");
    assert_eq!((one.seen().len(), other.seen().len()), asked, "nobody was asked");
    assert_eq!(gateway.count("sluicegate_upstream_breaker_refused_total", "").await, 1);
    // Two seconds from the first that opened, and a fifth more at most.
    let wait = refusal.json()["retry_after_ms"].as_u64().unwrap();
    let seconds: u64 = refusal.header("retry-after").parse().unwrap();
    assert!((1..=2400).contains(&wait) && seconds == wait.div_ceil(1000), "{wait} ms, {seconds} s");
    tokio::time::sleep(Duration::from_millis(wait)).await;
    assert_eq!(client.ask(get("/")).await.status, 200, "it was told the truth");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_its_time_is_over_a_few_requests_decide() {
    const BASE: Duration = Duration::from_secs(2);
    let (one, other, gateway) = two(", breaker: { consecutive: 1, base: 2s, max: 2s, probes: 2 }").await;
    let gate = Gate::default();
    one.answer("/bad", response("503 Away", "", ""));
    fail(&gateway, &one, "/bad", 1).await;
    for upstream in [&one, &other] {
        let ok = response("200 OK", "", "");
        upstream.on("/x", [Step::Read, Step::Wait(gate.clone()), Step::Send(ok)]);
    }
    until(&gateway, &one, "half_open").await;

    let since = Instant::now();
    let mut probes = Vec::new();
    let ask = async || {
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        probes.push(raw);
        eventually("it has come somewhere", || one.count("/x") + other.count("/x") == probes.len()).await;
        one.running() == 2
    };
    comes_true("two requests are under way", ask).await;
    assert_eq!(gauge(&gateway, &one).await, 1);
    all_served(&gateway, 20, || get("/")).await;
    // One more may go after each further `base` that those are out.
    let more = since.elapsed().div_duration_f64(BASE).floor();
    let probes_sent = (one.count("/x") + one.count("/")) as f64;
    assert!(probes_sent <= 2.0 + more, "{probes_sent} went to it");
    gate.open();
    until(&gateway, &one, "healthy").await;
    for mut raw in probes {
        assert_eq!(raw.answer().await.unwrap().status, 200);
    }

    // Where one of them fails it is left out again.
    fail(&gateway, &one, "/bad", 1).await;
    until(&gateway, &one, "half_open").await;
    let before = transitions(&gateway, "open").await;
    fail(&gateway, &one, "/bad", 1).await;
    assert_eq!(transitions(&gateway, "open").await, before + 1);
    assert_eq!(state(&gateway, &one).await, "open");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_read_fails_while_one_of_two_is_killed_and_comes_back() {
    let (one, other, gateway) = two(", breaker: { consecutive: 5, base: 200ms, max: 200ms }").await;
    let address = one.address();
    other.brief();
    let load = Load::start(gateway.address(), 8, "/load");
    let mut one = Some(one);
    for round in 1..=5 {
        let here = one.take().unwrap();
        eventually("both are used", || here.count("/load") > 50 && other.count("/load") > 50).await;
        here.stop().await;
        let (reads, writes) = (load.reads(), load.writes());
        eventually("the other serves all", || load.reads() > reads + 200 && load.writes() > writes + 200)
            .await;
        let back = Upstream::start_at(address, None).await;
        back.brief();
        eventually(&format!("it is used again in round {round}"), || back.count("/load") > 0).await;
        one = Some(back);
    }
    let account = load.stop().await;
    let failed = account.failed();
    let reads: Vec<_> = failed.iter().filter(|sample| !sample.write).collect();
    assert_eq!(reads.len(), 0, "{:?}", reads.first());
    // A write that ran when its endpoint died must not be sent again: it alone may fail.
    assert!(
        failed.iter().all(|write| (write.status, write.code.as_str()) == (502, "upstream_reset")),
        "{failed:?}"
    );
    assert!(failed.len() <= 5 * 8, "{} writes failed", failed.len());
    assert_eq!(account.closed, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_reached_costs_no_request_not_even_a_write() {
    // Never left out: every other request meets the dead one first.
    let (one, other, gateway) = two(", breaker: { consecutive: 0 }").await;
    all_served(&gateway, 20, || post("/", "hello")).await;
    one.stop().await;
    let unreachable = async || {
        let failures = gateway.metric("sluicegate_upstream_failures_total").await;
        failures
            .into_iter()
            .find(|(labels, _)| labels.contains("unreachable"))
            .map_or(0.0, |(_, count)| count)
    };
    let before = (unreachable().await, other.count("/"));
    all_served(&gateway, 40, || post("/", "hello")).await;
    all_served(&gateway, 40, || get("/")).await;
    assert_eq!(other.count("/"), before.1 + 80);
    assert!(unreachable().await > before.0, "the dead one was never tried");
    assert!(other.seen().iter().all(|seen| seen.complete && (seen.method == "GET" || seen.body == b"hello")));
    // Nothing was sent that nobody answered: a freeze has nothing to wait for.
    let output = gateway.cli(&["freeze", "--wait"]).await;
    assert_eq!(output.code, 0, "{output:?}");
    let frozen = gateway.admin_get("/freeze").await;
    assert_eq!(frozen["freezes"][0]["unsettled"], 0, "{frozen}");
}
