//! One GET that the gateway sends on its own account: a probe, or a look at a manifest.
//!
//! It opens a connection of its own: that an idle pooled connection still stands says nothing
//! about a service that no longer accepts. How long it may take is the caller's to say.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use crate::{
    connect::{Negotiated, open},
    endpoint::Endpoint,
};

/// The status of what `path` answers, and its body up to `cap` bytes, a larger one being an error;
/// without a cap the body is not read.
pub(crate) async fn fetch(
    endpoint: &Endpoint,
    path: &str,
    cap: Option<usize>,
) -> Result<(StatusCode, Bytes), String> {
    let opened = open(endpoint).await.map_err(said)?;
    let request = Request::get(path)
        .header("host", &endpoint.host_header)
        .header("user-agent", "sluicegate-probe")
        .body(Empty::<Bytes>::new())
        .map_err(said)?;
    match opened.negotiated {
        Negotiated::Http1 => {
            let (mut sender, conn) = http1::handshake(TokioIo::new(opened.io)).await.map_err(said)?;
            let asked = async { read(sender.send_request(request).await.map_err(said)?, cap).await };
            while_driven(asked, conn).await
        }
        Negotiated::Http2 => {
            let (mut parts, body) = request.into_parts();
            let scheme = if endpoint.tls.is_some() { "https" } else { "http" };
            parts.headers.remove("host");
            parts.uri = format!("{scheme}://{}{path}", endpoint.authority).parse().map_err(said)?;
            let (mut sender, conn) = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .handshake(TokioIo::new(opened.io))
                .await
                .map_err(said)?;
            let request = Request::from_parts(parts, body);
            let asked = async { read(sender.send_request(request).await.map_err(said)?, cap).await };
            while_driven(asked, conn).await
        }
    }
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// What `asked` comes to while its connection runs. A connection that ends may have brought all of
/// the answer: `asked` knows.
async fn while_driven<T, C: Future>(asked: impl Future<Output = T>, conn: C) -> T {
    let driven = async {
        conn.await;
        std::future::pending::<()>().await;
    };
    tokio::pin!(asked, driven);
    std::future::poll_fn(|cx| {
        // The connection first: what it has read by then is there to be asked for.
        let _ = driven.as_mut().poll(cx);
        asked.as_mut().poll(cx)
    })
    .await
}

async fn read(response: Response<Incoming>, cap: Option<usize>) -> Result<(StatusCode, Bytes), String> {
    let status = response.status();
    let Some(cap) = cap else { return Ok((status, Bytes::new())) };
    match Limited::new(response.into_body(), cap).collect().await {
        Ok(body) => Ok((status, body.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => Err(format!("it has more than {cap} bytes")),
        Err(error) => Err(said(error)),
    }
}
