//! HTTP/1.1 as strictly as it can be read.
//!
//! Both ends of the strict path read with this: what RFC 9112 leaves to the recipient's
//! goodwill (bare LF, folded lines, chunk extensions, several lengths) is a fault here, since
//! a gateway's own output is canonical or it is wrong.

use std::{fmt, io};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Why reading stopped.
#[derive(Debug)]
pub enum Fault {
    /// The peer closed in the middle of a message.
    Ended,
    /// The connection failed.
    Io(io::Error),
    /// The bytes are not strictly valid.
    Invalid(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("closed in the middle of a message"),
            Self::Io(error) => write!(f, "connection failed: {error}"),
            Self::Invalid(what) => write!(f, "not valid: {what}"),
        }
    }
}

/// A result of reading.
pub type Read<T> = Result<T, Fault>;

fn invalid<T>(what: impl Into<String>) -> Read<T> {
    Err(Fault::Invalid(what.into()))
}

/// A connection and what has been read from it but not taken.
#[derive(Debug)]
pub struct Wire<S> {
    /// The connection.
    pub stream: S,
    /// Bytes that wait to be taken.
    pub buffer: BytesMut,
}

impl<S: AsyncRead + Unpin> Wire<S> {
    /// A connection from which nothing has been read.
    pub fn new(stream: S) -> Self {
        Self { stream, buffer: BytesMut::new() }
    }

    /// Reads what is there; 0 at the end.
    pub async fn fill(&mut self) -> io::Result<usize> {
        self.buffer.reserve(64 * 1024);
        self.stream.read_buf(&mut self.buffer).await
    }

    /// The next head, its last empty line included; `None` where the peer closed cleanly
    /// between messages.
    pub async fn head(&mut self) -> Read<Option<Bytes>> {
        loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                return Ok(Some(self.buffer.split_to(at + 4).freeze()));
            }
            if self.fill().await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(Fault::Ended) };
            }
        }
    }

    /// The next line without its CRLF.
    async fn line(&mut self) -> Read<Bytes> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let line = self.buffer.split_to(at).freeze();
                self.buffer.advance(2);
                return Ok(line);
            }
            if self.buffer.len() > 64 * 1024 {
                return invalid("a line without end");
            }
            if self.fill().await? == 0 {
                return Err(Fault::Ended);
            }
        }
    }

    /// Up to `most` bytes, at least one.
    async fn some(&mut self, most: u64) -> Read<Bytes> {
        if self.buffer.is_empty() && self.fill().await? == 0 {
            return Err(Fault::Ended);
        }
        let size = usize::try_from(most).unwrap_or(usize::MAX).min(self.buffer.len());
        Ok(self.buffer.split_to(size).freeze())
    }
}

/// How a message says where its body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// After so many bytes.
    Length(u64),
    /// With the last chunk.
    Chunked,
    /// When the connection closes; answers only.
    UntilClose,
}

impl Framing {
    /// What the fields of a request say.
    pub fn of(fields: &Fields) -> Read<Self> {
        let (lengths, codings) = (fields.all("content-length"), fields.all("transfer-encoding"));
        match (lengths.as_slice(), codings.as_slice()) {
            ([], []) => Ok(Self::None),
            ([length], []) => match length.parse() {
                Ok(bytes) if length.bytes().all(|b| b.is_ascii_digit()) => Ok(Self::Length(bytes)),
                _ => invalid(format!("Content-Length: {length}")),
            },
            ([], ["chunked"]) => Ok(Self::Chunked),
            _ => invalid(format!("Content-Length {lengths:?} beside Transfer-Encoding {codings:?}")),
        }
    }
}

/// Header or trailer fields in the order they came, their names as they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(pub Vec<(String, String)>);

