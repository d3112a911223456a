//! An upstream that answers by a function, and keeps what came.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinSet};

/// One request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Asked {
    /// A header's value, empty where there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// Whether it is a copy.
    pub(crate) fn is_copy(&self) -> bool {
        self.headers.contains_key("x-sluicegate-shadow")
    }
}

/// An answer.
pub(crate) type Reply = Response<Full<Bytes>>;

/// A 200 with JSON.
pub(crate) fn json(value: &Value) -> Reply {
    let response = Response::builder().header("content-type", "application/json");
    response.body(Full::from(value.to_string())).unwrap()
}

/// An answer with this header is not given: the connection breaks.
const BREAK: &str = "x-break";

/// No answer.
pub(crate) fn broken() -> Reply {
    Response::builder().header(BREAK, "1").body(Full::default()).unwrap()
}

/// A running one; it ends when it is dropped.
pub(crate) struct Origin {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Asked>>>,
    _tasks: JoinSet<()>,
}

impl Origin {
    /// One that gives these answers.
    pub(crate) async fn start<F, R>(answer: F) -> Self
    where
        F: Fn(Asked) -> R + Send + Sync + 'static,
        R: Future<Output = Reply> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, answer) = (Arc::new(Mutex::new(Vec::new())), Arc::new(answer));
        let (all, mut tasks) = (seen.clone(), JoinSet::new());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                while connections.try_join_next().is_some() {}
                let Ok((stream, _)) = listener.accept().await else { continue };
                let _ = stream.set_nodelay(true);
                let (all, answer) = (all.clone(), answer.clone());
                let service = service_fn(move |request| serve(request, all.clone(), answer.clone()));
                connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, seen, _tasks: tasks }
    }

    /// One that always says `ok`.
    pub(crate) async fn plain() -> Self {
        Self::start(|_| async { Response::new(Full::from("ok")) }).await
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every request so far, in the order in which they were read.
    pub(crate) fn seen(&self) -> Vec<Asked> {
        self.seen.lock().unwrap().clone()
    }

    /// How many there were.
    pub(crate) fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

async fn serve<F, R>(
    request: Request<Incoming>,
    seen: Arc<Mutex<Vec<Asked>>>,
    answer: Arc<F>,
) -> io::Result<Reply>
where
    F: Fn(Asked) -> R + Send + Sync + 'static,
    R: Future<Output = Reply> + Send + 'static,
{
    let (head, body) = request.into_parts();
    // A body that broke off is not a request that was made.
    let Ok(body) = body.collect().await else { return Ok(Response::new(Full::default())) };
    let path = head.uri.path_and_query().map_or("", |it| it.as_str()).to_owned();
    let asked = Asked { method: head.method, path, headers: head.headers, body: body.to_bytes() };
    seen.lock().unwrap().push(asked.clone());
    let reply = answer(asked).await;
    if reply.headers().contains_key(BREAK) { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(reply) }
}
