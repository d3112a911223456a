//! Taking a configuration while the gateway runs.
//!
//! Every source takes the same way: parse, check, build everything that can fail (names
//! resolved, certificates read, listeners bound, files opened), and only then commit, which
//! cannot fail. A document that is refused changes nothing and is shown with all its problems
//! in the log, at `GET /config`, and in the metrics. Documents are taken one after another.
//!
//! The first document takes this way too, so that what starts is what a reload would accept.
//! What comes out is listed in [`metrics`].

mod metrics;
mod persist;
pub(crate) mod tokens;
mod view;
mod watch;

use std::{
    collections::BTreeSet,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use parking_lot::Mutex;
use sluicegate_admin::{Applied, NamedToken, Tokens};
use sluicegate_config::{Loaded, Rejected, Source, document::Document, load, parse, problem_at};
use sluicegate_freeze::{FreezeSettings, Freezes};
use sluicegate_idempotency::FencesSettings;
use sluicegate_server::{ConnSettings, Server};
use sluicegate_spans::Spans;
use sluicegate_webhooks::{WebhookSettings, Webhooks};
use tokio::runtime::Handle;

use crate::{
    access_log::AccessLog,
    admin_port::{AdminPort, Bound},
    logging::LogSwitch,
    say::say,
    snapshot::{Homes, Snapshot},
    telemetry,
};

pub(crate) use metrics::ConfigMetrics;
pub(crate) use view::Shared;
pub(crate) use watch::{Changes, entry, follow, watch};

/// What a document is taken into.
pub(crate) struct Parts {
    pub(crate) server: Arc<Server>,
    pub(crate) homes: Homes,
    pub(crate) freezes: Freezes,
    pub(crate) webhooks: Webhooks,
    pub(crate) spans: Spans,
    pub(crate) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(crate) tokens: Arc<Tokens>,
    /// Where what must wait for the store runs.
    pub(crate) side: Handle,
    pub(crate) log: LogSwitch,
    pub(crate) metrics: ConfigMetrics,
}

/// Takes documents, one after another.
pub(crate) struct Control {
    parts: Parts,
    /// The file that the gateway was started with, if any.
    file: Option<PathBuf>,
    admin: std::sync::OnceLock<AdminPort>,
    state: Mutex<State>,
    /// Held for as long as one document is being taken.
    one_at_a_time: Mutex<()>,
}

struct State {
    generation: u64,
    running: Option<Loaded>,
    /// Digest of what was last read from the file, if that could be taken. A document sent
    /// meanwhile runs until the file differs from this, not from what runs.
    file_hash: Option<String>,
    /// What needs a restart is told against this one.
    first: Option<Arc<Document>>,
    taken_at: Timestamp,
    refused: Option<(Rejected, Timestamp)>,
    announced: BTreeSet<SocketAddr>,
}

/// Everything of a document that can fail to be made, made.
struct Built {
    snapshot: Snapshot,
    listeners: sluicegate_server::Prepared,
    freeze: FreezeSettings,
    webhooks: Vec<Arc<WebhookSettings>>,
    fences: FencesSettings,
    admin: Option<Bound>,
    tokens: Vec<NamedToken>,
}

impl Control {
    pub(crate) fn new(parts: Parts, file: Option<PathBuf>) -> Self {
        let state = State {
            generation: 0,
            running: None,
            file_hash: None,
            first: None,
            taken_at: Timestamp::now(),
            refused: None,
            announced: BTreeSet::new(),
        };
        Self {
            parts,
            file,
            admin: std::sync::OnceLock::new(),
            state: Mutex::new(state),
            one_at_a_time: Mutex::new(()),
        }
    }

    /// Gives the admin API's port over; the API itself needs this control, so it comes later.
    pub(crate) fn set_admin(&self, port: AdminPort) {
        drop(self.admin.set(port));
    }

    pub(crate) fn admin(&self) -> Option<&AdminPort> {
        self.admin.get()
    }

    /// Opens the access log anew, which a document that is taken does by itself.
    pub(crate) fn reopen_access_log(&self) {
        if let Some(log) = &self.parts.snapshot.load().access_log {
            log.reopen();
        }
    }

    /// Waits for lines of the access log that are not yet written, but not long.
    pub(crate) async fn flush_access_log(&self) {
        let log = self.parts.snapshot.load().access_log.clone();
        if let Some(log) = log {
            log.flush().await;
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.state.lock().generation
    }

    pub(crate) fn document(&self) -> Option<Arc<Document>> {
        self.state.lock().running.as_ref().map(|loaded| loaded.document.clone())
    }

    /// Reads the file again and takes it. Without `force` a text that was read before, or runs
    /// already, is left alone; with it, its certificates and names are read anew all the same.
    ///
    /// Blocking.
    pub(crate) fn reload(&self, force: bool) -> Result<Applied, Rejected> {
        let Some(file) = &self.file else {
            return Err(Rejected { problems: Vec::new() });
        };
        let _turn = self.one_at_a_time.lock();
        let loaded = load(file).map_err(|rejected| {
            self.state.lock().file_hash = None;
            self.refuse(rejected)
        })?;
        let known = self.knows(&loaded);
        if known && !force {
            return Ok(self.applied());
        }
        self.take(loaded)
    }

    /// Notes what was read from the file. Whether that needs no taking: it was read before, or
    /// it runs already (a broken file was put right).
    fn knows(&self, loaded: &Loaded) -> bool {
        let mut state = self.state.lock();
        let before = state.file_hash.replace(loaded.hash.clone());
        if before.as_ref() == Some(&loaded.hash) {
            return true;
        }
        let runs = state.running.as_ref().is_some_and(|running| running.hash == loaded.hash);
        if runs {
            state.refused = None;
            self.parts.metrics.successful.set(1);
        }
        runs
    }

    /// Takes a document that was sent. With `persist` it also replaces the file, before any
    /// other reading of that file: a reload in between would undo what was just taken.
    ///
    /// Blocking.
    pub(crate) fn put(&self, text: &str, persist: bool) -> Result<(Applied, io::Result<()>), Rejected> {
        let _turn = self.one_at_a_time.lock();
        let source = match &self.file {
            Some(file) if persist => Source::file(file),
            Some(file) => Source::sent(&Source::file(file).base_dir),
            None => Source::sent(Path::new(".")),
        };
        let loaded = parse(text, &source).map_err(|rejected| self.refuse(rejected))?;
        let hash = loaded.hash.clone();
        let applied = self.take(loaded)?;
        let replaced = match self.file.as_ref().filter(|_| persist) {
            None => Ok(()),
            Some(file) => persist::replace(file, text).inspect(|()| {
                // That the file holds this text now will be no news.
                self.state.lock().file_hash = Some(hash);
            }),
        };
        Ok((applied, replaced))
    }

    /// Takes the first document.
    ///
    /// Blocking.
    pub(crate) fn start(&self, loaded: Loaded) -> Result<Applied, Rejected> {
        let _turn = self.one_at_a_time.lock();
        self.state.lock().file_hash = Some(loaded.hash.clone());
        self.take(loaded)
    }

    fn take(&self, loaded: Loaded) -> Result<Applied, Rejected> {
        let built = self.build(&loaded).map_err(|rejected| self.refuse(rejected))?;
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        self.commit(loaded, built);
        Ok(self.applied())
    }

    /// Makes everything that can fail to be made; changes nothing that runs.
    fn build(&self, loaded: &Loaded) -> Result<Built, Rejected> {
        let (document, source) = (&*loaded.document, &loaded.source);
        let mut problems = Vec::new();
        let at = |path: &str, message: String| problem_at(loaded, path, message);
        let access_log = document.access_log.as_ref().and_then(|wanted| {
            let path = (!wanted.is_stdout()).then(|| source.resolve(&wanted.path));
            AccessLog::open(path.as_deref(), self.parts.metrics.log_dropped.clone())
                .map(Arc::new)
                .map_err(|error| {
                    problems.push(at(
                        "access_log.path",
                        format!(
                            "cannot be opened: {error}; name a file in a folder that this user may write to"
                        ),
                    ));
                })
                .ok()
        });
        let tokens = tokens::read(&document.admin, source).unwrap_or_else(|faults| {
            problems.extend(faults.into_iter().map(|(path, message)| at(&path, message)));
            Vec::new()
        });
        let freeze = document
            .freeze
            .check()
            .map_err(|errors| {
                problems
                    .extend(errors.into_iter().map(|(path, message)| at(&format!("freeze.{path}"), message)));
            })
            .ok();
        let fences = document
            .fences
            .check()
            .map_err(|errors| {
                problems
                    .extend(errors.into_iter().map(|(path, message)| at(&format!("fences.{path}"), message)));
            })
            .ok();
        let webhooks = WebhookSettings::read(&document.webhooks, &|path| source.resolve(path))
            .map_err(|errors| {
                problems.extend(
                    errors.into_iter().map(|(path, message)| at(&format!("webhooks{path}"), message)),
                );
            })
            .ok();
        let resolve = |path: &Path| source.resolve(path);
        let tracer = self.parts.spans.prepare(document.telemetry.otlp.as_ref(), &resolve);
        let tracer = tracer.unwrap_or_else(|faults| {
            problems.extend(telemetry::problems(loaded, faults));
            None
        });
        let snapshot = Snapshot::build(loaded, &self.parts.homes, access_log)
            .map_err(|rejected| problems.extend(rejected.problems))
            .ok()
            .map(|mut snapshot| {
                snapshot.tracer = tracer;
                snapshot
            });
        let listeners = self
            .parts
            .server
            .prepare(&document.listen, &source.base_dir)
            .map_err(|errors| problems.extend(errors.into_iter().map(|(path, message)| at(&path, message))))
            .ok();
        let admin = match self.admin.get().map(|port| port.prepare(document.admin.address)) {
            Some(Ok(bound)) => bound,
            Some(Err(error)) => {
                problems.push(at("admin.address", cannot_bind(document.admin.address, &error)));
                None
            }
            None => None,
        };
        match (snapshot, listeners, freeze, webhooks, fences) {
            (Some(snapshot), Some(listeners), Some(freeze), Some(webhooks), Some(fences))
                if problems.is_empty() =>
            {
                Ok(Built { snapshot, listeners, freeze, webhooks, fences, admin, tokens })
            }
            _ => {
                problems.sort_by_key(|problem| (problem.line, problem.column));
                Err(Rejected { problems })
            }
        }
    }

    /// Puts what was made in place. Nothing here can fail.
    fn commit(&self, loaded: Loaded, mut built: Built) {
        let parts = &self.parts;
        let document = loaded.document.clone();
        parts.tokens.set(&built.tokens);
        parts.log.set(document.log);
        parts.homes.upstreams.commit(&built.snapshot.upstreams);
        // Before the freezes: whoever the document names is told of what it freezes.
        parts.webhooks.apply(&built.webhooks);
        // Before the routes: what the document freezes is frozen from its first request on.
        parts.freezes.apply(&built.freeze);
        parts.homes.fences.apply(&built.fences);
        let keeping = &mut built.snapshot.keeping;
        parts.homes.intents.apply(keeping.settings.clone(), std::mem::take(&mut keeping.routes));
        parts.homes.admission.apply(&built.snapshot.admissions);
        parts.homes.shadows.apply(&built.snapshot.shadows);
        parts.homes.tokens.apply(built.snapshot.tokens.as_deref());
        parts.spans.apply(built.snapshot.tracer.as_ref());
        let rollouts = std::mem::take(&mut built.snapshot.rollouts);
        parts.snapshot.store(Arc::new(built.snapshot));
        parts.homes.rollouts.apply(rollouts);
        if self.generation() == 0 {
            // Before anybody can connect: what was served before a restart is served after it.
            parts.side.block_on(parts.homes.rollouts.look());
        }
        parts.server.commit(built.listeners, connections(&document));
        let mut state = self.state.lock();
        state.generation += 1;
        state.taken_at = Timestamp::now();
        state.refused = None;
        state.first.get_or_insert_with(|| document.clone());
        tracing::info!(generation = state.generation, hash = %&loaded.hash[..12], source = loaded.source.label(), "configuration taken");
        state.running = Some(loaded);
        parts.metrics.generation.set(i64::try_from(state.generation).unwrap_or(i64::MAX));
        parts.metrics.successful.set(1);
        parts.metrics.result("taken");
        let bound: BTreeSet<_> = parts.server.addresses().into_iter().map(|bound| bound.address).collect();
        for address in bound.difference(&state.announced) {
            say(format_args!("listening on {address}"));
        }
        state.announced = bound;
        drop(state);
        if let Some(port) = self.admin.get() {
            port.commit(built.admin);
        }
    }

    fn refuse(&self, rejected: Rejected) -> Rejected {
        // At the start nothing runs yet, and whoever started the process is told on its way out.
        let running = self.generation() > 0;
        for problem in rejected.problems.iter().filter(|_| running) {
            tracing::error!("configuration refused: {problem}");
        }
        self.parts.metrics.successful.set(0);
        self.parts.metrics.result("refused");
        self.state.lock().refused = Some((rejected.clone(), Timestamp::now()));
        rejected
    }

    fn applied(&self) -> Applied {
        let state = self.state.lock();
        Applied {
            generation: state.generation,
            hash: state.running.as_ref().map(|loaded| loaded.hash.clone()).unwrap_or_default(),
            needs_restart: state.needs_restart(),
        }
    }
}

impl State {
    /// Settings that the running document changes and only a start can.
    fn needs_restart(&self) -> Vec<String> {
        let (Some(first), Some(running)) = (&self.first, &self.running) else { return Vec::new() };
        let now = &running.document;
        let checks = [
            ("workers", first.workers != now.workers),
            ("store", first.store != now.store),
            ("admin.audit_file", first.admin.audit_file != now.admin.audit_file),
            ("log.format", first.log.format != now.log.format),
        ];
        checks.into_iter().filter(|(_, differs)| *differs).map(|(path, _)| path.to_owned()).collect()
    }
}

fn connections(document: &Document) -> ConnSettings {
    ConnSettings {
        header_read: document.timeouts.header_read.0,
        idle: document.timeouts.idle.0,
        write_stall: document.timeouts.stream_idle.0,
        max_header_bytes: usize::try_from(document.limits.max_headers.0).unwrap_or(usize::MAX),
        max_connections: document.max_connections as usize,
        trusted_peers: document.trusted_peers(),
    }
}

fn cannot_bind(address: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "{address} is in use by another process; stop it (`ss -ltnp` shows which) or choose another address"
        ),
        io::ErrorKind::PermissionDenied => {
            format!(
                "{address}: this user may not listen there; choose a port above 1023 or grant CAP_NET_BIND_SERVICE"
            )
        }
        _ => format!("cannot listen on {address}: {error}"),
    }
}
