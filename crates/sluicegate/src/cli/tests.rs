//! The commands against a real admin port with real freezes, fences, intents, rollouts and
//! shadows, by text and exit code.

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::{Arc, mpsc},
    thread,
};

use clap::Parser;
use http::Request;
use jiff::Timestamp;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use sluicegate_admin::{
    Actor, Admin, AdminParts, Applied, Audit, ConfigControl, ConfigProblem, ConfigSummary, ConfigView,
    LastError, Readiness, Rejection, ScopeNames, StatusSection, Tokens,
};
use sluicegate_core::{Chance, Clock, Refusal, units::Span};
use sluicegate_freeze::{FreezeLayer, Freezes, OpenOptions};
use sluicegate_idempotency::{Fences, FencesOptions, FencesSettings};
use sluicegate_intents::Intents;
use sluicegate_shadow::Shadows;
use sluicegate_store::{Store, memory::Memory};
use tokio::sync::oneshot;
use tower_layer::Layer;
use tower_service::Service;

use super::{Cli, Command, Exit, Streams, run};
use crate::{
    rollouts::RolloutSection,
    sections::ShadowSection,
    store_sections::{FencesSection, IntentsSection, StoreSection},
};

mod errors;
mod freezes;
mod intents;
mod keys;
mod others;
mod rollouts;
mod shadows;
mod watching;

use rollouts::Arms;

type Later<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A configuration whose file is good until it is told otherwise.
#[derive(Default)]
struct MadeUp {
    refused: Mutex<Option<LastError>>,
}

impl ConfigControl for MadeUp {
    fn view(&self) -> ConfigView {
        let last_error = self.refused.lock().clone();
        let summary = ConfigSummary {
            generation: 4,
            hash: "0123456789abcdef".into(),
            source: "gateway.yaml".into(),
            loaded_at: Timestamp::now(),
            problems: last_error.iter().map(|error| error.problem.clone()).collect(),
            last_error,
            needs_restart: vec!["admin.address".into()],
        };
        ConfigView { summary, document: json!({}) }
    }

    fn names(&self) -> ScopeNames {
        ScopeNames { routes: vec!["ingest".into()], upstreams: vec!["stable".into()] }
    }

    fn put(&self, _: String, _: bool, _: Actor) -> Later<'_, Result<Applied, Rejection>> {
        Box::pin(async { Err(Rejection::Unavailable("not here".into())) })
    }

    fn reload(&self, _: Actor) -> Later<'_, Result<Applied, Rejection>> {
        let refused = self.refused.lock().clone();
        Box::pin(async move {
            match refused {
                Some(error) => Err(Rejection::Invalid { problems: vec![error.problem] }),
                None => Ok(Applied {
                    generation: 5,
                    hash: "fedcba9876543210".into(),
                    needs_restart: vec!["admin.address".into()],
                }),
            }
        })
    }
}

struct Upstreams;

impl StatusSection for Upstreams {
    fn name(&self) -> &'static str {
        "upstreams"
    }

    fn status(&self) -> Later<'_, Value> {
        Box::pin(async {
            json!([{ "upstream": "stable", "endpoint": "http://127.0.0.1:7001", "state": "healthy" }])
        })
    }
}

