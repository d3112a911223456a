//! The least a proxy can be with hyper: what the gateway is measured against.
//!
//! hyper's server on one side, `hyper::client::conn` on the other, a stack of idle
//! connections owned by the one thread, a current-thread runtime. No guards, no timers, no
//! header is looked at, nothing is counted.

use std::{
    cell::RefCell,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, Version, header};
use http_body::{Body, Frame, SizeHint};
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    task::spawn_local,
};

use crate::Failure;

#[derive(Debug)]
struct Pool {
    upstream: SocketAddr,
    idle: RefCell<Vec<SendRequest<Incoming>>>,
}

impl Pool {
    async fn take(&self) -> Result<SendRequest<Incoming>, Failure> {
        loop {
            let Some(mut sender) = self.idle.borrow_mut().pop() else { break };
            if sender.ready().await.is_ok() {
                return Ok(sender);
            }
        }
        let stream = TcpStream::connect(self.upstream).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // How it ended is told to the request that was on it.
        spawn_local(async move { drop(connection.await) });
        Ok(sender)
    }
}

/// A response body that gives its connection back at its end.
#[derive(Debug)]
struct Returning {
    body: Incoming,
    lease: Option<(SendRequest<Incoming>, Rc<Pool>)>,
}

impl Returning {
    fn give_back(&mut self) {
        if let Some((sender, pool)) = self.lease.take() {
            pool.idle.borrow_mut().push(sender);
        }
    }
}

impl Body for Returning {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if self.body.is_end_stream() && !matches!(frame, Some(Err(_))) {
            self.give_back();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

async fn forward(pool: Rc<Pool>, mut request: Request<Incoming>) -> Result<Response<Returning>, Failure> {
    if request.version() == Version::HTTP_2 {
        let uri = std::mem::take(request.uri_mut()).into_parts();
        if let Some(authority) = &uri.authority {
            request.headers_mut().insert(header::HOST, HeaderValue::from_str(authority.as_str())?);
        }
        *request.uri_mut() = Uri::from(uri.path_and_query.ok_or("a request without a path")?);
        *request.version_mut() = Version::HTTP_11;
    }
    let mut sender = pool.take().await?;
    let response = sender.send_request(request).await?;
    Ok(response.map(|body| Returning { body, lease: Some((sender, pool)) }))
}

/// Runs the streams of HTTP/2 connections on this thread.
#[derive(Clone, Copy, Debug)]
struct Local;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        spawn_local(future);
    }
}

/// Proxies to `upstream` until the process ends; `http2` is h2c by prior knowledge. Needs a
/// local runtime.
///
/// # Errors
///
/// Accepting failed.
pub async fn serve(listener: TcpListener, upstream: SocketAddr, http2: bool) -> std::io::Result<()> {
    let pool = Rc::new(Pool { upstream, idle: RefCell::default() });
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (pool, io) = (pool.clone(), TokioIo::new(stream));
        let service = service_fn(move |request| forward(pool.clone(), request));
        // How a connection ends is the load's to notice.
        if http2 {
            let serving = http2::Builder::new(Local).serve_connection(io, service);
            spawn_local(async move { drop(serving.await) });
        } else {
            let serving = http1::Builder::new().header_read_timeout(None).serve_connection(io, service);
            spawn_local(async move { drop(serving.await) });
        }
    }
}
