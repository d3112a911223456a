use std::time::Duration;

use prometheus_client::registry::Registry;
use sluicegate_core::Lane;
use tokio::time::Instant;

use super::{BucketSet, SetOptions};
use crate::buckets::{Ask, Buckets, Class, Classes, Denied, Empty, Kind, Rate, TooLarge};

fn rate(rps: f64, burst: u32) -> Rate {
    Rate::new(rps, burst).unwrap()
}

fn set(options: impl FnOnce(&Buckets) -> SetOptions, now: Instant) -> BucketSet {
    let buckets = Buckets::new(now, &mut Registry::default());
    let options = options(&buckets);
    buckets.set(options).unwrap()
}

fn acme(cost: u32) -> Ask<'static> {
    Ask { cost, tenant: Some("acme"), ..Ask::default() }
}

fn empty(answer: Result<super::Charged, Denied>) -> Empty {
    match answer {
        Err(Denied::Empty(empty)) => empty,
        other => panic!("{other:?} where a bucket should be empty"),
    }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A tenant gets 10 a second and 5 at once, the route 2 a second and 6 at once.
fn two(buckets: &Buckets) -> SetOptions {
    SetOptions {
        tenant: Some(buckets.per_tenant("search", rate(10.0, 5), 100)),
        route: Some(buckets.route("search", rate(2.0, 6))),
        ..SetOptions::default()
    }
}

#[test]
fn what_a_later_bucket_refuses_the_earlier_ones_get_back() {
    let now = Instant::now();
    let set = set(two, now);
    drop(set.charge(&acme(4), now).unwrap());
    let refused = empty(set.charge(&Ask { tenant: Some("other"), ..acme(3) }, now));
    assert_eq!((refused.which, refused.remaining, refused.wait), (Kind::Route, 2, millis(500)));
    assert_eq!(refused.reset, millis(2000));
    // The other tenant's bucket is whole, to the nanosecond, once the route can give it all.
    let later = now + millis(1500);
    assert!(set.charge(&Ask { tenant: Some("other"), ..acme(5) }, later).is_ok());
}

#[test]
fn the_wait_is_that_of_the_slowest_bucket_even_if_another_refuses_first() {
    let now = Instant::now();
    let set = set(two, now);
    drop(set.charge(&acme(5), now).unwrap());
    let refused = empty(set.charge(&acme(5), now));
    assert_eq!((refused.which, refused.wait), (Kind::Route, millis(2000)), "the tenant's says half a second");
    let early = now + refused.wait.saturating_sub(Duration::from_nanos(1));
    assert_eq!(empty(set.charge(&acme(5), early)).wait, Duration::from_nanos(1));
    assert!(set.charge(&acme(5), now + refused.wait).is_ok());
}

#[test]
fn what_never_fits_is_told_apart_whatever_the_levels_are() {
    let now = Instant::now();
    let set = set(two, now);
    drop(set.charge(&acme(5), now).unwrap());
    for cost in [6, 7, u32::MAX] {
        let Err(Denied::TooLarge(too_large)) = set.charge(&acme(cost), now) else { panic!("{cost} fitted") };
        assert_eq!(too_large, TooLarge { which: Kind::Tenant, cost, burst: 5 });
    }
}

#[test]
fn a_refund_in_the_same_moment_restores_and_a_later_one_gives_no_more_than_is_missing() {
    let now = Instant::now();
    let set = set(two, now);
    let charged = set.charge(&acme(5), now).unwrap();
    set.refund(charged, now);
    let charged = set.charge(&acme(5), now).unwrap();
    let later = now + millis(200);
    // Two have run in since; the third and fourth are given back; the route's, but for 0.4, too.
    set.refund(charged, later);
    assert_eq!(set.charge(&acme(5), later).unwrap().told().backlog[0], 500_000_000);
    let refused = empty(set.charge(&acme(2), later));
    assert_eq!((refused.which, refused.remaining), (Kind::Route, 1));
}

#[test]
fn a_tenant_without_a_cell_gives_back_to_the_bucket_it_was_charged_to() {
    let now = Instant::now();
    let options = |buckets: &Buckets| SetOptions {
        tenant: Some(buckets.per_tenant("t", rate(1.0, 2), 1)),
        ..SetOptions::default()
    };
    let set = set(options, now);
    drop(set.charge(&acme(2), now).unwrap());
    let [second, third] = ["second", "third"].map(|name| Ask { tenant: Some(name), ..acme(2) });
    let charged = set.charge(&second, now).unwrap();
    assert!(set.charge(&third, now).is_err(), "they share what is over");
    set.refund(charged, now);
    assert!(set.charge(&third, now).is_ok());
}

#[test]
fn a_class_has_its_own_rate_and_burst_and_the_default_is_for_the_rest() {
    let now = Instant::now();
    let classes = Classes::new([("premium", 2.0), ("free", 0.5)]).unwrap();
    let [premium, free] = ["premium", "free"].map(|name| classes.named(name).unwrap());
    let options = |buckets: &Buckets| SetOptions { route: None, classes, ..two(buckets) };
    let set = set(options, now);
    for (class, burst, every) in [(Class::NONE, 5, 100), (premium, 10, 50), (free, 2, 200)] {
        let name = format!("of-{burst}");
        let ask = Ask { cost: 1, tenant: Some(&name), class, lane: Lane::Interactive };
        for _ in 0..burst {
            assert!(set.charge(&ask, now).is_ok());
        }
        assert_eq!(empty(set.charge(&ask, now)).wait, millis(every));
        let policy = set.policy(class).unwrap();
        assert_eq!(policy, &format!("\"tenant\";q={burst};w=1"));
    }
}

#[test]
fn a_lane_has_a_bucket_beside_the_other_and_all_share_the_global_one() {
    let now = Instant::now();
    let options = |buckets: &Buckets| SetOptions {
        batch: Some(buckets.lane(Lane::Batch, rate(1.0, 2))),
        global: Some(buckets.global(rate(1.0, 4))),
        ..SetOptions::default()
    };
    let set = set(options, now);
    let batch = Ask { lane: Lane::Batch, ..acme(2) };
    drop(set.charge(&batch, now).unwrap());
    let refused = empty(set.charge(&Ask { cost: 1, ..batch }, now));
    assert_eq!((refused.which, refused.wait), (Kind::Lane, millis(1000)));
    drop(set.charge(&acme(2), now).unwrap());
    let refused = empty(set.charge(&acme(1), now));
    assert_eq!(refused.which, Kind::Global);
    assert_eq!(set.rate_limit(refused.told()), None, "what is left for all is nobody's business");
    assert_eq!(set.policy(Class::NONE), None);
}

#[test]
fn where_nothing_is_enforced_refusals_are_counted_and_take_nothing() {
    let now = Instant::now();
    let mut registry = Registry::default();
    let buckets = Buckets::new(now, &mut registry);
    let set = buckets.set(SetOptions { enforce: false, ..two(&buckets) }).unwrap();
    assert!(!set.charge(&acme(5), now).unwrap().is_spared());
    let spared = set.charge(&acme(1), now).unwrap();
    assert!(spared.is_spared());
    assert_eq!(set.rate_limit(spared.told()).unwrap(), "\"tenant\";r=0;t=1, \"route\";r=1;t=3");
    set.refund(spared, now);
    assert!(set.charge(&acme(9), now).unwrap().is_spared());
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for reason in ["empty", "too_large"] {
        let line = format!(
            "sluicegate_bucket_refused_total{{bucket=\"search\",kind=\"tenant\",reason=\"{reason}\",enforced=\"false\"}} 1"
        );
        assert!(text.contains(&line), "{line} is missing in\n{text}");
    }
}

#[test]
fn the_answer_says_what_is_left_and_a_refusal_when_to_come_back() {
    let now = Instant::now();
    let set = set(two, now);
    assert_eq!(set.policy(Class::NONE).unwrap(), "\"tenant\";q=5;w=1, \"route\";q=6;w=3");
    let charged = set.charge(&acme(3), now).unwrap();
    assert_eq!(set.rate_limit(charged.told()).unwrap(), "\"tenant\";r=2;t=1, \"route\";r=3;t=2");
    let refused = empty(set.charge(&acme(5), now));
    assert_eq!(refused.wait, millis(1000));
    assert_eq!(set.rate_limit(refused.told()).unwrap(), "\"tenant\";r=2;t=1, \"route\";r=3;t=1");
}

#[test]
fn requests_without_a_tenant_share_one_bucket_and_what_costs_nothing_is_always_let_in() {
    let now = Instant::now();
    let set = set(|buckets| SetOptions { route: None, ..two(buckets) }, now);
    let nobody = Ask { tenant: None, ..acme(5) };
    drop(set.charge(&nobody, now).unwrap());
    assert!(set.charge(&Ask { cost: 1, ..nobody }, now).is_err());
    assert!(set.charge(&Ask { cost: 0, ..nobody }, now).is_ok());
    assert!(set.charge(&acme(5), now).is_ok());
}

#[test]
fn a_set_without_buckets_admits_everything() {
    let now = Instant::now();
    let set = set(|_| SetOptions::default(), now);
    let charged = set.charge(&acme(u32::MAX), now).unwrap();
    assert_eq!(set.rate_limit(charged.told()), None);
    set.refund(charged, now);
}

#[test]
fn plans_hold_only_what_threads_may_share() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<BucketSet>();
    shared::<Buckets>();
    shared::<super::Charged>();
}
