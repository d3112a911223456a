//! What a receiver of webhooks is told, and that it can trust it.

use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::hmac;
use serde_json::{Value, json};
use sluicegate_test_servers::Redis;
use sluicegate_tests::{Gateway, Seen, Upstream, comes_true, config, eventually};

use crate::{SECRET, from_now};

/// The body of a message, once its signature has been checked.
fn verified(seen: &Seen) -> Value {
    let key = STANDARD.decode(SECRET.trim_start_matches("whsec_")).unwrap();
    let (id, timestamp) = (seen.get("webhook-id").unwrap(), seen.get("webhook-timestamp").unwrap());
    let signed = [format!("{id}.{timestamp}.").as_bytes(), &seen.body].concat();
    let signature = seen.get("webhook-signature").unwrap().strip_prefix("v1,").unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    hmac::verify(&key, &signed, &STANDARD.decode(signature).unwrap()).expect("a good signature");
    let age = jiff::Timestamp::now().as_second() - timestamp.parse::<i64>().unwrap();
    assert!((-5..60).contains(&age), "{age} s old");
    let body: Value = serde_json::from_slice(&seen.body).unwrap();
    assert_eq!(body["id"], id);
    body
}

/// How many messages it has taken whole.
fn taken(receiver: &Upstream) -> usize {
    receiver.seen_at("/hook").iter().filter(|seen| seen.ended.is_some()).count()
}

fn told(receiver: &Upstream) -> Vec<String> {
    let words = |seen: &Seen| {
        let body = verified(seen);
        format!("{} {}", body["type"].as_str().unwrap(), body["freeze"]["id"].as_str().unwrap())
    };
    receiver.seen_at("/hook").iter().map(words).collect()
}

