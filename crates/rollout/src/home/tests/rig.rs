//! Gateways over one store, with traffic of their own.

use std::{
    future::{pending, ready},
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use parking_lot::Mutex;
use prometheus_client::{encoding::text::encode, registry::Registry};
use serde_json::{Value, json};
use sluicegate_core::{
    Clock,
    arm::{Arm, Role, Slot},
    chance::Chance,
    pins::Pins,
};
use sluicegate_store::{
    Answered, Append, Appended, Bounds, Caps, Change, Changed, Engine, Entry, EntryId, EntryState, Expect,
    Health, Page, Put, Queue, Record, RecordKey, Records, Store, StoreError, Swapped, Tag, Tally,
    memory::Memory,
};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::super::{Checked, Checks, Declared, Gate, OpenOptions, Rollouts, TICK};
use crate::{input::RolloutInput, recorder::Fault, status::RolloutStatus};

/// A store that may be away.
#[derive(Clone, Debug)]
pub(super) struct Shaky {
    pub(super) memory: Memory,
    pub(super) mood: Arc<Mutex<Mood>>,
}

/// What a store does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Up,
    /// Every answer is an error, and nothing is done.
    Down,
    /// No answer comes.
    Hangs,
    /// This many writes are made and answered by an error.
    LosesAnswers(u32),
    /// What is asked of the history is answered by an error, and not done.
    WithoutHistory,
}

impl Shaky {
    fn asked<T: Send + 'static>(
        &self,
        key: RecordKey,
        writes: bool,
        ask: impl FnOnce(&Memory) -> Answered<T>,
    ) -> Answered<T> {
        let mut mood = self.mood.lock();
        match &mut *mood {
            Mood::WithoutHistory if key != RecordKey::reserved("rollout-history", NAME) => ask(&self.memory),
            Mood::Down | Mood::WithoutHistory => Box::pin(ready(Err(StoreError::new("connection refused")))),
            Mood::Hangs => Box::pin(pending()),
            Mood::LosesAnswers(left) if writes && *left > 0 => {
                *left -= 1;
                drop(ask(&self.memory));
                Box::pin(ready(Err(StoreError::new("connection reset"))))
            }
            Mood::Up | Mood::LosesAnswers(_) => ask(&self.memory),
        }
    }
}

impl Records for Shaky {
    fn get(&self, key: RecordKey) -> Answered<Option<Record>> {
        self.asked(key, false, |memory| memory.get(key))
    }
    fn swap(&self, key: RecordKey, expect: Expect, put: Option<Put>) -> Answered<Swapped> {
        self.asked(key, true, |memory| memory.swap(key, expect, put))
    }
    fn beat(&self, held: Vec<(RecordKey, Tag)>) -> Answered<Vec<bool>> {
        self.memory.beat(held)
    }
    fn lease(&self) -> Option<Duration> {
        self.memory.lease()
    }
    fn page(&self, after: Option<RecordKey>, limit: usize) -> Answered<Page> {
        self.memory.page(after, limit)
    }
    fn bound(&self, bounds: Bounds) {
        self.memory.bound(bounds);
    }
    fn usage(&self) -> Answered<(u64, u64)> {
        self.memory.usage()
    }
}

impl Queue for Shaky {
    fn append(&self, append: Append, caps: Caps) -> Answered<Appended> {
        self.memory.append(append, caps)
    }
    fn claim(&self, tags: Vec<Tag>) -> Answered<Vec<Entry>> {
        self.memory.claim(tags)
    }
    fn change(&self, id: EntryId, change: Change) -> Answered<Changed> {
        self.memory.change(id, change)
    }
    fn beat_entries(&self, held: Vec<(EntryId, Tag)>) -> Answered<Vec<bool>> {
        self.memory.beat_entries(held)
    }
    fn entry(&self, id: EntryId) -> Answered<Option<Entry>> {
        self.memory.entry(id)
    }
    fn entries(
        &self,
        state: Option<EntryState>,
        after: Option<EntryId>,
        limit: usize,
    ) -> Answered<Vec<Entry>> {
        self.memory.entries(state, after, limit)
    }
    fn tally(&self) -> Answered<Tally> {
        self.memory.tally()
    }
}

