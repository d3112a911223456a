//! The storm: many clients that send the same writes again and again, through faults of every
//! kind, while the gateways under them are killed. No write may have its effect twice, and
//! whoever goes on asking must get the answer that the effect had.
//!
//! | file | holds |
//! |---|---|
//! | `caller` | one client: how it sends, breaks off, and asks again |
//! | `judge` | what must be true of all that was seen |
//!
//! Each run prints its seed and its counts; `SLUICEGATE_STORM_SEED` repeats what the upstream
//! and the clients choose (not how their steps fall together).

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod caller;
mod judge;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use sluicegate_test_servers::Redis;
use sluicegate_tests::{
    Audited, Fenced, LIMIT, Write,
    audit::{When, chaos},
    eventually,
    fleet::Fleet,
    repeat,
    tick::within,
};
use tokio::task::JoinSet;

use caller::{Caller, Record};
use judge::{Judge, Outage};

/// How large a storm is.
struct Storm {
    name: &'static str,
    gateways: usize,
    clients: usize,
    writes: usize,
    kills: usize,
    /// The Redis under it, which is restarted on the way.
    redis: Option<Redis>,
    /// When it was away.
    outages: Vec<Outage>,
}

impl Storm {
    /// The whole one where `SLUICEGATE_TESTS_LONG` is set, else a short one.
    fn new(name: &'static str, gateways: usize, kills: bool) -> Self {
        let (clients, writes) = (repeat(20, 200), repeat(600, 20_000));
        let kills = if kills { repeat(2, 10) } else { 0 };
        Self { name, gateways, clients, writes, kills, redis: None, outages: Vec::new() }
    }

    /// Lets it pass over gateways with this configuration, and judges.
    async fn pass(mut self, fenced: Fenced) {
        let seed = seed();
        println!("storm {}: seed {seed}", self.name);
        let fenced = Fenced {
            upstream: "breaker: { consecutive: 0 }, not_applied: [401, 403, 408, 421, 423, 425, 429, 503]"
                .to_owned(),
            extra: "timeouts: { per_try: 3s }\nworkers: 2\n".to_owned(),
            ..fenced
        };
        let begun = Instant::now();
        let upstream = Audited::start(self.gateways, chaos(seed)).await;
        let documents = (0..self.gateways).map(|door| fenced.document(&upstream.url(door)));
        let fleet = Arc::new(Fleet::start(documents).await);
        let record = Record::default();

        // Everybody at once, while the gateways die.
        let settled = Arc::new(AtomicUsize::new(0));
        let clients = self.clients(seed, &fleet, &record, &settled, true);
        self.kill_along(seed, &fleet, &settled).await;
        finish(clients).await;
        // Each write once more, by somebody who waits for its end: those that were given up,
        // too, must come to one.
        let clients = self.clients(!seed, &fleet, &record, &settled, false);
        finish(clients).await;
        let ledger = upstream.ledger();
        eventually("the upstream is idle", || ledger.arrivals().iter().all(|it| it.ended.is_some())).await;

        let judge = Judge::new(ledger, record.take(), fleet.kills(), self.outages);
        println!("storm {}: seed {seed}: {} in {:?}", self.name, judge.counts(), begun.elapsed());
        judge.judge();
    }

    /// Starts the clients, who share the writes between them.
    fn clients(
        &self,
        seed: u64,
        fleet: &Arc<Fleet>,
        record: &Record,
        settled: &Arc<AtomicUsize>,
        rough: bool,
    ) -> JoinSet<()> {
        let next = Arc::new(AtomicUsize::new(0));
        let mut clients = JoinSet::new();
        for number in 0..self.clients {
            let mut caller = Caller::new(number, seed, fleet.clone(), record.clone());
            let (next, settled, writes) = (next.clone(), settled.clone(), self.writes);
            clients.spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    if number >= writes {
                        return;
                    }
                    let write = write(number);
                    if rough {
                        caller.bring(&write).await;
                    } else {
                        caller.insist(&write).await;
                    }
                    settled.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        clients
    }

    /// Kills a gateway each time another share of the writes has come to an end; Redis, after
    /// a third of them and after two.
    async fn kill_along(&mut self, seed: u64, fleet: &Arc<Fleet>, settled: &Arc<AtomicUsize>) {
        let mut chance = fastrand::Rng::with_seed(seed);
        let mut strokes: Vec<_> =
            (1..=self.kills).map(|kill| (self.writes * kill / (self.kills + 1), Stroke::Gateway)).collect();
        if self.redis.is_some() {
            strokes.extend([1, 2].map(|third| (self.writes * third / 3, Stroke::Redis)));
        }
        strokes.sort();
        for (share, stroke) in strokes {
            let so_far = || settled.load(Ordering::SeqCst);
            while !within(LIMIT, || so_far() >= share).await {
                println!("storm {}: {} of {} writes have come to an end", self.name, so_far(), self.writes);
            }
            match stroke {
                Stroke::Gateway => fleet.kill(chance.usize(..self.gateways)).await,
                Stroke::Redis => {
                    let mut redis = self.redis.take().expect("a Redis");
                    let from = When::now();
                    redis.kill();
                    self.redis = Some(redis.restart().await.unwrap());
                    self.outages.push(Outage { from, to: When::now() });
                }
            }
        }
    }
}

/// What strikes a storm on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stroke {
    Gateway,
    Redis,
}

async fn finish(mut clients: JoinSet<()>) {
    while let Some(client) = clients.join_next().await {
        client.expect("a client does not panic");
    }
}

fn write(number: usize) -> Write {
    Write { number: number as u64, line: format!("d{}", number % 997), place: (number / 997) as u64 }
}

fn seed() -> u64 {
    match std::env::var("SLUICEGATE_STORM_SEED") {
        Ok(seed) => seed.parse().expect("SLUICEGATE_STORM_SEED is a number"),
        Err(_) => fastrand::u64(..1_000_000_000),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_a_store_in_memory() {
    Storm::new("memory", 1, false).pass(Fenced::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_the_embedded_store() {
    Storm::new("embedded", 1, true).pass(Fenced::embedded()).await;
}

/// With leases that are soon over: whoever waits for a killed gateway's key waits for that.
fn over(redis: &Redis) -> Fenced {
    Fenced { store: format!("redis: {{ url: \"{}\", lease: 4s }}", redis.url()), ..Fenced::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_redis() {
    let redis = Redis::start().await.unwrap();
    let fenced = over(&redis);
    Storm { redis: Some(redis), ..Storm::new("redis", 1, true) }.pass(fenced).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_redis_with_three_gateways() {
    let redis = Redis::start().await.unwrap();
    let fenced = over(&redis);
    Storm { redis: Some(redis), ..Storm::new("redis, three gateways", 3, true) }.pass(fenced).await;
}
