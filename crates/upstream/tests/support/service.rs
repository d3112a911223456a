//! A service that tells its pins, over HTTP/1.1 or HTTP/2.

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    net::SocketAddr,
    rc::Rc,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use sluicegate_upstream::LocalExec;
use tokio::{net::TcpListener, sync::Notify, task::spawn_local};

/// What it answers where its manifest is asked for.
#[derive(Clone, Debug)]
pub(crate) enum Manifest {
    /// This, with 200.
    Text(String),
    /// Nothing but a status.
    Status(u16),
    /// Nothing.
    Hang,
}

/// A service on the worker's own thread. Its manifest is at `/manifest`; all else gets 200.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    state: Rc<State>,
}

struct State {
    header: RefCell<String>,
    manifest: RefCell<Manifest>,
    answers: Cell<usize>,
    looks: Cell<usize>,
    held: Cell<bool>,
    released: Notify,
}

impl Service {
    /// One whose answers have this in `X-WFGY`, or no such header where it is empty.
    pub(crate) async fn start(header: &str) -> Self {
        Self::speaking(header, false).await
    }

    pub(crate) async fn speaking(header: &str, over_http2: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Rc::new(State {
            header: RefCell::new(header.to_owned()),
            manifest: RefCell::new(Manifest::Status(404)),
            answers: Cell::new(0),
            looks: Cell::new(0),
            held: Cell::new(false),
            released: Notify::new(),
        });
        let shared = state.clone();
        spawn_local(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let state = shared.clone();
                let io = TokioIo::new(socket);
                let serve = service_fn(move |request| answer(state.clone(), request));
                // A client that leaves ends it with an error.
                spawn_local(async move {
                    if over_http2 {
                        drop(http2::Builder::new(LocalExec).serve_connection(io, serve).await);
                    } else {
                        drop(http1::Builder::new().serve_connection(io, serve).await);
                    }
                });
            }
        });
        Self { address, state }
    }

    pub(crate) fn tell(&self, header: &str) {
        header.clone_into(&mut self.state.header.borrow_mut());
    }

    pub(crate) fn show(&self, manifest: Manifest) {
        *self.state.manifest.borrow_mut() = manifest;
    }

    pub(crate) fn show_text(&self, manifest: &str) {
        self.show(Manifest::Text(manifest.to_owned()));
    }

    /// Requests wait for their answers from now on.
    pub(crate) fn hold(&self) {
        self.state.held.set(true);
    }

    /// They wait no longer.
    pub(crate) fn release(&self) {
        self.state.held.set(false);
        self.state.released.notify_waiters();
    }

    /// Requests that have come; looks at the manifest are none.
    pub(crate) fn answers(&self) -> usize {
        self.state.answers.get()
    }

    /// Looks at the manifest.
    pub(crate) fn looks(&self) -> usize {
        self.state.looks.get()
    }
}

async fn answer(state: Rc<State>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() == "/manifest" {
        state.looks.set(state.looks.get() + 1);
        let manifest = state.manifest.borrow().clone();
        return Ok(match manifest {
            Manifest::Text(text) => Response::new(Full::from(text)),
            Manifest::Status(status) => {
                Response::builder().status(status).body(Full::from("not a manifest")).unwrap()
            }
            Manifest::Hang => std::future::pending().await,
        });
    }
    state.answers.set(state.answers.get() + 1);
    while state.held.get() {
        state.released.notified().await;
    }
    let mut response = Response::builder();
    for line in state.header.borrow().split('\n').filter(|line| !line.is_empty()) {
        response = response.header("x-wfgy", line);
    }
    Ok(response.body(Full::from("ok")).unwrap())
}
