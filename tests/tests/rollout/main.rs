//! Rollouts, as clients, upstreams and operators meet them.
//!
//! | file | holds |
//! |---|---|
//! | `spread` | how many keys are on the candidate, and that each stays where it is |
//! | `chosen` | reads and writes, the forced arm, the cookie |
//! | `empty` | an abort and a kill, under load |
//! | `failing` | a candidate that begins to fail while nobody looks |
//! | `switching` | back and forth under load |
//! | `runs` | runs that pass, are held, or only look |
//! | `kept` | where a rollout stands after a kill |
//! | `guards` | what rollouts and the other guards of a route make of each other |
//! | `callers` | clients that keep account of every answer |

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod callers;
mod chosen;
mod empty;
mod failing;
mod guards;
mod kept;
mod runs;
mod spread;
mod switching;

use http::Method;
use serde_json::{Value, json};
use sluicegate_tests::{Arms, Gateway, Raw, Which, client::Answer, comes_true, raw::RawAnswer};

/// Waits and errors of a busy machine are not what a test is about, unless it says so.
const UNJUDGED: &str = "dry_run: [error_rate, latency_p95_uplift, abort_error_rate, abort_latency_p99_ratio]";

/// A document, piece by piece as they stand in it: two upstreams with a rollout between them, and
/// routes to it.
#[derive(Clone, Debug)]
struct Rules {
    store: String,
    /// More of both upstreams.
    upstream: &'static str,
    /// More of the route `split`, which takes `/split/…`, whose writes are split, and on which an
    /// arm can be forced.
    split: &'static str,
    /// More of the route `rest`, which takes everything else.
    rest: &'static str,
    /// More of the rollout `r`.
    rollout: String,
    /// Whatever else, in lines of its own.
    extra: &'static str,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            store: "memory: {}".to_owned(),
            upstream: "breaker: { consecutive: 0 }",
            split: "",
            rest: "",
            rollout: format!("sticky: {{ header: x-user-id }}, {UNJUDGED}"),
            extra: "",
        }
    }
}

impl Rules {
    fn embedded() -> Self {
        Self { store: "embedded: { path: data }".to_owned(), ..Self::default() }
    }

    fn document(&self, arms: &Arms) -> String {
        self.between(&arms.url(Which::Stable), &arms.url(Which::Next))
    }

    /// With these two behind it.
    fn between(&self, stable: &str, next: &str) -> String {
        let more = |piece: &str| if piece.is_empty() { String::new() } else { format!(", {piece}") };
        let Self { store, rollout, extra, .. } = self;
        let split_to = "rollout: r, writes: split, allow_force: true";
        let (upstream, split, rest, rollout) =
            (more(self.upstream), more(self.split), more(self.rest), more(rollout));
        format!(
            r#"listen: [{{ address: "127.0.0.1:0" }}]
admin: {{ address: "127.0.0.1:0" }}
store: {{ {store} }}
upstreams:
  stable: {{ endpoints: ["{stable}"], pins: {{ BUILD_ID: stable }}{upstream} }}
  next: {{ endpoints: ["{next}"], pins: {{ BUILD_ID: next }}{upstream} }}
routes:
  - {{ name: split, match: {{ path: "/split/{{*rest}}" }}, upstream: {{ {split_to} }}{split} }}
  - {{ name: rest, match: {{ path: "/{{*rest}}" }}, upstream: {{ rollout: r }}{rest} }}
rollouts:
  r: {{ active: stable, candidate: next{rollout} }}
{extra}
"#
        )
    }

    async fn start(&self) -> (Arms, Gateway) {
        let arms = Arms::start().await;
        let gateway = Gateway::start(&self.document(&arms));
        (arms, gateway)
    }
}

/// Has another document run.
async fn reload(gateway: &Gateway, document: &str) {
    let answer = gateway.put_config("", document).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
}

/// Asks for something to be done with the rollout `name`.
async fn try_of(gateway: &Gateway, name: &str, verb: &str) -> Answer {
    gateway.admin_json(Method::POST, &format!("/rollouts/{name}/{verb}"), &json!({})).await
}

/// Has something done with the rollout `r`; panics where it is refused. Returns how it stands.
async fn done(gateway: &Gateway, verb: &str) -> Value {
    let answer = try_of(gateway, "r", verb).await;
    assert_eq!(answer.status, 200, "{verb}: {}", answer.json());
    answer.json()
}

/// Puts so many percent of the keys on the candidate.
async fn weigh(gateway: &Gateway, weight: u8) {
    let answer = gateway.admin_json(Method::PUT, "/rollouts/r/weight", &json!({ "weight": weight })).await;
    assert_eq!(answer.status, 200, "{weight}: {}", answer.json());
}

/// How a rollout stands.
async fn stands(gateway: &Gateway, name: &str) -> Value {
    gateway.admin_get(&format!("/rollouts/{name}")).await
}

/// The name of the phase.
fn phase(rollout: &Value) -> &str {
    rollout["phase"]["name"].as_str().unwrap_or_else(|| panic!("no phase: {rollout}"))
}

/// Waits until the rollout is in this phase; how it stands then.
async fn until_phase(gateway: &Gateway, name: &str, wanted: &str) -> Value {
    let mut shown = Value::Null;
    let reached = async || {
        shown = stands(gateway, name).await;
        phase(&shown) == wanted
    };
    comes_true(&format!("{name} is {wanted}"), reached).await;
    shown
}

/// Everything that was decided about a rollout, oldest first.
async fn decisions(gateway: &Gateway, name: &str) -> Vec<Value> {
    let history = gateway.admin_get(&format!("/rollouts/{name}/history")).await;
    history["decisions"].as_array().unwrap_or_else(|| panic!("no decisions: {history}")).clone()
}

/// Sends a request with these header lines on a connection of its own.
async fn ask(gateway: &Gateway, method: &str, path: &str, lines: &str) -> RawAnswer {
    let length = if method == "GET" { "" } else { "Content-Length: 5\r\n" };
    let body = if method == "GET" { "" } else { "hello" };
    let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{lines}{length}\r\n{body}");
    Raw::connect(gateway.address()).await.ask(request).await
}

/// Whose answer it is; a panic where it is neither's.
fn whose(answer: &RawAnswer) -> Which {
    assert_eq!(answer.status, 200, "{answer:?} {}", answer.text());
    Which::named(&answer.text()).unwrap_or_else(|| panic!("{}", answer.text()))
}

/// Which of the two each key is on: one read under each, over a few connections.
async fn arms_of(gateway: &Gateway, path: &str, keys: &[String]) -> Vec<Which> {
    let address = gateway.address();
    let mut readers = Vec::new();
    for keys in keys.chunks(keys.len().div_ceil(8)) {
        let requests = keys.iter();
        let requests =
            requests.map(|key| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nX-User-Id: {key}\r\n\r\n"));
        let requests: Vec<_> = requests.collect();
        readers.push(tokio::spawn(async move {
            let mut raw = Raw::connect(address).await;
            let mut found = Vec::new();
            for request in requests {
                found.push(whose(&raw.ask(request).await));
            }
            found
        }));
    }
    let mut found = Vec::new();
    for reader in readers {
        found.extend(reader.await.unwrap());
    }
    found
}

/// So many keys of users.
fn users(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("user-{number}")).collect()
}

/// How many of them are the candidate's.
fn on_next(arms: &[Which]) -> usize {
    arms.iter().filter(|which| **which == Which::Next).count()
}
