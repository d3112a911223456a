//! Upgraded connections and streams on write routes end after the grace; reads go on.

use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use http::Request;
use http_body_util::BodyExt;
use serde_json::json;
use sluicegate_tests::{Client, Gateway, LIMIT, Step, Upstream, client::full, eventually, tick::within};
use tokio::net::TcpStream;
use tokio_tungstenite::{client_async, tungstenite::Message};

const GRACE: Duration = Duration::from_millis(500);

async fn start() -> (Upstream, Gateway) {
    let upstream = Upstream::start().await;
    let url = upstream.url();
    for path in ["/read/socket", "/write/socket"] {
        upstream.on(path, [Step::WebSocket]);
    }
    for path in ["/read/events", "/write/events"] {
        upstream.on(path, [Step::Read, Step::Events(10_000, Duration::from_millis(20))]);
    }
    let gateway = Gateway::start(&format!(
        r#"
listen: [{{ address: "127.0.0.1:0" }}]
admin: {{ address: "127.0.0.1:0" }}
store: {{ memory: {{}} }}
upstreams: {{ main: {{ endpoints: ["{url}"] }} }}
routes:
  - {{ name: read, match: {{ path: "/read/{{*rest}}" }}, access: read, upstream: main }}
  - {{ name: write, match: {{ path: "/write/{{*rest}}" }}, access: write, upstream: main }}
freeze: {{ stream_grace: 500ms }}
"#
    ));
    (upstream, gateway)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_on_a_write_route_is_closed_after_the_grace() {
    let (upstream, gateway) = start().await;
    let mut sockets = Vec::new();
    for path in ["/read/socket", "/write/socket"] {
        let stream = TcpStream::connect(gateway.address()).await.unwrap();
        let mut socket = client_async(format!("ws://localhost{path}"), stream).await.unwrap().0;
        socket.send(Message::text("hello")).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
        sockets.push(socket);
    }
    let [mut reading, mut writing] = sockets.try_into().ok().unwrap();
    let begin = Instant::now();
    let shown = gateway.freeze("x?wait=10s", &json!({})).await;
    assert_eq!(shown["drain"]["drained"], true, "{shown}");
    assert_eq!(shown["drain"]["waited_for"], 1, "{shown}");
    assert!(begin.elapsed() >= GRACE, "{:?}", begin.elapsed());
    let end = tokio::time::timeout(LIMIT, writing.next()).await.expect("an end in time");
    assert!(!matches!(end, Some(Ok(Message::Text(_) | Message::Binary(_)))), "{end:?}");
    let write_ended = || upstream.seen_at("/write/socket")[0].ended.is_some();
    eventually("the upstream's side ended", write_ended).await;
    reading.send(Message::text("still here")).await.unwrap();
    assert_eq!(reading.next().await.unwrap().unwrap(), Message::text("still here"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_on_a_write_route_is_cut_after_the_grace() {
    let (upstream, gateway) = start().await;
    let mut bodies = Vec::new();
    for path in ["/read/events", "/write/events"] {
        let request = Request::post(path).body(full("go")).unwrap();
        let mut body = Client::h1(gateway.address()).await.open(request).await.unwrap().into_body();
        body.frame().await.unwrap().unwrap();
        bodies.push(body);
    }
    let [mut reading, writing] = bodies.try_into().ok().unwrap();
    let shown = gateway.freeze("x?wait=10s", &json!({})).await;
    assert_eq!(shown["drain"]["drained"], true, "{shown}");
    let writing = tokio::time::timeout(LIMIT, writing.collect()).await.expect("an end in time");
    assert!(writing.is_err(), "a stream that was cut never looks complete");
    let cut = || upstream.seen_at("/write/events")[0].cut_off;
    eventually("the upstream's side was cut", cut).await;
    for _ in 0..10 {
        reading.frame().await.expect("the reader's stream goes on").unwrap();
    }
    assert!(!within(Duration::ZERO, || upstream.seen_at("/read/events")[0].cut_off).await);
}
