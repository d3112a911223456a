//! The exchange belongs to the fence: a client that goes away cancels nothing.

use std::time::Duration;

use http::Request;
use serde_json::{Value, json};
use sluicegate_tests::{
    Client, Fenced, Gate, Gateway, Raw, Step, Upstream, client::full, comes_true, eventually, repeat,
    upstream::response,
};
use tokio::time::timeout;

use crate::{replayed, request, start, write};

fn held(gate: &Gate) -> [Step; 3] {
    [Step::Read, Step::Wait(gate.clone()), Step::Send(response("201 Created", "", "made"))]
}

/// Sends a write and goes away once the upstream has it.
async fn send_and_leave(gateway: &Gateway, upstream: &Upstream, h2: bool) {
    let before = upstream.running();
    let runs = || upstream.running() == before + 1;
    if h2 {
        let mut client = Client::h2c(gateway.address()).await;
        let write = Request::post("/").header("idempotency-key", "k").body(full("{}")).unwrap();
        let left = async {
            tokio::select! {
                answer = client.open(write) => panic!("answered: {answer:?}"),
                () = eventually("it runs", runs) => {}
            }
        };
        timeout(Duration::from_secs(30), left).await.unwrap();
    } else {
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send(request("/", "Idempotency-Key: k\r\n", "{}")).await;
        eventually("it runs", runs).await;
        raw.reset();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_retry_gets_the_stored_answer() {
    for h2 in [false, true] {
        let (upstream, gateway) = start(&Fenced::default()).await;
        let gate = Gate::default();
        upstream.on("/", held(&gate));
        send_and_leave(&gateway, &upstream, h2).await;
        gate.open();
        eventually("the upstream is done", || upstream.running() == 0).await;
        let answer = write(&gateway, "/", "k", "{}").await;
        assert_eq!((answer.status, answer.text().as_str()), (201, "made"), "h2 {h2}: {answer:?}");
        assert!(replayed(&answer));
        assert_eq!(upstream.count("/"), 1);
        assert!(!upstream.seen()[0].cut_off, "h2 {h2}: the exchange was cancelled");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_that_comes_meanwhile_waits_for_it() {
    let (upstream, gateway) = start(&Fenced::default()).await;
    let gate = Gate::default();
    upstream.on("/", held(&gate));
    send_and_leave(&gateway, &upstream, false).await;
    let (answer, ()) = tokio::join!(write(&gateway, "/", "k", "{}"), async {
        let waits = async || {
            gateway.metric("sluicegate_worker_requests").await.iter().map(|(_, count)| *count).sum::<f64>()
                >= 1.0
        };
        comes_true("the retry waits", waits).await;
        gate.open();
    });
    assert_eq!((answer.status, replayed(&answer), upstream.count("/")), (201, true, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_in_the_middle_of_the_answer_cancels_nothing_either() {
    let (upstream, gateway) = start(&Fenced::default()).await;
    let length = 300_000;
    let gate = Gate::default();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", length + 4);
    let steps = [
        Step::Read,
        Step::Send(head.into()),
        Step::Pattern(length),
        Step::Wait(gate.clone()),
        Step::Send("last".into()),
    ];
    upstream.on("/", steps);
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send(request("/", "Idempotency-Key: k\r\n", "{}")).await;
    assert_eq!(raw.head().await.unwrap().status, 200);
    raw.reset();
    gate.open();
    eventually("the upstream is done", || upstream.running() == 0).await;
    let answer = write(&gateway, "/", "k", "{}").await;
    assert!(replayed(&answer), "{answer:?}");
    assert_eq!((answer.body.len() as u64, answer.body.ends_with(b"last")), (length + 4, true));
    assert_eq!(upstream.count("/"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_waits_for_what_its_client_has_left() {
    let (upstream, gateway) = start(&Fenced::default()).await;
    let gate = Gate::default();
    upstream.on("/", held(&gate));
    send_and_leave(&gateway, &upstream, false).await;
    let order = json!({});
    let (shown, ()) = tokio::join!(gateway.freeze("f?wait=20s", &order), async {
        let mut shown = Value::Null;
        let frozen = async || {
            shown = gateway.freeze_shown("f").await;
            !shown.is_null()
        };
        comes_true("it is frozen", frozen).await;
        assert_eq!((&shown["writes_in_flight"], &shown["drained_at"]), (&json!(1), &Value::Null), "{shown}");
        gate.open();
    });
    assert_eq!(
        (&shown["drain"]["drained"], &shown["drain"]["unsettled"]),
        (&json!(true), &json!(0)),
        "{shown}"
    );
    // Its answer can be had although writes are frozen.
    assert!(replayed(&write(&gateway, "/", "k", "{}").await));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_leave_at_any_moment_and_each_write_is_done_once() {
    let (upstream, gateway) = start(&Fenced::embedded()).await;
    let mut chance = fastrand::Rng::with_seed(7);
    for round in 0..repeat(100, 2000) {
        let (path, key) = (format!("/{round}"), format!("k{round}"));
        let pause = Step::Pause(Duration::from_millis(chance.u64(..3)));
        upstream.on(&path, [Step::Read, pause, Step::Send(response("201 Created", "", "made"))]);
        let lines = format!("Idempotency-Key: {key}\r\n");
        for _ in 0..3 {
            let mut raw = Raw::connect(gateway.address()).await;
            raw.send(request(&path, &lines, "{}")).await;
            let _ = timeout(Duration::from_micros(chance.u64(..4000)), raw.head()).await;
            raw.reset();
        }
        let answer = write(&gateway, &path, &key, "{}").await;
        assert_eq!((answer.status, upstream.count(&path)), (201, 1), "round {round}: {}", answer.text());
    }
}
