//! Which requests under one key are the same, and what is said of those that are not.

use http::{Method, Request};
use serde_json::json;
use sluicegate_tests::{Client, Fenced, client::full};

use crate::{assert_refused, replayed, start, with_lines, write};

#[tokio::test(flavor = "multi_thread")]
async fn json_is_the_same_however_it_is_written() {
    let (upstream, gateway) = start(&Fenced::default()).await;
    let body = r#"{"id":7,"tags":["a","b"],"meta":{"x":1.0,"y":"\u00e9"}}"#;
    assert!(!replayed(&write(&gateway, "/", "k", body).await));
    for same in [
        "{ \"meta\": {\"y\":\"é\",\"x\":1},\n\t\"tags\": [\"a\", \"b\"], \"id\": 7.0 }",
        r#"{"tags":["a","b"],"meta":{"x":1e0,"y":"\u00E9"},"id":7}"#,
    ] {
        assert!(replayed(&write(&gateway, "/", "k", same).await), "{same}");
    }
    // The order of items does matter.
    let other = r#"{"id":7,"tags":["b","a"],"meta":{"x":1.0,"y":"\u00e9"}}"#;
    assert_refused(&write(&gateway, "/", "k", other).await, 422, "idempotency_conflict");
    assert_eq!(upstream.count("/"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_request_under_the_key_is_refused_and_told_what_differs() {
    let (upstream, gateway) = start(&Fenced::default()).await;
    let body =
        |text: &str, size: u64| json!({ "text": text, "meta": { "size": size, "a/b": 1 } }).to_string();
    assert_eq!(write(&gateway, "/a?x=1", "k", &body("first-secret", 1)).await.status, 200);
    for (path, body, differs) in [
        ("/a?x=1", body("second-secret", 1), json!(["/text"])),
        ("/a?x=1", body("second-secret", 2), json!(["/meta/size", "/text"])),
        (
            "/a?x=1",
            json!({ "text": "first-secret", "meta": { "size": 1 } }).to_string(),
            json!(["/meta/a~1b"]),
        ),
        ("/a?x=1", "not json".to_owned(), json!(["body"])),
        ("/a?x=2", body("first-secret", 1), json!(["query"])),
        ("/b?x=1", body("first-secret", 1), json!(["path"])),
    ] {
        let answer = write(&gateway, path, "k", &body).await;
        let problem = assert_refused(&answer, 422, "idempotency_conflict");
        let mut told: Vec<_> = problem["differs"].as_array().expect("differs").clone();
        told.sort_by_key(ToString::to_string);
        assert_eq!(json!(told), differs, "{path} {body}");
        assert!(!answer.text().contains("secret"), "a value is shown: {}", answer.text());
    }
    assert_eq!(upstream.seen().len(), 1);
    assert!(replayed(&write(&gateway, "/a?x=1", "k", &body("first-secret", 1)).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_method_is_another_scope() {
    let (upstream, gateway) = start(&Fenced::default()).await;
    assert_eq!(write(&gateway, "/", "k", "{}").await.status, 200);
    let mut client = Client::h1(gateway.address()).await;
    let put = Request::builder().method(Method::PUT).uri("/").header("idempotency-key", "k");
    let answer = client.ask(put.body(full("{}")).unwrap()).await;
    assert_eq!((answer.status, answer.header("idempotency-replayed")), (200, ""));
    assert_eq!(upstream.count("/"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_the_route_ignores_do_not_count() {
    let rules = "required: true, ignore: [\"/sent_at\", \"/items/*/seen\"]";
    let fenced = Fenced { idempotency: rules.to_owned(), ..Fenced::default() };
    let (upstream, gateway) = start(&fenced).await;
    let body = |at: &str, seen: bool, id: u64| {
        json!({ "sent_at": at, "items": [{ "id": id, "seen": seen }, { "id": 2 }] }).to_string()
    };
    assert!(!replayed(&write(&gateway, "/", "k", &body("10:00", false, 1)).await));
    assert!(replayed(&write(&gateway, "/", "k", &body("10:01", true, 1)).await));
    let answer = write(&gateway, "/", "k", &body("10:02", true, 3)).await;
    let problem = assert_refused(&answer, 422, "idempotency_conflict");
    assert_eq!(problem["differs"], json!(["/items/0/id"]));
    assert_eq!(upstream.count("/"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_do_not_meet() {
    let fenced =
        Fenced { extra: "tenants: { from: { header: x-tenant-id } }".to_owned(), ..Fenced::default() };
    let (upstream, gateway) = start(&fenced).await;
    for (tenant, body) in [("acme", "{\"a\":1}"), ("umbrella", "{\"a\":2}")] {
        let lines = format!("X-Tenant-Id: {tenant}\r\nIdempotency-Key: k\r\n");
        assert!(!replayed(&with_lines(&gateway, "/", &lines, body).await), "{tenant}");
        assert!(replayed(&with_lines(&gateway, "/", &lines, body).await), "{tenant}");
    }
    let nobody = write(&gateway, "/", "k", "{\"a\":1}").await;
    assert!(!replayed(&nobody), "an answer left its tenant: {nobody:?}");
    assert_eq!(upstream.count("/"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_do_not_meet() {
    let fenced = Fenced::default();
    let upstream = sluicegate_tests::Upstream::start().await;
    let other = "  - { name: other, match: { path: \"/other/{*rest}\" }, upstream: main, \
                 idempotency: { required: true } }\n  - { name: ingest";
    let document = fenced.document(&upstream.url()).replace("  - { name: ingest", other);
    let gateway = sluicegate_tests::Gateway::start(&document);
    assert!(!replayed(&write(&gateway, "/a", "k", "{}").await));
    assert!(!replayed(&write(&gateway, "/other/a", "k", "{}").await));
    assert!(replayed(&write(&gateway, "/other/a", "k", "{}").await));
    assert_eq!(upstream.seen().len(), 2);
}
