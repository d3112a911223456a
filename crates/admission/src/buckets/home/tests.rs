use std::time::Duration;

use prometheus_client::registry::Registry;
use sluicegate_core::Lane;
use tokio::time::Instant;

use super::Buckets;
use crate::buckets::{Ask, BucketSet, Class, Kind, Rate, SetOptions};

fn rate(rps: f64, burst: u32) -> Rate {
    Rate::new(rps, burst).unwrap()
}

const ASK: Ask<'_> = Ask { cost: 2, tenant: Some("acme"), class: Class::NONE, lane: Lane::Interactive };

/// Plans with one bucket each, of each kind, as a reload makes them.
fn plans(buckets: &Buckets, rps: f64, now: Instant) -> [BucketSet; 4] {
    let rate = rate(rps, 2);
    let only = SetOptions::default;
    let plans = [
        SetOptions { tenant: Some(buckets.per_tenant("search", rate, 10)), ..only() },
        SetOptions { route: Some(buckets.route("search", rate)), ..only() },
        SetOptions { interactive: Some(buckets.lane(Lane::Interactive, rate)), ..only() },
        SetOptions { global: Some(buckets.global(rate)), ..only() },
    ];
    plans.map(|options| {
        let set = buckets.set(options).unwrap();
        buckets.keep(&set, now);
        set
    })
}

/// Which of the plans admit.
fn admit(plans: &[BucketSet; 4], now: Instant) -> [bool; 4] {
    plans.each_ref().map(|plan| plan.charge(&ASK, now).is_ok())
}

#[test]
fn levels_outlive_a_reload_unless_their_own_numbers_changed() {
    let now = Instant::now();
    let buckets = Buckets::new(now, &mut Registry::default());
    let first = plans(&buckets, 1.0, now);
    assert_eq!(admit(&first, now), [true; 4]);
    let second = plans(&buckets, 1.0, now);
    drop(first);
    assert_eq!(admit(&second, now), [false; 4]);
    assert_eq!(admit(&plans(&buckets, 5.0, now), now), [true; 4]);
}

#[test]
fn a_level_waits_for_its_bucket_to_come_back_and_is_let_go_when_it_is_full() {
    let now = Instant::now();
    let buckets = Buckets::new(now, &mut Registry::default());
    assert_eq!(admit(&plans(&buckets, 1.0, now), now), [true; 4]);
    let one = |name, at| {
        let route = Some(buckets.route(name, rate(1.0, 1)));
        let set = buckets.set(SetOptions { route, ..SetOptions::default() }).unwrap();
        buckets.keep(&set, at);
        set
    };
    let later = now + Duration::from_secs(1);
    drop(one("other", later));
    assert_eq!(admit(&plans(&buckets, 1.0, later), later), [false; 4], "no plan held them for a while");
    let full = now + Duration::from_secs(2);
    let _another = one("another", full);
    let names: Vec<_> = buckets.status(full).into_iter().map(|bucket| bucket.name).collect();
    assert_eq!(names, ["another"]);
    let known = buckets.0.known.lock();
    assert_eq!((known.shared.len(), known.tenants.len()), (1, 0), "the others are gone");
}

#[test]
fn a_plan_that_comes_to_nothing_takes_no_level() {
    let now = Instant::now();
    let buckets = Buckets::new(now, &mut Registry::default());
    let running = plans(&buckets, 1.0, now);
    assert_eq!(admit(&running, now), [true; 4]);
    let route = Some(buckets.route("search", rate(9.0, 9)));
    drop(buckets.set(SetOptions { route, ..SetOptions::default() }).unwrap());
    assert_eq!(buckets.status(now)[2].burst, 2, "what runs is shown");
    assert_eq!(admit(&plans(&buckets, 1.0, now), now), [false; 4], "and found again with its level");
}

#[test]
fn the_status_shows_each_bucket() {
    let now = Instant::now();
    let buckets = Buckets::new(now, &mut Registry::default());
    let plans = plans(&buckets, 1.0, now);
    for plan in &plans {
        drop(plan.charge(&Ask { cost: 1, ..ASK }, now).unwrap());
    }
    let shown = buckets.status(now);
    let kinds: Vec<_> = shown.iter().map(|bucket| (bucket.kind, bucket.remaining, bucket.tenants)).collect();
    assert_eq!(
        kinds,
        [
            (Kind::Global, Some(1), None),
            (Kind::Lane, Some(1), None),
            (Kind::Route, Some(1), None),
            (Kind::Tenant, None, Some(1)),
        ]
    );
    assert_eq!((shown[3].max_tenants, shown[3].burst), (Some(10), 2));
}

#[test]
fn a_scrape_shows_cells_refusals_and_overflow() {
    let now = Instant::now();
    let mut registry = Registry::default();
    let buckets = Buckets::new(now, &mut registry);
    let tenant = Some(buckets.per_tenant("search", rate(1.0, 2), 1));
    let set = buckets.set(SetOptions { tenant, ..SetOptions::default() }).unwrap();
    buckets.keep(&set, now);
    drop(set.charge(&ASK, now).unwrap());
    assert!(set.charge(&ASK, now).is_err());
    assert!(set.charge(&Ask { cost: 3, ..ASK }, now).is_err());
    drop(set.charge(&Ask { tenant: Some("other"), ..ASK }, now).unwrap());
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for line in [
        "sluicegate_bucket_refused_total{bucket=\"search\",kind=\"tenant\",reason=\"empty\",enforced=\"true\"} 1",
        "sluicegate_bucket_refused_total{bucket=\"search\",kind=\"tenant\",reason=\"too_large\",enforced=\"true\"} 1",
        "sluicegate_bucket_overflow_total{bucket=\"search\"} 1",
        "sluicegate_bucket_cells{bucket=\"search\"} 1",
        "sluicegate_bucket_bytes{bucket=\"search\"}",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
}
