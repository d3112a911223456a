//! The write freeze, as operators, schedulers and clients meet it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod barrier;
mod ends;
mod follow;
mod forms;
mod instant;
mod scopes;
mod streams;

use sluicegate_tests::{Raw, raw::RawAnswer};

/// A write to `path` with more field lines.
async fn write(raw: &mut Raw, path: &str, lines: &str) -> RawAnswer {
    raw.ask(format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{lines}Content-Length: 5\r\n\r\nhello")).await
}

/// A read of `path`.
async fn read(raw: &mut Raw, path: &str) -> RawAnswer {
    raw.ask(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await
}

/// The seconds of `Retry-After`; a panic where they cannot be read.
fn retry_after(answer: &RawAnswer) -> u64 {
    let seconds = answer.fields.get("retry-after").unwrap_or_else(|| panic!("no Retry-After: {answer:?}"));
    let seconds = seconds.parse().unwrap_or_else(|_| panic!("Retry-After: {seconds}"));
    assert!(seconds >= 1, "Retry-After: {seconds}");
    seconds
}

/// Panics unless a write was refused for a freeze; returns the problem.
fn assert_frozen(answer: &RawAnswer, status: u16) -> serde_json::Value {
    assert_eq!((answer.status, answer.code().as_str()), (status, "read_only"), "{answer:?}");
    assert_eq!(answer.fields.get("content-type"), Some("application/problem+json"));
    assert_eq!(answer.fields.get("cache-control"), Some("no-store"));
    let (problem, seconds) = (answer.json(), retry_after(answer));
    let millis = problem["retry_after_ms"].as_u64().expect("retry_after_ms");
    assert_eq!(millis.div_ceil(1000), seconds, "{problem}");
    problem
}