fn webhook(receiver: &Upstream) -> String {
    format!(
        "webhooks: [{{ name: pager, url: \"{}/hook?key=k3y\", secret: {SECRET}, headers: {{ x-team: search }} }}]",
        receiver.url()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_is_told_in_its_order_and_signed() {
    let (upstream, receiver) = (Upstream::start().await, Upstream::start().await);
    let document = |window: &str| config(&upstream.url(), &format!("{}\n{window}", webhook(&receiver)));
    let gateway = Gateway::start(&document(""));
    let from = from_now("UTC", 4);
    let window = format!(
        r#"freeze: {{ windows: [{{ id: nightly, rule: FREQ=DAILY, from: "{from}", duration: 3s, announce: 1h, scope: {{ routes: [all] }} }}] }}"#
    );
    assert_eq!(gateway.put_config("", &document(&window)).await.status, 200);
    eventually("all four messages", || taken(&receiver) == 4).await;
    assert_eq!(told(&receiver), ["announce nightly", "start nightly", "drained nightly", "end nightly"]);
    let seen = receiver.seen_at("/hook");
    assert!(seen.iter().all(
        |one| one.get("x-team") == Some("search") && one.get("content-type") == Some("application/json")
    ));
    let bodies: Vec<_> = seen.iter().map(verified).collect();
    let start = format!("{from}Z");
    for body in &bodies[..1] {
        assert_eq!(
            (&body["freeze"]["since"], &body["freeze"]["scope"]),
            (&json!(start), &json!({ "routes": ["all"] }))
        );
    }
    assert_eq!(bodies[3]["freeze"]["lifted"], false);
    assert!(bodies[3]["freeze"]["drained_at"].is_string() && bodies[0]["gateway"].is_string());
    comes_true("it is noted", async || gateway.admin_get("/status").await["webhooks"][0]["pending"] == 0)
        .await;
    let shown = gateway.admin_get("/status").await["webhooks"][0].clone();
    assert_eq!((&shown["name"], &shown["delivered"]), (&json!("pager"), &json!(4)));
    assert_eq!(gateway.count("sluicegate_webhook_messages_total", "outcome=\"delivered\"").await, 4);
    let status = gateway.cli(&["status"]).await;
    assert!(status.stdout.contains("end of nightly"), "{}", status.stdout);
    let document = gateway.admin_get("/config").await.to_string();
    assert_eq!(shown["url"], json!(format!("{}/[redacted]", receiver.url())));
    assert!(!document.contains("k3y") && !document.contains("MfKQ") && !shown.to_string().contains("k3y"));
    assert_eq!(upstream.seen().len(), 0);
    assert_eq!(receiver.violations(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operators_freeze_is_told_and_what_is_not_taken_is_tried_again() {
    let (upstream, receiver) = (Upstream::start().await, Upstream::start().await);
    let gateway = Gateway::start(&config(&upstream.url(), &webhook(&receiver)));
    receiver.answer("/hook", "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n");
    gateway.freeze("move", &json!({ "reason": "moving" })).await;
    comes_true("a try has failed", async || {
        let shown = gateway.admin_get("/status").await["webhooks"][0].clone();
        shown["failures_in_a_row"].as_u64() > Some(0) && shown["next_try"].is_string()
    })
    .await;
    let status = gateway.cli(&["status"]).await;
    assert!(
        status.stdout.contains("FAILING  pager:") && status.stdout.contains("answered 503"),
        "{}",
        status.stdout
    );
    receiver.answer("/hook", "HTTP/1.1 204 No Content\r\n\r\n");
    gateway.thaw("move").await;
    comes_true("all is delivered", async || {
        gateway.admin_get("/status").await["webhooks"][0]["delivered"] == 3
    })
    .await;
    let mut told = told(&receiver);
    let ids: Vec<_> =
        receiver.seen_at("/hook").iter().map(|one| one.get("webhook-id").unwrap().to_owned()).collect();
    assert!(told.len() > 3 && ids[0] == ids[1], "the same id for each try");
    told.dedup();
    assert_eq!(told, ["start move", "drained move", "end move"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_tells_everything_tells_no_key_of_a_receiver() {
    let (upstream, receiver) = (Upstream::start().await, Upstream::start().await);
    let webhook = webhook(&receiver).replace("x-team: search", "authorization: Bearer t0ken");
    let gateway = Gateway::start(&config(&upstream.url(), &format!("log: {{ level: trace }}\n{webhook}")));
    gateway.freeze("move", &json!({})).await;
    eventually("it is told", || taken(&receiver) == 2).await;
    assert_eq!(receiver.seen_at("/hook")[0].get("authorization"), Some("Bearer t0ken"));
    eventually("the log tells of it", || gateway.log().iter().any(|line| line.contains(" ureq::run: ")))
        .await;
    let log = gateway.log().join("\n");
    for secret in ["k3y", "t0ken", "MfKQ"] {
        let lines: Vec<_> = log.lines().filter(|line| line.contains(secret)).collect();
        assert!(lines.is_empty(), "{lines:#?}");
    }
    assert!(!log.contains("TRACE ureq"), "heads are shown in parts");
}

/// A receiver that ignores what it has seen, as it is told to, must still know that writes are refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_begins_again_is_told_again_under_ids_of_its_own() {
    let (upstream, receiver) = (Upstream::start().await, Upstream::start().await);
    let from = from_now("UTC", -5);
    let document = |scope: &str| {
        let window = format!(
            r#"freeze: {{ windows: [{{ id: nightly, rule: FREQ=DAILY, from: "{from}", duration: 10m, scope: {scope} }}] }}"#
        );
        config(&upstream.url(), &format!("{}\n{window}", webhook(&receiver)))
    };
    let (part, whole) = (document("{ routes: [all] }"), document("{}"));
    let gateway = Gateway::start(&part);
    let mut expected = vec!["start nightly", "drained nightly"];
    for next in [&whole, &part, &whole] {
        eventually("what came before is told", || taken(&receiver) == expected.len()).await;
        assert_eq!(gateway.put_config("", next).await.status, 200);
        expected.extend(["end nightly", "start nightly", "drained nightly"]);
    }
    eventually("all is told", || taken(&receiver) == expected.len()).await;
    assert_eq!(told(&receiver), expected);
    let seen = receiver.seen_at("/hook");
    let ids: BTreeSet<_> = seen.iter().map(|one| one.get("webhook-id").unwrap()).collect();
    assert_eq!(ids.len(), expected.len(), "no id comes twice");
    assert!(
        seen.iter()
            .map(verified)
            .filter(|body| body["type"] == "end")
            .all(|body| body["freeze"]["lifted"] == true)
    );
    assert_eq!(gateway.freeze_shown("nightly").await["scope"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_share_a_store_tell_a_window_once() {
    let redis = Redis::start().await.unwrap();
    let (upstream, receiver) = (Upstream::start().await, Upstream::start().await);
    let document = |window: &str| {
        config(&upstream.url(), &format!("{}\n{window}", webhook(&receiver)))
            .replace("memory: {}", &format!("redis: {{ url: \"{}\" }}", redis.url()))
    };
    let group = [(); 3].map(|()| Gateway::start(&document("")));
    // Only once all are up: each has to see the window come.
    let from = from_now("UTC", 5);
    let windows = document(&format!(
        r#"freeze: {{ windows: [{{ id: nightly, rule: FREQ=DAILY, from: "{from}", duration: 3s, announce: 1h }}] }}"#
    ));
    for gateway in &group {
        assert_eq!(gateway.put_config("", &windows).await.status, 200);
    }
    for gateway in &group {
        comes_true("each has come to the end", async || {
            let shown = gateway.admin_get("/status").await["webhooks"][0].clone();
            let ended = shown["delivered"].as_u64().unwrap() + shown["elsewhere"].as_u64().unwrap();
            ended == 4 && shown["pending"] == 0
        })
        .await;
    }
    let mut told = told(&receiver);
    told.sort();
    let mut expected = vec![
        "announce nightly",
        "drained nightly",
        "drained nightly",
        "drained nightly",
        "end nightly",
        "start nightly",
    ];
    expected.sort_unstable();
    assert_eq!(told, expected, "each drain is a gateway's own");
}
