//! Starting and stopping an instance.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use crate::{
    api::{self, Service},
    audit::{Audit, RequestCounts, Requests},
    chance::Chance,
    connection,
    corpus::{self, Document},
    index::Index,
    keys::Keys,
    pins::Pins,
    stop,
    switches::{Settings, Switches},
};

/// How long [`Running::stop`] lets requests finish before their connections are dropped.
pub const STOP_GRACE: Duration = Duration::from_secs(1);
/// How long to wait where a connection cannot be accepted, for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// How to start an instance.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// The model version it tells, `MODEL_VER`.
    pub version: String,
    /// The seed of its chance: failures, jitter, ids.
    pub seed: u64,
    /// Pins to add, or to show in place of the usual ones.
    pub pins: BTreeMap<String, String>,
    /// How its switches stand at first.
    pub switches: Settings,
    /// The documents it starts with; `None` for the embedded ones.
    pub documents: Option<Vec<Document>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            version: "m-1".to_owned(),
            seed: 0,
            pins: BTreeMap::new(),
            switches: Settings::default(),
            documents: None,
        }
    }
}

/// A running instance. Dropping it stops it without waiting for its end.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    switches: Switches,
    audit: Audit,
    requests: Requests,
    stopping: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its switches.
    #[must_use]
    pub fn switches(&self) -> Switches {
        self.switches.clone()
    }

    /// Its record of writes.
    #[must_use]
    pub fn audit(&self) -> Audit {
        self.audit.clone()
    }

    /// Its counts of requests.
    #[must_use]
    pub fn requests(&self) -> RequestCounts {
        self.requests.look()
    }

    /// Stops accepting, lets what has begun finish for [`STOP_GRACE`], drops the rest.
    pub async fn stop(self) {
        self.stopping.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the accept loop ended badly");
        }
    }
}

/// Starts an instance on the current tokio runtime.
///
/// Fails where the address cannot be listened on, and with `InvalidInput` where a pin, a
/// switch or a document cannot be used; the message says which.
pub async fn start(options: Options) -> io::Result<Running> {
    let invalid =
        |error: &dyn std::fmt::Display| io::Error::new(io::ErrorKind::InvalidInput, error.to_string());
    let pins = Pins::new(options.version, options.pins).map_err(|error| invalid(&error))?;
    let switches = Switches::new(options.switches).map_err(|error| invalid(&error))?;
    let documents = match options.documents {
        Some(documents) => documents,
        None => corpus::embedded().map_err(|error| invalid(&error))?,
    };
    let listener = TcpListener::bind(options.address).await.map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {}: {error}", options.address))
    })?;
    let address = listener.local_addr()?;
    let (stopping, stopped) = watch::channel(false);
    let (audit, requests) = (Audit::new(), Requests::default());
    let router = api::router(Arc::new(Service {
        index: Index::new(pins, documents),
        switches: switches.clone(),
        chance: Chance::seeded(options.seed),
        audit: audit.clone(),
        requests: requests.clone(),
        keys: Keys::default(),
        stopping: stopped.clone(),
    }));
    let task = tokio::spawn(accept(listener, router, stopped));
    Ok(Running { address, switches, audit, requests, stopping, task })
}

async fn accept(listener: TcpListener, router: Router, mut stopping: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let stopped = stopping.clone();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    // Only latency is lost where it cannot be set.
                    let _ = socket.set_nodelay(true);
                    connections.spawn(connection::serve(socket, router.clone(), stopped.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = stop::told(&mut stopping) => break,
        }
    }
    drop(listener);
    let finished = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_GRACE, finished).await.is_err() {
        connections.shutdown().await;
    }
}