impl Fields {
    /// Reads field lines, each with its CRLF, without the empty line after them.
    pub fn parse(block: &[u8]) -> Read<Self> {
        let mut fields = Vec::new();
        let mut rest = block;
        while !rest.is_empty() {
            let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else {
                return invalid("a field line without CRLF");
            };
            let line = &rest[..end];
            rest = &rest[end + 2..];
            let Some(colon) = line.iter().position(|&b| b == b':') else {
                return invalid(format!("a field without a colon: {:?}", text(line)));
            };
            let (name, value) = (&line[..colon], trim(&line[colon + 1..]));
            if name.is_empty() || !name.iter().copied().all(is_token) {
                return invalid(format!("a field name: {:?}", text(name)));
            }
            if value.iter().any(|&b| (b < b' ' && b != b'\t') || b == 0x7f) {
                return invalid(format!("a field value: {:?}", text(line)));
            }
            fields.push((text(name), text(value)));
        }
        Ok(Self(fields))
    }

    /// The only value of a field; a panic where there are several.
    pub fn get(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} came {} times: {all:?}", all.len());
        all.first().copied()
    }

    /// Every value of a field, in order.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect()
    }
}

/// Whether a byte may stand in a token (RFC 9110 section 5.6.2).
pub fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Bytes as text, one character each.
pub fn text(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// A body while it is read.
#[derive(Debug)]
pub struct Body {
    left: Left,
    /// Trailer fields, once the body has ended.
    pub trailers: Fields,
}

#[derive(Debug)]
enum Left {
    Bytes(u64),
    Chunk(u64),
    NextChunk,
    UntilClose,
    Done,
}

impl Body {
    /// A body that is framed so.
    pub fn new(framing: Framing) -> Self {
        let left = match framing {
            Framing::None | Framing::Length(0) => Left::Done,
            Framing::Length(bytes) => Left::Bytes(bytes),
            Framing::Chunked => Left::NextChunk,
            Framing::UntilClose => Left::UntilClose,
        };
        Self { left, trailers: Fields::default() }
    }

    /// Whether the body has ended as its framing says.
    pub fn done(&self) -> bool {
        matches!(self.left, Left::Done)
    }

    /// The next piece; `None` at the body's end.
    pub async fn next<S: AsyncRead + Unpin>(&mut self, wire: &mut Wire<S>) -> Read<Option<Bytes>> {
        loop {
            match self.left {
                Left::Done => return Ok(None),
                Left::Bytes(left) => {
                    let piece = wire.some(left).await?;
                    let left = left - piece.len() as u64;
                    self.left = if left == 0 { Left::Done } else { Left::Bytes(left) };
                    return Ok(Some(piece));
                }
                Left::UntilClose => {
                    return match wire.some(u64::MAX).await {
                        Err(Fault::Ended) => {
                            self.left = Left::Done;
                            Ok(None)
                        }
                        piece => piece.map(Some),
                    };
                }
                Left::Chunk(0) => {
                    if !wire.line().await?.is_empty() {
                        return invalid("a chunk longer than its size");
                    }
                    self.left = Left::NextChunk;
                }
                Left::Chunk(left) => {
                    let piece = wire.some(left).await?;
                    self.left = Left::Chunk(left - piece.len() as u64);
                    return Ok(Some(piece));
                }
                Left::NextChunk => {
                    let line = text(&wire.line().await?);
                    if line.is_empty() || !line.bytes().all(|b| b.is_ascii_hexdigit()) {
                        return invalid(format!("a chunk size: {line:?}"));
                    }
                    let Ok(size) = u64::from_str_radix(&line, 16) else {
                        return invalid(format!("a chunk size: {line:?}"));
                    };
                    if size > 0 {
                        self.left = Left::Chunk(size);
                        continue;
                    }
                    let mut block = Vec::new();
                    loop {
                        let line = wire.line().await?;
                        if line.is_empty() {
                            break;
                        }
                        block.extend_from_slice(&line);
                        block.extend_from_slice(b"\r\n");
                    }
                    self.trailers = Fields::parse(&block)?;
                    self.left = Left::Done;
                }
            }
        }
    }
}
