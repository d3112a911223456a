//! The record of writes: what a test can prove with it.

use std::{sync::Arc, time::Duration};

use sluicegate_demo_rag::{Running, Writes};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    sync::Notify,
    time::{sleep, timeout},
};

use crate::client::{Client, instance, instance_with, request};

const TEXT: &str = r#"{"text":"Wombats dig."}"#;

/// Looks until the counts are so, for five seconds.
async fn wait_for(instance: &Running, what: &str, mut so: impl FnMut(&Writes) -> bool) -> Writes {
    let looking = async {
        loop {
            let look = instance.audit().counts();
            if so(&look) {
                return look;
            }
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(5), looking).await.unwrap_or_else(|_| panic!("never: {what}"))
}

#[tokio::test]
async fn the_record_is_shown_over_http() {
    let instance = instance().await;
    let mut client = Client::connect(instance.address()).await;
    let mut put = request("PUT", "/v1/documents/a", TEXT);
    put.headers_mut().insert("idempotency-key", "k-1".parse().unwrap());
    put.headers_mut().insert("x-request-id", "r-1".parse().unwrap());
    client.try_send(put).await.unwrap();
    client.send("DELETE", "/v1/documents/absent", "").await;
    client.send("POST", "/v1/retrieve", r#"{"query":"freeze"}"#).await;

    let answer = client.get("/debug/writes").await;
    let look: Writes = serde_json::from_value(answer.json()).unwrap();
    assert_eq!((look.count, look.running, look.applied), (2, 0, 1));
    let [first, second] = &look.writes[..] else { panic!("{look:?}") };
    assert_eq!((first.seq, first.method.as_str(), first.path.as_str()), (1, "PUT", "/v1/documents/a"));
    assert_eq!((first.key.as_deref(), first.request_id.as_deref()), (Some("k-1"), Some("r-1")));
    assert_eq!((first.status, first.applied), (Some(201), true));
    assert_eq!((second.method.as_str(), second.status, second.applied), ("DELETE", Some(404), false));
    assert!(first.ended_ms.unwrap() >= first.started_ms && second.started_ms >= first.ended_ms.unwrap());
    assert!(look.quiet_since(look.now_ms));

    let newer = client.get("/debug/writes?after=1").await.json();
    assert_eq!((newer["writes"].as_array().unwrap().len(), &newer["writes"][0]["seq"]), (1, &2.into()));
    assert_eq!(client.get("/debug/writes?limit=0").await.json()["writes"], serde_json::json!([]));
    assert_eq!(client.get("/debug/writes?since=1").await.problem(), "bad_request");
    instance.stop().await;
}

#[tokio::test]
async fn a_write_counts_as_running_before_its_body_is_there() {
    let instance = instance().await;
    let mut socket = TcpStream::connect(instance.address()).await.unwrap();
    let head = "PUT /v1/documents/a HTTP/1.1\r\nhost: rag\r\ncontent-length: 23\r\n\r\n{\"te";
    socket.write_all(head.as_bytes()).await.unwrap();
    let look = wait_for(&instance, "running", |look| look.running == 1).await;
    assert!(!look.quiet_since(look.now_ms));
    drop(socket);
    let look = wait_for(&instance, "ended", |look| look.running == 0).await;
    assert_eq!((look.count, look.applied), (1, 0));
    instance.stop().await;
}

#[tokio::test]
async fn silence_after_a_moment_can_be_proved_and_a_late_write_disproves_it() {
    let instance = Arc::new(instance().await);
    let enough = Arc::new(Notify::new());
    let writers = (0..4).map(|n| {
        let (instance, enough) = (Arc::clone(&instance), Arc::clone(&enough));
        tokio::spawn(async move {
            let mut client = Client::connect(instance.address()).await;
            let mut stop = std::pin::pin!(enough.notified());
            stop.as_mut().enable();
            let mut sent = 0_u64;
            loop {
                client.send("PUT", &format!("/v1/documents/w-{n}"), TEXT).await;
                sent += 1;
                if futures_util::poll!(stop.as_mut()).is_ready() {
                    return sent;
                }
            }
        })
    });
    let writers = writers.collect::<Vec<_>>();
    wait_for(&instance, "some writes", |look| look.count > 50).await;
    let during = instance.audit().now_ms();
    wait_for(&instance, "more writes", |look| look.count > 100).await;
    enough.notify_waiters();
    let mut sent = 0;
    for writer in writers {
        sent += writer.await.unwrap();
    }
    let end = instance.audit().now_ms();
    let look = instance.audit().counts();
    assert_eq!((look.count, look.applied), (sent, sent));
    assert!(look.quiet_since(end) && !look.quiet_since(during));
    Client::connect(instance.address()).await.send("DELETE", "/v1/documents/w-0", "").await;
    assert!(!instance.audit().counts().quiet_since(end));
}

#[tokio::test]
async fn an_abandoned_write_is_given_up_or_runs_on_by_switch() {
    for run_on in [false, true] {
        let instance = instance_with(|s| {
            s.hang = true;
            s.run_on = run_on;
        })
        .await;
        let mut socket = TcpStream::connect(instance.address()).await.unwrap();
        let head =
            format!("PUT /v1/documents/a HTTP/1.1\r\nhost: rag\r\ncontent-length: {}\r\n\r\n", TEXT.len());
        socket.write_all((head + TEXT).as_bytes()).await.unwrap();
        wait_for(&instance, "running", |look| look.running == 1).await;
        // What follows must not race the reading of the body.
        let mut probe = Client::connect(instance.address()).await;
        probe.get("/healthz").await;
        drop(socket);
        if run_on {
            while instance.requests().in_flight > 0 {
                sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(instance.audit().counts().running, 1, "it hangs without its client");
            instance.switches().update(|s| s.hang = false).unwrap();
        }
        let look = wait_for(&instance, "ended", |look| look.running == 0).await;
        assert_eq!(look.applied, u64::from(run_on));
        instance.stop().await;
    }
}
