//! Opening a connection: its PROXY header where the listener has them, then the TLS handshake, or
//! telling the protocol of a plain one, within `header_read`; within [`LAST_CHANCE`] once the server
//! closes. What could not be opened is counted before it is closed, so that whoever sees the end of
//! such a connection finds it counted.

use std::{future::poll_fn, net::SocketAddr, pin::pin, task::Poll};

use bytes::Bytes;
use sluicegate_core::TrustedPeers;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep_until},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    conn::ConnFacts,
    io::Stream,
    metrics::{Metrics, Reason},
    proxied, sniff,
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

/// Opens a connection, which begins with a PROXY header where there are `trusted` peers to send
/// one; `Ok(None)` when the client left without a byte.
pub(crate) async fn open(
    mut stream: TcpStream,
    certificate: Option<&Certificate>,
    (peer, local, trusted): (SocketAddr, SocketAddr, Option<&TrustedPeers>),
    deadline: Instant,
    (stage, metrics): (&StageCell, &Metrics),
) -> Result<Option<Opened>, Reason> {
    let mut opening = pin!(async {
        let peer = match trusted {
            // It is rare, and its room would be part of every connection's future.
            Some(trusted) => match Box::pin(proxied::peer(&mut stream, peer, trusted)).await {
                Ok(peer) => peer,
                Err(reason) => return Err((reason, Some(stream))),
            },
            None => peer,
        };
        match certificate {
            Some(certificate) => encrypted(stream, certificate, peer, local).await.map(Some),
            None => plain(stream, peer, local).await,
        }
    });
    let mut alarm = pin!(sleep_until(deadline));
    let mut hurried = false;
    let opened = poll_fn(|cx| {
        if let Poll::Ready(opened) = opening.as_mut().poll(cx) {
            return Poll::Ready(opened);
        }
        if stage.get() == Stage::Closing && !hurried {
            hurried = true;
            alarm.as_mut().reset(deadline.min(Instant::now() + LAST_CHANCE));
        }
        alarm.as_mut().poll(cx).map(|()| Err((Reason::header_timeout, None)))
    })
    .await;
    // The connection is there yet: in the error, or in what was still opening it.
    opened.map_err(|(reason, _stream)| {
        metrics.error(reason);
        reason
    })
}

/// Why a connection could not be opened, and the connection where it is not held elsewhere.
type Unopened = (Reason, Option<TcpStream>);

async fn encrypted(
    stream: TcpStream,
    certificate: &Certificate,
    peer: SocketAddr,
    local: SocketAddr,
) -> Result<Opened, Unopened> {
    let acceptor = TlsAcceptor::from(certificate.config.clone());
    let stream = acceptor.accept(stream).into_fallible().await.map_err(|(error, stream)| {
        tracing::debug!(%peer, %error, "TLS handshake failed");
        (Reason::tls, Some(stream))
    })?;
    let session = stream.get_ref().1;
    let http2 = session.alpn_protocol() == Some(b"h2");
    let server_name = session.server_name().map(|name| name.to_ascii_lowercase().into_boxed_str());
    let facts = ConnFacts { peer, local, tls: true, http2, server_name };
    Ok(Opened { stream: Stream::Tls(Box::new(stream)), ahead: Bytes::new(), facts })
}

async fn plain(
    mut stream: TcpStream,
    peer: SocketAddr,
    local: SocketAddr,
) -> Result<Option<Opened>, Unopened> {
    let Ok(told) = sniff::is_http2(&mut stream).await else { return Err((Reason::io, Some(stream))) };
    Ok(told.map(|(http2, ahead)| {
        let facts = ConnFacts { peer, local, tls: false, http2, server_name: None };
        Opened { stream: Stream::Plain(stream), ahead, facts }
    }))
}
