//! What a client sees of its intent.

use serde_json::json;
use sluicegate_tests::{
    Audited, Fenced, Gateway, Raw,
    audit::prompt,
    intents::{ask_for, intent_of},
};

use crate::{freeze, id, queue, queueing, send, status, until, write};

async fn frozen(fenced: &Fenced) -> (Audited, Gateway) {
    let upstream = Audited::start(1, prompt()).await;
    let gateway = Gateway::start(&fenced.document(&upstream.url(0)));
    freeze(&gateway).await;
    (upstream, gateway)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_what_the_contract_names() {
    let (_upstream, gateway) = frozen(&queueing(4)).await;
    let answer = send(&gateway, &write(1, "d1")).await;
    let at = intent_of(&answer);
    assert_eq!((&answer.json()["id"], &answer.json()["state"]), (&json!(id(&at)), &json!("queued")));
    let shown = status(&gateway, &at).await;
    let named = ["id", "state", "route", "key", "order_key", "created_at", "attempts", "response"];
    for member in named {
        assert!(shown.get(member).is_some(), "no {member}: {shown}");
    }
    assert_eq!(
        (
            &shown["id"],
            &shown["state"],
            &shown["route"],
            &shown["key"],
            &shown["order_key"],
            &shown["attempts"]
        ),
        (&json!(id(&at)), &json!("queued"), &json!("ingest"), &json!("write-1"), &json!("d1"), &json!(0)),
        "{shown}"
    );
    assert!(shown["response"].is_null(), "{shown}");
    let created: jiff::Timestamp =
        shown["created_at"].as_str().expect("created_at").parse().expect("RFC 3339");
    assert!((jiff::Timestamp::now() - created).get_seconds().abs() < 60);
    let early = ask_for(&mut Raw::connect(gateway.address()).await, &format!("{at}/response"), "").await;
    assert!(matches!(early.status, 404 | 409), "there is no answer yet: {early:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_is_the_same_intent() {
    let (upstream, gateway) = frozen(&queueing(4)).await;
    let at = queue(&gateway, &write(1, "d1")).await;
    for turned in [true, false] {
        let answer = Raw::connect(gateway.address()).await.ask(write(1, "d1").request(turned, "")).await;
        assert_eq!(intent_of(&answer), at);
    }
    let gateway = gateway.kill_and_restart();
    assert_eq!(queue(&gateway, &write(1, "d1")).await, at);
    let other = write(1, "d1").request_with(&write(1, "d1").other_body(), false, "");
    let answer = Raw::connect(gateway.address()).await.ask(other).await;
    assert_eq!((answer.status, answer.code().as_str()), (422, "idempotency_conflict"), "{}", answer.text());
    gateway.thaw("window").await;
    until(&gateway, &at, "applied").await;
    assert_eq!(upstream.ledger().arrivals().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_are_one_intent() {
    let (upstream, gateway) = frozen(&queueing(4)).await;
    for number in 0..20 {
        let sends: Vec<_> = (0..12)
            .map(|send| {
                let (request, address) = (write(number, "d1").request(send % 2 == 0, ""), gateway.address());
                tokio::spawn(async move { intent_of(&Raw::connect(address).await.ask(request).await) })
            })
            .collect();
        let mut places = Vec::new();
        for send in sends {
            places.push(send.await.unwrap());
        }
        places.dedup();
        assert_eq!(places.len(), 1, "write {number}: {places:?}");
    }
    assert_eq!(gateway.intents_in("queued").await, 20);
    gateway.thaw("window").await;
    let applied = async || gateway.intents_in("applied").await == 20;
    sluicegate_tests::comes_true("all are applied", applied).await;
    assert_eq!((upstream.ledger().count(), upstream.ledger().duplicates()), (20, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_tenant_that_made_it_can_read_it() {
    let extra = "tenants: { from: { header: x-tenant-id } }".to_owned();
    let (_upstream, gateway) = frozen(&Fenced { extra, ..queueing(4) }).await;
    let mut raw = Raw::connect(gateway.address()).await;
    let at = intent_of(&raw.ask(write(1, "d1").request(false, "X-Tenant-Id: acme\r\n")).await);
    gateway.thaw("window").await;
    let own = "X-Tenant-Id: acme\r\n";
    let applied = async || {
        ask_for(&mut Raw::connect(gateway.address()).await, &at, own).await.json()["state"] == "applied"
    };
    sluicegate_tests::comes_true("it is applied", applied).await;
    for lines in ["X-Tenant-Id: umbrella\r\n", "", "X-Tenant-Id: ACME\r\n"] {
        for path in [at.clone(), format!("{at}/response")] {
            let answer = ask_for(&mut raw, &path, lines).await;
            assert_eq!(answer.status, 404, "{lines:?} {path}: {}", answer.text());
            assert!(!answer.text().contains("write-1"), "{}", answer.text());
        }
    }
    assert_eq!(ask_for(&mut raw, &format!("{at}/response"), own).await.status, 201);
    // What there is not looks the same.
    let nothing = "/.sluicegate/intents/0190163d-8694-739b-aea5-966c26f8ad91";
    assert_eq!(ask_for(&mut raw, nothing, own).await.status, 404);
    assert_eq!(ask_for(&mut raw, "/.sluicegate/intents/nonsense", own).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_without_a_key_is_not_kept() {
    for (required, expected) in [(true, (400, "idempotency_key_missing")), (false, (423, "read_only"))] {
        let fenced = Fenced { idempotency: format!("required: {required}"), ..queueing(4) };
        let (upstream, gateway) = frozen(&fenced).await;
        let mut raw = Raw::connect(gateway.address()).await;
        let answer =
            raw.ask("POST /documents/d1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}").await;
        let refused = (answer.status, answer.code());
        assert_eq!((refused.0, refused.1.as_str()), expected, "{}", answer.text());
        assert!(upstream.ledger().arrivals().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_will_be_kept_is_asked_for_its_body() {
    let (_upstream, gateway) = frozen(&queueing(4)).await;
    let request = write(1, "d1").request(false, "Expect: 100-continue\r\n");
    let end = request.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send(&request[..end]).await;
    assert_eq!(raw.interim().await, Some(100));
    raw.send(&request[end..]).await;
    intent_of(&raw.answer().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_past_the_cap_is_refused() {
    let fenced = queueing(4);
    let intents = fenced.intents.replace("soak: 0s", "soak: 0s, max_body: 1KiB");
    let (_upstream, gateway) = frozen(&Fenced { intents, ..fenced }).await;
    let body = format!("{{\"text\":\"{}\"}}", "x".repeat(2000));
    let answer =
        Raw::connect(gateway.address()).await.ask(write(1, "d1").request_with(&body, false, "")).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_large"), "{}", answer.text());
    assert_eq!(gateway.intents_in("queued").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_go_on() {
    let (_upstream, gateway) = frozen(&queueing(4)).await;
    let answer = ask_for(&mut Raw::connect(gateway.address()).await, "/documents/d1", "").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
}
