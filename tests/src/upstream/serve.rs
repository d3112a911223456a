//! One connection to the upstream.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{handshake::derive_accept_key, protocol::Role},
};

use super::{Seen, Shared, Step, path_of, response};
use crate::{
    pattern::{self, Digest},
    tick::{micros, tick},
    wire::{Body, Fault, Fields, Framing, Read, Wire, is_token, text},
};

/// How much of a body is kept for a test to look at.
const KEPT: usize = 16 * 1024;

/// A connection that can be reset.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {
    /// The TCP connection under it.
    fn tcp(&self) -> &TcpStream;
}

impl Stream for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Stream for tokio_rustls::server::TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// Whether the connection can take another request.
enum After {
    Open,
    Ended,
}

/// Serves requests until the connection ends.
pub(super) async fn connection<S: Stream>(stream: S, number: usize, shared: &Arc<Shared>) {
    let mut wire = Wire::new(stream);
    loop {
        let head = match wire.head().await {
            Ok(Some(head)) => head,
            Ok(None) | Err(Fault::Io(_)) => return,
            Err(fault) => return shared.violation(format!("{fault}: {:?}", text(&wire.buffer))),
        };
        let seen = match parse(&head, number) {
            Ok(seen) => seen,
            Err(fault) => return shared.violation(format!("{fault} in {:?}", text(&head))),
        };
        let script = shared.scripts.lock().unwrap().get(path_of(&seen.target)).cloned();
        let script = script.unwrap_or_else(|| {
            Arc::from([Step::Read, Step::Send(response("200 OK", "Content-Type: text/plain\r\n", "ok"))])
        });
        let at = {
            let mut all = shared.seen();
            all.push(seen);
            all.len() - 1
        };
        let mut exchange = Exchange::new(wire, at, shared);
        match exchange.run(&script).await {
            After::Open => wire = exchange.wire.take().expect("an open exchange keeps its connection"),
            After::Ended => return,
        }
    }
}

/// Reads a request's head to the letter.
fn parse(head: &[u8], connection: usize) -> Read<Seen> {
    let end = head.windows(2).position(|two| two == b"\r\n").unwrap_or(0);
    let line = text(&head[..end]);
    let parts: Vec<&str> = line.split(' ').collect();
    let wrong = |what: &str| Fault::Invalid(format!("{what} of {line:?}"));
    let [method, target, version] = parts[..] else { return Err(wrong("the form")) };
    if method.is_empty() || !method.bytes().all(is_token) {
        return Err(wrong("the method"));
    }
    let visible = target.bytes().all(|b| (0x21..0x7f).contains(&b) && b != b'#');
    if !visible || !(target.starts_with('/') || (method == "OPTIONS" && target == "*")) {
        return Err(wrong("the target"));
    }
    if version != "HTTP/1.1" {
        return Err(wrong("the version"));
    }
    let fields = Fields::parse(&head[end + 2..head.len() - 2])?;
    if fields.all("host").len() != 1 {
        return Err(wrong("the number of Host fields"));
    }
    let framing = Framing::of(&fields)?;
    Ok(Seen {
        connection,
        head: text(head),
        method: method.to_owned(),
        target: target.to_owned(),
        complete: Body::new(framing).done(),
        fields,
        framing,
        length: 0,
        body: Vec::new(),
        digest: None,
        trailers: Fields::default(),
        began: tick(),
        ended: None,
        cut_off: false,
    })
}

struct Exchange<'a, S> {
    /// Gone once the connection has been given away or closed.
    wire: Option<Wire<S>>,
    body: Body,
    digest: Option<Digest>,
    at: usize,
    shared: &'a Arc<Shared>,
}

impl<'a, S: Stream> Exchange<'a, S> {
    fn new(wire: Wire<S>, at: usize, shared: &'a Arc<Shared>) -> Self {
        let framing = shared.seen()[at].framing;
        Self { wire: Some(wire), body: Body::new(framing), digest: Some(Digest::default()), at, shared }
    }

    async fn run(&mut self, script: &[Step]) -> After {
        let result = self.steps(script).await;
        let broken = match &result {
            Ok(()) => false,
            Err(Fault::Invalid(_)) => {
                self.shared.violation(format!("{} in the body", result.as_ref().unwrap_err()));
                true
            }
            Err(_) => true,
        };
        let brief = self.shared.brief.load(Ordering::Relaxed);
        self.note(|seen| {
            seen.ended.get_or_insert_with(tick);
            seen.cut_off |= broken;
            if brief {
                (seen.head, seen.fields, seen.body) = Default::default();
            }
        });
        // A request that was answered before it was read leaves its rest on the connection.
        if broken || self.wire.is_none() || !self.body.done() { After::Ended } else { After::Open }
    }

