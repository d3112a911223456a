//! Stores on servers of their own.

use std::{future::Future, time::Duration};

use sluicegate_core::units::Span;
use sluicegate_store::{
    Health, Store,
    redis::{Redis, RedisInput},
};
use sluicegate_test_servers as servers;

/// The shortest lease there is: tests wait it out.
pub(crate) const LEASE: Duration = Duration::from_secs(3);

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn input(url: &str) -> RedisInput {
    RedisInput { lease: Span(LEASE), ..RedisInput::at(url) }
}

pub(crate) async fn open(url: &str) -> Store {
    Store::new(Redis::open(input(url).check().unwrap()).await)
}

/// A store on a server, which must be up.
pub(crate) async fn opened(server: &servers::Redis) -> Store {
    let store = open(&server.url()).await;
    assert_eq!(health(&store), Health::Up);
    store
}

pub(crate) fn health(store: &Store) -> Health {
    store.health().borrow().clone()
}

/// Waits until the health is as wanted, and tells it.
pub(crate) async fn wait_for(store: &Store, what: &str, wanted: impl Fn(&Health) -> bool) -> Health {
    let mut health = store.health();
    let found = tokio::time::timeout(PATIENCE, health.wait_for(|health| wanted(health))).await;
    let now = self::health(store);
    found.unwrap_or_else(|_| panic!("it never was {what}, but {now:?}")).unwrap().clone()
}

pub(crate) async fn wait_up(store: &Store) {
    wait_for(store, "up", |health| *health == Health::Up).await;
}

/// Waits until it is down, and tells why.
pub(crate) async fn wait_down(store: &Store) -> String {
    match wait_for(store, "down", |health| matches!(health, Health::Down(_))).await {
        Health::Down(why) => why,
        other => unreachable!("{other:?}"),
    }
}

/// Asks again until the answer is as wanted.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(what: &str, ask: impl Fn() -> F) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("never: {what}"))
}
