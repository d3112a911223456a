//! Random commands at random gateways under load, while gateways and Redis are killed.
//!
//! Each run prints its seed and its counts; `SLUICEGATE_STORM_SEED` repeats what the operators
//! and the killer choose (not how their steps fall together).

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sluicegate_test_servers::Redis;
use sluicegate_tests::{
    fleet::Fleet,
    reaches, repeat,
    rollouts::{Stand, ask},
};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    NAME, SLOW,
    follow::Group,
    judge::{Seen, one_line},
    redis, until,
};

/// Who gives commands, at one time.
const OPERATORS: usize = 3;

/// One command that was given.
#[derive(Clone, Debug)]
struct Order {
    number: usize,
    command: &'static str,
    seat: usize,
    life: usize,
    /// After the answer was there.
    told: Instant,
    /// The status and the code; none where no answer came.
    answer: Option<(u16, String)>,
    /// Where the rollout stood after it, where it was acknowledged.
    stand: Option<Stand>,
}

impl Order {
    fn is_acknowledged(&self) -> bool {
        self.stand.is_some()
    }

    /// Whether it may have been written all the same.
    fn is_in_doubt(&self) -> bool {
        self.answer.as_ref().is_none_or(|(status, _)| *status >= 500)
    }
}

#[derive(Default)]
struct Shared {
    enough: AtomicBool,
    next: AtomicUsize,
    orders: Mutex<Vec<Order>>,
    /// Every decision that some gateway has told, by its number.
    decisions: Mutex<BTreeMap<u64, Value>>,
}

impl Shared {
    fn count(&self, counts: impl Fn(&Order) -> bool) -> usize {
        self.orders.lock().unwrap().iter().filter(|order| counts(order)).count()
    }

    /// Keeps what a gateway tells of the decisions; what it has told before it tells again.
    fn tells(&self, told: &[Value]) {
        let mut known = self.decisions.lock().unwrap();
        for decision in told {
            let before = known.entry(decision["seq"].as_u64().unwrap()).or_insert_with(|| decision.clone());
            assert_eq!(before, decision, "a decision was told in two ways");
        }
    }
}

async fn operator(shared: Arc<Shared>, fleet: Arc<Fleet>, mut chance: fastrand::Rng) {
    while !shared.enough.load(Ordering::SeqCst) {
        let berth = fleet.berth(chance.usize(..fleet.len())).await;
        let number = shared.next.fetch_add(1, Ordering::SeqCst);
        let (command, request, body) = order(number, &mut chance);
        let actor = format!("X-Sluicegate-Actor: order-{number}.\r\n");
        let answer = ask(berth.admin, &request, &actor, &body.to_string()).await;
        let told = Instant::now();
        let stand =
            answer.as_ref().filter(|answer| answer.status == 200).map(|answer| Stand::of(answer.json()));
        let answer = answer.map(|answer| (answer.status, answer.code()));
        let order = Order { number, command, seat: berth.seat, life: berth.life, told, answer, stand };
        shared.orders.lock().unwrap().push(order);
        sleep(Duration::from_millis(chance.u64(5..40))).await;
    }
}

/// A command, the request's line, and its body.
fn order(number: usize, chance: &mut fastrand::Rng) -> (&'static str, String, Value) {
    let commands = [
        "start", "start", "advance", "advance", "hold", "resume", "weight", "promote", "abort", "switch",
        "rollback",
    ];
    let command = commands[chance.usize(..commands.len())];
    let path = format!("/rollouts/{NAME}/{command}");
    match command {
        "weight" => {
            let weight = [0, 10, 50, 100][chance.usize(..4)];
            (command, format!("PUT {path}"), json!({ "weight": weight }))
        }
        "hold" | "abort" | "rollback" => {
            (command, format!("POST {path}"), json!({ "reason": format!("order {number}") }))
        }
        _ => (command, format!("POST {path}"), json!({})),
    }
}

/// Reads the decisions again and again, at one gateway after the other: each keeps the last ones
/// only.
async fn clerk(shared: Arc<Shared>, fleet: Arc<Fleet>) {
    for turn in 0.. {
        if shared.enough.load(Ordering::SeqCst) {
            return;
        }
        let berth = fleet.berth(turn % fleet.len()).await;
        if let Some(answer) = ask(berth.admin, &format!("GET /rollouts/{NAME}/history"), "", "").await
            && answer.status == 200
        {
            shared.tells(answer.json()["decisions"].as_array().unwrap());
        }
        sleep(Duration::from_millis(150)).await;
    }
}

fn seed() -> u64 {
    match std::env::var("SLUICEGATE_STORM_SEED") {
        Ok(seed) => seed.parse().expect("SLUICEGATE_STORM_SEED is a number"),
        Err(_) => fastrand::u64(..1_000_000_000),
    }
}

/// Kills gateways and Redis, each time after another share of the commands was acknowledged.
async fn kill(
    shared: &Shared,
    fleet: &Fleet,
    mut redis: Redis,
    chance: &mut fastrand::Rng,
) -> (Redis, usize) {
    let (kills, every) = (repeat(5, 60), 15);
    let mut outages = 0;
    for turn in 1..=kills {
        let goal = shared.count(Order::is_acknowledged) + every;
        reaches("acknowledged commands", goal, async || shared.count(Order::is_acknowledged)).await;
        if turn % 3 == 0 {
            redis.kill();
            let in_doubt = shared.count(Order::is_in_doubt) + 3;
            reaches("commands without Redis", in_doubt, async || shared.count(Order::is_in_doubt)).await;
            redis = redis.restart().await.unwrap();
            outages += 1;
        } else {
            fleet.kill(chance.usize(..fleet.len())).await;
        }
    }
    let goal = shared.count(Order::is_acknowledged) + every;
    reaches("acknowledged commands", goal, async || shared.count(Order::is_acknowledged)).await;
    (redis, outages)
}

