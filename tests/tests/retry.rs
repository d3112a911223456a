//! A request that died on a pooled connection before any byte was answered is sent again once
//! where that is safe, and never otherwise.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use sluicegate_tests::{
    Client, Gateway, Step, Upstream,
    client::{get, post},
    config, eventually,
};

/// A gateway that holds one pooled connection, which the upstream will close under the next
/// request: the worst case, since the gateway cannot have noticed.
async fn stale() -> (Upstream, Gateway, Client) {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&config(&upstream.url(), "workers: 1"));
    let mut client = Client::h1(gateway.address()).await;
    assert_eq!(client.ask(get("/first")).await.status, 200);
    assert_eq!(upstream.connections(), 1);
    (upstream, gateway, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_is_sent_again_once() {
    let (upstream, _gateway, mut client) = stale().await;
    upstream.on("/dies", [Step::Read, Step::Reset]);
    // The second try finds a fresh connection, where dying is the upstream's own answer.
    let answer = client.ask(get("/dies")).await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_reset"));
    assert_eq!(upstream.count("/dies"), 2, "one try on the pooled connection, one on a fresh one");
    assert_eq!(upstream.connections(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_never_sent_again() {
    let (upstream, _gateway, mut client) = stale().await;
    for steps in [vec![Step::Read, Step::Reset], vec![Step::Read, Step::Close], vec![Step::Reset]] {
        let before = upstream.count("/dies");
        upstream.on("/dies", steps);
        let answer = client.ask(post("/dies", "hello")).await;
        assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_reset"));
        assert_eq!(upstream.count("/dies"), before + 1);
        // A pooled connection for the next round.
        assert_eq!(client.ask(get("/first")).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_whose_answer_has_begun_is_not_sent_again() {
    let (upstream, _gateway, mut client) = stale().await;
    upstream.on("/dies", [Step::Read, Step::Send("HTTP/1.1 200 OK\r\nCont".into()), Step::Close]);
    let answer = client.ask(get("/dies")).await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_reset"));
    assert_eq!(upstream.count("/dies"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_the_upstream_closed_at_rest_cost_no_request() {
    let mut upstream = Upstream::start().await;
    let address = upstream.address();
    let gateway = Gateway::start(&config(&upstream.url(), ""));
    let mut client = Client::h1(gateway.address()).await;
    for round in 0..20 {
        let write = post(&format!("/{round}"), "hello");
        assert_eq!(client.ask(write).await.status, 200, "round {round}");
        assert_eq!(client.ask(get(&format!("/{round}"))).await.status, 200, "round {round}");
        assert_eq!(upstream.seen().len(), 2);
        // Restarted between two requests: every pooled connection is closed.
        upstream.stop().await;
        upstream = Upstream::start_at(address, None).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_with_a_body_is_sent_again_whole_or_not_at_all() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&format!(
        r#"
listen: [{{ address: "127.0.0.1:0" }}]
admin: {{ address: "127.0.0.1:0" }}
upstreams: {{ main: {{ endpoints: ["{}"] }} }}
routes: [{{ name: all, match: {{ path: "/{{*rest}}" }}, upstream: main, access: read }}]
workers: 1
"#,
        upstream.url()
    ));
    let mut client = Client::h1(gateway.address()).await;
    assert_eq!(client.ask(get("/first")).await.status, 200);
    upstream.on("/dies", [Step::Read, Step::Reset]);
    let answer = client.ask(post("/dies", "hello")).await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_reset"));
    eventually("the upstream is idle", || upstream.running() == 0).await;
    let seen = upstream.seen_at("/dies");
    assert!(seen.len() <= 2, "{} tries", seen.len());
    assert!(seen.iter().all(|seen| seen.complete && seen.body == b"hello"), "{seen:?}");
}
