//! A strict upstream: it reads HTTP/1.1 to the letter, writes down exactly what came, and
//! answers by script.
//!
//! Every request is a [`Seen`]; what is not strictly valid is a violation, and the test that
//! looks at [`Upstream::violations`] fails. A script is a list of [`Step`]s; a path without
//! one reads the body and answers 200.

mod serve;
mod step;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use socket2::SockRef;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::{
    eventually,
    tick::Tick,
    wire::{Fields, Framing},
};

pub use step::{Gate, Step, response};

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Which of the upstream's connections it came on, counted from 0.
    pub connection: usize,
    /// The head's bytes, one character each.
    pub head: String,
    /// Its method.
    pub method: String,
    /// Its target.
    pub target: String,
    /// Its header fields.
    pub fields: Fields,
    /// How its body was framed.
    pub framing: Framing,
    /// How many bytes of body came.
    pub length: u64,
    /// The first bytes of the body.
    pub body: Vec<u8>,
    /// The SHA-256 of the body, where the script read it to the end.
    pub digest: Option<String>,
    /// Its trailer fields.
    pub trailers: Fields,
    /// Whether the body ended as its framing says.
    pub complete: bool,
    /// When its head had come.
    pub began: Tick,
    /// When the work for it was done: before the answer's last bytes went out, or when the
    /// connection broke.
    pub ended: Option<Tick>,
    /// Whether the peer went away, or the script broke off, before the answer was out.
    pub cut_off: bool,
}

impl Seen {
    /// Its method and target.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }

    /// The only value of a header field.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(name)
    }
}

#[derive(Default)]
struct Shared {
    scripts: Mutex<HashMap<String, Arc<[Step]>>>,
    seen: Mutex<Vec<Seen>>,
    violations: Mutex<Vec<String>>,
    connections: AtomicUsize,
    open: AtomicUsize,
    brief: AtomicBool,
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap()
    }

    fn violation(&self, what: String) {
        self.violations.lock().unwrap().push(what);
    }
}

/// A running upstream; its connections end when it is dropped.
pub struct Upstream {
    address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

impl Upstream {
    /// A plain one on a free port of 127.0.0.1.
    pub async fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), None).await
    }

    /// One that speaks TLS with `server`'s certificate.
    pub async fn start_tls(server: TlsAcceptor) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), Some(server)).await
    }

    /// A plain one whose system keeps no more than so many bytes of what it sends and its peer has
    /// not taken.
    pub async fn start_keeping(bytes: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        SockRef::from(&listener).set_send_buffer_size(bytes).unwrap();
        Self::serve(listener, None)
    }

    /// One at an address that is known already.
    pub async fn start_at(address: SocketAddr, tls: Option<TlsAcceptor>) -> Self {
        Self::serve(TcpListener::bind(address).await.unwrap(), tls)
    }

    fn serve(listener: TcpListener, tls: Option<TlsAcceptor>) -> Self {
        let address = listener.local_addr().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let shared = Arc::new(Shared::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, tls, shared.clone()));
        Self { address, scheme, shared, tasks }
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// What to do for requests whose target, up to a `?`, is `path`.
    pub fn on(&self, path: &str, script: impl Into<Arc<[Step]>>) -> &Self {
        self.shared.scripts.lock().unwrap().insert(path.to_owned(), script.into());
        self
    }

    /// Answers requests for `path` with these bytes, after reading them whole.
    pub fn answer(&self, path: &str, bytes: impl Into<bytes::Bytes>) -> &Self {
        self.on(path, [Step::Read, Step::Send(bytes.into())])
    }

    /// Keeps only method, target and ticks of a request that has ended: for long runs.
    pub fn brief(&self) -> &Self {
        self.shared.brief.store(true, Ordering::SeqCst);
        self
    }

    /// Every request so far, in the order their heads came.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen().clone()
    }

    /// The requests whose target, up to a `?`, is `path`.
    pub fn seen_at(&self, path: &str) -> Vec<Seen> {
        self.shared.seen().iter().filter(|seen| path_of(&seen.target) == path).cloned().collect()
    }

    /// How many requests came for `path`.
    pub fn count(&self, path: &str) -> usize {
        self.shared.seen().iter().filter(|seen| path_of(&seen.target) == path).count()
    }

    /// How many requests are under way.
    pub fn running(&self) -> usize {
        self.shared.seen().iter().filter(|seen| seen.ended.is_none()).count()
    }

    /// Forgets the requests that have ended.
    pub fn forget(&self) {
        assert_eq!(self.running(), 0, "requests are still under way");
        self.shared.seen().clear();
    }

    /// What came that was not strictly valid.
    pub fn violations(&self) -> Vec<String> {
        self.shared.violations.lock().unwrap().clone()
    }

    /// How many connections were ever made.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Closes the listener and every connection, and waits for that.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
        // The connections' tasks have been told to end, which is not yet to have ended.
        eventually("every connection is closed", || self.open() == 0).await;
    }
}

fn path_of(target: &str) -> &str {
    target.split('?').next().unwrap_or_default()
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    // Dropped before the connections are: whoever has lost one finds nobody here any more.
    let listener = listener;
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let number = shared.connections.fetch_add(1, Ordering::SeqCst);
        let (tls, shared) = (tls.clone(), shared.clone());
        let open = Open::new(shared.clone());
        connections.spawn(async move {
            match tls {
                None => serve::connection(stream, number, &shared).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve::connection(stream, number, &shared).await;
                    }
                }
            }
            drop(open);
        });
    }
}

struct Open(Arc<Shared>);

impl Open {
    fn new(shared: Arc<Shared>) -> Self {
        shared.open.fetch_add(1, Ordering::SeqCst);
        Self(shared)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}
