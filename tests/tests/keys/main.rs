//! Keyed writes, as clients meet them: the cases of the IETF draft
//! (draft-ietf-httpapi-idempotency-key-header), and what stands between them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bounds;
mod derived;
mod forms;
mod frozen;
mod leave;
mod outcomes;
mod replay;
mod same;
mod shared;
mod store;
mod wait;

use sluicegate_tests::{Fenced, Gateway, Raw, Step, Upstream, raw::RawAnswer, upstream::response};

/// An upstream, and a gateway in front of it.
async fn start(fenced: &Fenced) -> (Upstream, Gateway) {
    let upstream = Upstream::start().await;
    let document = fenced.document(&upstream.url());
    (upstream, Gateway::start(&document))
}

/// A POST of JSON with more field lines.
fn request(path: &str, lines: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         {lines}Content-Length: {length}\r\n\r\n{body}"
    )
}

/// Sends a write under a key, on a connection of its own.
async fn write(gateway: &Gateway, path: &str, key: &str, body: &str) -> RawAnswer {
    with_lines(gateway, path, &format!("Idempotency-Key: {key}\r\n"), body).await
}

/// Sends a write with these field lines, on a connection of its own.
async fn with_lines(gateway: &Gateway, path: &str, lines: &str, body: &str) -> RawAnswer {
    Raw::connect(gateway.address()).await.ask(request(path, lines, body)).await
}

/// Whether an answer says that it is a replay.
fn replayed(answer: &RawAnswer) -> bool {
    match answer.fields.get("idempotency-replayed") {
        Some("true") => true,
        None => false,
        Some(other) => panic!("Idempotency-Replayed: {other}"),
    }
}

/// Panics unless it is this refusal; returns the problem.
fn assert_refused(answer: &RawAnswer, status: u16, code: &str) -> serde_json::Value {
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{answer:?} {}", answer.text());
    assert_eq!(answer.fields.get("content-type"), Some("application/problem+json"));
    assert_eq!(answer.fields.get("cache-control"), Some("no-store"));
    assert!(!replayed(answer), "a refusal is never stored: {answer:?}");
    let problem = answer.json();
    for member in ["type", "title", "detail", "request_id"] {
        assert!(problem[member].as_str().is_some_and(|it| !it.is_empty()), "no {member}: {problem}");
    }
    if let Some(seconds) = answer.fields.get("retry-after") {
        let millis = problem["retry_after_ms"].as_u64().expect("retry_after_ms beside Retry-After");
        assert_eq!(millis.div_ceil(1000), seconds.parse::<u64>().unwrap(), "{problem}");
    }
    problem
}

/// The steps of an upstream that answers so.
fn answers(status: &str, lines: &str, content: &str) -> [Step; 2] {
    [Step::Read, Step::Send(response(status, lines, content))]
}
