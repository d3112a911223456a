//! The gateway, put together.
//!
//! The order of the stack is known here and nowhere else. Outermost first:
//!
//! 1. ingress ([`crate::ingress`]): framing, ids, forwarded fields, record
//! 2. own ([`crate::own`]): answers what is asked of the gateway itself
//! 3. classify: route, access, tenant, deadline; takes the snapshot's rules, once
//! 4. replay: reads the idempotency key; answers what is known, waits for what runs
//! 5. freeze: refuses writes while one is on, or marks them; counts those it lets through
//! 6. intents: keeps the writes that are marked, and those that belong behind them
//! 7. rollout: checks pins, chooses the arm
//! 8. admission: token buckets and budgets, the queue, permits
//! 9. fence: begins the key on record, now that the request will really go out
//! 10. shadow: copies what goes out, and listens to what comes back
//! 11. judge: notes for the rollout how the chosen arm did
//! 12. upstream: retries, breakers, the pooled connection
//!
//! One such stack is built per worker, on the worker, and never again: what changes is the
//! snapshot it reads. What extensions a request carries, beside [`sluicegate_core::Facts`]:
//!
//! | extension | written by | read by |
//! |---|---|---|
//! | [`Keyed`](sluicegate_store::keyed::Keyed) | replay | intents, fence |
//! | [`Backfill`](sluicegate_store::Backfill) | the backfill of the intents | intents, fence |
//! | [`Repeat`](sluicegate_core::Repeat) | fence | upstream |

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use hyper::body::Incoming;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use sluicegate_admin::{Admin, AdminParts, Audit, Readiness};
use sluicegate_admission::{Admission, AdmissionLayer, AdmissionOptions, Admit};
use sluicegate_body::{Gathered, Inbound, Teed};
use sluicegate_classify::{Classify, ClassifyLayer, PeekedBody};
use sluicegate_config::{
    Loaded, Rejected,
    document::{Document, StoreInput, SyncInput},
};
use sluicegate_core::{Chance, Clock, secret_file};
use sluicegate_freeze::{Freeze, FreezeLayer, Freezes, OpenOptions};
use sluicegate_idempotency::{Fence, FenceLayer, Fences, FencesOptions, FencesSettings, Replay, ReplayLayer};
use sluicegate_intents::{Intents, IntentsLayer, IntentsQueue};
use sluicegate_rollout::{JudgeLayer, Judged, Rollout, RolloutLayer, Rollouts, Traffic};
use sluicegate_server::{Closed, ConnSettings, Inherited, Server, ServerOptions};
use sluicegate_shadow::{CopyTap, Shadow, ShadowLayer, Shadows, ShadowsOptions};
use sluicegate_spans::{Connect, Spans};
use sluicegate_store::{
    Health, Store,
    embedded::{Embedded, EmbeddedOptions, Sync},
    memory::Memory,
    redis::Redis,
};
use sluicegate_tokens::Tokens;
use sluicegate_upstream::{LocalExec, Proxy, UpstreamMetrics, Upstreams};
use sluicegate_webhooks::Webhooks;
use tokio::runtime::Handle;
use tower_layer::Layer;

use crate::{
    admin_port::AdminPort,
    backfill::{ByFreezes, ByWorkers, Workers},
    control::{self, Changes, ConfigMetrics, Control, Parts, Shared},
    ingress::Ingress,
    logging::LogSwitch,
    metrics::RequestMetrics,
    own::Own,
    rollouts::{ByUpstreams, RolloutSection, name_of_gateway, tell_troubles},
    sections::{AdmissionSection, Endpoints, Listeners, ShadowSection, WebhookSection},
    snapshot::{Homes, Snapshot},
    store_sections::{FencesSection, IntentsSection, StoreSection},
    webhooks,
};

/// The body as the upstream layer gets it.
type Body = Gathered<PeekedBody<Inbound<Incoming>>>;
/// The stack from the freeze on: where the backfill's requests come in.
type Below =
    Freeze<IntentsQueue<Rollout<Admit<Fence<Shadow<Judged<Proxy<Teed<Body, CopyTap>>>>, LocalExec>>>>>;
