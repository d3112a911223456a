//! A whole window, with gateways killed in the middle of it and in the middle of the backfill.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use sluicegate_test_servers::Redis;
use sluicegate_tests::{
    Audited, Fenced, Raw, Write,
    audit::{Act, Choice, Given, Shape},
    fleet::Fleet,
    intents::{ask_for, intent_of},
    reaches, repeat,
};
use tokio::task::JoinSet;

use crate::queueing;

/// What freezes everything, in a document.
const READ_ONLY: &str = "read_only: true";
/// How many intents are applied at one time.
const CONCURRENT: usize = 4;
/// How many writes each line has.
const PLACES: u64 = 10;
/// How many clients there are; each has lines of its own.
const CLIENTS: usize = 50;

/// Done in order of milliseconds, so that a kill finds some of them under way.
fn steady() -> Choice {
    Arc::new(|write, _| {
        let wait = |salt: u64| Duration::from_millis((write.number * 7 + salt) % 5);
        Act::Do { before: wait(1), after: wait(3), shape: Shape::Short }
    })
}

struct Window {
    upstream: Audited,
    fleet: Arc<Fleet>,
    lines: usize,
    /// Where the intent of each write is.
    accepted: Arc<Mutex<HashMap<u64, String>>>,
    count: Arc<AtomicUsize>,
}

impl Window {
    async fn start(upstream: Audited, gateways: usize, fenced: Fenced) -> Self {
        let fenced =
            Fenced { intents: fenced.intents.replace("rps: 2000", "base: 10ms, rps: 2000"), ..fenced };
        let documents = (0..gateways).map(|door| fenced.document(&upstream.url(door)));
        let fleet = Arc::new(Fleet::start(documents).await);
        if !fenced.extra.contains(READ_ONLY) {
            for seat in 0..gateways {
                crate::freeze(&*fleet.gateway(seat).await).await;
            }
        }
        let (accepted, count) = (Arc::default(), Arc::default());
        Self { upstream, fleet, lines: repeat(50, 500), accepted, count }
    }

    fn all(&self) -> usize {
        self.lines * usize::try_from(PLACES).unwrap()
    }

    fn write(line: usize, place: u64) -> Write {
        Write { number: line as u64 * PLACES + place, line: format!("d{line}"), place }
    }

    fn writes(&self) -> impl Iterator<Item = Write> + use<> {
        (0..self.lines).flat_map(|line| (0..PLACES).map(move |place| Self::write(line, place)))
    }

