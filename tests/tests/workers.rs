//! Few and long-lived connections still use every worker.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Instant;

use sluicegate_tests::{Client, Gateway, LIMIT, Upstream, client::get, config};

#[tokio::test(flavor = "multi_thread")]
async fn four_http2_connections_are_shared_between_two_workers() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&config(&upstream.url(), "workers: 2"));
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = Client::h2c(gateway.address()).await;
        assert_eq!(client.ask(get("/")).await.status, 200);
        clients.push(client);
    }
    assert_eq!(connections(&gateway).await, [2.0, 2.0]);

    // Two go, from the same worker or not: where the next two are put restores the balance.
    clients.remove(2);
    clients.remove(0);
    let end = Instant::now() + LIMIT;
    while connections(&gateway).await.iter().sum::<f64>() > 2.0 {
        assert!(Instant::now() < end, "closed connections are still counted");
    }
    for _ in 0..2 {
        let mut client = Client::h2c(gateway.address()).await;
        assert_eq!(client.ask(get("/")).await.status, 200);
        clients.push(client);
    }
    assert_eq!(connections(&gateway).await, [2.0, 2.0]);
}

/// Open connections of each worker.
async fn connections(gateway: &Gateway) -> Vec<f64> {
    let mut shown = gateway.metric("sluicegate_worker_connections").await;
    shown.sort_by(|a, b| a.0.cmp(&b.0));
    shown.into_iter().map(|(_, count)| count).collect()
}
