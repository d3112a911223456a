//! What all keys together may take.

use sluicegate_tests::{Fenced, Gate, Raw, Step, comes_true, eventually, repeat, upstream::response};

use crate::{assert_refused, replayed, request, start, with_lines, write};

fn bounded(bounds: &str) -> Fenced {
    Fenced { extra: format!("fences: {{ {bounds} }}"), ..Fenced::embedded() }
}

#[tokio::test(flavor = "multi_thread")]
async fn past_the_keys_new_ones_are_refused_and_none_is_forgotten() {
    let (upstream, gateway) = start(&bounded("max_keys: 3")).await;
    for key in ["a", "b", "c"] {
        assert!(!replayed(&write(&gateway, "/", key, "{}").await));
    }
    let answer = write(&gateway, "/", "d", "{}").await;
    assert_refused(&answer, 503, "store_unavailable");
    assert!(answer.fields.get("retry-after").is_some(), "{answer:?}");
    for key in ["a", "b", "c"] {
        assert!(replayed(&write(&gateway, "/", key, "{}").await), "{key} was thrown away");
    }
    assert_eq!(upstream.count("/"), 3);
    // The bound holds over a restart.
    let gateway = gateway.kill_and_restart();
    assert_refused(&write(&gateway, "/", "d", "{}").await, 503, "store_unavailable");
    assert!(replayed(&write(&gateway, "/", "a", "{}").await));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tenant_cannot_take_the_others_share() {
    let mut fenced = bounded("max_keys: 10, tenant_share: 0.3");
    fenced.extra += "\ntenants: { from: { header: x-tenant-id } }";
    let (upstream, gateway) = start(&fenced).await;
    let sent = async |tenant: &str, key: &str| {
        let lines = format!("X-Tenant-Id: {tenant}\r\nIdempotency-Key: {key}\r\n");
        with_lines(&gateway, "/", &lines, "{}").await.status
    };
    for key in ["a", "b", "c"] {
        assert_eq!(sent("greedy", key).await, 200);
    }
    assert_eq!((sent("greedy", "d").await, sent("modest", "d").await), (503, 200));
    assert_eq!(upstream.count("/"), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn room_comes_back_when_keys_end_their_life() {
    let mut fenced = bounded("max_keys: 2");
    fenced.idempotency = "required: true, ttl: 1s, wait: 500ms".to_owned();
    let (_upstream, gateway) = start(&fenced).await;
    assert_eq!(write(&gateway, "/", "a", "{}").await.status, 200);
    assert_eq!(write(&gateway, "/", "b", "{}").await.status, 200);
    let room = async || write(&gateway, "/", "c", "{}").await.status == 200;
    comes_true("there is room", room).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waiters_are_counted() {
    let mut fenced = bounded("max_waiters: 2");
    fenced.idempotency = "required: true, wait: 15s".to_owned();
    let (upstream, gateway) = start(&fenced).await;
    let gate = Gate::default();
    upstream.on("/", [Step::Read, Step::Wait(gate.clone()), Step::Send(response("201 Created", "", "made"))]);
    let address = gateway.address();
    let send = || {
        let request = request("/", "Idempotency-Key: k\r\n", "{}");
        tokio::spawn(async move { Raw::connect(address).await.ask(request).await })
    };
    let first = send();
    eventually("the first one runs", || upstream.running() == 1).await;
    let others: Vec<_> = (0..5).map(|_| send()).collect();
    let told = || others.iter().filter(|other| other.is_finished()).count() == 3;
    eventually("all but two are told to come back", told).await;
    gate.open();
    assert_eq!(first.await.unwrap().status, 201);
    let mut counts = (0, 0);
    for other in others {
        let answer = other.await.unwrap();
        if answer.status == 201 {
            counts.0 += 1;
        } else {
            assert_refused(&answer, 409, "idempotency_in_flight");
            counts.1 += 1;
        }
    }
    assert_eq!(counts, (2, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_forgets_nothing_and_breaks_nothing() {
    let upstream = sluicegate_tests::Upstream::start().await;
    let document = |wait: usize| {
        let idempotency = format!("required: true, wait: {}ms", 2000 + wait);
        Fenced { idempotency, ..Fenced::embedded() }.document(&upstream.url())
    };
    let gateway = sluicegate_tests::Gateway::start(&document(0));
    let gate = Gate::default();
    upstream
        .on("/held", [Step::Read, Step::Wait(gate.clone()), Step::Send(response("201 Created", "", "made"))]);
    let mut held = Raw::connect(gateway.address()).await;
    held.send(request("/held", "Idempotency-Key: held\r\n", "{}")).await;
    eventually("it runs", || upstream.running() == 1).await;
    let reloads = repeat(50, 500);
    for number in 1..=reloads {
        let key = format!("k{number}");
        assert!(!replayed(&write(&gateway, "/", &key, "{}").await));
        let answer = gateway.put_config("", &document(number)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(replayed(&write(&gateway, "/", &key, "{}").await), "{key}");
    }
    held.reset();
    gate.open();
    let answer = write(&gateway, "/held", "held", "{}").await;
    assert_eq!((answer.status, replayed(&answer)), (201, true), "{answer:?}");
    assert_eq!((upstream.count("/"), upstream.count("/held")), (reloads, 1));
}
