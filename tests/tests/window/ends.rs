//! The ways in which an intent ends.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use rustix::process::Signal;
use serde_json::json;
use sluicegate_tests::{
    Audited, Fenced, Gateway, Raw,
    audit::{Act, Choice, Shape, prompt},
    eventually,
    intents::ask_for,
};

use crate::{freeze, id, queue, queueing, send, status, until, write};

const DONE: Act = Act::Do { before: Duration::ZERO, after: Duration::ZERO, shape: Shape::Short };

/// Does `first` with the first arrival of the first write, then what is right.
fn at_first(first: Act) -> Choice {
    Arc::new(move |write, nth| if (write.number, nth) == (1, 0) { first } else { DONE })
}

/// A gateway that is frozen, and tries again soon.
async fn frozen(choice: Choice, intents: &str) -> (Audited, Gateway) {
    let upstream = Audited::start(1, choice).await;
    let fenced = queueing(4);
    let intents = fenced.intents.replace("soak: 0s, ttl: 24h", intents);
    let intents = intents.replace("rps: 2000", "base: 10ms, tries: 3, rps: 2000");
    let gateway = Gateway::start(&Fenced { intents, ..fenced }.document(&upstream.url(0)));
    freeze(&gateway).await;
    (upstream, gateway)
}

#[tokio::test(flavor = "multi_thread")]
async fn applied() {
    let (upstream, gateway) = frozen(prompt(), "soak: 0s").await;
    let at = queue(&gateway, &write(1, "d1")).await;
    assert_eq!(status(&gateway, &at).await["state"], "queued");
    gateway.thaw("window").await;
    let shown = until(&gateway, &at, "applied").await;
    assert_eq!((&shown["attempts"], &shown["response"]["status"]), (&json!(1), &json!(201)), "{shown}");
    assert_eq!(upstream.ledger().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_as_without_one() {
    let (upstream, gateway) = frozen(prompt(), "soak: 0s, max_count: 3").await;
    let mut places = Vec::new();
    for number in 0..3 {
        places.push(queue(&gateway, &write(number, "d1")).await);
    }
    for number in 3..6 {
        let answer = send(&gateway, &write(number, "d2")).await;
        assert_eq!((answer.status, answer.code().as_str()), (423, "read_only"), "{}", answer.text());
        assert!(answer.fields.get("retry-after").is_some());
    }
    // What is in it is still answered for.
    assert_eq!(queue(&gateway, &write(0, "d1")).await, places[0]);
    gateway.thaw("window").await;
    for at in &places {
        until(&gateway, at, "applied").await;
    }
    // A refused write costs no key, and what is over takes no room.
    assert_eq!(send(&gateway, &write(3, "d2")).await.status, 201);
    freeze(&gateway).await;
    queue(&gateway, &write(7, "d2")).await;
    assert_eq!(upstream.ledger().count(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_and_tenants_have_their_share() {
    let upstream = Audited::start(1, prompt()).await;
    let fenced = queueing(4);
    let intents = fenced.intents.replace("soak: 0s", "soak: 0s, max_count: 4, tenant_share: 0.5");
    let extra = "tenants: { from: { header: x-tenant-id } }".to_owned();
    let gateway = Gateway::start(&Fenced { intents, extra, ..fenced }.document(&upstream.url(0)));
    freeze(&gateway).await;
    let mut number = 0;
    let mut sent = async |tenant: &str| {
        number += 1;
        let request = write(number, "d").request(false, &format!("X-Tenant-Id: {tenant}\r\n"));
        Raw::connect(gateway.address()).await.ask(request).await.status
    };
    assert_eq!([sent("acme").await, sent("acme").await, sent("acme").await], [202, 202, 423]);
    assert_eq!([sent("umbrella").await, sent("umbrella").await, sent("umbrella").await], [202, 202, 423]);
    assert_eq!(sent("third").await, 423, "the whole is full");
}

#[tokio::test(flavor = "multi_thread")]
async fn expired() {
    let (upstream, gateway) = frozen(prompt(), "soak: 0s, ttl: 1s").await;
    let at = queue(&gateway, &write(1, "d1")).await;
    until(&gateway, &at, "expired").await;
    gateway.thaw("window").await;
    let late = queue_or_direct(&gateway, 2, "d1").await;
    eventually("a later one of its line is applied", || upstream.ledger().count() == 1).await;
    assert_eq!(upstream.ledger().effects()[0].write.number, 2, "{late}");
    assert_eq!(status(&gateway, &at).await["state"], "expired");
}

/// Sends a write of which it does not matter whether it waits.
async fn queue_or_direct(gateway: &Gateway, number: u64, line: &str) -> u16 {
    let answer = send(gateway, &write(number, line)).await;
    assert!(matches!(answer.status, 201 | 202), "{answer:?} {}", answer.text());
    answer.status
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_by_the_upstream() {
    let (upstream, gateway) = frozen(at_first(Act::Never(400)), "soak: 0s").await;
    let at = queue(&gateway, &write(1, "d1")).await;
    gateway.thaw("window").await;
    let shown = until(&gateway, &at, "dead").await;
    assert_eq!(shown["response"]["status"], 400, "{shown}");
    let response = ask_for(&mut Raw::connect(gateway.address()).await, &format!("{at}/response"), "").await;
    assert_eq!((response.status, &response.json()["never"]), (400, &json!(400)), "{}", response.text());
    // Who retries gets the refusal, not another try.
    let again = send(&gateway, &write(1, "d1")).await;
    assert_eq!((again.status, again.fields.get("idempotency-replayed")), (400, Some("true")));
    // It holds nobody back.
    assert_eq!(upstream.ledger().arrivals().len(), 1);
    queue_or_direct(&gateway, 2, "d1").await;
    eventually("the next one arrives", || upstream.ledger().arrivals().len() == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tried_again_while_nothing_was_applied() {
    let (upstream, gateway) = frozen(at_first(Act::NotNow(429)), "soak: 0s").await;
    let at = queue(&gateway, &write(1, "d1")).await;
    gateway.thaw("window").await;
    let shown = until(&gateway, &at, "applied").await;
    assert_eq!((&shown["attempts"], upstream.ledger().count()), (&json!(2), 1), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_when_its_tries_are_used_up_and_taken_up_again_by_an_operator() {
    let act = Arc::new(AtomicU8::new(0));
    let (now, choice): (_, Choice) = (
        act.clone(),
        Arc::new(move |_, _| if act.load(Ordering::SeqCst) == 0 { Act::NotNow(429) } else { DONE }),
    );
    let (upstream, gateway) = frozen(choice, "soak: 0s").await;
    let at = queue(&gateway, &write(1, "d1")).await;
    gateway.thaw("window").await;
    until(&gateway, &at, "dead").await;
    assert_eq!(upstream.ledger().arrivals().len(), 3);
    assert_eq!(gateway.intents("dead").await.len(), 1);
    now.store(1, Ordering::SeqCst);
    assert_eq!(gateway.intent_do(id(&at), "retry").await.status, 200);
    until(&gateway, &at, "applied").await;
    let again = send(&gateway, &write(1, "d1")).await;
    assert_eq!((again.status, upstream.ledger().count()), (201, 1), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped() {
    let (upstream, gateway) = frozen(prompt(), "soak: 0s").await;
    let (first, second) = (queue(&gateway, &write(1, "d1")).await, queue(&gateway, &write(2, "d1")).await);
    assert_eq!(gateway.intent_do(id(&first), "drop").await.status, 200);
    assert_eq!(status(&gateway, &first).await["state"], "dropped");
    gateway.thaw("window").await;
    until(&gateway, &second, "applied").await;
    assert_eq!(upstream.ledger().effects()[0].write.number, 2);
    assert_eq!(status(&gateway, &first).await["state"], "dropped");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_doubt_until_an_operator_decides() {
    for effect in [true, false] {
        let (upstream, gateway) = frozen(at_first(Act::Reset { effect }), "soak: 0s").await;
        let first = queue(&gateway, &write(1, "d1")).await;
        let second = queue(&gateway, &write(2, "d1")).await;
        gateway.thaw("window").await;
        until(&gateway, &first, "in_doubt").await;
        let listed = gateway.intents("in_doubt").await;
        assert_eq!((listed.len(), &listed[0]["id"]), (1, &json!(id(&first))), "{listed:?}");
        // Its line waits, and its key is unknown.
        assert_eq!(status(&gateway, &second).await["state"], "queued");
        let again = send(&gateway, &write(1, "d1")).await;
        assert_eq!((again.status, again.code().as_str()), (409, "idempotency_outcome_unknown"));
        assert_eq!(upstream.ledger().arrivals().len(), 1);
        let answer = if effect {
            gateway.settle(id(&first), 201).await
        } else {
            gateway.intent_do(id(&first), "retry").await
        };
        assert_eq!(answer.status, 200, "effect {effect}: {answer:?}");
        until(&gateway, &first, "applied").await;
        until(&gateway, &second, "applied").await;
        let order: Vec<_> = upstream.ledger().effects().iter().map(|it| it.write.number).collect();
        assert_eq!(order, [1, 2], "effect {effect}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_soak_and_no_sooner() {
    let (upstream, gateway) = frozen(prompt(), "soak: 2s").await;
    let at = queue(&gateway, &write(1, "d1")).await;
    gateway.thaw("window").await;
    let thawed = std::time::Instant::now();
    until(&gateway, &at, "applied").await;
    assert!(thawed.elapsed() >= Duration::from_millis(1900), "{:?}", thawed.elapsed());
    assert_eq!(upstream.ledger().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn not_while_it_is_paused() {
    let (upstream, gateway) = frozen(prompt(), "soak: 0s").await;
    let at = queue(&gateway, &write(1, "d1")).await;
    assert_eq!(gateway.backfill("pause").await.status, 200);
    gateway.thaw("window").await;
    // The pause outlives the gateway.
    let gateway = gateway.kill_and_restart();
    let applied = || upstream.ledger().count() > 0;
    assert!(!sluicegate_tests::tick::within(Duration::from_secs(2), applied).await);
    assert_eq!(gateway.backfill("resume").await.status, 200);
    until(&gateway, &at, "applied").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_good_order_leaves_nothing_in_doubt() {
    let slow: Choice = Arc::new(|_, _| Act::Do {
        before: Duration::from_millis(20),
        after: Duration::from_millis(20),
        shape: Shape::Short,
    });
    let upstream = Audited::start(1, slow).await;
    let extra = "shutdown: { drain_delay: 0s, limit: 20s }".to_owned();
    let mut gateway = Gateway::start(&Fenced { extra, ..queueing(4) }.document(&upstream.url(0)));
    freeze(&gateway).await;
    for number in 0..60 {
        queue(&gateway, &write(number, &format!("d{}", number % 12))).await;
    }
    gateway.thaw("window").await;
    for stop in 1..=2 {
        eventually("the backfill is under way", || upstream.ledger().count() >= stop * 15).await;
        gateway.signal(Signal::TERM);
        assert_eq!(gateway.exit_code(), 0);
        assert!(upstream.ledger().arrivals().iter().all(|arrival| arrival.ended.is_some()));
        gateway = gateway.kill_and_restart();
        assert_eq!(gateway.intents_in("in_doubt").await, 0);
    }
    let applied = async || gateway.intents_in("applied").await == 60;
    sluicegate_tests::comes_true("all are applied", applied).await;
    assert_eq!((upstream.ledger().count(), upstream.ledger().duplicates()), (60, 0));
    assert_eq!(gateway.intents_in("in_doubt").await, 0);
}