impl Engine for Shaky {
    fn kind(&self) -> &'static str {
        "shaky"
    }
    fn health(&self) -> watch::Receiver<Health> {
        self.memory.health()
    }
    fn not_durable(&self) -> Option<String> {
        None
    }
}

/// What the arms are like.
#[derive(Clone, Default)]
pub(super) struct Arms(pub(super) Arc<Mutex<Vec<String>>>, pub(super) Arc<Mutex<Option<Gate>>>);

impl Checks for Arms {
    fn arms_ready(&self, upstreams: Vec<Box<str>>) -> Checked<'_> {
        assert_eq!(upstreams.len(), 2);
        let diffs = self.0.lock().clone();
        Box::pin(ready(if diffs.is_empty() { Ok(()) } else { Err(diffs) }))
    }

    fn gate(&self, rollout: &str) -> Gate {
        assert_eq!(rollout, NAME);
        self.1.lock().clone().unwrap_or(Gate::Open)
    }
}

/// What comes in one tick.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traffic {
    pub(super) requests: u64,
    /// Of a thousand on each upstream, by slot.
    pub(super) failing: [u64; 2],
    /// How many times as long the candidate's upstream takes.
    pub(super) slower: u64,
}

pub(super) struct Rig {
    pub(super) clock: Clock,
    pub(super) shaky: Shaky,
    store: Store,
}

pub(super) struct Gateway {
    pub(super) rollouts: Rollouts,
    pub(super) registry: Registry,
    pub(super) arms: Arms,
    pub(super) traffic: Traffic,
    work: Option<JoinHandle<()>>,
    version: u64,
    chance: Chance,
}

pub(super) const NAME: &str = "retriever";

impl Rig {
    pub(super) fn new() -> Self {
        let clock = Clock::simulated(UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        let shaky = Shaky { memory: Memory::new(clock.clone()), mood: Arc::new(Mutex::new(Mood::Up)) };
        let store = Store::new(shaky.clone());
        Self { clock, shaky, store }
    }

    /// From now on the store does this.
    pub(super) fn mood(&self, mood: Mood) {
        *self.shaky.mood.lock() = mood;
    }

    /// The store forgets the state, or all.
    pub(super) async fn wipe(&self, kind: &str) {
        let key = RecordKey::reserved(kind, NAME);
        if let Some(record) = self.shaky.memory.get(key).await.unwrap() {
            let swapped = self.shaky.memory.swap(key, Expect::Tag(record.tag), None).await;
            assert_eq!(swapped, Ok(Swapped::Done));
        }
    }

    pub(super) async fn record(&self) -> Option<Record> {
        self.shaky.memory.get(RecordKey::reserved("rollout", NAME)).await.unwrap()
    }

    /// Puts this in the place of the record.
    pub(super) async fn plant(&self, value: &[u8]) -> Tag {
        let tag = Tag(7);
        let expect = self.record().await.map_or(Expect::Absent, |record| Expect::Tag(record.tag));
        let put = Put {
            tag,
            value: value.to_vec().into(),
            owner: "".into(),
            ttl: Duration::from_secs(1000),
            held: false,
        };
        let key = RecordKey::reserved("rollout", NAME);
        assert_eq!(self.shaky.memory.swap(key, expect, Some(put)).await, Ok(Swapped::Done));
        tag
    }

    /// A gateway that has read its document and the record, and is at work.
    pub(super) async fn gateway(&self, name: &str, more: Value) -> Gateway {
        let mut registry = Registry::default();
        let arms = Arms::default();
        let options = OpenOptions {
            store: self.store.clone(),
            clock: self.clock.clone(),
            chance: Arc::new(Chance::from_system()),
            gateway: name.into(),
            checks: Arc::new(arms.clone()),
            traffic: crate::Traffic::register(&mut registry),
            shards: 1,
        };
        let rollouts = Rollouts::open(options, &mut registry);
        rollouts.apply(vec![declared(&more)]);
        rollouts.look().await;
        let (traffic, work, version) = (super::GOOD, Some(work(&rollouts)), 0);
        Gateway { rollouts, registry, arms, traffic, work, version, chance: Chance::seeded(1) }
    }

    pub(super) async fn one(&self) -> Gateway {
        self.gateway("one", json!({})).await
    }
}

fn work(rollouts: &Rollouts) -> JoinHandle<()> {
    let run = rollouts.run();
    tokio::spawn(async move { match run.await {} })
}

pub(super) fn declared(more: &Value) -> Declared {
    let mut whole = json!({
        "active": "stable", "candidate": "next", "steps": [10, 50, 100],
        "window": { "at_least": "10s", "samples": 200 },
        "gates": { "error_rate": 0.02, "latency_p95_uplift": 0.5 },
        "abort": { "error_rate": 0.03, "latency_p99_ratio": 2.0 },
        "switch": { "hold": "1m" },
    });
    whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let settings = serde_json::from_value::<RolloutInput>(whole).unwrap().check().unwrap();
    let pins = [("INDEX_HASH", "a1"), ("INDEX_HASH", "b2")].map(|pin| Arc::new(Pins::new([pin])));
    Declared { name: NAME.into(), settings, pins }
}

impl Gateway {
    pub(super) fn status(&self) -> RolloutStatus {
        self.rollouts.status_of(NAME).unwrap()
    }

