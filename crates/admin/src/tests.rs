//! The API over real sockets, with the real freezes, fences, intents, rollouts and shadows, over
//! a store in memory, and a configuration that is made up.

use std::{
    net::{SocketAddr, TcpListener as StdListener},
    path::PathBuf,
    sync::Arc,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, ready},
};
use jiff::Timestamp;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use sluicegate_core::{Chance, Clock};
use sluicegate_freeze::{Freezes, OpenOptions};
use sluicegate_idempotency::{Fences, FencesOptions, FencesSettings};
use sluicegate_intents::Intents;
use sluicegate_rollout::Rollouts;
use sluicegate_shadow::Shadows;
use sluicegate_store::{
    Store,
    memory::Memory,
    redis::{Redis, RedisInput},
};
use tokio::sync::Notify;

use crate::{
    Actor, Admin, AdminParts, Applied, Audit, ConfigControl, ConfigProblem, ConfigSummary, ConfigView,
    Readiness, Rejection, ScopeNames, StatusSection, Tokens, serve,
};

mod access;
mod asking;
mod configuration;
mod described;
mod failing;
mod freezes;
mod intents;
mod keys;
mod rollouts;
mod shadows;
mod showing;

use rollouts::Arms;

/// A configuration that takes everything but the text `broken`.
#[derive(Default)]
struct MadeUp {
    taken: Mutex<Vec<(String, bool, Actor)>>,
    /// A document `slow` says here that it has begun, and waits to go on.
    begun: Notify,
    go_on: Notify,
}

impl ConfigControl for MadeUp {
    fn view(&self) -> ConfigView {
        let summary = ConfigSummary {
            generation: 1 + self.taken.lock().len() as u64,
            hash: "abc".into(),
            source: "gateway.yaml".into(),
            loaded_at: Timestamp::UNIX_EPOCH,
            last_error: None,
            problems: Vec::new(),
            needs_restart: Vec::new(),
        };
        ConfigView { summary, document: json!({ "listen": [] }) }
    }

    fn names(&self) -> ScopeNames {
        ScopeNames { routes: vec!["ingest".into(), "rest".into()], upstreams: vec!["stable".into()] }
    }

    fn put(&self, text: String, persist: bool, by: Actor) -> BoxFuture<'_, Result<Applied, Rejection>> {
        async move {
            if text == "broken" {
                let problem = |line| ConfigProblem {
                    file: "PUT /config".into(),
                    line: Some(line),
                    column: Some(3),
                    path: Some("routes[0].upstream".into()),
                    message: "no upstream `stabel`".into(),
                };
                return Err(Rejection::Invalid { problems: vec![problem(4), problem(9)] });
            }
            if text == "slow" {
                self.begun.notify_one();
                self.go_on.notified().await;
            }
            self.taken.lock().push((text, persist, by));
            Ok(Applied {
                generation: self.view().summary.generation,
                hash: "abc".into(),
                needs_restart: Vec::new(),
            })
        }
        .boxed()
    }

    fn reload(&self, by: Actor) -> BoxFuture<'_, Result<Applied, Rejection>> {
        self.put("from the file".into(), false, by)
    }
}

struct Listeners;

impl StatusSection for Listeners {
    fn name(&self) -> &'static str {
        "listeners"
    }

    fn status(&self) -> BoxFuture<'_, Value> {
        ready(json!([{ "address": "127.0.0.1:8080", "tls": false }])).boxed()
    }
}

/// A section that never comes.
struct Hung;

impl StatusSection for Hung {
    fn name(&self) -> &'static str {
        "hung"
    }

    fn status(&self) -> BoxFuture<'_, Value> {
        std::future::pending().boxed()
    }
}

/// An admin port that runs until it is dropped.
struct Port {
    address: SocketAddr,
    freezes: Freezes,
    store: Store,
    intents: Intents,
    rollouts: Rollouts,
    arms: Arc<Arms>,
    shadows: Shadows,
    config: Arc<MadeUp>,
    readiness: Arc<Readiness>,
    tokens: Arc<Tokens>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Drop for Port {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

async fn port() -> Port {
    port_with(None).await
}

/// With a file for the freezes, or in memory.
async fn port_with(state: Option<PathBuf>) -> Port {
    port_of(make(state))
}

/// Over a store of one's own.
async fn port_over(store: Store) -> Port {
    port_of(make_over(None, store, Vec::new()))
}

/// Over a Redis that is not there.
async fn port_without_store() -> Port {
    let gone = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let options = RedisInput::at(format!("redis://{gone}")).check().unwrap();
    port_over(Store::new(Redis::open(options).await)).await
}

fn port_of(made: Made) -> Port {
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (keeper, judging) = (made.freezes.run(), made.rollouts.run());
    let router = made.admin.router();
    let tasks = vec![
        tokio::spawn(async move { serve(listener, router, std::future::pending()).await.unwrap() }),
        tokio::spawn(async move { match keeper.await {} }),
        tokio::spawn(async move { match judging.await {} }),
    ];
    let Made { freezes, store, intents, rollouts, arms, shadows, config, readiness, tokens, .. } = made;
    Port { address, freezes, store, intents, rollouts, arms, shadows, config, readiness, tokens, tasks }
}

struct Made {
    admin: Admin,
    freezes: Freezes,
    store: Store,
    intents: Intents,
    rollouts: Rollouts,
    arms: Arc<Arms>,
    shadows: Shadows,
    config: Arc<MadeUp>,
    readiness: Arc<Readiness>,
    tokens: Arc<Tokens>,
}

/// Without a port.
fn admin() -> (Admin, Freezes) {
    let made = make(None);
    (made.admin, made.freezes)
}

fn make(state: Option<PathBuf>) -> Made {
    make_over(state, Store::new(Memory::new(Clock::system())), vec![Arc::new(Listeners)])
}

fn make_over(state: Option<PathBuf>, store: Store, sections: Vec<Arc<dyn StatusSection>>) -> Made {
    let mut registry = Registry::default();
    let readiness = Arc::new(Readiness::default());
    let options =
        OpenOptions { path: state, clock: Clock::system(), chance: Arc::new(Chance::seeded(1)), shards: 1 };
    let freezes = Freezes::open(options, &mut registry).unwrap();
    let (clock, chance) = (Clock::system(), Arc::new(Chance::seeded(1)));
    let fences = FencesOptions {
        store: store.clone(),
        clock: clock.clone(),
        chance: chance.clone(),
        settings: FencesSettings::default(),
    };
    let fences = Fences::open(fences, &mut registry);
    let intents = sluicegate_intents::OpenOptions { store: store.clone(), clock, chance, accept_loss: true };
    let intents = Intents::open(intents, &mut registry);
    let (rollouts, arms) = rollouts::open(store.clone(), &mut registry);
    let shadows = shadows::open(&mut registry);
    let config = Arc::new(MadeUp::default());
    let tokens = Arc::new(Tokens::new(&[]));
    let audit = Audit::new(Clock::system(), None, readiness.clone(), &mut registry);
    let admin = Admin::new(AdminParts {
        freezes: freezes.clone(),
        fences,
        intents: intents.clone(),
        rollouts: rollouts.clone(),
        shadows: shadows.clone(),
        config: config.clone(),
        registry: Arc::new(Mutex::new(registry)),
        readiness: readiness.clone(),
        sections,
        audit,
        tokens: tokens.clone(),
        clock: Clock::system(),
        version: "0.0.0-test",
    });
    Made { admin, freezes, store, intents, rollouts, arms, shadows, config, readiness, tokens }
}
