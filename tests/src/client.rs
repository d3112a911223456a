//! HTTP clients by hyper: one connection each, HTTP/1.1 or HTTP/2, plain or TLS.

use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::{HeaderMap, Request, Response, header, uri};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::{LIMIT, tls::Authority};

/// The body of a request.
pub type Body = BoxBody<Bytes, Infallible>;

/// A body of known length.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed()
}

/// A body that comes in pieces.
pub fn stream(pieces: impl Stream<Item = Bytes> + Send + Sync + 'static) -> Body {
    BodyExt::boxed(StreamBody::new(pieces.map(|piece| Ok(Frame::data(piece)))))
}

/// A body that comes in frames, trailers among them.
pub fn frames(frames: impl Stream<Item = Frame<Bytes>> + Send + Sync + 'static) -> Body {
    BodyExt::boxed(StreamBody::new(frames.map(Ok)))
}

/// A request without content.
pub fn get(path: &str) -> Request<Body> {
    Request::get(path).body(full("")).unwrap()
}

/// A POST.
pub fn post(path: &str, body: impl Into<Bytes>) -> Request<Body> {
    Request::post(path).body(full(body)).unwrap()
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its content.
    pub body: Bytes,
    /// Its trailers, where there were any.
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    /// Gathers an answer.
    pub async fn of(response: Response<Incoming>) -> Result<Self, hyper::Error> {
        let (parts, body) = response.into_parts();
        let body = timeout(LIMIT, body.collect()).await.expect("the answer's body in time")?;
        let trailers = body.trailers().cloned();
        Ok(Self { status: parts.status.as_u16(), headers: parts.headers, body: body.to_bytes(), trailers })
    }

    /// Its content as JSON, null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A refusal's code, empty where it is none.
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// A header's value, empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

/// One connection.
pub struct Client {
    sender: Sender,
    authority: String,
    scheme: uri::Scheme,
}

enum Sender {
    H1(http1::SendRequest<Body>),
    H2(http2::SendRequest<Body>),
}

impl Client {
    /// HTTP/1.1.
    pub async fn h1(address: SocketAddr) -> Self {
        let stream = connect(address).await;
        Self::over(stream, address, uri::Scheme::HTTP, false).await
    }

    /// HTTP/2 with prior knowledge.
    pub async fn h2c(address: SocketAddr) -> Self {
        let stream = connect(address).await;
        Self::over(stream, address, uri::Scheme::HTTP, true).await
    }

    /// TLS that trusts `authority`, speaking what was agreed on out of `alpn`.
    pub async fn tls(address: SocketAddr, authority: &Authority, alpn: &[&str]) -> Self {
        Self::try_tls(address, &authority.client(alpn)).await.expect("a TLS handshake")
    }

    /// TLS as `connector` has it; an error where the handshake fails.
    pub async fn try_tls(address: SocketAddr, connector: &TlsConnector) -> std::io::Result<Self> {
        Self::tls_over(connect(address).await, address, connector).await
    }

    /// The same on a connection that stands already.
    pub async fn tls_over(
        stream: TcpStream,
        address: SocketAddr,
        connector: &TlsConnector,
    ) -> std::io::Result<Self> {
        let name = "localhost".try_into().unwrap();
        let stream = connector.connect(name, stream).await?;
        let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Self::over(stream, address, uri::Scheme::HTTPS, h2).await)
    }

    /// HTTP/2 with prior knowledge; nothing where nobody takes it.
    pub async fn try_h2c(address: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(address).await.ok()?;
        stream.set_nodelay(true).ok()?;
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        let (sender, authority) = (Sender::H2(sender), address.to_string());
        Some(Self { sender, authority, scheme: uri::Scheme::HTTP })
    }

    async fn over<S>(stream: S, address: SocketAddr, scheme: uri::Scheme, h2: bool) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let io = TokioIo::new(stream);
        let sender = if h2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            Sender::H2(sender)
        } else {
            let (sender, connection) = http1::handshake(io).await.unwrap();
            tokio::spawn(connection.with_upgrades());
            Sender::H1(sender)
        };
        Self { sender, authority: address.to_string(), scheme }
    }

    /// Another handle on this connection, which carries several requests at one time where it
    /// speaks HTTP/2; nothing where it speaks HTTP/1.1.
    pub fn another(&self) -> Option<Self> {
        let Sender::H2(sender) = &self.sender else { return None };
        let sender = Sender::H2(sender.clone());
        Some(Self { sender, authority: self.authority.clone(), scheme: self.scheme.clone() })
    }

    /// Whether it speaks HTTP/2.
    pub fn is_h2(&self) -> bool {
        matches!(self.sender, Sender::H2(_))
    }

    /// Whether the gateway has closed the connection, or said that it takes no more requests.
    pub fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::H1(sender) => sender.is_closed(),
            Sender::H2(sender) => sender.is_closed(),
        }
    }

    /// Sends a request and returns once the answer's head has come.
    pub async fn open(&mut self, mut request: Request<Body>) -> Result<Response<Incoming>, hyper::Error> {
        let response = match &mut self.sender {
            Sender::H1(sender) => {
                sender.ready().await?;
                let host = self.authority.parse().unwrap();
                request.headers_mut().entry(header::HOST).or_insert(host);
                timeout(LIMIT, sender.send_request(request)).await
            }
            Sender::H2(sender) => {
                sender.ready().await?;
                let mut parts = std::mem::take(request.uri_mut()).into_parts();
                parts.scheme = Some(self.scheme.clone());
                parts.authority.get_or_insert_with(|| self.authority.parse().unwrap());
                *request.uri_mut() = parts.try_into().unwrap();
                timeout(LIMIT, sender.send_request(request)).await
            }
        };
        response.expect("an answer in time")
    }

    /// Sends a request and gathers the answer.
    pub async fn send(&mut self, request: Request<Body>) -> Result<Answer, hyper::Error> {
        Answer::of(self.open(request).await?).await
    }

    /// Sends a request and gathers the answer; panics where there is none.
    pub async fn ask(&mut self, request: Request<Body>) -> Answer {
        self.send(request).await.expect("an answer")
    }
}

async fn connect(address: SocketAddr) -> TcpStream {
    let stream = timeout(LIMIT, TcpStream::connect(address)).await.expect("connect in time").unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}
