//! Sending requests again, as clients and upstreams meet it: what is sent again and what never
//! is, when, where to, and how much of it an upstream has to bear.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod again;
mod breaker;
mod elsewhere;
mod keyed;
mod never;
mod outage;
mod time;

use sluicegate_tests::{Client, Gate, Gateway, Step, Upstream, client::get, eventually, upstream::response};

/// Short pauses, and as many retries as there are requests.
const FREELY: &str = "retries: { tries: 3, base: 20ms, budget: 1 }";

/// Breakers would end what a test is about.
const NO_BREAKER: &str = ", breaker: { consecutive: 0 }";

/// A configuration with these endpoints behind one route for all.
fn document(endpoints: &[String], upstream: &str, route: &str, extra: &str) -> String {
    let endpoints: Vec<String> = endpoints.iter().map(|url| format!("\"{url}\"")).collect();
    format!(
        r#"listen: [{{ address: "127.0.0.1:0" }}]
admin: {{ address: "127.0.0.1:0" }}
store: {{ memory: {{}} }}
upstreams: {{ main: {{ endpoints: [{}]{upstream} }} }}
routes: [{{ name: all, match: {{ path: "/{{*rest}}" }}, upstream: main{route} }}]
{extra}
"#,
        endpoints.join(", ")
    )
}

/// An upstream, a gateway in front of it that sends freely again, and a client.
async fn start(route: &str) -> (Upstream, Gateway, Client) {
    start_with(NO_BREAKER, route, FREELY).await
}

async fn start_with(upstream: &str, route: &str, extra: &str) -> (Upstream, Gateway, Client) {
    let behind = Upstream::start().await;
    let gateway = Gateway::start(&document(&[behind.url()], upstream, route, extra));
    let client = Client::h1(gateway.address()).await;
    (behind, gateway, client)
}

/// Sends so many reads that all succeed, so that the budget allows as many retries.
async fn earn(client: &mut Client, retries: usize) {
    for _ in 0..retries {
        assert_eq!(client.ask(get("/earn")).await.status, 200);
    }
}

/// The steps of an upstream that answers so.
fn answers(status: &str, lines: &str, content: &str) -> Vec<Step> {
    vec![Step::Read, Step::Send(response(status, lines, content))]
}

/// Lets the next request for `path` end as in `first`, and all after it as in `then`, while
/// `asking` is under way.
async fn first_then<T>(
    upstream: &Upstream,
    path: &str,
    (first, then): (&[Step], &[Step]),
    asking: impl Future<Output = T>,
) -> T {
    let gate = Gate::default();
    let before = upstream.count(path);
    upstream.on(path, [&[Step::Read, Step::Wait(gate.clone())], first].concat());
    let change = async {
        eventually("the first try", || upstream.count(path) > before).await;
        upstream.on(path, then);
        gate.open();
    };
    tokio::join!(asking, change).0
}

/// How often requests were sent again, by reason.
async fn retries(gateway: &Gateway) -> Vec<(String, u64)> {
    by_label(gateway, "sluicegate_upstream_retries_total", "reason").await
}

/// How many tries that were allowed were not made, by what withheld them.
async fn withheld(gateway: &Gateway) -> Vec<(String, u64)> {
    by_label(gateway, "sluicegate_upstream_retries_withheld_total", "why").await
}

/// The values of a metric that are not 0, by one of its labels.
async fn by_label(gateway: &Gateway, metric: &str, label: &str) -> Vec<(String, u64)> {
    let begin = format!("{label}=\"");
    let value_of = |labels: String| {
        let rest = labels.split_once(&begin).expect("the label").1;
        rest.split('"').next().unwrap_or_default().to_owned()
    };
    let mut values: Vec<_> = gateway
        .counts(metric)
        .await
        .into_iter()
        .filter(|(_, count)| *count != 0)
        .map(|(labels, count)| (value_of(labels), count))
        .collect();
    values.sort_by(|a, b| a.0.cmp(&b.0));
    values
}

/// All of them together.
fn sum(values: &[(String, u64)]) -> u64 {
    values.iter().map(|(_, count)| count).sum()
}

/// One value with its label.
fn once(label: &str, count: u64) -> Vec<(String, u64)> {
    vec![(label.to_owned(), count)]
}
