//! The buckets against an exact model, over any sequence of time, tenants, costs and refunds.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    collections::HashMap,
    sync::{Arc, Barrier},
    thread,
    time::Duration,
};

use prometheus_client::registry::Registry;
use proptest::prelude::*;
use sluicegate_admission::buckets::{Ask, BucketSet, Buckets, Classes, Denied, Kind, Rate, SetOptions};
use sluicegate_core::Lane;
use tokio::time::Instant;

/// An exact bucket. Its tokens are counted in the nanoseconds that they take to run in, so that
/// no fraction is lost.
#[derive(Clone)]
struct Model {
    every: u128,
    burst: u128,
    tokens: u128,
    seen: u128,
}

impl Model {
    fn new(rate: Rate) -> Self {
        Self::of(rate.every().as_nanos(), rate.burst())
    }

    fn of(every: u128, burst: u32) -> Self {
        let burst = every * u128::from(burst);
        Self { every, burst, tokens: burst, seen: 0 }
    }

    fn at(&mut self, now: u128) -> &mut Self {
        self.tokens = self.burst.min(self.tokens + now - self.seen);
        self.seen = now;
        self
    }

    fn missing(&self, cost: u32) -> u128 {
        (self.every * u128::from(cost)).saturating_sub(self.tokens)
    }

    fn take(&mut self, cost: u32) {
        self.tokens -= self.every * u128::from(cost);
    }
}

const TENANTS: [&str; 3] = ["acme", "umbrella", "initech"];
const LANES: [Lane; 2] = [Lane::Interactive, Lane::Batch];

#[derive(Clone, Debug)]
struct Numbers {
    tenant: (f64, u32),
    route: (f64, u32),
    batch: (f64, u32),
    global: (f64, u32),
    multiplier: f64,
}

fn numbers() -> impl Strategy<Value = Numbers> {
    let rate = || (0.5..2000.0, 4..40u32);
    (rate(), rate(), rate(), rate(), 0.3..3.0).prop_map(|(tenant, route, batch, global, multiplier)| {
        Numbers { tenant, route, batch, global, multiplier }
    })
}

#[derive(Clone, Debug)]
struct Request {
    after: Duration,
    tenant: usize,
    lane: usize,
    cost: u32,
}

fn requests(most: usize) -> impl Strategy<Value = Vec<Request>> {
    // Mostly close together, so that buckets run empty, and now and then a pause.
    let pause = prop_oneof![9 => 0..20_000_000u64, 1 => 0..5_000_000_000u64];
    let request =
        (pause, 0..TENANTS.len(), 0..LANES.len(), 0..6u32).prop_map(|(after, tenant, lane, cost)| Request {
            after: Duration::from_nanos(after),
            tenant,
            lane,
            cost,
        });
    prop::collection::vec(request, 1..most)
}

fn rate((rps, burst): (f64, u32)) -> Rate {
    Rate::new(rps, burst).unwrap()
}

struct World {
    set: BucketSet,
    classes: Classes,
    /// By the bucket's own words: tenants by index, then route, lane `batch`, and all.
    models: HashMap<(Kind, usize), Model>,
}

