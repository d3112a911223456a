//! An upstream that speaks HTTP/2 with prior knowledge, by hyper.
//!
//! It answers every request with its body and, as trailers, what came as trailers plus
//! `x-answered: yes`.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpListener, task::JoinSet};

/// One request as it came.
#[derive(Clone, Debug)]
pub struct H2Seen {
    /// Method and path.
    pub line: String,
    /// Its authority.
    pub authority: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its content.
    pub body: Bytes,
    /// Its trailers.
    pub trailers: HeaderMap,
}

/// A running upstream; it ends when it is dropped.
pub struct H2Upstream {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<H2Seen>>>,
    connections: Arc<AtomicUsize>,
    _task: JoinSet<()>,
}

impl H2Upstream {
    /// Starts one on a free port of 127.0.0.1.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let (all, count) = (seen.clone(), connections.clone());
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut running = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let all = all.clone();
                let service = service_fn(move |request| answer(request, all.clone()));
                let connection =
                    http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
                running.spawn(connection);
            }
        });
        Self { address, seen, connections, _task: task }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<H2Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// How many connections were ever made.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn answer(
    request: Request<Incoming>,
    seen: Arc<Mutex<Vec<H2Seen>>>,
) -> Result<Response<impl hyper::body::Body<Data = Bytes, Error = Infallible>>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    let body = body.to_bytes();
    seen.lock().unwrap().push(H2Seen {
        line: format!("{} {}", parts.method, parts.uri.path_and_query().map_or("", |path| path.as_str())),
        authority: parts.uri.authority().map(ToString::to_string).unwrap_or_default(),
        headers: parts.headers,
        body: body.clone(),
        trailers: trailers.clone(),
    });
    let mut back = trailers;
    back.insert("x-answered", HeaderValue::from_static("yes"));
    Ok(Response::new(Full::new(body).with_trailers(async move { Some(Ok(back)) })))
}
