//! A client of one connection, over HTTP/1.1 or HTTP/2.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use sluicegate_demo_rag::{Options, Running, Settings, start};
use tokio::net::TcpStream;

pub(crate) async fn instance() -> Running {
    start(Options::default()).await.unwrap()
}

pub(crate) async fn instance_with(change: impl FnOnce(&mut Settings)) -> Running {
    let mut options = Options::default();
    change(&mut options.switches);
    start(options).await.unwrap()
}

enum Sender {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

pub(crate) struct Client {
    sender: Sender,
}

/// An answer read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The `code` of a problem, whose form is checked.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json");
        let json = self.json();
        assert_eq!(json["status"], self.status.as_u16());
        assert!(!json["detail"].as_str().unwrap().is_empty());
        json["code"].as_str().unwrap().to_owned()
    }
}

pub(crate) fn request(method: &str, path: &str, body: &str) -> Request<Full<Bytes>> {
    Request::builder()
        .method(Method::from_bytes(method.as_bytes()).unwrap())
        .uri(path)
        .header("host", "rag")
        .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
        .unwrap()
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
        let (sender, connection) = http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        Self { sender: Sender::One(sender) }
    }

    pub(crate) async fn connect_h2(address: SocketAddr) -> Self {
        let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        Self { sender: Sender::Two(sender) }
    }

    /// The head of an answer, its body still to come.
    pub(crate) async fn begin(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        match &mut self.sender {
            Sender::One(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Sender::Two(sender) => {
                let (mut parts, body) = request.into_parts();
                parts.headers.remove("host");
                parts.uri = format!("http://rag{}", parts.uri).parse().unwrap();
                sender.ready().await?;
                sender.send_request(Request::from_parts(parts, body)).await
            }
        }
    }

    pub(crate) async fn try_send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Answer> {
        let (head, body) = self.begin(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    pub(crate) async fn send(&mut self, method: &str, path: &str, body: &str) -> Answer {
        self.try_send(request(method, path, body)).await.unwrap()
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, "").await
    }
}