impl World {
    fn new(numbers: &Numbers, epoch: Instant) -> Self {
        let buckets = Buckets::new(epoch, &mut Registry::default());
        // The last tenant is of a class.
        let classes = Classes::new([("other", numbers.multiplier)]).unwrap();
        let set = buckets
            .set(SetOptions {
                tenant: Some(buckets.per_tenant("t", rate(numbers.tenant), 100)),
                route: Some(buckets.route("t", rate(numbers.route))),
                batch: Some(buckets.lane(Lane::Batch, rate(numbers.batch))),
                global: Some(buckets.global(rate(numbers.global))),
                classes: classes.clone(),
                ..SetOptions::default()
            })
            .unwrap();
        let own = rate(numbers.tenant);
        // The time for one token is rounded up, the burst down to no less than 1.
        let every = own.every().as_nanos() as f64 / numbers.multiplier;
        let burst = (f64::from(own.burst()) * numbers.multiplier).max(1.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
        let of_class = Model::of(every.ceil() as u128, burst as u32);
        let models = HashMap::from([
            ((Kind::Tenant, 0), Model::new(own)),
            ((Kind::Tenant, 1), Model::new(own)),
            ((Kind::Tenant, 2), of_class),
            ((Kind::Route, 0), Model::new(rate(numbers.route))),
            ((Kind::Lane, 1), Model::new(rate(numbers.batch))),
            ((Kind::Global, 0), Model::new(rate(numbers.global))),
        ]);
        Self { set, classes, models }
    }

    fn ask<'a>(&self, request: &Request) -> Ask<'a> {
        let class = (request.tenant == 2).then(|| self.classes.named("other").unwrap());
        Ask {
            cost: request.cost,
            tenant: Some(TENANTS[request.tenant]),
            class: class.unwrap_or_default(),
            lane: LANES[request.lane],
        }
    }

    /// The buckets that a request is charged to.
    fn keys(request: &Request) -> impl Iterator<Item = (Kind, usize)> {
        let lane = (request.lane == 1).then_some((Kind::Lane, 1));
        [(Kind::Tenant, request.tenant), (Kind::Route, 0), (Kind::Global, 0)].into_iter().chain(lane)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// One after another: what the model admits is admitted and what it refuses is refused, the
    /// wait is the model's to the nanosecond, and a refund in the same moment leaves no trace.
    #[test]
    fn in_sequence_the_buckets_do_what_an_exact_model_does(
        numbers in numbers(),
        requests in requests(150),
        refunded in prop::collection::vec(prop::bool::weighted(0.2), 150),
    ) {
        let epoch = Instant::now();
        let mut world = World::new(&numbers, epoch);
        let mut now = Duration::ZERO;
        for (request, refund) in requests.iter().zip(refunded) {
            now += request.after;
            let asked = world.models.iter_mut().filter(|(key, _)| World::keys(request).any(|it| it == **key));
            let asked: Vec<_> = asked.map(|(_, model)| model.at(now.as_nanos())).collect();
            let least = asked.iter().map(|model| model.burst / model.every).min().unwrap();
            let wait = asked.iter().map(|model| model.missing(request.cost)).max().unwrap();
            if wait == 0 && !refund {
                for model in asked {
                    model.take(request.cost);
                }
            }
            let answer = world.set.charge(&world.ask(request), epoch + now);
            match answer {
                Ok(charged) => {
                    prop_assert_eq!(wait, 0, "admitted what the model refuses");
                    if refund {
                        world.set.refund(charged, epoch + now);
                    }
                }
                Err(Denied::TooLarge(_)) => prop_assert!(u128::from(request.cost) > least),
                Err(Denied::Empty(empty)) => {
                    prop_assert!(u128::from(request.cost) <= least);
                    prop_assert_eq!(empty.wait.as_nanos(), wait, "refused by {:?}", empty.which);
                    // A moment before that it is still refused.
                    now += empty.wait.saturating_sub(Duration::from_nanos(1));
                    prop_assert!(world.set.charge(&world.ask(request), epoch + now).is_err());
                }
            }
        }
    }

    #[test]
    fn who_waits_as_long_as_it_was_told_is_admitted(numbers in numbers(), requests in requests(150)) {
        let epoch = Instant::now();
        let world = World::new(&numbers, epoch);
        let mut now = epoch;
        for request in &requests {
            now += request.after;
            match world.set.charge(&world.ask(request), now) {
                Ok(_) | Err(Denied::TooLarge(_)) => {}
                Err(Denied::Empty(empty)) => {
                    now += empty.wait;
                    prop_assert!(world.set.charge(&world.ask(request), now).is_ok());
                }
            }
        }
    }

    /// Refunds may come at any later time and in any order: what was admitted and kept never
    /// passes `burst + rate * t` in any span, in any bucket.
    #[test]
    fn whatever_is_given_back_and_when_nothing_is_admitted_in_excess(
        numbers in numbers(),
        requests in requests(120),
        back in prop::collection::vec(prop::option::weighted(0.5, 1..8usize), 120),
    ) {
        let epoch = Instant::now();
        let world = World::new(&numbers, epoch);
        let (mut now, mut open, mut kept) = (Duration::ZERO, Vec::new(), Vec::new());
        for (turn, (request, back)) in requests.iter().zip(back).enumerate() {
            now += request.after;
            let (due, later): (Vec<_>, Vec<_>) = open.into_iter().partition(|(when, _)| *when <= turn);
            open = later;
            for (_, charged) in due {
                world.set.refund(charged, epoch + now);
            }
            match (world.set.charge(&world.ask(request), epoch + now), back) {
                (Ok(charged), Some(turns)) => open.push((turn + turns, charged)),
                (Ok(_), None) => kept.push((now.as_nanos(), request.clone())),
                (Err(_), _) => {}
            }
        }
        for (key, model) in &world.models {
            let mine: Vec<_> = kept.iter().filter(|(_, request)| World::keys(request).any(|it| it == *key)).collect();
            for (i, (from, _)) in mine.iter().enumerate() {
                let mut sum = 0;
                for (to, request) in &mine[i..] {
                    sum += model.every * u128::from(request.cost);
                    prop_assert!(sum <= model.burst + (to - from), "{key:?} gave too much from {from} to {to}");
                }
            }
        }
    }
}

/// On real threads and a real clock: over the whole run the buckets give their burst and their
/// rate, and no more.
#[test]
fn threads_that_race_get_no_more_than_there_is() {
    const TRIES: u32 = 20_000;
    let epoch = Instant::now();
    let buckets = Buckets::new(epoch, &mut Registry::default());
    let numbers = Rate::new(10_000.0, 100).unwrap();
    let set = buckets
        .set(SetOptions {
            tenant: Some(buckets.per_tenant("t", Rate::new(1_000_000.0, 1_000_000).unwrap(), 100)),
            route: Some(buckets.route("t", numbers)),
            global: Some(buckets.global(numbers)),
            ..SetOptions::default()
        })
        .unwrap();
    let (set, start) = (Arc::new(set), Arc::new(Barrier::new(TENANTS.len())));
    let workers = TENANTS.map(|tenant| {
        let (set, start) = (set.clone(), start.clone());
        thread::spawn(move || {
            let ask = Ask { cost: 1, tenant: Some(tenant), ..Ask::default() };
            let mut admitted = 0;
            start.wait();
            for turn in 0..TRIES {
                match set.charge(&ask, Instant::now()) {
                    // Some come no further, and are not admitted.
                    Ok(charged) if turn % 3 == 0 => set.refund(charged, Instant::now()),
                    Ok(_) => admitted += 1,
                    Err(_) => {}
                }
            }
            admitted
        })
    });
    let admitted: u128 = workers.into_iter().map(|worker| worker.join().unwrap()).sum();
    let most = 100 + epoch.elapsed().as_nanos() / numbers.every().as_nanos();
    assert!((100..=most).contains(&admitted), "{admitted} of {most}");
}
