//! How many keys are on the candidate, and that each stays where it is.

use sluicegate_test_servers::Redis;
use sluicegate_tests::{Gateway, Which, comes_true, repeat};

use crate::{Rules, UNJUDGED, arms_of, ask, on_next, reload, stands, users, weigh, whose};

/// The least and the most of `n` draws with probability `p` that lie inside its central 99.9 %.
fn binomial(n: usize, p: f64) -> (usize, usize) {
    if p <= 0.0 || p >= 1.0 {
        let all = if p > 0.0 { n } else { 0 };
        return (all, all);
    }
    let (mut log, mut below) = (n as f64 * (1.0 - p).ln(), 0.0);
    let (mut least, mut most) = (None, n);
    for k in 0..=n {
        let upto = below + log.exp();
        if upto > 0.0005 && least.is_none() {
            least = Some(k);
        }
        if upto >= 0.9995 {
            most = k;
            break;
        }
        below = upto;
        log += ((n - k) as f64 / (k + 1) as f64).ln() + (p / (1.0 - p)).ln();
    }
    (least.unwrap_or(0), most)
}

#[test]
fn the_interval_is_the_binomial_one() {
    // By a table: 100 draws at a half are within 34 to 66 in 99.9 of 100 cases.
    assert_eq!(binomial(100, 0.5), (34, 66));
    assert_eq!(binomial(10, 0.0), (0, 0));
    assert_eq!(binomial(10, 1.0), (10, 10));
    let (least, most) = binomial(100_000, 0.25);
    // The normal law's 3.29 standard deviations.
    assert!((24_540..=24_560).contains(&least) && (25_440..=25_460).contains(&most), "{least} to {most}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_spread_as_the_weight_says_and_raising_it_moves_none_back() {
    let (_arms, gateway) = Rules::default().start().await;
    let keys = users(repeat(2_000, 20_000));
    let mut before = vec![Which::Stable; keys.len()];
    for weight in [0, 1, 5, 10, 25, 50, 75, 100] {
        weigh(&gateway, weight).await;
        let now = arms_of(&gateway, "/x", &keys).await;
        let (least, most) = binomial(keys.len(), f64::from(weight) / 100.0);
        let count = on_next(&now);
        println!(
            "weight {weight:>3}: {count} of {} keys on the candidate, {least} to {most} expected",
            keys.len()
        );
        assert!((least..=most).contains(&count), "weight {weight}: {count} is not in {least}..={most}");
        let back = before.iter().zip(&now).filter(|pair| *pair == (&Which::Next, &Which::Stable)).count();
        assert_eq!(back, 0, "keys that went back at weight {weight}");
        before = now;
    }
    // And lowering it moves none over.
    weigh(&gateway, 25).await;
    let lowered = arms_of(&gateway, "/x", &keys).await;
    weigh(&gateway, 5).await;
    let lower = arms_of(&gateway, "/x", &keys).await;
    assert!(!lowered.iter().zip(&lower).any(|pair| pair == (&Which::Stable, &Which::Next)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_keeps_its_arm_over_kills_and_reloads() {
    let rules = Rules::embedded();
    let (arms, mut gateway) = rules.start().await;
    let keys = users(repeat(400, 5_000));
    weigh(&gateway, 30).await;
    let first = arms_of(&gateway, "/x", &keys).await;
    assert!(on_next(&first) > keys.len() / 5, "{}", on_next(&first));
    for round in 0..2 {
        gateway = gateway.kill_and_restart();
        // The very first requests: there is no moment in which the weight is not known.
        assert_eq!(arms_of(&gateway, "/x", &keys).await, first, "after kill {round}");
        let other = Rules { extra: ["limits: { deadline: 9s }", ""][round], ..rules.clone() };
        reload(&gateway, &other.document(&arms)).await;
        assert_eq!(arms_of(&gateway, "/x", &keys).await, first, "after reload {round}");
    }
    // Another salt is another order of keys, and the weight stays.
    let rollout = format!("sticky: {{ header: x-user-id }}, salt: other, {UNJUDGED}");
    reload(&gateway, &Rules { rollout, ..rules }.document(&arms)).await;
    let salted = arms_of(&gateway, "/x", &keys).await;
    let moved = first.iter().zip(&salted).filter(|(one, other)| one != other).count();
    println!("{} keys: {} on the candidate, and {moved} moved by another salt", keys.len(), on_next(&first));
    // Of two independent choices at 30 %, 42 % differ.
    assert!(moved > keys.len() / 4 && on_next(&salted) > keys.len() / 5, "{moved} {}", on_next(&salted));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_on_one_store_put_a_key_on_the_same_arm() {
    let redis = Redis::start().await.expect("a Redis");
    let rules = Rules { store: format!("redis: {{ url: \"{}\" }}", redis.url()), ..Rules::default() };
    let (arms, one) = rules.start().await;
    let other = Gateway::start(&rules.document(&arms));
    let keys = users(repeat(400, 5_000));
    for weight in [10, 40, 20] {
        weigh(&one, weight).await;
        let follows = async || stands(&other, "r").await["weight"] == weight;
        comes_true("the other one follows", follows).await;
        let (here, there) = (arms_of(&one, "/x", &keys).await, arms_of(&other, "/x", &keys).await);
        assert_eq!(here, there, "weight {weight}");
        let (least, most) = binomial(keys.len(), f64::from(weight) / 100.0);
        assert!((least..=most).contains(&on_next(&here)), "{weight}: {}", on_next(&here));
    }
    // One that comes later finds it as it is.
    let third = Gateway::start(&rules.document(&arms));
    assert_eq!(arms_of(&third, "/x", &keys).await, arms_of(&one, "/x", &keys).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_keeps_its_arm() {
    let rollout = format!("sticky: {{ tenant: true }}, {UNJUDGED}");
    let rules = Rules { rollout, extra: "tenants: { from: { header: x-tenant-id } }", ..Rules::default() };
    let (_arms, gateway) = rules.start().await;
    weigh(&gateway, 50).await;
    let mut on_candidate = 0;
    for tenant in 0..40 {
        let lines = format!("X-Tenant-Id: t{tenant}\r\n");
        let first = whose(&ask(&gateway, "GET", "/x", &lines).await);
        for user in 0..3 {
            // Whoever asks: the tenant alone counts.
            let lines = format!("{lines}X-User-Id: {user}\r\n");
            assert_eq!(whose(&ask(&gateway, "GET", "/x", &lines).await), first, "t{tenant}");
        }
        on_candidate += usize::from(first == Which::Next);
    }
    assert!((5..=35).contains(&on_candidate), "{on_candidate} of 40 tenants");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_each_request_is_drawn_by_itself() {
    let rollout = UNJUDGED.to_owned();
    for rules in [Rules { rollout, ..Rules::default() }, Rules::default()] {
        let (arms, gateway) = rules.start().await;
        weigh(&gateway, 50).await;
        let mut raw = sluicegate_tests::Raw::connect(gateway.address()).await;
        for _ in 0..400 {
            whose(&raw.ask("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n").await);
        }
        // Six standard deviations and more: drawn anew with each run of this test.
        let count = arms.count(Which::Next);
        assert!((140..=260).contains(&count), "{count} of 400");
    }
}
