//! Opening a connection to an endpoint: TCP, then TLS where it is asked for.
//!
//! What comes back is plain bytes and the protocol to speak on them. The connection counts
//! the bytes that come in, so that the exchange can tell whether a connection that died had
//! answered anything at all: only then is sending again out of the question.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpSocket, TcpStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{endpoint::Endpoint, input::Protocol};

/// The protocol both ends agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Negotiated {
    Http1,
    Http2,
}

/// A connection nothing has been sent on yet.
pub(crate) struct Opened {
    pub(crate) io: UpstreamIo,
    pub(crate) negotiated: Negotiated,
}

/// Connects to the first address that takes the connection.
pub(crate) async fn open(endpoint: &Endpoint) -> io::Result<Opened> {
    let mut last = io::Error::other("no address is known");
    for address in endpoint.addresses() {
        match connect(address, endpoint.receive_buffer).await {
            Ok(tcp) => {
                tcp.set_nodelay(true)?;
                return secure(endpoint, tcp).await;
            }
            Err(error) => last = io::Error::new(error.kind(), format!("{address}: {error}")),
        }
    }
    Err(last)
}

async fn connect(address: SocketAddr, receive_buffer: Option<u32>) -> io::Result<TcpStream> {
    let Some(size) = receive_buffer else { return TcpStream::connect(address).await };
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Before the handshake, which settles how large a window may become.
    socket.set_recv_buffer_size(size)?;
    socket.connect(address).await
}

async fn secure(endpoint: &Endpoint, tcp: TcpStream) -> io::Result<Opened> {
    let Some(tls) = &endpoint.tls else {
        let negotiated =
            if endpoint.protocol == Protocol::Http2 { Negotiated::Http2 } else { Negotiated::Http1 };
        return Ok(Opened { io: UpstreamIo::new(Stream::Plain(tcp)), negotiated });
    };
    let stream = TlsConnector::from(tls.config.clone())
        .connect(tls.name.clone(), tcp)
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("TLS: {error}")))?;
    let agreed = stream.get_ref().1.alpn_protocol();
    let negotiated = match (agreed, endpoint.protocol) {
        (Some(b"h2"), _) => Negotiated::Http2,
        (_, Protocol::Http2) => {
            return Err(io::Error::other("TLS: the endpoint does not offer HTTP/2 (ALPN h2)"));
        }
        _ => Negotiated::Http1,
    };
    Ok(Opened { io: UpstreamIo::new(Stream::Tls(Box::new(stream))), negotiated })
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// The bytes of a connection, counted as they come in.
pub(crate) struct UpstreamIo {
    stream: Stream,
    received: Arc<AtomicU64>,
}

impl UpstreamIo {
    fn new(stream: Stream) -> Self {
        Self { stream, received: Arc::default() }
    }

    #[cfg(test)]
    pub(crate) fn receive_buffer(&self) -> io::Result<usize> {
        let Stream::Plain(tcp) = &self.stream else { return Err(io::Error::other("TLS")) };
        socket2::SockRef::from(tcp).recv_buffer_size()
    }

    /// The count of bytes received so far; it goes on counting.
    pub(crate) fn received(&self) -> Arc<AtomicU64> {
        self.received.clone()
    }
}

impl AsyncRead for UpstreamIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(match &mut self.stream {
            Stream::Plain(io) => Pin::new(io).poll_read(cx, buf),
            Stream::Tls(io) => Pin::new(io).poll_read(cx, buf),
        })?;
        self.received.fetch_add((buf.filled().len() - before) as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for UpstreamIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(io) => Pin::new(io).poll_write(cx, buf),
            Stream::Tls(io) => Pin::new(io).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(io) => Pin::new(io).poll_write_vectored(cx, bufs),
            Stream::Tls(io) => Pin::new(io).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(io) => io.is_write_vectored(),
            Stream::Tls(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(io) => Pin::new(io).poll_flush(cx),
            Stream::Tls(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Stream::Tls(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}
