//! A collector that does not do its part: no request feels it.

use std::time::{Duration, Instant};

use sluicegate_tests::{Client, Gateway, Upstream, client::get, comes_true, config};
use tokio::net::TcpListener;

use crate::otlp;

/// Sends requests through a gateway whose collector is at `endpoint`, and returns it. None may take
/// as long as the collector is waited for.
async fn busy(endpoint: &str, more: &str, upstream: &Upstream) -> Gateway {
    let gateway = Gateway::start(&config(&upstream.url(), &otlp(endpoint, more)));
    let mut client = Client::h1(gateway.address()).await;
    for _ in 0..300 {
        let began = Instant::now();
        assert_eq!(client.ask(get("/a")).await.status, 200);
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
    gateway
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_hangs_costs_the_spans_that_the_queue_cannot_hold() {
    let upstream = Upstream::start().await;
    for protocol in ["grpc", "http"] {
        // It takes connections and says nothing on them.
        let hangs = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", hangs.local_addr().unwrap());
        let more = format!(", protocol: {protocol}, timeout: 1m, queue: 16");
        let gateway = Gateway::start(&config(&upstream.url(), &otlp(&endpoint, &more)));
        let mut client = Client::h1(gateway.address()).await;
        assert_eq!(client.ask(get("/a")).await.status, 200);
        // Once it is asked, a batch is on its way, and what comes then waits in the queue.
        let _asked = hangs.accept().await.unwrap();
        let full = async || gateway.count("sluicegate_spans_dropped_total", "queue_full").await;
        for _ in 0..20 {
            assert_eq!(client.ask(get("/a")).await.status, 200);
        }
        comes_true("the queue is full", async || full().await == 40 - 16).await;
        // From here on each request's two are dropped.
        let before = full().await;
        let began = Instant::now();
        for _ in 0..40 {
            assert_eq!(client.ask(get("/a")).await.status, 200);
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
        comes_true("they are dropped", async || full().await == before + 80).await;
        assert_eq!(gateway.count("sluicegate_spans_sent_total", "").await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_not_there_or_too_slow_is_counted() {
    let upstream = Upstream::start().await;
    let gateway = busy("http://127.0.0.1:1", "", &upstream).await;
    let dropped = async || gateway.count("sluicegate_spans_dropped_total", "unreachable").await == 600;
    comes_true("all are dropped", dropped).await;

    let hangs = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", hangs.local_addr().unwrap());
    let gateway = busy(&endpoint, ", timeout: 1s", &upstream).await;
    let dropped = async || gateway.count("sluicegate_spans_dropped_total", "timeout").await == 600;
    comes_true("all are dropped", dropped).await;
}
