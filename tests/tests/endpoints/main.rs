//! Several endpoints of one upstream: which of them a request goes to, and who is left out.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod breaker;
mod choice;
mod probes;
mod reload;

use std::time::Instant;

use http::Request;
use sluicegate_tests::{Client, Gateway, LIMIT, Upstream, client::Body};

/// A configuration whose upstream `main` has these endpoints, and `settings` after them.
fn document(endpoints: &[&Upstream], settings: &str) -> String {
    let urls: Vec<String> = endpoints.iter().map(|upstream| format!("\"{}\"", upstream.url())).collect();
    format!(
        r#"listen: [{{ address: "127.0.0.1:0" }}]
admin: {{ address: "127.0.0.1:0" }}
store: {{ memory: {{}} }}
upstreams: {{ main: {{ endpoints: [{}]{settings} }} }}
routes: [{{ name: all, match: {{ path: "/{{*rest}}" }}, upstream: main }}]
workers: 1
"#,
        urls.join(", ")
    )
}

/// Two upstreams, and a gateway in front of both.
async fn two(settings: &str) -> (Upstream, Upstream, Gateway) {
    let (one, other) = (Upstream::start().await, Upstream::start().await);
    let gateway = Gateway::start(&document(&[&one, &other], settings));
    (one, other, gateway)
}

/// What `GET /status` says of an endpoint, nothing where it is not listed.
async fn state(gateway: &Gateway, endpoint: &Upstream) -> String {
    state_of(gateway, &endpoint.url()).await
}

/// As [`state`], for one that is not there any more.
async fn state_of(gateway: &Gateway, url: &str) -> String {
    let status = gateway.admin_get("/status").await;
    let listed = status["upstreams"].as_array().expect("a list of endpoints").clone();
    let row = listed.into_iter().find(|row| row["endpoint"] == url).unwrap_or_default();
    if !row.is_null() {
        assert_eq!(row["upstream"], "main", "{row}");
    }
    row["state"].as_str().unwrap_or_default().to_owned()
}

/// What the metrics say of an endpoint: 1 while it is used, nothing where it is not listed.
async fn available(gateway: &Gateway, endpoint: &Upstream) -> Option<f64> {
    let label = format!("endpoint=\"{}\"", endpoint.url());
    let series = gateway.metric("sluicegate_upstream_endpoint_available").await;
    series.into_iter().find(|(labels, _)| labels.contains(&label)).map(|(_, value)| value)
}

/// Waits until an endpoint is in a state.
async fn until(gateway: &Gateway, endpoint: &Upstream, expected: &str) {
    let end = Instant::now() + LIMIT;
    loop {
        let state = state(gateway, endpoint).await;
        if state == expected {
            return;
        }
        assert!(Instant::now() < end, "it stays {state:?} and does not get {expected:?}");
    }
}

/// Sends a request so many times and expects 200 each time.
async fn all_served(gateway: &Gateway, times: usize, request: impl Fn() -> Request<Body>) {
    let mut client = Client::h1(gateway.address()).await;
    for number in 0..times {
        let answer = client.ask(request()).await;
        assert_eq!(answer.status, 200, "request {number}: {answer:?}");
    }
}
