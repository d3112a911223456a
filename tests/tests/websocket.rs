//! A WebSocket over HTTP/1.1 goes through the gateway, and only where the upstream agrees.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use futures::{SinkExt, StreamExt};
use sluicegate_tests::{Gateway, Raw, Step, Upstream, config, eventually, pattern, upstream::response};
use tokio::net::TcpStream;
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

async fn connect(gateway: &Gateway, path: &str) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(gateway.address()).await.unwrap();
    client_async(format!("ws://localhost{path}"), stream).await.expect("an upgrade").0
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_come_back_and_the_close_goes_through() {
    let upstream = Upstream::start().await;
    upstream.on("/socket", [Step::WebSocket]);
    let gateway = Gateway::start(&config(&upstream.url(), ""));
    let mut socket = connect(&gateway, "/socket").await;
    for number in 0..100 {
        socket.send(Message::text(number.to_string())).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(number.to_string()));
    }
    let large: Vec<u8> = pattern::pieces(1 << 20).flatten().collect();
    socket.send(Message::binary(large.clone())).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::binary(large));
    socket.close(None).await.unwrap();
    assert!(socket.next().await.unwrap().unwrap().is_close());
    eventually("the upstream's side ended", || upstream.running() == 0).await;

    let seen = &upstream.seen()[0];
    assert_eq!(seen.line(), "GET /socket");
    assert!(seen.get("upgrade").unwrap().eq_ignore_ascii_case("websocket"), "{}", seen.head);
    assert!(seen.get("connection").unwrap().eq_ignore_ascii_case("upgrade"), "{}", seen.head);
    assert_eq!(upstream.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_ends_the_upstreams_side() {
    let upstream = Upstream::start().await;
    upstream.on("/socket", [Step::WebSocket]);
    let gateway = Gateway::start(&config(&upstream.url(), ""));
    let mut socket = connect(&gateway, "/socket").await;
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
    drop(socket);
    eventually("the upstream's side ended", || upstream.running() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_does_not_upgrade_answers_as_usual() {
    let upstream = Upstream::start().await;
    upstream.answer("/plain", response("200 OK", "", "no socket here"));
    let gateway = Gateway::start(&config(&upstream.url(), ""));
    let mut raw = Raw::connect(gateway.address()).await;
    let upgrade = "GET /plain HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let answer = raw.ask(upgrade).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "no socket here"));
    if !answer.closes() {
        let again = raw.ask("GET /plain HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert_eq!(again.status, 200);
    }
}
