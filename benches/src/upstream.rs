//! The upstream behind every proxy: 1 KiB of JSON for whatever is not a POST, the request's
//! own body for what is.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::{Either, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::spawn_local};

/// Bytes of the answer to a GET, and of the body of the load's POST.
pub const SIZE: usize = 1024;

/// A JSON text of [`SIZE`] bytes.
#[must_use]
pub fn json() -> Vec<u8> {
    let (before, after) = (r#"{"text":""#, r#""}"#);
    let filling = "x".repeat(SIZE - before.len() - after.len());
    [before, &filling, after].concat().into_bytes()
}

type Answer = Response<Either<Full<Bytes>, Incoming>>;

fn answer(text: &Bytes, request: Request<Incoming>) -> Answer {
    let body = if request.method() == Method::POST {
        Either::Right(request.into_body())
    } else {
        Either::Left(Full::new(text.clone()))
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Serves HTTP/1.1 until the process ends. Needs a local runtime.
///
/// # Errors
///
/// Accepting failed.
pub async fn serve(listener: TcpListener) -> std::io::Result<()> {
    let text = Bytes::from(json());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let text = text.clone();
        let service =
            service_fn(move |request| std::future::ready(Ok::<_, Infallible>(answer(&text, request))));
        let serving =
            http1::Builder::new().header_read_timeout(None).serve_connection(TokioIo::new(stream), service);
        // How a connection ends is the load's to notice.
        spawn_local(async move { drop(serving.await) });
    }
}