    pub(super) fn phase(&self) -> &'static str {
        self.status().phase.as_str()
    }

    pub(super) fn reload(&self, more: &Value) {
        self.rollouts.apply(vec![declared(more)]);
    }

    /// What requests read: weight, active upstream, whether the candidate is open.
    pub(super) fn serves(&self) -> (u8, Slot, bool) {
        let view = self.rollouts.shared(NAME).view();
        (view.weight, view.active, view.open && !view.killed)
    }

    /// It dies.
    pub(super) async fn kill(&mut self) {
        let work = self.work.take().unwrap();
        work.abort();
        drop(work.await);
    }

    /// What comes in one tick, by the present weight.
    fn serve(&mut self) {
        let shared = self.rollouts.shared(NAME);
        let view = shared.view();
        if !view.open || view.killed {
            return;
        }
        for _ in 0..self.traffic.requests {
            let is_candidate = self.chance.below(100) < u64::from(view.weight);
            let role = if is_candidate { Role::Candidate } else { Role::Active };
            let slot = if is_candidate { view.active.other() } else { view.active };
            let arm = Arm { slot, role, is_sample: true };
            if self.chance.below(1000) < self.traffic.failing[slot.index()] {
                shared.recorder().failed(arm, Fault::Status);
            } else {
                let slower = if slot == Slot::Second { self.traffic.slower } else { 1 };
                shared.recorder().answered(arm, Duration::from_millis((10 + self.chance.below(89)) * slower));
            }
        }
    }
}

/// Lets time pass, with everybody's traffic, until `is` says so; says how long it took.
pub(super) async fn until(
    gateways: &mut [&mut Gateway],
    mut is: impl FnMut(&[&mut Gateway]) -> bool,
) -> Duration {
    let begun = Instant::now();
    while !is(gateways) {
        let states: Vec<_> = gateways.iter().map(|gateway| gateway.status()).collect();
        assert!(begun.elapsed() < Duration::from_secs(600), "it never comes: {states:#?}");
        for gateway in &mut *gateways {
            if gateway.work.is_some() {
                gateway.serve();
            }
        }
        sleep(TICK).await;
        for gateway in &mut *gateways {
            let version = gateway.status().version;
            assert!(
                version >= gateway.version,
                "the version went back from {} to {version}",
                gateway.version
            );
            gateway.version = version;
        }
    }
    begun.elapsed()
}

/// Lets so much time pass.
pub(super) async fn pass(gateways: &mut [&mut Gateway], time: Duration) {
    let begun = Instant::now();
    until(gateways, |_| begun.elapsed() >= time).await;
}

pub(super) fn series(gateway: &Gateway) -> String {
    let mut text = String::new();
    encode(&mut text, &gateway.registry).unwrap();
    text
}