    /// Every client sends the writes of its lines, each until it is accepted.
    fn clients(&self) -> JoinSet<()> {
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS.min(self.lines) {
            let (fleet, accepted, count) = (self.fleet.clone(), self.accepted.clone(), self.count.clone());
            let lines = self.lines;
            clients.spawn(async move {
                for line in (client..lines).step_by(CLIENTS) {
                    for place in 0..PLACES {
                        let write = Self::write(line, place);
                        let at = until_accepted(&fleet, &write).await;
                        accepted.lock().unwrap().insert(write.number, at);
                        count.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
        clients
    }

    /// Fills the queue, with a kill in the middle of it, and another of Redis.
    async fn fill(&self, redis: Option<Redis>) -> Option<Redis> {
        let mut clients = self.clients();
        let kept = async || self.count.load(Ordering::SeqCst);
        reaches("kept", self.all() / 2, kept).await;
        self.fleet.kill(0).await;
        let mut redis = redis;
        if let Some(mut running) = redis.take() {
            reaches("kept", self.all() * 3 / 4, kept).await;
            running.kill();
            redis = Some(running.restart().await.unwrap());
        }
        while let Some(client) = clients.join_next().await {
            client.expect("a client does not panic");
        }
        assert_eq!(self.upstream.ledger().count(), 0, "nothing is applied during the freeze");
        let distinct: BTreeSet<_> = self.accepted.lock().unwrap().values().cloned().collect();
        assert_eq!(distinct.len(), self.all(), "each write is an intent of its own");
        let gateway = self.fleet.gateway(0).await;
        assert_eq!(gateway.intents_in("queued").await, self.all() as u64);
        redis
    }

    async fn thaw(&self) {
        for seat in 0..self.fleet.len() {
            let gateway = self.fleet.gateway(seat).await;
            let document = fs::read_to_string(gateway.folder().config()).unwrap();
            if document.contains(READ_ONLY) {
                gateway.folder().replace("gateway.yaml", document.replace(READ_ONLY, "read_only: false"));
                assert_eq!(gateway.cli(&["reload"]).await.code, 0);
            } else {
                gateway.thaw("window").await;
            }
        }
    }

    /// Kills one after the other.
    async fn kill(&self, number: usize) {
        self.fleet.kill(number % self.fleet.len()).await;
    }

    /// Waits until everything is noted as applied.
    async fn applied(&self) {
        let applied = async || {
            let count = self.fleet.gateway(0).await.intents_in("applied").await;
            usize::try_from(count).unwrap()
        };
        reaches("applied", self.all(), applied).await;
    }

    /// Everything was done once and in order.
    fn assert_done(&self) {
        let ledger = self.upstream.ledger();
        assert_eq!(ledger.violations(), Vec::<String>::new());
        assert_eq!((ledger.count(), ledger.duplicates()), (self.all(), 0));
        let lines = ledger.lines();
        assert_eq!(lines.len(), self.lines);
        for (line, places) in lines {
            assert_eq!(places, (0..PLACES).collect::<Vec<_>>(), "order of {line}");
        }
    }

    /// What the upstream answered to each write.
    fn given(&self) -> HashMap<u64, Given> {
        let arrivals = self.upstream.ledger().arrivals();
        arrivals.into_iter().filter_map(|arrival| Some((arrival.number, arrival.given?))).collect()
    }

    /// Whoever asks the status resource, or sends the write again, gets the upstream's answer;
    /// of those that an operator settled, only that they are done.
    async fn assert_answers(&self, settled: &BTreeSet<u64>) {
        let (given, berth) = (self.given(), self.fleet.berth(0).await);
        let mut raw = Raw::connect(berth.address).await;
        for write in self.writes() {
            let at = self.accepted.lock().unwrap()[&write.number].clone();
            let shown = ask_for(&mut raw, &at, "").await.json();
            assert_eq!(shown["state"], "applied", "write {}: {shown}", write.number);
            if settled.contains(&write.number) {
                continue;
            }
            let given = &given[&write.number];
            let response = ask_for(&mut raw, &format!("{at}/response"), "").await;
            assert_eq!((response.status, &response.body[..]), (given.status, &given.body[..]), "{shown}");
            let again = raw.ask(write.request(write.number.is_multiple_of(2), "")).await;
            assert_eq!((again.status, &again.body[..]), (given.status, &given.body[..]), "{again:?}");
            assert_eq!(again.fields.get("idempotency-replayed"), Some("true"), "{again:?}");
        }
        assert_eq!(self.upstream.ledger().count(), self.all());
    }
}

/// Who looks at what is in doubt, and at the upstream, and decides.
struct Operator {
    /// The intents that were in doubt, before and after each kill in the backfill.
    listed: Vec<BTreeSet<String>>,
    settled: BTreeSet<u64>,
    retried: usize,
}

impl Default for Operator {
    fn default() -> Self {
        Self { listed: vec![BTreeSet::new()], settled: BTreeSet::new(), retried: 0 }
    }
}

impl Operator {
    /// Decides about all that is in doubt until so many effects were had.
    async fn work_until(&mut self, window: &Window, effects: usize) {
        let ledger = window.upstream.ledger();
        let work = async || {
            let gateway = window.fleet.gateway(0).await;
            for intent in gateway.intents("in_doubt").await {
                let id = intent["id"].as_str().unwrap().to_owned();
                let number = Write::number_of(intent["key"].as_str().unwrap()).expect("a write's key");
                let done = ledger.effects().iter().any(|effect| effect.write.number == number);
                let answer = if done {
                    self.settled.insert(number);
                    gateway.settle(&id, 201).await
                } else {
                    self.retried += 1;
                    gateway.intent_do(&id, "retry").await
                };
                assert!((200..300).contains(&answer.status), "{answer:?}");
                self.listed.last_mut().unwrap().insert(id);
            }
            ledger.count()
        };
        reaches("effects", effects, work).await;
    }
}

/// Sends a write until somebody says that it is kept, and returns where its intent is.
async fn until_accepted(fleet: &Fleet, write: &Write) -> String {
    let begun = Instant::now();
    loop {
        let berth = fleet.berth(fastrand::usize(..fleet.len())).await;
        if let Ok(mut raw) = Raw::try_connect(berth.address).await {
            raw.send(write.request(write.place.is_multiple_of(2), "")).await;
            // Without its Redis it refuses.
            let answer = raw.answer().await.ok().filter(|answer| answer.code() != "store_unavailable");
            if let Some(answer) = answer {
                return intent_of(&answer);
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "write {} is not accepted", write.number);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// With an upstream that honours keys: what was in flight is sent again.
async fn honoured(name: &str, gateways: usize, fenced: Fenced, redis: Option<Redis>) {
    let begun = Instant::now();
    let upstream = Audited::honouring(gateways, steady()).await;
    let fenced = Fenced { upstream: "honours_keys: true".to_owned(), ..fenced };
    let window = Window::start(upstream, gateways, fenced).await;
    let _redis = window.fill(redis).await;
    window.thaw().await;
    let ledger = window.upstream.ledger();
    for third in [1, 2] {
        reaches("effects", window.all() * third / 3, async || ledger.count()).await;
        window.kill(third).await;
    }
    window.applied().await;
    window.assert_done();
    window.assert_answers(&BTreeSet::new()).await;
    let again = ledger.arrivals().len() - window.all();
    assert!(again <= 2 * CONCURRENT, "{again} were sent again after two kills");
    println!(
        "window, {name}, keys honoured: {} writes in {} lines, 3 kills, {again} sent again, 0 lost, 0 twice, in {:?}",
        window.all(),
        window.lines,
        begun.elapsed()
    );
}

/// With one that does not: what was in flight waits for an operator.
async fn not_honoured(name: &str, gateways: usize, fenced: Fenced, redis: Option<Redis>) {
    let begun = Instant::now();
    let upstream = Audited::start(gateways, steady()).await;
    let window = Window::start(upstream, gateways, fenced).await;
    let _redis = window.fill(redis).await;
    window.thaw().await;
    let mut operator = Operator::default();
    for third in [1, 2] {
        operator.work_until(&window, window.all() * third / 3).await;
        window.kill(third).await;
        operator.listed.push(BTreeSet::new());
    }
    operator.work_until(&window, window.all()).await;
    window.applied().await;
    let in_doubt: Vec<_> = operator.listed.iter().map(BTreeSet::len).collect();
    // Nothing before the first kill in the backfill, then at most what was in flight at each.
    // Over Redis a dead gateway's come into doubt when its lease lapses, which may be after
    // the next kill.
    let mut so_far = 0;
    for (kills, count) in in_doubt.iter().enumerate() {
        so_far += count;
        assert!(so_far <= kills * CONCURRENT, "{in_doubt:?}");
    }
    window.assert_done();
    window.assert_answers(&operator.settled).await;
    println!(
        "window, {name}, keys not honoured: {} writes in {} lines, 3 kills, {:?} in doubt after those in the backfill \
         ({} had been applied, {} not), 0 lost, 0 twice, in {:?}",
        window.all(),
        window.lines,
        &in_doubt[1..],
        operator.settled.len(),
        operator.retried,
        begun.elapsed()
    );
}

/// Frozen by its document: what an operator orders is kept beside the embedded store alone.
fn over(redis: &Redis) -> Fenced {
    let extra = format!("freeze: {{ {READ_ONLY} }}");
    let store = format!("redis: {{ url: \"{}\", lease: 3s }}", redis.url());
    Fenced { store, extra, ..queueing(CONCURRENT) }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_keys_are_honoured_nothing_is_left_to_an_operator() {
    honoured("embedded", 1, queueing(CONCURRENT), None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_they_are_not_those_in_flight_wait_for_an_operator() {
    not_honoured("embedded", 1, queueing(CONCURRENT), None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_redis_and_two_gateways_where_keys_are_honoured() {
    let redis = Redis::start().await.unwrap();
    let fenced = over(&redis);
    honoured("two gateways over redis", 2, fenced, Some(redis)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_redis_and_two_gateways_where_they_are_not() {
    let redis = Redis::start().await.unwrap();
    let fenced = over(&redis);
    not_honoured("two gateways over redis", 2, fenced, Some(redis)).await;
}
