//! Keys that no client sends, and bodies that are not held.

use serde_json::json;
use sluicegate_tests::Fenced;

use crate::{assert_refused, replayed, start, with_lines, write};

fn from(parts: &str) -> Fenced {
    Fenced { idempotency: format!("required: true, key_from: [{parts}]"), ..Fenced::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn from_a_header() {
    let (upstream, gateway) = start(&from("{ header: x-delivery-id }")).await;
    let delivery = |id: &str| format!("X-Delivery-Id: {id}\r\n");
    assert!(!replayed(&with_lines(&gateway, "/", &delivery("d-1"), "{}").await));
    assert!(replayed(&with_lines(&gateway, "/", &delivery("d-1"), "{}").await));
    assert!(!replayed(&with_lines(&gateway, "/", &delivery("d-2"), "{}").await));
    assert_refused(&with_lines(&gateway, "/", "", "{}").await, 400, "idempotency_key_missing");
    let seen = upstream.seen();
    assert_eq!(seen.len(), 2);
    assert_ne!(seen[0].get("idempotency-key"), seen[1].get("idempotency-key"), "it is told the derived key");
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_body() {
    let (upstream, gateway) = start(&from("{ header: x-source }, { json: /event/id }")).await;
    let event = |id: u64, text: &str| json!({ "event": { "id": id }, "text": text }).to_string();
    let lines = "X-Source: shop\r\n";
    assert!(!replayed(&with_lines(&gateway, "/", lines, &event(1, "a")).await));
    assert!(replayed(&with_lines(&gateway, "/", lines, &event(1, "a")).await));
    assert_refused(&with_lines(&gateway, "/", lines, &event(1, "b")).await, 422, "idempotency_conflict");
    assert!(!replayed(&with_lines(&gateway, "/", lines, &event(2, "a")).await));
    assert!(!replayed(&with_lines(&gateway, "/", "X-Source: other\r\n", &event(1, "a")).await));
    assert_refused(&with_lines(&gateway, "/", lines, "{}").await, 400, "idempotency_key_missing");
    assert_eq!(upstream.count("/"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_sent_goes_before_one_that_follows() {
    let (upstream, gateway) = start(&from("{ header: x-delivery-id }")).await;
    let lines = |key: &str| format!("X-Delivery-Id: same\r\nIdempotency-Key: {key}\r\n");
    assert!(!replayed(&with_lines(&gateway, "/", &lines("a"), "{}").await));
    assert!(!replayed(&with_lines(&gateway, "/", &lines("b"), "{}").await));
    assert!(!replayed(&with_lines(&gateway, "/", "X-Delivery-Id: same\r\n", "{}").await));
    assert_eq!(upstream.count("/"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_past_the_cap_counts_by_its_digest_or_is_refused() {
    let fenced = Fenced { idempotency: "required: true, max_body: 1KiB".to_owned(), ..Fenced::default() };
    let (upstream, gateway) = start(&fenced).await;
    let (body, other) = ("x".repeat(2000), "y".repeat(2000));
    assert_refused(&write(&gateway, "/", "k", &body).await, 413, "body_too_large");
    assert!(upstream.seen().is_empty());
    let lines = |digest: &str| format!("Idempotency-Key: k\r\nContent-Digest: sha-256=:{digest}:\r\n");
    let (digest, others) =
        ("XA4OpCFXHDALXfauwKEYtcPcAuBoOlRjQdXvxonfL1g=", "CHFyaH2NlY5sT4CcFA2k6KdQbD/uxEHoqwaofm9iWss=");
    let first = with_lines(&gateway, "/", &lines(digest), &body).await;
    assert_eq!((first.status, replayed(&first)), (200, false), "{}", first.text());
    assert!(replayed(&with_lines(&gateway, "/", &lines(digest), &body).await));
    let answer = with_lines(&gateway, "/", &lines(others), &other).await;
    assert_eq!(assert_refused(&answer, 422, "idempotency_conflict")["differs"], json!(["body"]));
    assert_eq!((upstream.count("/"), upstream.seen()[0].length), (1, 2000));
}
