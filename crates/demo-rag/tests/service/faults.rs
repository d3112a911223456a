//! The switches, over HTTP and by what they do.

use std::{io, time::Duration};

use sluicegate_demo_rag::{Reset, Scope, Settings, Switches};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

use crate::client::{Client, instance, instance_with, request};

const QUERY: &str = r#"{"query":"freeze"}"#;
const TEXT: &str = r#"{"text":"Wombats dig."}"#;

#[tokio::test]
async fn they_are_shown_changed_and_put_back_over_http() {
    let instance = instance_with(|s| s.honour_keys = true).await;
    let mut client = Client::connect(instance.address()).await;
    let first = client.get("/debug/switches").await.json();
    assert_eq!(first["honour_keys"], true);
    let changed = client.send("PUT", "/debug/switches", r#"{"delay_ms":1,"reset":"after"}"#).await.json();
    assert_eq!((&changed["delay_ms"], &changed["reset"]), (&1.into(), &"after".into()));
    assert_eq!(changed["honour_keys"], true);
    let switches: Switches = instance.switches();
    assert_eq!(serde_json::from_value::<Settings>(changed.clone()).unwrap(), switches.get());

    let bad = client.send("PUT", "/debug/switches", r#"{"delay_ms":2,"fail_rate":7}"#).await;
    assert_eq!((bad.status.as_u16(), bad.problem().as_str()), (400, "bad_request"));
    assert_eq!(bad.json()["detail"], r#"switch "fail_rate": 7 is not in 0 to 1"#);
    assert_eq!(client.get("/debug/switches").await.json(), changed);
    assert_eq!(client.send("DELETE", "/debug/switches", "").await.json(), first);
    instance.stop().await;
}

#[tokio::test]
async fn delays_and_failures_befall_those_in_scope_only() {
    let instance = instance_with(|s| {
        s.fail_rate = 1.0;
        s.fail_status = 502;
        s.delay_ms = 40;
        s.scope = Scope::Writes;
    })
    .await;
    let mut client = Client::connect(instance.address()).await;
    assert_eq!(client.send("POST", "/v1/retrieve", QUERY).await.status, 200);
    let start = Instant::now();
    let failed = client.send("PUT", "/v1/documents/a", TEXT).await;
    assert!(start.elapsed() >= Duration::from_millis(40));
    assert_eq!((failed.status.as_u16(), failed.problem().as_str()), (502, "switched_to_fail"));
    assert!(failed.header("x-wfgy").starts_with("INDEX_HASH="));
    instance.switches().update(|s| s.scope = Scope::Reads).unwrap();
    assert_eq!(client.send("PUT", "/v1/documents/a", TEXT).await.status, 201);
    for (method, path) in
        [("POST", "/v1/retrieve"), ("GET", "/v1/answer?q=freeze"), ("GET", "/v1/documents/a")]
    {
        assert_eq!(client.send(method, path, QUERY).await.status, 502, "{path}");
    }
    for path in ["/healthz", "/index/manifest", "/debug/writes", "/debug/requests"] {
        assert_eq!(client.get(path).await.status, 200, "{path}");
    }
    let counts = instance.requests();
    let writes = counts.routes.iter().find(|r| r.method == "PUT").unwrap();
    assert_eq!((writes.path.as_str(), writes.count, writes.failed), ("/v1/documents/{id}", 2, 1));
    instance.stop().await;
}

#[tokio::test]
async fn a_seed_repeats_which_requests_fail() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let instance = instance_with(|s| s.fail_rate = 0.5).await;
        let mut client = Client::connect(instance.address()).await;
        let mut run = Vec::new();
        for _ in 0..40 {
            run.push(client.send("POST", "/v1/retrieve", QUERY).await.status.as_u16());
        }
        instance.stop().await;
        runs.push(run);
    }
    assert_eq!(runs[0], runs[1]);
    assert!(runs[0].contains(&200) && runs[0].contains(&500));
}

#[tokio::test]
async fn health_fails_by_its_own_switch() {
    let instance = instance().await;
    let mut client = Client::connect(instance.address()).await;
    assert_eq!(client.get("/healthz").await.json()["status"], "ok");
    instance.switches().update(|s| s.healthy = false).unwrap();
    let answer = client.get("/healthz").await;
    assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (503, "unhealthy"));
    instance.stop().await;
}

#[tokio::test]
async fn a_reset_before_has_no_effect_and_one_after_has() {
    for (reset, applied) in [(Reset::Before, 0), (Reset::After, 1), (Reset::Midway, 1)] {
        let instance = instance_with(|s| s.reset = reset).await;
        for mut client in
            [Client::connect(instance.address()).await, Client::connect_h2(instance.address()).await]
        {
            let error = client.try_send(request("PUT", "/v1/documents/a", TEXT)).await.unwrap_err();
            assert!(!error.is_timeout(), "{reset:?}");
        }
        let look = instance.audit().writes(0, 10);
        assert_eq!((look.count, look.running, look.applied), (2, 0, 2 * applied), "{reset:?}");
        assert!(look.writes.iter().all(|w| w.status.is_none()));
        instance.stop().await;
    }
}

#[tokio::test]
async fn a_broken_connection_is_reset_and_not_closed() {
    let instance = instance_with(|s| s.reset = Reset::Before).await;
    let mut socket = TcpStream::connect(instance.address()).await.unwrap();
    let head = format!("POST /v1/retrieve HTTP/1.1\r\nhost: rag\r\ncontent-length: {}\r\n\r\n", QUERY.len());
    socket.write_all((head + QUERY).as_bytes()).await.unwrap();
    let error = socket.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    instance.stop().await;
}

#[tokio::test]
async fn what_hangs_is_let_go_when_the_switch_is_turned_off() {
    let instance = instance_with(|s| s.hang = true).await;
    let address = instance.address();
    let held = tokio::spawn(async move {
        Client::connect(address).await.send("POST", "/v1/retrieve", QUERY).await.status
    });
    while instance.requests().in_flight == 0 {
        tokio::task::yield_now().await;
    }
    // A whole round trip on another connection, and it still hangs.
    Client::connect(address).await.get("/healthz").await;
    assert!(!held.is_finished());
    instance.switches().update(|s| s.hang = false).unwrap();
    assert_eq!(held.await.unwrap(), 200);
    instance.stop().await;
}
