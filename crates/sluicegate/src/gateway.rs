//! The gateway, put together.
//!
//! The order of the stack is known here and nowhere else. Outermost first:
//!
//! 1. ingress ([`crate::ingress`]): framing, ids, forwarded fields, record
//! 2. classify: route, access, tenant, deadline; takes the snapshot's rules, once
//! 3. freeze: refuses writes while one is on; counts those it lets through
//! 4. upstream: the pooled connection
//!
//! One such stack is built per worker, on the worker, and never again: what changes is the
//! snapshot it reads.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use hyper::body::Incoming;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use sluicegate_admin::{Admin, AdminParts, Audit, Readiness, Token};
use sluicegate_body::Inbound;
use sluicegate_classify::{Classify, ClassifyLayer, PeekedBody};
use sluicegate_config::{
    Loaded, Rejected,
    document::{Document, StoreInput},
};
use sluicegate_core::{Chance, Clock};
use sluicegate_freeze::{Freeze, FreezeLayer, Freezes, OpenOptions};
use sluicegate_server::{Closed, ConnSettings, Inherited, Server, ServerOptions};
use sluicegate_upstream::{Proxy, UpstreamMetrics, Upstreams};
use tokio::runtime::Handle;
use tower_layer::Layer;

use crate::{
    admin_port::AdminPort,
    control::{self, ConfigMetrics, Control, Parts, Shared},
    ingress::Ingress,
    logging::LogSwitch,
    metrics::RequestMetrics,
    sections::{Endpoints, Listeners},
    snapshot::Snapshot,
};

/// The body as the upstream layer gets it.
type Body = PeekedBody<Inbound<Incoming>>;
/// The stack below the ingress.
pub type Stack = Classify<Freeze<Proxy<Body>>, Arc<ArcSwap<Snapshot>>>;

/// What a gateway is started with.
pub struct Options {
    /// The first document.
    pub loaded: Loaded,
    /// Where everything runs that is not the data path.
    pub side: Handle,
    /// Sockets from the service manager.
    pub inherited: Inherited,
    /// Sets the level of the process's log.
    pub log: LogSwitch,
}

/// Why a gateway could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The document cannot be run.
    #[error("{0}")]
    Rejected(#[from] Rejected),
    /// The state on disk cannot be used.
    #[error("{0}")]
    Store(#[from] sluicegate_freeze::OpenError),
    /// The system refused threads or sockets.
    #[error("the gateway cannot be started: {0}")]
    System(#[from] io::Error),
}

/// A running gateway.
pub struct Gateway {
    control: Arc<Control>,
    server: Arc<Server>,
    readiness: Arc<Readiness>,
    side: Handle,
    audit: Audit,
    file: Option<PathBuf>,
}

impl Gateway {
    /// Starts a gateway and takes its first document. Blocking.
    pub fn start(options: Options) -> Result<Self, StartError> {
        let Options { loaded, side, inherited, log } = options;
        let document = loaded.document.clone();
        let file = loaded.source.file.clone();
        let registry = Arc::new(Mutex::new(Registry::default()));
        let clock = Clock::system();
        let workers = workers(&document);
        let folder = match &document.store {
            StoreInput::Embedded(embedded) => Some(loaded.source.resolve(&embedded.path)),
            StoreInput::Memory(_) | StoreInput::Redis(_) => None,
        };

        let mut metrics = registry.lock();
        let freezes = Freezes::open(
            OpenOptions {
                path: folder.as_ref().map(|folder| folder.join("freeze.json")),
                clock: clock.clone(),
                chance: Arc::new(Chance::from_system()),
                shards: workers,
            },
            &mut metrics,
        )?;
        let requests = RequestMetrics::register(&mut metrics);
        let upstreams = Upstreams::new(UpstreamMetrics::register(&mut metrics), side.clone());
        let empty = Snapshot::empty(&upstreams);
        let snapshot = Arc::new(ArcSwap::from_pointee(empty));
        let readiness = Arc::new(Readiness::default());
        let audit = Audit::new(clock.clone(), None, readiness.clone(), &mut metrics);
        let config_metrics = ConfigMetrics::register(&mut metrics);
        let make = {
            let (snapshot, freezes, requests) = (snapshot.clone(), freezes.clone(), requests.clone());
            move |_| ingress(&snapshot, &freezes, &requests)
        };
        let server = Arc::new(Server::start(ServerOptions {
            workers,
            side: side.clone(),
            registry: &mut metrics,
            inherited,
            settings: ConnSettings::default(),
            make,
        })?);
        drop(metrics);

        let token = Arc::new(Token::new(None));
        let parts = Parts {
            server: server.clone(),
            upstreams,
            freezes: freezes.clone(),
            snapshot: snapshot.clone(),
            requests,
            token: token.clone(),
            log,
            metrics: config_metrics,
        };
        let control = Arc::new(Control::new(parts, file.clone()));
        let admin = Admin::new(AdminParts {
            freezes: freezes.clone(),
            config: Arc::new(Shared(control.clone())),
            registry,
            readiness: readiness.clone(),
            sections: vec![Arc::new(Listeners(Arc::downgrade(&server))), Arc::new(Endpoints(snapshot))],
            audit: audit.clone(),
            token,
            clock,
            version: env!("CARGO_PKG_VERSION"),
        });
        control.set_admin(AdminPort::new(admin.router(), side.clone()));
        control.start(loaded)?;
        side.spawn(freezes.run());
        readiness.set_serving();
        Ok(Self { control, server, readiness, side, audit, file })
    }

    /// Takes the file again whenever it changes, until the gateway is stopped.
    pub fn watch(&self) {
        if let Some(file) = &self.file {
            self.side.spawn(control::watch(self.control.clone(), file.clone(), self.audit.clone()));
        }
    }

    /// Reads the file again, as SIGHUP asks. Blocking.
    pub fn reload(&self) {
        let Some(file) = &self.file else { return };
        let result = self.control.reload(true);
        self.audit.record_blocking(&control::entry(&result, file, "signal"));
    }

    /// The addresses of the listeners, in the order of the document.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.server.addresses().into_iter().map(|bound| bound.address).collect()
    }

    /// The address of the admin API.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.control.admin()?.address()
    }

    /// The delay and the limit of the running document's `shutdown`.
    #[must_use]
    pub fn shutdown(&self) -> (Duration, Duration) {
        let shutdown = self.control.document().map(|document| document.shutdown).unwrap_or_default();
        (shutdown.drain_delay.0, shutdown.limit.0)
    }

    /// From now on `/readyz` says no and clients are told to connect elsewhere; everything is
    /// still served.
    pub fn announce(&self) {
        self.readiness.set_draining();
        self.server.announce_drain();
    }

    /// Closes the listeners, lets what runs finish for at most `limit`, and ends.
    pub async fn close(&self, limit: Duration) -> Closed {
        self.announce();
        let closed = self.server.close(limit).await;
        if let Some(admin) = self.control.admin() {
            admin.close().await;
        }
        closed
    }
}

fn workers(document: &Document) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    document.workers.map_or(cores, usize::from)
}

fn ingress(
    snapshot: &Arc<ArcSwap<Snapshot>>,
    freezes: &Freezes,
    requests: &RequestMetrics,
) -> Ingress<Stack> {
    let proxy = Proxy::new(Chance::from_system());
    let frozen = FreezeLayer::new(freezes.clone()).layer(proxy);
    let stack: Stack = ClassifyLayer::new(snapshot.clone()).layer(frozen);
    Ingress::new(stack, snapshot.clone(), requests.clone(), Chance::from_system())
}
