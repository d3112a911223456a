//! A client that writes any bytes and sees exactly what comes back.

use std::{io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    LIMIT,
    wire::{Body, Fault, Fields, Framing, Read, Wire, text},
};

/// One plain connection.
#[derive(Debug)]
pub struct Raw {
    wire: Wire<TcpStream>,
}

/// An answer as it stood on the wire.
#[derive(Clone, Debug, Default)]
pub struct RawAnswer {
    /// Its status.
    pub status: u16,
    /// Its status line.
    pub line: String,
    /// Its header fields.
    pub fields: Fields,
    /// Its content.
    pub body: Vec<u8>,
    /// Its trailer fields.
    pub trailers: Fields,
    /// Interim answers that came before it.
    pub interim: Vec<u16>,
    /// Whether its body ended as its framing says.
    pub complete: bool,
}

impl RawAnswer {
    /// Its content as JSON, null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A refusal's code, empty where it is none.
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Whether it says that the connection ends with it.
    pub fn closes(&self) -> bool {
        self.fields.all("connection").iter().any(|value| value.eq_ignore_ascii_case("close"))
    }

    /// The content as text.
    pub fn text(&self) -> String {
        text(&self.body)
    }
}

impl Raw {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).await.unwrap()
    }

    /// Connects, or says why not.
    pub async fn try_connect(address: SocketAddr) -> io::Result<Self> {
        let stream = timeout(LIMIT, TcpStream::connect(address)).await.expect("an end of connecting")?;
        stream.set_nodelay(true)?;
        Ok(Self { wire: Wire::new(stream) })
    }

    /// Sends bytes as they are; a peer that has gone is not an error here.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.wire.stream.write_all(bytes.as_ref()).await;
    }

    /// Says that nothing more comes, but goes on reading.
    pub async fn finish(&mut self) {
        let _ = self.wire.stream.shutdown().await;
    }

    /// Goes away at once, with a reset instead of a close.
    pub fn reset(self) {
        socket2::SockRef::from(&self.wire.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Sends a request and reads the answer to its end.
    pub async fn ask(&mut self, request: impl AsRef<[u8]>) -> RawAnswer {
        let head = request.as_ref().starts_with(b"HEAD ");
        self.send(request).await;
        self.answer_to(head).await.expect("an answer")
    }

    /// Reads an answer to anything but HEAD.
    pub async fn answer(&mut self) -> Read<RawAnswer> {
        self.answer_to(false).await
    }

    /// Reads an answer; to HEAD it has no content.
    pub async fn answer_to(&mut self, head: bool) -> Read<RawAnswer> {
        let mut answer = self.head().await?;
        let mut body = Body::new(body_framing(&answer, head)?);
        let read = timeout(LIMIT, async {
            while let Some(piece) = body.next(&mut self.wire).await? {
                answer.body.extend_from_slice(&piece);
            }
            Ok::<_, Fault>(())
        });
        match read.await.expect("the answer's body in time") {
            Ok(()) => answer.complete = body.done(),
            Err(Fault::Invalid(what)) => return Err(Fault::Invalid(what)),
            Err(Fault::Ended | Fault::Io(_)) => {}
        }
        answer.trailers = body.trailers;
        Ok(answer)
    }

    /// Reads an answer's head alone, past interim ones.
    pub async fn head(&mut self) -> Read<RawAnswer> {
        let mut interim = Vec::new();
        loop {
            let bytes = timeout(LIMIT, self.wire.head()).await.expect("an answer in time")?;
            let mut answer = parse_head(&bytes.ok_or(Fault::Ended)?)?;
            if (100..200).contains(&answer.status) && answer.status != 101 {
                interim.push(answer.status);
                continue;
            }
            answer.interim = interim;
            return Ok(answer);
        }
    }

    /// Reads one interim answer; `None` where the answer that comes is final.
    pub async fn interim(&mut self) -> Option<u16> {
        let head = timeout(LIMIT, self.wire.head()).await.expect("an answer in time").ok()??;
        let status = parse_head(&head).ok()?.status;
        (100..200).contains(&status).then_some(status)
    }

    /// Some bytes that came, none where the peer has closed.
    pub async fn some(&mut self) -> Bytes {
        if self.wire.buffer.is_empty() {
            let _ = timeout(LIMIT, self.wire.fill()).await.expect("bytes or an end in time");
        }
        self.wire.buffer.split().freeze()
    }

    /// What has been read and not been looked at.
    pub fn some_now(&mut self) -> Bytes {
        self.wire.buffer.split().freeze()
    }

    /// Everything until the peer closes; panics where it does not.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut bytes = self.wire.buffer.split().to_vec();
        let read = timeout(LIMIT, self.wire.stream.read_to_end(&mut bytes)).await;
        match read.expect("the connection closed in time") {
            Ok(_) => bytes,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => bytes,
            Err(error) => panic!("reading to the end: {error}"),
        }
    }

    /// Whether the peer closes within `limit`, sending nothing more.
    pub async fn closed_within(&mut self, limit: Duration) -> bool {
        if !self.wire.buffer.is_empty() {
            return false;
        }
        matches!(timeout(limit, self.wire.fill()).await, Ok(Ok(0) | Err(_)))
    }

    /// The connection itself, and what was read ahead of it.
    pub fn into_parts(self) -> (TcpStream, Bytes) {
        (self.wire.stream, self.wire.buffer.freeze())
    }
}

fn parse_head(bytes: &[u8]) -> Read<RawAnswer> {
    let wrong = || Fault::Invalid(format!("an answer's head: {:?}", text(bytes)));
    let end = bytes.windows(2).position(|two| two == b"\r\n").ok_or_else(wrong)?;
    let line = text(&bytes[..end]);
    let status = line
        .strip_prefix("HTTP/1.1 ")
        .or_else(|| line.strip_prefix("HTTP/1.0 "))
        .and_then(|rest| rest.get(..3)?.parse().ok())
        .ok_or_else(wrong)?;
    let fields = Fields::parse(&bytes[end + 2..bytes.len() - 2])?;
    Ok(RawAnswer { status, line, fields, ..RawAnswer::default() })
}

fn body_framing(answer: &RawAnswer, head: bool) -> Read<Framing> {
    if head || matches!(answer.status, 101 | 204 | 304) {
        return Ok(Framing::None);
    }
    match Framing::of(&answer.fields)? {
        Framing::None => Ok(Framing::UntilClose),
        framing => Ok(framing),
    }
}