/// The stack below the ingress.
pub type Stack = Own<Classify<Replay<Below>, Arc<ArcSwap<Snapshot>>>>;

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
    /// What sends spans; none in a build that cannot.
    pub connect: Option<Connect>,
}

/// Why a gateway could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The document cannot be run.
    #[error("{0}")]
    Rejected(#[from] Rejected),
    /// The state of the freezes on disk cannot be used.
    #[error("{0}")]
    Freezes(#[from] sluicegate_freeze::OpenError),
    /// The store cannot be used.
    #[error("{0}")]
    Store(#[from] sluicegate_store::OpenError),
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
    fences: Fences,
    intents: Intents,
    shadows: Shadows,
    spans: Spans,
    file: Option<PathBuf>,
    changes: Mutex<Option<Changes>>,
}

impl Gateway {
    /// Starts a gateway and takes its first document. Blocking.
    pub fn start(options: Options) -> Result<Self, StartError> {
        let Options { loaded, side, inherited, log, connect } = options;
        let (document, file) = (loaded.document.clone(), loaded.source.file.clone());
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
        let store = open_store(&loaded, folder.as_deref(), &clock, &side)?;
        let checks = Arc::new(ByUpstreams::default());
        let name = name_of_gateway(&Chance::from_system());
        let homes = open_homes(&store, &clock, (&side, workers, &name), checks.clone(), &mut metrics);
        let webhooks = open_webhooks(&store, &clock, &side, &mut metrics);
        let spans = Spans::open(connect, side.clone(), &mut metrics);
        let (fences, intents, admission) =
            (homes.fences.clone(), homes.intents.clone(), homes.admission.clone());
        let (rollouts, shadows, keys) = (homes.rollouts.clone(), homes.shadows.clone(), homes.tokens.clone());
        let snapshot = Arc::new(ArcSwap::from_pointee(Snapshot::empty(&homes.upstreams)));
        checks.set(snapshot.clone(), homes.shadows.clone());
        let readiness = Arc::new(Readiness::default());
        let audit_file = loaded.document.admin.audit_file.as_deref().map(|file| loaded.source.resolve(file));
        let audit = Audit::new(clock.clone(), audit_file, readiness.clone(), &mut metrics);
        let config_metrics = ConfigMetrics::register(&mut metrics);
        let workers_of_intents = Arc::new(Workers::default());
        let make = {
            let (snapshot, freezes, homes) = (snapshot.clone(), freezes.clone(), homes.clone());
            let workers = workers_of_intents.clone();
            move |_| ingress(&snapshot, &freezes, &homes, &workers)
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

        let tokens = Arc::new(sluicegate_admin::Tokens::new(&[]));
        let parts = Parts {
            server: server.clone(),
            homes,
            freezes: freezes.clone(),
            webhooks: webhooks.clone(),
            spans: spans.clone(),
            snapshot: snapshot.clone(),
            tokens: tokens.clone(),
            side: side.clone(),
            log,
            metrics: config_metrics,
        };
        let control = Arc::new(Control::new(parts, file.clone()));
        let admin = Admin::new(AdminParts {
            freezes: freezes.clone(),
            fences: fences.clone(),
            intents: intents.clone(),
            rollouts: rollouts.clone(),
            shadows: shadows.clone(),
            config: Arc::new(Shared(control.clone())),
            registry,
            readiness: readiness.clone(),
            sections: vec![
                Arc::new(Listeners(Arc::downgrade(&server))),
                Arc::new(Endpoints(snapshot.clone())),
                Arc::new(AdmissionSection(admission.clone())),
                Arc::new(RolloutSection(rollouts.clone())),
                Arc::new(ShadowSection(shadows.clone())),
                Arc::new(StoreSection(store.clone())),
                Arc::new(FencesSection(fences.clone())),
                Arc::new(IntentsSection(intents.clone())),
                Arc::new(WebhookSection(webhooks.clone())),
            ],
            audit: audit.clone(),
            tokens,
            clock,
            version: env!("CARGO_PKG_VERSION"),
        });
        control.set_admin(AdminPort::new(admin.router(), side.clone()));
        // From before the first document on: what it freezes is told too.
        side.spawn(webhooks::tell(freezes.events(), webhooks, name));
        let changes = Mutex::new(control::follow(&side, &loaded));
        control.start(loaded)?;
        side.spawn(freezes.run());
        side.spawn(fences.run());
        side.spawn(admission.run());
        side.spawn(rollouts.run());
        side.spawn(intents.run(ByFreezes { freezes, snapshot }, ByWorkers(workers_of_intents)));
        tell_degraded(&side, &readiness, (rollouts, store, keys));
        readiness.set_serving();
        Ok(Self { control, server, readiness, side, audit, fences, intents, shadows, spans, file, changes })
    }

    /// Takes the file again whenever it, or a file that it names, has changed since the start, until
    /// the gateway is stopped.
    pub fn watch(&self) {
        if let (Some(file), Some(changes)) = (&self.file, self.changes.lock().take()) {
            let (control, audit) = (self.control.clone(), self.audit.clone());
            self.side.spawn(control::watch(control, file.clone(), audit, changes));
        }
    }

    /// Reads the file again and opens the logs anew, as SIGHUP asks. Blocking.
    pub fn reload(&self) {
        self.shadows.reopen_logs();
        let Some(file) = &self.file else { return };
        let result = self.control.reload(true);
        if result.is_err() {
            self.control.reopen_access_log();
        }
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
        // What runs without a client: keyed writes whose clients left, and intents.
        let beyond = async {
            tokio::join!(self.intents.stop(), self.fences.idle());
        };
        let closed = self.server.close(limit, beyond).await;
        // Every request has ended, so every span is there.
        self.spans.close().await;
        if let Some(admin) = self.control.admin() {
            admin.close().await;
        }
        // And so has its line, which may still wait for the disk.
        self.control.flush_access_log().await;
        closed
    }
}

fn workers(document: &Document) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    document.workers.map_or(cores, usize::from)
}

/// Opens the store that the document names. Blocking.
fn open_store(
    loaded: &Loaded,
    folder: Option<&Path>,
    clock: &Clock,
    side: &Handle,
) -> Result<Store, StartError> {
    Ok(match (&loaded.document.store, folder) {
        (StoreInput::Embedded(embedded), Some(folder)) => {
            let sync = match embedded.sync {
                SyncInput::Os => Sync::Os,
                SyncInput::Always => Sync::Always,
            };
            let options = EmbeddedOptions { path: folder.join("store"), sync };
            Store::new(Embedded::open(options, clock.clone())?)
        }
        (StoreInput::Redis(redis), _) => {
            let options = redis.check().map_err(|faults| {
                let faults: Vec<_> = faults
                    .into_iter()
                    .map(|(path, message)| format!("store.redis.{path}: {message}"))
                    .collect();
                sluicegate_store::OpenError::new(faults.join("\n"))
            })?;
            let options = match &redis.password_file {
                Some(path) => options.with_password(
                    &secret_file::read(&loaded.source.resolve(path)).map_err(|message| {
                        sluicegate_store::OpenError::new(format!("store.redis.password_file: {message}"))
                    })?,
                ),
                None => options,
            };
            Store::new(side.block_on(Redis::open(options)))
        }
        (StoreInput::Memory(_) | StoreInput::Embedded(_), _) => Store::new(Memory::new(clock.clone())),
    })
}

/// Opens the homes of what outlives a reload and every snapshot.
fn open_homes(
    store: &Store,
    clock: &Clock,
    (side, workers, name): (&Handle, usize, &str),
    checks: Arc<ByUpstreams>,
    metrics: &mut Registry,
) -> Homes {
    let chance = Arc::new(Chance::from_system());
    let fences = FencesOptions {
        store: store.clone(),
        clock: clock.clone(),
        chance: chance.clone(),
        settings: FencesSettings::default(),
    };
    let intents = sluicegate_intents::OpenOptions {
        store: store.clone(),
        clock: clock.clone(),
        chance: chance.clone(),
        accept_loss: false,
    };
    let rollouts = sluicegate_rollout::OpenOptions {
        store: store.clone(),
        clock: clock.clone(),
        gateway: name.to_owned(),
        chance: chance.clone(),
        checks,
        traffic: Traffic::register(metrics),
        shards: workers,
    };
    let fences = Fences::open(fences, metrics);
    let shadows = ShadowsOptions { bodies: fences.budget().clone(), clock: clock.clone(), chance };
    let admission = AdmissionOptions { bodies: fences.budget().clone(), chance: Chance::from_system() };
    Homes {
        upstreams: Arc::new(Upstreams::new(UpstreamMetrics::register(metrics), side.clone())),
        fences,
        admission: Admission::open(admission, metrics),
        intents: Intents::open(intents, metrics),
        rollouts: Rollouts::open(rollouts, metrics),
        shadows: Shadows::open(shadows, metrics),
        tokens: Tokens::open(clock.clone(), side.clone(), metrics),
        metrics: RequestMetrics::register(metrics),
    }
}

/// Opens the home of the webhooks, which no request knows.
fn open_webhooks(store: &Store, clock: &Clock, side: &Handle, metrics: &mut Registry) -> Webhooks {
    let options = sluicegate_webhooks::OpenOptions {
        store: store.clone(),
        clock: clock.clone(),
        chance: Arc::new(Chance::from_system()),
        side: side.clone(),
    };
    Webhooks::open(options, metrics)
}

/// Says in `/readyz` what is not as it should be.
fn tell_degraded(
    side: &Handle,
    readiness: &Arc<Readiness>,
    (rollouts, store, keys): (Rollouts, Store, Tokens),
) {
    side.spawn(tell_troubles(rollouts, readiness.clone()));
    side.spawn(tell_health(store, readiness.clone()));
    side.spawn(tell_keys(keys, readiness.clone()));
}

/// Says in `/readyz` how the store is doing.
async fn tell_health(store: Store, readiness: Arc<Readiness>) {
    let mut health = store.health();
    loop {
        let word = match &*health.borrow_and_update() {
            Health::Up => None,
            Health::Degraded(findings) => Some(findings.join("; ")),
            Health::Down(reason) => Some(reason.clone()),
        };
        readiness.set_degraded("store", word.map(|word| format!("{}: {word}", store.kind())));
        if health.changed().await.is_err() {
            return;
        }
    }
}

/// Says in `/readyz` when the keys of tokens cannot be fetched.
async fn tell_keys(tokens: Tokens, readiness: Arc<Readiness>) {
    let mut changed = tokens.subscribe();
    loop {
        changed.borrow_and_update();
        readiness.set_degraded("jwt", tokens.trouble());
        if changed.changed().await.is_err() {
            return;
        }
    }
}

fn ingress(
    snapshot: &Arc<ArcSwap<Snapshot>>,
    freezes: &Freezes,
    homes: &Homes,
    workers: &Workers,
) -> Ingress<Stack> {
    let proxy = Proxy::new(Chance::from_system());
    let judged = JudgeLayer::new().layer(proxy);
    let shadow = ShadowLayer::new(homes.shadows.clone(), Chance::from_system()).layer(judged);
    let fence = FenceLayer::new(homes.fences.clone(), LocalExec).layer(shadow);
    let admit = AdmissionLayer::new(homes.admission.clone()).layer(fence);
    let rollout = RolloutLayer::new(homes.rollouts.traffic().clone(), Chance::from_system()).layer(admit);
    let queue = IntentsLayer::new(homes.intents.clone(), homes.fences.budget().clone()).layer(rollout);
    let below: Below = FreezeLayer::new(freezes.clone()).layer(queue);
    workers.join(below.clone(), snapshot.clone());
    let replay = ReplayLayer::new(homes.fences.clone()).layer(below);
    let classify = ClassifyLayer::new(snapshot.clone()).holding(homes.fences.budget().clone()).layer(replay);
    let stack: Stack = Own::new(classify, snapshot.clone(), homes.intents.clone(), freezes.clone());
    Ingress::new(stack, snapshot.clone(), homes.metrics.clone(), Chance::from_system())
}

#[cfg(test)]
mod tests;
