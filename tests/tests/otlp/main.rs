//! Spans, seen arriving at a real collector: Rotel, from `PyPI`, over gRPC and HTTP.
//!
//! | file | holds |
//! |---|---|
//! | `joined` | a request's span and those of its tries are parts of the client's trace, and tell what they should |
//! | `sampled` | which traces have spans |
//! | `wire` | both protocols, TLS, header fields, what a collector may answer |
//! | `away` | a collector that is away, or hangs, delays nothing and is counted |
//! | `life` | reloads, stops, and a build without the feature |

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod away;
mod joined;
mod life;
mod sampled;
mod wire;

use sluicegate_test_servers::{Collected, Collector};
use sluicegate_tests::{Gateway, Raw, eventually, raw::RawAnswer};
use tokio::task::spawn_blocking;

/// A trace that a client has begun.
pub(crate) const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

pub(crate) async fn collector() -> Collector {
    spawn_blocking(|| Collector::start().unwrap()).await.unwrap()
}

pub(crate) fn grpc(collector: &Collector) -> String {
    format!("http://127.0.0.1:{}", collector.ports().0)
}

/// The section, with more keys.
pub(crate) fn otlp(endpoint: &str, more: &str) -> String {
    format!("telemetry: {{ otlp: {{ endpoint: \"{endpoint}\"{more} }} }}")
}

/// The spans of that trace, once there are so many.
pub(crate) async fn arrived(collector: &Collector, trace: &str, count: usize) -> Vec<Collected> {
    eventually(&format!("{count} spans of {trace}"), || of(collector, trace).len() >= count).await;
    let spans = of(collector, trace);
    assert_eq!(spans.len(), count, "{spans:#?}");
    spans
}

/// The spans of that trace which are there by now, as they began.
pub(crate) fn of(collector: &Collector, trace: &str) -> Vec<Collected> {
    let mut spans = collector.spans().unwrap();
    spans.retain(|span| span.trace == trace);
    spans.sort_by_key(|span| span.times.0);
    spans
}

/// Asks for `/a`, with more header lines.
pub(crate) async fn ask(gateway: &Gateway, lines: &str) -> RawAnswer {
    let request = format!("GET /a?token=hush HTTP/1.1\r\nHost: rag.test\r\n{lines}\r\n");
    Raw::connect(gateway.address()).await.ask(&request).await
}

/// The header line of a client that asks in this trace.
pub(crate) fn parent(trace: &str, flags: &str) -> String {
    format!("traceparent: 00-{trace}-00f067aa0ba902b7-{flags}\r\n")
}
