//! Keys during a freeze.

use serde_json::json;
use sluicegate_tests::{Fenced, Gate, Raw, Step, eventually, upstream::response};

use crate::{assert_refused, replayed, start, write};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_is_answered_and_what_is_new_is_refused() {
    let (upstream, gateway) = start(&Fenced::default()).await;
    let first = write(&gateway, "/", "old", "{\"a\":1}").await;
    gateway.freeze("f?wait=10s", &json!({ "reason": "reindex" })).await;
    let again = write(&gateway, "/", "old", "{\"a\":1}").await;
    assert_eq!((again.status, replayed(&again), &again.body), (200, true, &first.body));
    assert_refused(&write(&gateway, "/", "old", "{\"a\":2}").await, 422, "idempotency_conflict");
    assert_refused(&write(&gateway, "/", "new", "{\"a\":1}").await, 423, "read_only");
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_when_it_comes_is_waited_for() {
    let (upstream, gateway) = start(&Fenced::default()).await;
    let gate = Gate::default();
    upstream.on("/", [Step::Read, Step::Wait(gate.clone()), Step::Send(response("201 Created", "", "made"))]);
    let (first, again) = tokio::join!(write(&gateway, "/", "k", "{}"), async {
        eventually("it runs", || upstream.running() == 1).await;
        gateway.freeze("f", &json!({})).await;
        let (again, ()) = tokio::join!(write(&gateway, "/", "k", "{}"), async {
            let waits = async || {
                let requests = gateway.metric("sluicegate_worker_requests").await;
                requests.iter().map(|(_, count)| *count).sum::<f64>() >= 2.0
            };
            sluicegate_tests::comes_true("the duplicate waits", waits).await;
            gate.open();
        });
        again
    });
    assert_eq!((first.status, again.status, replayed(&again)), (201, 201, true));
    assert_eq!(upstream.count("/"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_write_is_not_asked_for_its_body() {
    let (upstream, gateway) = start(&Fenced::default()).await;
    gateway.freeze("f", &json!({})).await;
    let mut raw = Raw::connect(gateway.address()).await;
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: k\r\nExpect: 100-continue\r\n";
    raw.send(format!("{head}Content-Length: 5\r\n\r\n")).await;
    let answer = raw.answer().await.unwrap();
    assert_eq!(answer.interim, Vec::<u16>::new());
    assert_refused(&answer, 423, "read_only");
    assert!(upstream.seen().is_empty());
    // One that lets a body through needs it, and asks.
    gateway.thaw("f").await;
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send(format!("{head}Content-Length: 2\r\n\r\n")).await;
    assert_eq!(raw.interim().await, Some(100));
    raw.send("{}").await;
    assert_eq!(raw.answer().await.unwrap().status, 200);
}
