//! The IO of a connection: the socket, what was read ahead of HTTP, and where it is noted that
//! bytes move.
//!
//! The connection is counted as open exactly as long as this exists, upgraded or not.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

use crate::{
    conn::Conn,
    load::Open,
    timers::{Activity, Phase},
};

/// A client's byte stream.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    // Boxed: a TLS session is many times the size of a socket.
    Tls(Box<TlsStream<TcpStream>>),
}

macro_rules! each {
    ($stream:expr, $inner:ident => $call:expr) => {
        match $stream {
            Stream::Plain($inner) => {
                let $inner = Pin::new($inner);
                $call
            }
            Stream::Tls($inner) => {
                let $inner = Pin::new($inner.as_mut());
                $call
            }
        }
    };
}

/// What hyper reads from and writes to.
#[derive(Debug)]
pub(crate) struct Io {
    stream: Stream,
    /// Read while the protocol was told; comes before what the stream still has.
    ahead: Bytes,
    conn: Arc<Conn>,
    /// Whether the client has closed its side.
    ended: bool,
    _open: Open,
}

impl Io {
    pub(crate) fn new(stream: Stream, ahead: Bytes, conn: Arc<Conn>, open: Open) -> Self {
        Self { stream, ahead, conn, ended: false, _open: open }
    }

    /// Whether the client has closed its side.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    fn activity(&self) -> &Activity {
        &self.conn.activity
    }

    /// Notes how a write of `offered` bytes went.
    fn wrote(&self, offered: usize, result: &Poll<io::Result<usize>>) {
        match result {
            Poll::Ready(Ok(written)) if *written < offered => self.activity().write_pending(true),
            Poll::Ready(Ok(_)) => self.activity().write_done(),
            Poll::Pending => self.activity().write_pending(false),
            Poll::Ready(Err(_)) => {}
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.ahead.has_remaining() {
            let taken = this.ahead.len().min(buf.remaining());
            buf.put_slice(&this.ahead.split_to(taken));
            this.activity().bytes_read();
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        match ready!(each!(&mut this.stream, stream => stream.poll_read(cx, buf))) {
            Ok(()) => {}
            // Many clients leave without TLS's close_notify. Between requests that is an end
            // like any other; inside a message it stays an error.
            Err(error)
                if error.kind() == io::ErrorKind::UnexpectedEof
                    && matches!(this.activity().phase(), Phase::Fresh | Phase::Idle) => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
        if buf.filled().len() > before {
            this.activity().bytes_read();
        } else if buf.remaining() > 0 {
            this.ended = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = each!(&mut self.stream, stream => stream.poll_write(cx, buf));
        self.wrote(buf.len(), &result);
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = each!(&mut self.stream, stream => stream.poll_write_vectored(cx, bufs));
        self.wrote(bufs.iter().map(|buf| buf.len()).sum(), &result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = each!(&mut self.stream, stream => stream.poll_flush(cx));
        if result.is_pending() {
            // TLS takes whole records and holds back what the socket does not.
            self.activity().write_pending(false);
        }
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(&mut self.stream, stream => stream.poll_shutdown(cx))
    }
}
