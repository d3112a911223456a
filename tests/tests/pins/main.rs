//! Pins: what a client relies on, what a service says it serves with, and what the document says
//! it must be.
//!
//! | file | holds |
//! |---|---|
//! | `asked` | the pins of clients: each of the fourteen alone wrong, the arm they leave, what cannot be read |
//! | `told` | a service that serves something else is noticed: by its answers, by its manifest |
//! | `refused` | with `on_mismatch: refuse` no such answer reaches a client, and it heals |
//! | `writes` | what becomes of writes then |
//! | `steps` | no step, switch or start while an arm is not what it is pinned to |
//! | `rag` | the real service these tests stand on |

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod asked;
mod rag;
mod refused;
mod steps;
mod told;
mod writes;

use std::time::Duration;

use serde_json::{Value, json};
use sluicegate_tests::{Answer, Gateway};

/// The fields of the contract, as a service has them that has been built with care.
const FIELDS: [(&str, &str); 14] = [
    ("MODEL_VER", "m-1"),
    ("PROMPT_VER", "p-4"),
    ("EMBED_MODEL_VER", "e5-large-2"),
    ("EMBED_DIM", "1024"),
    ("NORM", "l2"),
    ("metric", "cosine"),
    ("RERANK_CONF", "bge:top50"),
    ("TOK_VER", "bpe-3"),
    ("ANALYZER_CONF", "english;stem=porter"),
    ("CHUNK_SCHEMA_VER", "c-2"),
    ("INDEX_HASH", "a1d9"),
    ("DOC_COUNT", "48210"),
    ("BUILD_ID", "b-77/main"),
    ("GIT_SHA", "8c1f0e2"),
];

/// An upstream of the document: its name, its endpoints, its pins, and more of it.
fn upstream(name: &str, endpoints: &[String], pins: &[(String, String)], more: &str) -> String {
    let endpoints: Vec<_> = endpoints.iter().map(|url| format!("\"{url}\"")).collect();
    let pins: Vec<_> = pins.iter().map(|(pin, value)| format!("{pin}: \"{value}\"")).collect();
    format!("  {name}: {{ endpoints: [{}], pins: {{ {} }}{more} }}\n", endpoints.join(", "), pins.join(", "))
}

/// A document with these upstreams and routes, and whatever else it is to hold.
fn document(upstreams: &[String], routes: &[&str], extra: &str) -> String {
    let routes: Vec<_> = routes.iter().map(|route| format!("  - {{ {route} }}\n")).collect();
    format!(
        "listen: [{{ address: \"127.0.0.1:0\" }}]\nadmin: {{ address: \"127.0.0.1:0\" }}\n\
         store: {{ memory: {{}} }}\nworkers: 2\nupstreams:\n{}routes:\n{}{extra}",
        upstreams.concat(),
        routes.concat()
    )
}

/// The header's value for these pins.
fn header<'a>(pins: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let pins: Vec<_> = pins.into_iter().map(|(pin, value)| format!("{pin}={value}")).collect();
    pins.join(",")
}

/// Panics unless it is this refusal; returns the difference that it names.
fn diff_of(answer: &Answer, status: u16, code: &str) -> Value {
    let problem = answer.json();
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{problem}");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("x-wfgy"), "", "a refusal has no pins: {answer:?}");
    problem["diff"].clone()
}

fn one(pin: &str, expected: Option<&str>, got: &str) -> Value {
    json!([{ "pin": pin, "expected": expected, "got": got }])
}

/// How often a pin of an upstream was told otherwise.
async fn mismatches(gateway: &Gateway, upstream: &str, pin: &str, source: &str) -> u64 {
    let counts = gateway.counts("sluicegate_pin_mismatches_total").await;
    let labels = [("upstream", upstream), ("pin", pin), ("source", source)];
    let fits = |series: &str| labels.iter().all(|(name, is)| series.contains(&format!("{name}=\"{is}\"")));
    counts.iter().filter(|(series, _)| fits(series)).map(|(_, count)| count).sum()
}

/// Whether a contradiction of an endpoint stands.
async fn stands(gateway: &Gateway, endpoint: &str) -> bool {
    let series = gateway.metric("sluicegate_pin_mismatch").await;
    let label = format!("endpoint=\"{endpoint}\"");
    series.iter().any(|(labels, value)| labels.contains(&label) && *value > 0.0)
}

/// What `GET /status` says of an endpoint.
async fn state(gateway: &Gateway, endpoint: &str) -> Value {
    let status = gateway.admin_get("/status").await;
    let rows = status["upstreams"].as_array().expect("a list of endpoints").clone();
    rows.into_iter().find(|row| row["endpoint"] == endpoint).unwrap_or_default()
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}
