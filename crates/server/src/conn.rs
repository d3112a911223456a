//! What is known of a connection.

use std::{fmt, net::SocketAddr, sync::Arc};

use crate::{
    ConnSettings,
    load::{Load, Loads},
    stage::{Stage, StageCell},
    timers::Activity,
};

/// A client's connection: the facts that every request on it shares.
pub struct Conn {
    pub(crate) facts: ConnFacts,
    pub(crate) activity: Activity,
    stage: Arc<StageCell>,
    loads: Arc<Loads>,
    worker: usize,
}

/// What was learnt while the connection was opened.
#[derive(Debug)]
pub(crate) struct ConnFacts {
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) tls: bool,
    pub(crate) http2: bool,
    pub(crate) server_name: Option<Box<str>>,
}

impl Conn {
    pub(crate) fn new(
        facts: ConnFacts,
        activity: Activity,
        stage: Arc<StageCell>,
        loads: Arc<Loads>,
        worker: usize,
    ) -> Arc<Self> {
        Arc::new(Self { facts, activity, stage, loads, worker })
    }

    /// A plain HTTP/1.1 connection without a socket, for benches and tests of a handler.
    #[must_use]
    pub fn detached(peer: SocketAddr, local: SocketAddr) -> Arc<Self> {
        let facts = ConnFacts { peer, local, tls: false, http2: false, server_name: None };
        Self::new(facts, Activity::detached(&ConnSettings::default()), Arc::default(), Loads::new(1), 0)
    }

    /// The client's address and port, as the socket says.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.facts.peer
    }

    /// The address and port that the client connected to.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.facts.local
    }

    /// Whether it is encrypted.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.facts.tls
    }

    /// The name that the client asked for in the TLS handshake (SNI), in lower case.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        self.facts.server_name.as_deref()
    }

    /// Whether it speaks HTTP/2.
    #[must_use]
    pub fn is_http2(&self) -> bool {
        self.facts.http2
    }

    /// Whether the server is on its way out: clients are told to connect elsewhere.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.stage() > Stage::Serving
    }

    pub(crate) fn stage(&self) -> Stage {
        self.stage.get()
    }

    /// A request was given to the handler.
    pub(crate) fn request_began(&self, with_body: bool) {
        self.activity.request_began(with_body);
        self.load().request_began();
    }

    /// The request's answer has been taken to its end, or was dropped.
    pub(crate) fn request_ended(&self) {
        self.load().request_ended();
        self.activity.request_ended();
    }

    fn load(&self) -> &Load {
        &self.loads.each()[self.worker]
    }
}

impl fmt::Debug for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn")
            .field("facts", &self.facts)
            .field("worker", &self.worker)
            .finish_non_exhaustive()
    }
}
