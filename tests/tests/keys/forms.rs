//! What a key is, and what is none.

use http::Request;
use sluicegate_tests::{Client, Fenced, Raw, client::full};

use crate::{assert_refused, replayed, start, with_lines, write};

#[tokio::test(flavor = "multi_thread")]
async fn a_write_without_a_key_is_refused() {
    let (upstream, gateway) = start(&Fenced::default()).await;
    let answer = with_lines(&gateway, "/", "", "{}").await;
    assert_refused(&answer, 400, "idempotency_key_missing");
    assert!(upstream.seen().is_empty());
    // Reads need none.
    let answer = Raw::connect(gateway.address()).await.ask("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_keys_are_not_required_a_write_without_one_passes_every_time() {
    let fenced = Fenced { idempotency: "required: false".to_owned(), ..Fenced::default() };
    let (upstream, gateway) = start(&fenced).await;
    for _ in 0..2 {
        assert_eq!(with_lines(&gateway, "/", "", "{}").await.status, 200);
        assert_eq!(write(&gateway, "/keyed", "k", "{}").await.status, 200);
    }
    assert_eq!((upstream.count("/"), upstream.count("/keyed")), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn quoted_and_bare_are_the_same_key() {
    let (upstream, gateway) = start(&Fenced::default()).await;
    assert!(!replayed(&write(&gateway, "/", "\"8e03978e-40d5\"", "{}").await));
    assert!(replayed(&write(&gateway, "/", "8e03978e-40d5", "{}").await));
    assert!(replayed(&write(&gateway, "/", "  8e03978e-40d5\t", "{}").await));
    assert_eq!(upstream.count("/"), 1);
    let other = write(&gateway, "/", "8E03978E-40D5", "{}").await;
    assert!(!replayed(&other), "keys are told apart by case");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_escaped_quote_belongs_to_the_key() {
    let (_upstream, gateway) = start(&Fenced::default()).await;
    assert_eq!(write(&gateway, "/", r#""a\"b\\c""#, "{}").await.status, 200);
    assert!(replayed(&write(&gateway, "/", r#""a\"b\\c""#, "{}").await));
    assert!(!replayed(&write(&gateway, "/", "\"abc\"", "{}").await));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_goes_to_the_upstream_as_it_came() {
    let (upstream, gateway) = start(&Fenced::default()).await;
    write(&gateway, "/quoted", "\"k-1\"", "{}").await;
    write(&gateway, "/bare", "k-2", "{}").await;
    assert_eq!(upstream.seen_at("/quoted")[0].get("idempotency-key"), Some("\"k-1\""));
    assert_eq!(upstream.seen_at("/bare")[0].get("idempotency-key"), Some("k-2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_has_up_to_255_characters() {
    let (upstream, gateway) = start(&Fenced::default()).await;
    let longest = "k".repeat(255);
    for key in [longest.clone(), format!("\"{longest}\"")] {
        assert_eq!(write(&gateway, "/", &key, "{}").await.status, 200);
    }
    assert_eq!(upstream.count("/"), 1);
    for key in ["k".repeat(256), format!("\"{}\"", "k".repeat(256)), "k".repeat(4000)] {
        assert_refused(&write(&gateway, "/", &key, "{}").await, 400, "idempotency_key_invalid");
    }
    assert_eq!(upstream.count("/"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_key_is_refused() {
    let (upstream, gateway) = start(&Fenced::default()).await;
    for key in
        [&b""[..], b"\"\"", b"\"open", b"clo\"se\"", b"k\xff", b"\"k\xc3\xa9\"", b"\"a\\x\"", b"two words"]
    {
        let mut bytes = b"POST / HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: ".to_vec();
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(b"\r\nContent-Length: 2\r\n\r\n{}");
        let answer = Raw::connect(gateway.address()).await.ask(bytes).await;
        let shown = String::from_utf8_lossy(key);
        assert_eq!((answer.status, answer.code().as_str()), (400, "idempotency_key_invalid"), "{shown:?}");
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_keys_are_refused() {
    let (upstream, gateway) = start(&Fenced::default()).await;
    for lines in [
        "Idempotency-Key: a\r\nIdempotency-Key: b\r\n",
        "Idempotency-Key: a\r\nIdempotency-Key: a\r\n",
        "Idempotency-Key: \"a\", \"b\"\r\n",
    ] {
        let answer = with_lines(&gateway, "/", lines, "{}").await;
        assert_refused(&answer, 400, "idempotency_key_invalid");
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http2_it_is_no_different() {
    let (upstream, gateway) = start(&Fenced::default()).await;
    let mut client = Client::h2c(gateway.address()).await;
    let mut write = async |key: Option<&str>, body: &str| {
        let request = Request::post("/");
        let request = if let Some(key) = key { request.header("idempotency-key", key) } else { request };
        client.ask(request.body(full(body.to_owned())).unwrap()).await
    };
    assert_eq!(write(None, "{}").await.code(), "idempotency_key_missing");
    assert_eq!(write(Some("\"open"), "{}").await.code(), "idempotency_key_invalid");
    let first = write(Some("k"), "{\"a\":1}").await;
    let second = write(Some("\"k\""), "{\"a\":1}").await;
    assert_eq!((first.status, second.status, &second.body), (200, 200, &first.body));
    assert_eq!((first.header("idempotency-replayed"), second.header("idempotency-replayed")), ("", "true"));
    assert_eq!(write(Some("k"), "{\"a\":2}").await.code(), "idempotency_conflict");
    assert_eq!(upstream.count("/"), 1);
}