/// What an acknowledged abort promises at the gateway that has acknowledged it: until it goes on
/// to another state, nothing is served by the candidate. Gives how many reads were held against
/// that.
fn aborts_hold(orders: &[Order], seen: &Seen) -> usize {
    let mut held = 0;
    for order in orders.iter().filter(|order| order.command == "abort") {
        let Some(stand) = order.stand.as_ref().filter(|stand| stand.phase == "aborted") else { continue };
        let here = |seat: usize, life: usize| seat == order.seat && life == order.life;
        // The last look at which it had gone no further.
        let looks = seen.looks.iter().filter(|look| here(look.seat, look.life) && look.asked > order.told);
        let still = looks.take_while(|look| look.stand.version <= stand.version).last();
        let Some(until) = still.map(|look| look.asked) else { continue };
        for read in &seen.reads {
            if here(read.seat, read.life) && read.began > order.told && read.ended < until {
                let broken = read.whose == crate::traffic::Whose::Broken;
                assert!(broken || read.whose.is(&stand.active), "{read:?} after {order:?}");
                held += 1;
            }
        }
    }
    held
}

#[tokio::test(flavor = "multi_thread")]
async fn the_decisions_are_one_line_whoever_commands_and_whatever_dies() {
    let seed = seed();
    println!("group storm: seed {seed}");
    let begun = Instant::now();
    let redis = redis().await;
    let group = Group::start(3, &redis, SLOW).await;
    let (fleet, shared) = (group.fleet.clone(), Arc::new(Shared::default()));
    let mut tasks = JoinSet::new();
    for operator_number in 0..OPERATORS {
        let chance = fastrand::Rng::with_seed(seed ^ (operator_number as u64) << 40);
        tasks.spawn(operator(shared.clone(), fleet.clone(), chance));
    }
    tasks.spawn(clerk(shared.clone(), fleet.clone()));
    let mut chance = fastrand::Rng::with_seed(!seed);
    let (redis, outages) = kill(&shared, &fleet, redis, &mut chance).await;
    shared.enough.store(true, Ordering::SeqCst);
    while let Some(task) = tasks.join_next().await {
        task.expect("nobody panics");
    }

    // In the end all are of one mind.
    let place = {
        let mut stand = None;
        until("the last command is taken", async || {
            let answer = fleet.gateway(0).await.try_weigh(NAME, 10).await;
            stand = (answer.status == 200).then(|| Stand::of(answer.json()));
            stand.is_some()
        })
        .await;
        stand.unwrap().place()
    };
    group.watch.all_at(&[0, 1, 2], place, begun).await;
    for seat in 0..3 {
        assert_eq!(group.watch.now(seat).await.place(), place, "gateway {seat}");
        shared.tells(&fleet.gateway(seat).await.decisions(NAME).await);
    }
    let kills = fleet.kills().len();
    let all = group.end().await;
    drop(redis);

    let orders = shared.orders.lock().unwrap().clone();
    let decisions: Vec<_> = shared.decisions.lock().unwrap().values().cloned().collect();
    let acknowledged = orders.iter().filter(|order| order.is_acknowledged()).count();
    let mut refused: BTreeMap<String, usize> = BTreeMap::new();
    for (status, code) in orders.iter().filter_map(|order| order.answer.as_ref()) {
        if *status != 200 {
            *refused.entry(format!("{status} {code}")).or_default() += 1;
        }
    }
    println!(
        "group storm: seed {seed}: {} commands, {acknowledged} acknowledged, {refused:?}; {} decisions, {kills} kills, \
         {outages} restarts of Redis, {} reads, {} looks, in {:?}",
        orders.len(),
        decisions.len(),
        all.reads.len(),
        all.looks.len(),
        begun.elapsed()
    );

    assert_eq!(decisions[0]["seq"], 1, "{}", decisions[0]);
    one_line(&decisions);
    // What was acknowledged is a decision, once; what was refused is none.
    for order in &orders {
        let by = format!("order-{}.", order.number);
        let made: Vec<_> = decisions
            .iter()
            .filter(|decision| decision["by"]["name"].as_str().is_some_and(|name| name.starts_with(&by)))
            .collect();
        let fits = match (order.is_acknowledged(), order.is_in_doubt()) {
            // An abort of what is aborted changes nothing.
            (true, _) if order.command == "abort" => made.len() <= 1,
            (true, _) => made.len() == 1,
            (false, true) => made.len() <= 1,
            (false, false) => made.is_empty(),
        };
        assert!(fits, "{order:?} became {made:#?}");
    }
    all.never_back();
    let broken = all.none_failed(true);
    let served = all.served_as_shown();
    let held = aborts_hold(&orders, &all);
    println!(
        "group storm: seed {seed}: {broken} reads broken by kills; held against what was shown: {served:?}; {held} after aborts"
    );
    assert!(served.aborted > 0 && served.one > 0 && served.either > 0, "{served:?}");
    assert!(acknowledged > 50 && kills >= 2);
}
