//! Every other reason why there is no copy or no pair, each counted as what it is.

use std::{net::SocketAddr, time::Instant};

use http::Request;
use sluicegate_tests::{
    Client, Gate, Gateway, Raw, Step, Upstream,
    client::{full, get},
    comes_true, eventually,
    upstream::response,
};

use crate::{
    Nobody, Rules, at_rest, come_to, ended, expected,
    origin::{Asked, Origin, Reply, broken},
    outcomes, shown,
};

async fn ask(gateway: &Gateway, count: usize) {
    let mut client = Client::h1(gateway.address()).await;
    for _ in 0..count {
        assert_eq!(client.ask(get("/x")).await.status, 200);
    }
}

/// A shadow that keeps each copy until the gate is opened.
async fn gated() -> (Upstream, Gate) {
    let (lab, gate) = (Upstream::start().await, Gate::default());
    lab.on("/x", [Step::Read, Step::Wait(gate.clone()), Step::Send(response("200 OK", "", "ok"))]);
    (lab, gate)
}

#[tokio::test(flavor = "multi_thread")]
async fn more_copies_than_may_be_on_their_way() {
    let (main, (lab, gate)) = (Origin::plain().await, gated().await);
    let gateway = Rules::of("percent: 100, max_in_flight: 3, timeout: 60s").start(&main.url(), &lab.url());
    ask(&gateway, 10).await;
    eventually("three copies have arrived", || lab.count("/x") == 3).await;
    assert_eq!(outcomes(&gateway).await, expected(&[("in_flight", 7)]));
    assert_eq!(gateway.count("sluicegate_shadow_in_flight", "to=\"lab\"").await, 3);
    assert_eq!(shown(&gateway).await["in_flight"], 3);
    gate.open();
    come_to(&gateway, &[("answered", 3), ("in_flight", 7)]).await;
    // Their places are free again.
    ask(&gateway, 1).await;
    come_to(&gateway, &[("answered", 4), ("in_flight", 7)]).await;
    assert_eq!((main.count(), lab.count("/x")), (11, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_copies_than_the_rate() {
    const COUNT: u64 = 60;
    let (main, lab) = (Origin::plain().await, Origin::plain().await);
    let gateway = Rules::of("percent: 100, max_rps: 10").start(&main.url(), &lab.url());
    let begin = Instant::now();
    ask(&gateway, 60).await;
    let most = 10.0 + 10.0 * begin.elapsed().as_secs_f64() + 1.0;
    let found = ended(&gateway, COUNT).await;
    let answered = found["answered"];
    assert!(answered >= 10 && answered as f64 <= most, "{found:?}, {most:.1} at most");
    assert_eq!(found.get("rate").copied().unwrap_or(0), COUNT - answered, "{found:?}");
    assert_eq!((main.count() as u64, lab.count() as u64), (COUNT, answered));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_bytes_than_may_be_held() {
    let (main, (lab, gate)) = (Origin::plain().await, gated().await);
    // Copies may take a quarter of it.
    let rules =
        Rules { extra: "fences: { max_buffered: 400KiB }", ..Rules::of("percent: 100, timeout: 60s") };
    let gateway = rules.start(&main.url(), &lab.url());
    let mut client = Client::h1(gateway.address()).await;
    for _ in 0..5 {
        let answer = client.ask(Request::post("/x").body(full(vec![b'q'; 30 << 10])).unwrap()).await;
        assert_eq!((answer.status, &*answer.body), (200, &b"ok"[..]));
    }
    eventually("three copies have arrived", || lab.count("/x") == 3).await;
    assert_eq!(outcomes(&gateway).await, expected(&[("memory", 2)]));
    assert_eq!(gateway.count("sluicegate_shadow_held_bytes", "").await, 3 * (30 << 10));
    gate.open();
    come_to(&gateway, &[("answered", 3), ("memory", 2)]).await;
    assert_eq!(main.count(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_whose_breaker_is_open_is_not_tried() {
    let (main, nobody) = (Origin::plain().await, Nobody::new());
    let rules = Rules { upstream: "breaker: { consecutive: 3, base: 60s, max: 60s }", ..Rules::default() };
    let gateway = rules.start(&main.url(), &nobody.url());
    for count in 1..=10 {
        ask(&gateway, 1).await;
        ended(&gateway, count).await;
    }
    assert_eq!(outcomes(&gateway).await, expected(&[("unreachable", 3), ("breaker", 7)]));
    let open = gateway.metric("sluicegate_upstream_breaker_state").await;
    let open: Vec<_> = open.into_iter().filter(|(_, state)| *state > 0.0).collect();
    assert!(open.len() == 1 && open[0].0.contains("upstream=\"shadow/lab\""), "{open:?}");
}

/// A shadow that does this with each copy, which is waited for so long, is left alone after three.
async fn given_up(script: Vec<Step>, timeout: &str, outcome: &str) {
    let (main, lab) = (Origin::plain().await, Upstream::start().await);
    lab.on("/x", script);
    let rules = Rules {
        upstream: "breaker: { consecutive: 3, base: 60s, max: 60s }",
        ..Rules::of(format!("percent: 100, timeout: {timeout}"))
    };
    let gateway = rules.start(&main.url(), &lab.url());
    for count in 1..=10 {
        ask(&gateway, 1).await;
        ended(&gateway, count).await;
    }
    assert_eq!(outcomes(&gateway).await, expected(&[(outcome, 3), ("breaker", 7)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_that_hangs_is_left_alone() {
    given_up(vec![Step::Read, Step::Hang], "2s", "timeout").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_that_never_ends_its_answers_is_left_alone() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
    given_up(vec![Step::Read, Step::Send(head.into()), Step::Hang], "2s", "timeout").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_whose_answers_are_too_large_is_left_alone() {
    for head in ["Content-Length: 1073741824", "Transfer-Encoding: chunked"] {
        let head = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n40000000\r\n");
        given_up(
            vec![Step::Read, Step::Send(head.into()), Step::Pattern(1 << 30)],
            "10s",
            "answer_too_large",
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_that_fail_at_the_own_upstream_open_no_breaker_of_it() {
    const COUNT: u64 = 30;
    let answer =
        |asked: Asked| async move { if asked.is_copy() { broken() } else { Reply::new("ok".into()) } };
    let (main, lab) = (Origin::start(answer).await, Origin::plain().await);
    let rules = Rules {
        upstream: "breaker: { consecutive: 3, base: 60s, max: 60s }",
        ..Rules::of("percent: 100, noise: 100, compare: {}")
    };
    let gateway = rules.start(&main.url(), &lab.url());
    for count in 1..=COUNT {
        ask(&gateway, 1).await;
        come_to(&gateway, &[("answered", count)]).await;
    }
    let copies = main.seen().iter().filter(|asked| asked.is_copy()).count();
    assert_eq!(copies, 3, "the copies' own breaker opens");
}

async fn unpaired(gateway: &Gateway, why: &str, count: u64) {
    let counted =
        async || gateway.count("sluicegate_shadow_unpaired_total", &format!("why=\"{why}\"")).await == count;
    comes_true(&format!("{count} pairs without {why}"), counted).await;
    let all = gateway.count("sluicegate_shadow_unpaired_total", "").await;
    assert_eq!(all, count, "{why} and nothing else");
    assert_eq!(gateway.count("sluicegate_shadow_pairs_total", "").await, 0);
    at_rest(gateway).await;
}

const COMPARED: &str = "percent: 100, noise: 0, compare: { max_answer: 64KiB }";

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_the_primary_that_is_too_large_is_passed_on_and_not_compared() {
    let large = |_| async { Reply::new(vec![b'a'; 65 << 10].into()) };
    let (main, lab) = (Origin::start(large).await, Origin::plain().await);
    let gateway = Rules::of(COMPARED).start(&main.url(), &lab.url());
    let mut client = Client::h1(gateway.address()).await;
    for _ in 0..10 {
        assert_eq!(client.ask(get("/x")).await.body.len(), 65 << 10);
    }
    come_to(&gateway, &[("answered", 10)]).await;
    unpaired(&gateway, "primary_too_large", 10).await;
}

/// Asks and reads what comes until it breaks off.
async fn cut_off(address: SocketAddr) {
    let mut raw = Raw::connect(address).await;
    raw.send("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let answer = raw.answer().await;
    assert!(answer.is_err() || !answer.unwrap().complete);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_the_primary_that_breaks_off_is_not_compared() {
    let (main, lab) = (Upstream::start().await, Origin::plain().await);
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf";
    main.on("/x", [Step::Read, Step::Send(head.into()), Step::Reset]);
    let gateway = Rules::of(COMPARED).start(&main.url(), &lab.url());
    for _ in 0..5 {
        cut_off(gateway.address()).await;
    }
    come_to(&gateway, &[("answered", 5)]).await;
    unpaired(&gateway, "no_primary", 5).await;
}
