//! Opening a connection: the TLS handshake, or telling the protocol of a plain one, within
//! `header_read`; within [`LAST_CHANCE`] once the server closes.

use std::{future::poll_fn, io, net::SocketAddr, pin::pin, task::Poll};

use bytes::Bytes;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep_until},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    conn::ConnFacts,
    io::Stream,
    metrics::Reason,
    sniff,
    stage::{Stage, StageCell},
    timers::LAST_CHANCE,
    tls::Certificate,
};

/// A connection that is ready for HTTP.
pub(crate) struct Opened {
    pub(crate) stream: Stream,
    /// Read already.
    pub(crate) ahead: Bytes,
    pub(crate) facts: ConnFacts,
}

/// Opens a connection; `Ok(None)` when the client left without a byte.
pub(crate) async fn open(
    stream: TcpStream,
    certificate: Option<&Certificate>,
    (peer, local): (SocketAddr, SocketAddr),
    deadline: Instant,
    stage: &StageCell,
) -> Result<Option<Opened>, Reason> {
    let mut opening = pin!(async {
        match certificate {
            Some(certificate) => encrypted(stream, certificate, peer, local).await.map(Some),
            None => plain(stream, peer, local).await,
        }
    });
    let mut alarm = pin!(sleep_until(deadline));
    let mut hurried = false;
    poll_fn(|cx| {
        if let Poll::Ready(opened) = opening.as_mut().poll(cx) {
            return Poll::Ready(opened);
        }
        if stage.get() == Stage::Closing && !hurried {
            hurried = true;
            alarm.as_mut().reset(deadline.min(Instant::now() + LAST_CHANCE));
        }
        alarm.as_mut().poll(cx).map(|()| Err(Reason::header_timeout))
    })
    .await
}

async fn encrypted(
    stream: TcpStream,
    certificate: &Certificate,
    peer: SocketAddr,
    local: SocketAddr,
) -> Result<Opened, Reason> {
    let acceptor = TlsAcceptor::from(certificate.config.clone());
    let stream = acceptor.accept(stream).await.map_err(|error| {
        tracing::debug!(%peer, %error, "TLS handshake failed");
        Reason::tls
    })?;
    let session = stream.get_ref().1;
    let http2 = session.alpn_protocol() == Some(b"h2");
    let server_name = session.server_name().map(|name| name.to_ascii_lowercase().into_boxed_str());
    let facts = ConnFacts { peer, local, tls: true, http2, server_name };
    Ok(Opened { stream: Stream::Tls(Box::new(stream)), ahead: Bytes::new(), facts })
}

async fn plain(mut stream: TcpStream, peer: SocketAddr, local: SocketAddr) -> Result<Option<Opened>, Reason> {
    let told = sniff::is_http2(&mut stream).await.map_err(|_: io::Error| Reason::io)?;
    Ok(told.map(|(http2, ahead)| {
        let facts = ConnFacts { peer, local, tls: false, http2, server_name: None };
        Opened { stream: Stream::Plain(stream), ahead, facts }
    }))
}
