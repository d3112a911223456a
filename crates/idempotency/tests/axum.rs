//! The example's composition over real sockets.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use sluicegate_idempotency::{Fences, KeyFilter, KeyState};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    time::timeout,
};

#[path = "../examples/keyed_writes.rs"]
#[allow(dead_code, reason = "its main and handlers are for people")]
mod example;

#[derive(Clone, Default)]
struct World {
    made: Arc<AtomicUsize>,
    reached: Arc<Notify>,
    go: Arc<Notify>,
}

impl World {
    fn made(&self) -> usize {
        self.made.load(Ordering::SeqCst)
    }
}

async fn make(State(world): State<World>, text: String) -> (StatusCode, String) {
    (StatusCode::CREATED, format!("{}: {text}", world.made.fetch_add(1, Ordering::SeqCst) + 1))
}

async fn slow(State(world): State<World>, text: String) -> (StatusCode, String) {
    world.reached.notify_one();
    world.go.notified().await;
    make(State(world), text).await
}

async fn serve() -> (SocketAddr, World, Fences) {
    let world = World::default();
    let routes = Router::new()
        .route("/documents", get(async || "all").post(make))
        .route("/slow", post(slow))
        .with_state(world.clone());
    let fences = example::fences();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = example::fenced(routes, &fences);
    tokio::spawn(async move { axum::serve(listener, app).await });
    (address, world, fences)
}

fn request(path: &str, fields: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {}\r\n{fields}\r\n{body}",
        body.len()
    )
}

/// The answer to one request on a connection of its own, as text.
async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(Duration::from_secs(10), stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    answer.to_lowercase()
}

async fn write(address: SocketAddr, key: &str, body: &str) -> String {
    ask(address, &request("/documents", &format!("idempotency-key: {key}\r\n"), body)).await
}

#[tokio::test]
async fn a_write_happens_once_per_key() {
    let (address, world, _fences) = serve().await;
    let first = write(address, "k-1", "hello").await;
    assert!(first.starts_with("http/1.1 201") && first.ends_with("1: hello"), "{first}");
    assert!(!first.contains("idempotency-replayed"));
    let second = write(address, "\"k-1\"", "hello").await;
    assert!(second.starts_with("http/1.1 201") && second.ends_with("1: hello"), "{second}");
    assert!(
        second.contains("idempotency-replayed: true") && second.contains("content-length: 8"),
        "{second}"
    );
    let other = write(address, "k-1", "other").await;
    assert!(other.starts_with("http/1.1 422") && other.contains("\"differs\":[\"body\"]"), "{other}");
    let missing = ask(address, &request("/documents", "", "x")).await;
    assert!(missing.starts_with("http/1.1 400") && missing.contains("idempotency_key_missing"), "{missing}");
    assert_eq!(world.made(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_under_one_key_are_done_once() {
    let (address, world, _fences) = serve().await;
    let clients: Vec<_> = (0..50).map(|_| tokio::spawn(write(address, "k", "x"))).collect();
    for client in clients {
        let answer = client.await.unwrap();
        assert!(answer.starts_with("http/1.1 201") && answer.ends_with("1: x"), "{answer}");
    }
    assert_eq!(world.made(), 1);
}

#[tokio::test]
async fn a_client_that_hangs_up_finds_its_answer_when_it_comes_again() {
    let (address, world, fences) = serve().await;
    let slow = request("/slow", "idempotency-key: k\r\n", "x");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(slow.as_bytes()).await.unwrap();
    timeout(Duration::from_secs(10), world.reached.notified()).await.unwrap();
    drop(stream);
    world.go.notify_one();
    timeout(Duration::from_secs(10), async {
        loop {
            let keys = fences.list(&KeyFilter::default(), None, 10).await.unwrap().keys;
            if keys.iter().all(|key| key.state == KeyState::Sealed) {
                break;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    fences.idle().await;
    let again = ask(address, &slow).await;
    assert!(again.contains("idempotency-replayed: true") && again.ends_with("1: x"), "{again}");
    assert_eq!(world.made(), 1);
}

#[tokio::test]
async fn a_body_is_not_asked_for_where_its_request_is_refused() {
    let (address, world, _fences) = serve().await;
    let head = |key: &str| {
        format!(
            "POST /documents HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: 1\r\n{key}\r\n"
        )
    };
    let read = async |stream: &mut TcpStream| {
        let mut answer = vec![0; 4096];
        let read = timeout(Duration::from_secs(10), stream.read(&mut answer)).await.unwrap().unwrap();
        String::from_utf8_lossy(&answer[..read]).to_lowercase()
    };
    let mut refused = TcpStream::connect(address).await.unwrap();
    refused.write_all(head("").as_bytes()).await.unwrap();
    assert!(read(&mut refused).await.starts_with("http/1.1 400"));
    let mut taken = TcpStream::connect(address).await.unwrap();
    taken.write_all(head("idempotency-key: k\r\n").as_bytes()).await.unwrap();
    assert!(read(&mut taken).await.starts_with("http/1.1 100"));
    taken.write_all(b"x").await.unwrap();
    assert!(read(&mut taken).await.starts_with("http/1.1 201"));
    assert_eq!(world.made(), 1);
}
