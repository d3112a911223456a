//! Connections are kept on both sides: ten thousand requests need a handful of them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use sluicegate_tests::{Gateway, Raw, Upstream, config};
use tokio::task::JoinSet;

const CLIENTS: usize = 8;
const REQUESTS: usize = 10_000;

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_requests_without_an_error_on_connections_that_are_kept() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&config(&upstream.url(), "workers: 2"));
    let address = gateway.address();
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        clients.spawn(async move {
            let mut raw = Raw::connect(address).await;
            for number in 0..REQUESTS / CLIENTS {
                let request = if number % 2 == 0 {
                    format!("GET /{client}/{number} HTTP/1.1\r\nHost: localhost\r\n\r\n")
                } else {
                    format!(
                        "POST /{client}/{number} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody"
                    )
                };
                let answer = raw.ask(&request).await;
                assert_eq!((answer.status, answer.text().as_str()), (200, "ok"), "{request}");
                assert!(answer.complete && !answer.closes(), "{request}: {answer:?}");
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    assert_eq!(upstream.seen().len(), REQUESTS);
    assert!(upstream.connections() <= CLIENTS, "{} upstream connections", upstream.connections());
    assert_eq!(upstream.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_requests_share_the_kept_connections_too() {
    use sluicegate_tests::{Client, client::get};
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&config(&upstream.url(), ""));
    let mut client = Client::h2c(gateway.address()).await;
    for number in 0..500 {
        assert_eq!(client.ask(get(&format!("/{number}"))).await.status, 200);
    }
    assert_eq!((upstream.seen().len(), upstream.connections()), (500, 1));
}