    async fn steps(&mut self, script: &[Step]) -> Read<()> {
        for (number, step) in script.iter().enumerate() {
            // The work counts as done before the last bytes go out: whoever has the whole
            // answer may rely on it.
            if number + 1 == script.len() && !matches!(step, Step::Hang | Step::Echo | Step::WebSocket) {
                self.note(|seen| seen.ended = Some(tick()));
            }
            let Some(wire) = &mut self.wire else { return Ok(()) };
            match step {
                Step::Read => while self.piece().await?.is_some() {},
                Step::ReadSome(bytes) => {
                    while self.shared.seen()[self.at].length < *bytes && self.piece().await?.is_some() {}
                }
                Step::Send(bytes) => wire.stream.write_all(bytes).await?,
                Step::Pause(time) => tokio::time::sleep(*time).await,
                Step::Wait(gate) => gate.opened().await,
                Step::Quiet(time) => {
                    let early = !wire.buffer.is_empty() || timeout(*time, wire.fill()).await.is_ok();
                    if early {
                        self.shared
                            .violation(format!("bytes that were not asked for: {:?}", text(&wire.buffer)));
                    }
                }
                Step::Hang => {
                    while wire.fill().await? > 0 {}
                    return Err(Fault::Ended);
                }
                Step::Pattern(length) => {
                    for piece in pattern::pieces(*length) {
                        wire.stream.write_all(&piece).await?;
                    }
                }
                Step::Echo => self.echo().await?,
                Step::Events(count, every) => events(wire, *count, *every).await?,
                Step::WebSocket => self.web_socket().await?,
                Step::Close => {
                    let _ = wire.stream.shutdown().await;
                    self.wire = None;
                }
                Step::Reset => {
                    let socket = socket2::SockRef::from(wire.stream.tcp());
                    socket.set_linger(Some(Duration::ZERO))?;
                    drop(self.wire.take());
                }
            }
        }
        Ok(())
    }

    fn note(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.shared.seen()[self.at]);
    }

    /// The next piece of the request's body, written down.
    async fn piece(&mut self) -> Read<Option<Bytes>> {
        let Some(wire) = &mut self.wire else { return Err(Fault::Ended) };
        let piece = self.body.next(wire).await?;
        let ended = piece.is_none();
        if let (Some(piece), Some(digest)) = (&piece, &mut self.digest) {
            digest.add(piece);
        }
        let digest = if ended { self.digest.take() } else { None };
        let trailers = &self.body.trailers;
        self.note(|seen| {
            if let Some(piece) = &piece {
                seen.length += piece.len() as u64;
                let room = KEPT.saturating_sub(seen.body.len()).min(piece.len());
                seen.body.extend_from_slice(&piece[..room]);
            } else {
                seen.complete = true;
                seen.trailers = trailers.clone();
                if let Some(digest) = digest {
                    seen.digest = Some(digest.finish());
                }
            }
        });
        Ok(piece)
    }

    async fn write(&mut self, bytes: &[u8]) -> Read<()> {
        let Some(wire) = &mut self.wire else { return Err(Fault::Ended) };
        Ok(wire.stream.write_all(bytes).await?)
    }

    async fn echo(&mut self) -> Read<()> {
        let framing = self.shared.seen()[self.at].framing;
        let chunked = framing == Framing::Chunked;
        let how = match framing {
            Framing::Length(length) => format!("Content-Length: {length}"),
            Framing::Chunked => "Transfer-Encoding: chunked".to_owned(),
            Framing::None | Framing::UntilClose => "Content-Length: 0".to_owned(),
        };
        self.write(format!("HTTP/1.1 200 OK\r\n{how}\r\n\r\n").as_bytes()).await?;
        while let Some(piece) = self.piece().await? {
            if chunked {
                self.write(format!("{:x}\r\n", piece.len()).as_bytes()).await?;
            }
            self.write(&piece).await?;
            if chunked {
                self.write(b"\r\n").await?;
            }
        }
        if chunked {
            self.write(b"0\r\n\r\n").await?;
        }
        Ok(())
    }

    async fn web_socket(&mut self) -> Read<()> {
        let key = self.shared.seen()[self.at].get("sec-websocket-key").unwrap_or_default().to_owned();
        let accept = derive_accept_key(key.as_bytes());
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        self.write(head.as_bytes()).await?;
        let Some(wire) = self.wire.take() else { return Err(Fault::Ended) };
        let read = wire.buffer.to_vec();
        let mut socket = WebSocketStream::from_partially_read(wire.stream, read, Role::Server, None).await;
        while let Some(Ok(message)) = socket.next().await {
            if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
                break;
            }
        }
        Ok(())
    }
}

async fn events<S: Stream>(wire: &mut Wire<S>, count: usize, every: Duration) -> Read<()> {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    wire.stream.write_all(head.as_bytes()).await?;
    for _ in 0..count {
        tokio::time::sleep(every).await;
        let event = format!("data: {}\n\n", micros());
        wire.stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await?;
    }
    Ok(wire.stream.write_all(b"0\r\n\r\n").await?)
}
