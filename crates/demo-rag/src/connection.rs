//! One accepted connection: HTTP/1.1 or HTTP/2 without encryption, told by its first bytes.
//!
//! An answer marked [`BreakOff`] is not sent: the connection is dropped with a reset, so
//! that the client sees what it would see of a process that died. On a stop, a connection
//! finishes what it has begun.

use std::{
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use axum::{Router, body::Body};
use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::{Notify, watch},
};
use tower_service::Service as _;

use crate::{faults::BreakOff, stop};

/// Whether the connection is to be broken off, shared by its requests and its socket.
#[derive(Debug, Default)]
struct Link {
    broken: AtomicBool,
    told: Notify,
}

/// Serves a connection to its end.
pub(crate) async fn serve(socket: TcpStream, router: Router, mut stopping: watch::Receiver<bool>) {
    let link = Arc::new(Link::default());
    let io = TokioIo::new(Socket { inner: socket, link: Arc::clone(&link) });
    let service = service_fn(|request| answer(request, router.clone(), Arc::clone(&link)));
    let builder = auto::Builder::new(TokioExecutor::new());
    let mut connection = pin!(builder.serve_connection(io, service));
    let mut told = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection ended");
                }
                return;
            }
            () = link.told.notified() => return,
            () = stop::told(&mut stopping), if !told => {
                told = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    mut router: Router,
    link: Arc<Link>,
) -> io::Result<Response<Body>> {
    // A router is always ready and never fails.
    let Ok(response) = router.call(request).await;
    if response.extensions().get::<BreakOff>().is_some() {
        link.broken.store(true, Ordering::Release);
        link.told.notify_one();
        return Err(io::Error::other("switched to break off"));
    }
    Ok(response)
}

/// A socket that is closed by a reset where its connection was broken off.
struct Socket {
    inner: TcpStream,
    link: Arc<Link>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.link.broken.load(Ordering::Acquire) {
            // With no time to linger the system drops what is unsent and resets; where that
            // cannot be set, the client sees an early end instead.
            let _ = self.inner.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
