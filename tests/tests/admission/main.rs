//! Admission, as clients, upstreams and operators meet it.
//!
//! | file | holds |
//! |---|---|
//! | `rates` | how many are let in, at five times the rate |
//! | `told` | what a client is told, and that it is true |
//! | `costs` | what a request takes, and from which buckets |
//! | `levels` | what a reload changes |
//! | `caps` | how many run at one time, and who waits |
//! | `deadlines` | how long, and what the upstream is told of it |
//! | `lanes` | who goes first |
//! | `permits` | from when to when an exchange counts |
//! | `storm` | clients that leave at any moment leave nothing behind |
//! | `shedding` | what is refused first when a route is in trouble |

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod caps;
mod costs;
mod deadlines;
mod lanes;
mod levels;
mod permits;
mod rates;
mod shedding;
mod storm;
mod told;

use serde_json::Value;
use sluicegate_tests::{Gate, Gateway, Raw, Step, Upstream, comes_true, raw::RawAnswer, upstream::response};
use tokio::task::JoinHandle;

/// A document, piece by piece as they stand in it.
#[derive(Clone, Copy, Default)]
struct Rules {
    /// More of the one upstream, `main`.
    upstream: &'static str,
    /// Routes by name, each with more of it; `name` takes `/name/…`.
    routes: &'static [(&'static str, &'static str)],
    /// Whatever else, in lines of its own.
    extra: &'static str,
}

impl Rules {
    fn document(&self, url: &str) -> String {
        let more = |piece: &str| if piece.is_empty() { String::new() } else { format!(", {piece}") };
        let upstream = more(self.upstream);
        let routes = self.routes.iter().map(|(name, piece)| {
            let piece = more(piece);
            format!("  - {{ name: {name}, match: {{ path: \"/{name}/{{*rest}}\" }}, upstream: main{piece} }}")
        });
        let routes = routes.collect::<Vec<_>>().join("\n");
        format!(
            r#"listen: [{{ address: "127.0.0.1:0" }}]
admin: {{ address: "127.0.0.1:0" }}
store: {{ memory: {{}} }}
upstreams: {{ main: {{ endpoints: ["{url}"]{upstream} }} }}
routes:
{routes}
{}
"#,
            self.extra
        )
    }

    async fn start(&self) -> (Upstream, Gateway) {
        let upstream = Upstream::start().await;
        let gateway = Gateway::start(&self.document(&upstream.url()));
        (upstream, gateway)
    }
}

/// Has another document run.
async fn reload(gateway: &Gateway, upstream: &Upstream, rules: &Rules) {
    let answer = gateway.put_config("", &rules.document(&upstream.url())).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
}

/// A read of `path` with these field lines.
fn read(path: &str, lines: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n")
}

/// Reads `path` on a connection of its own.
async fn ask(gateway: &Gateway, path: &str, lines: &str) -> RawAnswer {
    Raw::connect(gateway.address()).await.ask(read(path, lines)).await
}

/// Reads `path` on a connection of its own, while the test goes on.
fn send(gateway: &Gateway, path: &str, lines: &str) -> JoinHandle<RawAnswer> {
    let (address, request) = (gateway.address(), read(path, lines));
    tokio::spawn(async move { Raw::connect(address).await.ask(request).await })
}

/// An answer that comes once the gate is open.
fn held(gate: &Gate) -> [Step; 3] {
    [Step::Read, Step::Wait(gate.clone()), Step::Send(response("200 OK", "", "done"))]
}

/// The section `admission` of the status.
async fn admission(gateway: &Gateway) -> Value {
    gateway.admin_get("/status").await["admission"].clone()
}

/// Of a list in the status, the one with these members; null where it is not there.
fn found(list: &Value, members: &[(&str, &str)]) -> Value {
    let list = list.as_array().expect("a list");
    let fits = |it: &&Value| members.iter().all(|(name, value)| it[name] == *value);
    list.iter().find(fits).cloned().unwrap_or_default()
}

/// The queue of a route, as the status shows it.
async fn queue(gateway: &Gateway, route: &str) -> Value {
    found(&admission(gateway).await["queues"], &[("route", route)])
}

/// The whole tokens in a bucket.
async fn remaining(gateway: &Gateway, kind: &str, name: &str) -> u64 {
    let bucket = found(&admission(gateway).await["buckets"], &[("kind", kind), ("name", name)]);
    bucket["remaining"].as_u64().unwrap_or_else(|| panic!("no level of {kind} {name}: {bucket}"))
}

/// What a counter has come to, over all its series with these labels.
async fn count(gateway: &Gateway, name: &str, labels: &[&str]) -> u64 {
    let series = gateway.metric(name).await.into_iter();
    let of = series.filter(|(all, _)| labels.iter().all(|label| all.contains(label)));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    of.map(|(_, count)| count as u64).sum()
}

/// Waits until so many requests of a route run and so many wait.
async fn until(gateway: &Gateway, route: &str, in_use: u64, waiting: u64) {
    let mut shown = Value::Null;
    let mut number = async || {
        shown = queue(gateway, route).await;
        let of = |name: &str| shown[name].as_u64().unwrap_or_default();
        (of("in_use"), of("waiting_interactive") + of("waiting_batch"))
    };
    let what = format!("{route}: {in_use} run and {waiting} wait");
    comes_true(&what, async || number().await == (in_use, waiting)).await;
}

/// Waits until nothing is held of any route or upstream.
async fn at_rest(gateway: &Gateway) {
    let rests = async || {
        let shown = admission(gateway).await;
        let queues = shown["queues"].as_array().unwrap().iter();
        let upstreams = shown["upstreams"].as_array().unwrap().iter();
        let counts = ["in_use", "waiting_interactive", "waiting_batch", "waiting_bytes"];
        queues.chain(upstreams).all(|it| counts.iter().all(|name| it[name].as_u64().unwrap_or_default() == 0))
    };
    comes_true("nothing runs and nothing waits", rests).await;
}

/// Panics unless it is this refusal, whole and in itself consistent; returns the problem.
fn assert_refused(answer: &RawAnswer, status: u16, code: &str) -> Value {
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{answer:?} {}", answer.text());
    assert_eq!(answer.fields.get("content-type"), Some("application/problem+json"));
    assert_eq!(answer.fields.get("cache-control"), Some("no-store"));
    let problem = answer.json();
    for member in ["type", "title", "detail", "request_id"] {
        assert!(problem[member].as_str().is_some_and(|it| !it.is_empty()), "no {member}: {problem}");
    }
    match (answer.fields.get("retry-after"), problem["retry_after_ms"].as_u64()) {
        (Some(seconds), Some(millis)) => {
            assert!(millis >= 1, "{problem}");
            assert_eq!(seconds.parse::<u64>().unwrap(), millis.div_ceil(1000), "{problem}");
        }
        (None, None) => assert_eq!(status, 413, "no word of when to come back: {problem}"),
        one => panic!("Retry-After and retry_after_ms belong together: {one:?}"),
    }
    problem
}
