//! Connections over workers, and the cap on all of them.

use std::time::Duration;

use sluicegate_server::ConnSettings;
use tokio::io::AsyncWriteExt;

use crate::rig::{Rig, calm, eventually, get, http1, http2, in_time, read, to_end};

#[tokio::test(flavor = "multi_thread")]
async fn four_long_lived_http2_connections_use_both_workers_alike() {
    let rig = Rig::start(2, calm());
    let mut used = [0, 0];
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = http2(rig.raw().await).await;
        for _ in 0..3 {
            let worker = read(client.send_request(get("/worker")).await.unwrap()).await;
            used[worker.parse::<usize>().unwrap()] += 1;
        }
        clients.push(client);
    }
    assert_eq!(used, [6, 6], "each connection stays on one worker, two on each");
    assert_eq!(rig.metric("sluicegate_worker_connections{worker=\"0\"}"), 2);
    assert_eq!(rig.metric("sluicegate_worker_connections{worker=\"1\"}"), 2);
    let listener = rig.server.addresses()[0].configured.clone();
    assert_eq!(rig.metric(&format!("sluicegate_connections{{listener=\"{listener}\"}}")), 4);
    drop(clients);
    eventually("all to be counted off", || {
        rig.metric(&format!("sluicegate_connections{{listener=\"{listener}\"}}")) == 0
    })
    .await;
    assert_eq!(rig.metric(&format!("sluicegate_connections_accepted_total{{listener=\"{listener}\"}}")), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_cap_clients_wait_and_none_is_refused() {
    let rig = Rig::start(2, ConnSettings { max_connections: 2, ..calm() });
    let (mut first, mut second) = (http1(rig.raw().await).await, http1(rig.raw().await).await);
    read(first.send_request(get("/worker")).await.unwrap()).await;
    read(second.send_request(get("/worker")).await.unwrap()).await;
    let mut waiting = Vec::new();
    for _ in 0..20 {
        let mut socket = rig.raw().await;
        socket.write_all(b"GET /worker HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        waiting.push(tokio::spawn(async move { to_end(&mut socket).await }));
    }
    eventually("the cap to be noticed", || rig.metric("sluicegate_connections_capped_total") >= 1).await;
    // Time for what must not happen.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(rig.server.open_connections(), 2);
    let accepted = "sluicegate_connections_accepted_total{listener=\"127.0.0.1:0\"}";
    assert_eq!(rig.metric(accepted), 2, "the others wait in the kernel");
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
    drop(first);
    for waiting in waiting {
        let answer = in_time("a client that waited", waiting).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    second.ready().await.unwrap();
    read(second.send_request(get("/worker")).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raised_cap_holds_at_once() {
    let rig = Rig::start(1, ConnSettings { max_connections: 1, ..calm() });
    let mut first = http1(rig.raw().await).await;
    read(first.send_request(get("/worker")).await.unwrap()).await;
    let mut second = http1(rig.raw().await).await;
    let answer = tokio::spawn(async move { read(second.send_request(get("/worker")).await.unwrap()).await });
    eventually("the cap to be noticed", || rig.metric("sluicegate_connections_capped_total") == 1).await;
    let prepared = rig.server.prepare(&[crate::rig::plain("127.0.0.1:0")], rig.dir.path()).unwrap();
    rig.server.commit(prepared, ConnSettings { max_connections: 2, ..calm() });
    assert_eq!(in_time("the second client", answer).await.unwrap(), "0");
}
