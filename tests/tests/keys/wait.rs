//! A duplicate that comes while the first one runs.

use std::time::{Duration, Instant};

use sluicegate_tests::{Fenced, Gate, Gateway, Step, eventually, raw::RawAnswer, upstream::response};
use tokio::task::JoinHandle;

use crate::{assert_refused, replayed, start, write};

fn fenced(wait: &str) -> Fenced {
    Fenced { idempotency: format!("required: true, wait: {wait}"), ..Fenced::default() }
}

fn held(gate: &Gate) -> [Step; 3] {
    [Step::Read, Step::Wait(gate.clone()), Step::Send(response("201 Created", "X-Made: here\r\n", "made"))]
}

/// A write in a task of its own.
fn send(gateway: &Gateway, body: &'static str) -> JoinHandle<RawAnswer> {
    let address = gateway.address();
    tokio::spawn(async move {
        let mut raw = sluicegate_tests::Raw::connect(address).await;
        raw.ask(crate::request("/", "Idempotency-Key: k\r\n", body)).await
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn past_the_wait_it_is_refused_and_may_come_again() {
    let (upstream, gateway) = start(&fenced("200ms")).await;
    let gate = Gate::default();
    upstream.on("/", held(&gate));
    let first = send(&gateway, "{}");
    eventually("the first one runs", || upstream.running() == 1).await;
    let begun = Instant::now();
    let answer = write(&gateway, "/", "k", "{}").await;
    assert!(begun.elapsed() >= Duration::from_millis(200), "{:?}", begun.elapsed());
    assert_refused(&answer, 409, "idempotency_in_flight");
    let seconds: u64 = answer.fields.get("retry-after").expect("Retry-After").parse().unwrap();
    assert!(seconds >= 1);
    // Another request is refused at once: there is nothing to wait for.
    assert_refused(&write(&gateway, "/", "k", "{\"a\":1}").await, 422, "idempotency_conflict");
    gate.open();
    assert_eq!(first.await.unwrap().status, 201);
    assert!(replayed(&write(&gateway, "/", "k", "{}").await));
    assert_eq!(upstream.count("/"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn within_the_wait_everybody_gets_the_one_answer() {
    let (upstream, gateway) = start(&fenced("10s")).await;
    let gate = Gate::default();
    upstream.on("/", held(&gate));
    let mut answers: Vec<_> = vec![send(&gateway, "{}")];
    eventually("the first one runs", || upstream.running() == 1).await;
    answers.extend((0..20).map(|_| send(&gateway, "{}")));
    let waiting = async || {
        let requests = gateway.metric("sluicegate_worker_requests").await;
        requests.iter().map(|(_, count)| *count).sum::<f64>() >= 21.0
    };
    sluicegate_tests::comes_true("all of them wait", waiting).await;
    let begun = Instant::now();
    gate.open();
    let mut at_first_hand = 0;
    for answer in answers {
        let answer = answer.await.unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (201, &b"made"[..]), "{answer:?}");
        assert_eq!(answer.fields.get("x-made"), Some("here"));
        at_first_hand += usize::from(!replayed(&answer));
    }
    assert_eq!((at_first_hand, upstream.count("/")), (1, 1));
    assert!(begun.elapsed() < Duration::from_secs(5), "they were woken late: {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_first_one_was_not_applied_one_of_them_goes_on() {
    let (upstream, gateway) = start(&fenced("10s")).await;
    let gate = Gate::default();
    let refusing = Step::Send(response("429 Too Many Requests", "Retry-After: 1\r\n", ""));
    upstream.on("/", [Step::Read, Step::Wait(gate.clone()), refusing]);
    let first = send(&gateway, "{}");
    eventually("the first one runs", || upstream.running() == 1).await;
    let others: Vec<_> = (0..8).map(|_| send(&gateway, "{}")).collect();
    let waiting = async || {
        let requests = gateway.metric("sluicegate_worker_requests").await;
        requests.iter().map(|(_, count)| *count).sum::<f64>() >= 9.0
    };
    sluicegate_tests::comes_true("all of them wait", waiting).await;
    upstream.on("/", held(&Gate::default()));
    let then = Gate::default();
    upstream.on("/", held(&then));
    gate.open();
    assert_eq!(first.await.unwrap().status, 429);
    eventually("another one runs", || upstream.count("/") == 2).await;
    then.open();
    let mut at_first_hand = 0;
    for other in others {
        let answer = other.await.unwrap();
        assert_eq!(answer.status, 201, "{answer:?}");
        at_first_hand += usize::from(!replayed(&answer));
    }
    assert_eq!((at_first_hand, upstream.count("/")), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_at_once_one_goes_out() {
    let (upstream, gateway) = start(&fenced("10s")).await;
    for round in 0..sluicegate_tests::repeat(20, 200) {
        let path = format!("/{round}");
        let key = format!("Idempotency-Key: k{round}\r\n");
        let address = gateway.address();
        let answers: Vec<_> = (0..16)
            .map(|_| {
                let request = crate::request(&path, &key, "{}");
                tokio::spawn(async move { sluicegate_tests::Raw::connect(address).await.ask(request).await })
            })
            .collect();
        let mut at_first_hand = 0;
        for answer in answers {
            let answer = answer.await.unwrap();
            assert_eq!(answer.status, 200, "{answer:?}");
            at_first_hand += usize::from(!replayed(&answer));
        }
        assert_eq!((at_first_hand, upstream.count(&path)), (1, 1), "round {round}");
    }
}