/// An admin port on a thread of its own; both end with this value.
struct Gateway {
    address: SocketAddr,
    freezes: Freezes,
    store: Store,
    intents: Intents,
    arms: Arc<Arms>,
    shadows: Shadows,
    config: Arc<MadeUp>,
    readiness: Arc<Readiness>,
    tokens: Arc<Tokens>,
    handle: tokio::runtime::Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Gateway {
    fn start() -> Self {
        Self::keeping(None)
    }

    /// With a file for the freezes.
    fn keeping(path: Option<&Path>) -> Self {
        Self::with(path, Store::new(Memory::new(Clock::system())))
    }

    /// Over a store of one's own.
    fn over(store: Store) -> Self {
        Self::with(None, store)
    }

    fn with(path: Option<&Path>, store: Store) -> Self {
        let mut registry = Registry::default();
        let readiness = Arc::new(Readiness::default());
        readiness.set_serving();
        let options = OpenOptions {
            path: path.map(Path::to_owned),
            clock: Clock::system(),
            chance: Arc::new(Chance::seeded(1)),
            shards: 1,
        };
        let freezes = Freezes::open(options, &mut registry).unwrap();
        let (clock, chance) = (Clock::system(), Arc::new(Chance::seeded(1)));
        let fences = FencesOptions {
            store: store.clone(),
            clock: clock.clone(),
            chance: chance.clone(),
            settings: FencesSettings::default(),
        };
        let fences = Fences::open(fences, &mut registry);
        let options =
            sluicegate_intents::OpenOptions { store: store.clone(), clock, chance, accept_loss: true };
        let intents = Intents::open(options, &mut registry);
        let (rollouts, arms) = rollouts::open(store.clone(), &mut registry);
        let shadows = shadows::open(&mut registry);
        let config = Arc::new(MadeUp::default());
        let tokens = Arc::new(Tokens::new(&[]));
        let admin = Admin::new(AdminParts {
            freezes: freezes.clone(),
            fences: fences.clone(),
            intents: intents.clone(),
            rollouts: rollouts.clone(),
            shadows: shadows.clone(),
            config: config.clone(),
            audit: Audit::new(Clock::system(), None, readiness.clone(), &mut registry),
            registry: Arc::new(Mutex::new(registry)),
            readiness: readiness.clone(),
            sections: vec![
                Arc::new(Upstreams),
                Arc::new(StoreSection(store.clone())),
                Arc::new(FencesSection(fences)),
                Arc::new(IntentsSection(intents.clone())),
                Arc::new(RolloutSection(rollouts.clone())),
                Arc::new(ShadowSection(shadows.clone())),
            ],
            tokens: tokens.clone(),
            clock: Clock::system(),
            version: "1.2.3",
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (started, handle) = mpsc::channel();
        let keeper = freezes.clone();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            started.send(runtime.handle().clone()).unwrap();
            runtime.block_on(async move {
                tokio::spawn(keeper.run());
                rollouts.look().await;
                tokio::spawn(rollouts.run());
                let until = async move { drop(stopped.await) };
                sluicegate_admin::serve(listener, admin.router(), until).await.unwrap();
            });
        });
        let handle = handle.recv().unwrap();
        let (stop, thread) = (Some(stop), Some(thread));
        Self {
            address,
            freezes,
            store,
            intents,
            arms,
            shadows,
            config,
            readiness,
            tokens,
            handle,
            stop,
            thread,
        }
    }

    /// Types a command with this gateway's address.
    fn type_in(&self, line: &[&str]) -> Ended {
        type_in(&[line, &["--admin", &format!("http://{}", self.address)]].concat())
    }

    /// A write that was let through and runs until the caller ends it.
    fn running_write(&self) -> RunningWrite {
        let (answer, answered) = oneshot::channel::<()>();
        let (entered, inside) = mpsc::channel();
        let mut answered = Some(answered);
        let inner = tower::service_fn(move |_: Request<String>| {
            entered.send(()).unwrap();
            let answered = answered.take().unwrap();
            async move {
                answered.await.unwrap();
                Ok::<_, Refusal>(http::Response::new(String::new()))
            }
        });
        let mut service = FreezeLayer::new(self.freezes.clone()).over_service().layer(inner);
        let task = self.handle.spawn(async move {
            let request = Request::post("/v1/documents").body(String::new()).unwrap();
            let response = service.call(request).await.unwrap();
            drop(http_body_util::BodyExt::collect(response.into_body()).await);
        });
        inside.recv().unwrap();
        RunningWrite { answer, task }
    }
}

struct RunningWrite {
    /// Has the upstream answer.
    answer: oneshot::Sender<()>,
    /// Aborted, the write's end is unknown: the client went away.
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// How a command ended, and what it wrote.
struct Ended {
    exit: Exit,
    out: String,
    err: String,
}

impl Ended {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("{}{}", self.out, self.err))
    }
}

fn type_in(line: &[&str]) -> Ended {
    let cli = Cli::try_parse_from([&["sluicegate"], line].concat()).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let Command::Client(command) = cli.command else { panic!("{line:?} is no client's") };
    let exit = run(&command, None, &mut Streams { out: &mut out, err: &mut err, terminal: false });
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { exit, out: text(out), err: text(err) }
}

/// What is said, without the times in it: those are tested where the clock is given.
fn timeless(text: &str) -> String {
    let words = text.split(' ').map(|word| {
        let span = word.trim_end_matches([',', ';', '\n']);
        if span.parse::<Span>().is_ok() { word.replace(span, "SOME TIME") } else { word.to_owned() }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn problem() -> ConfigProblem {
    ConfigProblem {
        file: "gateway.yaml".into(),
        line: Some(12),
        column: Some(5),
        path: Some("routes[0].upstream".into()),
        message: "no upstream `stabel`; did you mean `stable`?".into(),
    }
}
