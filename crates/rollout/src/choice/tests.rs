use proptest::prelude::*;
use sluicegate_core::{Chance, Role, Slot};

use super::{Choice, How, Share, Unmet, Wish, decide, point, seed};
use crate::{
    View,
    testing::{Rig, view},
    view::Now,
};

const KEYS: u64 = 100_000;

fn uuid(chance: &Chance) -> String {
    let (high, low) = (chance.bits(), chance.bits());
    let [a, b, c] = [high >> 32, high >> 16 & 0xffff, high & 0xfff];
    format!("{a:08x}-{b:04x}-4{c:03x}-{:04x}-{:012x}", low >> 48 & 0x3fff | 0x8000, low & 0xffff_ffff_ffff)
}

/// How many keys a weight may put on the candidate: 99.9 % of what a binomial distribution gives,
/// by the normal one with the correction for continuity. The fewest expected are 1,000.
fn expected(weight: u8) -> std::ops::RangeInclusive<f64> {
    let (n, p) = (KEYS as f64, f64::from(weight) / 100.0);
    // The quantile of the normal distribution at 99.95 %.
    let reach = 3.2905 * (n * p * (1.0 - p)).sqrt() + 0.5;
    n * p - reach..=n * p + reach
}

/// The points of 100,000 keys of each form, in order.
fn points(salt: &str) -> Vec<(&'static str, Vec<u64>)> {
    let chance = Chance::seeded(11);
    let seed = seed(salt);
    let sorted = |key: &dyn Fn(u64) -> Vec<u8>| {
        let mut points: Vec<u64> = (0..KEYS).map(|n| point(&key(n), seed)).collect();
        points.sort_unstable();
        points
    };
    vec![
        ("uuids", sorted(&|_| uuid(&chance).into_bytes())),
        ("small integers", sorted(&|n| n.to_string().into_bytes())),
        ("emails", sorted(&|n| format!("user.{n}@example.com").into_bytes())),
        ("long tokens", sorted(&|n| format!("{}{n}", "tenant/".repeat(40)).into_bytes())),
        ("addresses", sorted(&|n| (0x0a00_0000 + u32::try_from(n).unwrap()).to_be_bytes().into())),
        ("counters", sorted(&|n| n.to_be_bytes().into())),
    ]
}

/// How many of these the weight puts on the candidate.
fn on_candidate(sorted: &[u64], weight: u8) -> f64 {
    let share = Share::percent(weight);
    sorted.partition_point(|point| share.holds(*point)) as f64
}

/// With the salt of the contract's own document.
#[test]
fn each_weight_gets_its_share_of_keys_of_any_form() {
    for (form, sorted) in points("retriever") {
        for weight in 0..=100 {
            let (got, expected) = (on_candidate(&sorted, weight), expected(weight));
            assert!(expected.contains(&got), "{form}, {weight} %: {got} in {expected:?}");
        }
        assert_eq!((on_candidate(&sorted, 0), on_candidate(&sorted, 100)), (0.0, KEYS as f64));
    }
}

/// Of numbers that come by chance one in a thousand lies outside of its 99.9 %, and neighbouring
/// weights share their keys, so that they do so together. With any salt, the empty one too: about
/// so many do (0.07 % over forty salts), and none by far.
#[test]
fn any_salt_spreads_as_chance_would() {
    let salts = ["", "2026-11", "salt-0", "salt-1", "salt-2", "salt-3", "salt-4", "salt-5"];
    let (mut outside, mut all) = (0u32, 0u32);
    for salt in salts {
        for (form, sorted) in points(salt) {
            for weight in 1..100 {
                let (got, expected) = (on_candidate(&sorted, weight), expected(weight));
                let (middle, reach) =
                    (KEYS as f64 * f64::from(weight) / 100.0, expected.end() - expected.start());
                // Half the width is 3.3 standard deviations; this is 5.
                assert!((got - middle).abs() <= reach * 0.76, "{form}, {salt:?}, {weight} %: {got}");
                outside += u32::from(!expected.contains(&got));
                all += 1;
            }
        }
    }
    assert!(f64::from(outside) <= f64::from(all) * 0.003, "{outside} of {all}");
}

/// The keys that two salts put on the candidate have no more in common than chance gives: who was
/// among the first in one rollout is not so in each.
#[test]
fn salts_order_the_keys_independently() {
    let (one, other) = (seed("retriever"), seed("answers"));
    let share = Share::percent(10);
    let on_both = (0..KEYS)
        .map(|n| n.to_string())
        .filter(|key| share.holds(point(key.as_bytes(), one)) && share.holds(point(key.as_bytes(), other)))
        .count();
    assert!(expected(1).contains(&(on_both as f64)), "{on_both}");
}

/// These numbers are a promise: users stay where they are over every release of the gateway.
#[test]
fn points_never_change() {
    // The published value of XXH3 of nothing.
    assert_eq!((point(b"", 0), seed("")), (0x2d06_8005_38d3_94c2, 0x2d06_8005_38d3_94c2));
    let seed = seed("retriever");
    let points = ["7", "alice@example.com", "6f1c9a62-3a0e-4c59-9d0e-2f5b0d1c7e11"];
    let points = points.map(|key| point(key.as_bytes(), seed));
    assert_eq!(points, [10_546_561_088_968_490_155, 13_926_346_515_289_033_993, 3_021_282_946_127_643_603]);
    let long = "tenant/".repeat(40);
    assert_eq!(point(long.as_bytes(), seed), 16_391_013_978_741_928_075);
}

#[test]
fn shares_are_of_the_whole_circle() {
    assert!(!Share::percent(0).holds(0));
    assert!(Share::percent(100).holds(u64::MAX) && Share::percent(255).holds(u64::MAX));
    assert!(Share::percent(50).holds(u64::MAX / 2) && !Share::percent(50).holds(u64::MAX / 2 + 1));
    assert!(!Share::percent(99).holds(u64::MAX) && Share::percent(1).holds(0));
    let settled: Vec<u8> = (0..=100).filter(|weight| Share::percent(*weight).is_settled()).collect();
    assert_eq!(settled, [0, 100]);
}

proptest! {
    #[test]
    fn raising_the_weight_moves_no_key_back(key: Vec<u8>, salt: String, a in 0u8..=100, b in 0u8..=100) {
        let (low, high) = (Share::percent(a.min(b)), Share::percent(a.max(b)));
        let point = point(&key, seed(&salt));
        prop_assert!(!low.holds(point) || high.holds(point));
    }

    /// What a gateway holds beside weight and roles does not move a key: not its epoch, not its
    /// secret, not which instance it is.
    #[test]
    fn a_key_is_on_the_same_arm_everywhere(
        key: Vec<u8>, salt: String, weight in 0u8..=100, epochs: [u64; 2], secrets: [[u8; 32]; 2],
    ) {
        let arms: [_; 2] = std::array::from_fn(|instance| {
            let view = View { epoch: epochs[instance], secret: secrets[instance], ..view(weight) };
            let rig = Rig::new(view);
            decide(&rig.shared.load(), Wish::default(), || point(&key, seed(&salt)))
        });
        prop_assert_eq!(arms[0], arms[1]);
    }
}

fn choose(view: View, wish: Wish, point: u64) -> Result<(Slot, Role, How), Unmet> {
    let Choice { arm, how } = decide(&Now::new("retriever", view), wish, || point)?;
    assert_eq!(arm.is_sample, how == How::Weight);
    Ok((arm.slot, arm.role, how))
}

#[test]
fn the_weight_decides_where_nothing_else_does() {
    let wish = Wish::default();
    assert_eq!(choose(view(50), wish, 0), Ok((Slot::Second, Role::Candidate, How::Weight)));
    assert_eq!(choose(view(50), wish, u64::MAX), Ok((Slot::First, Role::Active, How::Weight)));
    let switched = View { active: Slot::Second, ..view(50) };
    assert_eq!(choose(switched.clone(), wish, 0), Ok((Slot::First, Role::Candidate, How::Weight)));
    assert_eq!(choose(switched, wish, u64::MAX), Ok((Slot::Second, Role::Active, How::Weight)));
}

#[test]
fn at_the_ends_nobody_is_asked_for_a_key() {
    for (weight, role) in [(0, Role::Active), (100, Role::Candidate)] {
        let choice =
            decide(&Now::new("retriever", view(weight)), Wish::default(), || panic!("a key is asked for"));
        let choice = choice.unwrap();
        assert_eq!((choice.arm.role, choice.arm.is_sample), (role, true));
    }
}

#[test]
fn it_is_decided_in_the_stated_order() {
    let (first, second) = (Slot::First, Slot::Second);
    let forced = |role| Wish { forced: Some(role), ..Wish::default() };
    let pinned = |matching| Wish { matching: Some(matching), ..Wish::default() };
    let write = Wish { stays: true, ..Wish::default() };
    let none = || Err(Unmet { slot: first, role: Role::Active });
    for (wish, expected) in [
        (write, Ok((first, Role::Active, How::Write))),
        (pinned([true, true]), Ok((second, Role::Candidate, How::Weight))),
        (pinned([true, false]), Ok((first, Role::Active, How::Pins))),
        (pinned([false, true]), Ok((second, Role::Candidate, How::Pins))),
        (pinned([false, false]), none()),
        (Wish { stays: true, ..pinned([false, true]) }, Ok((second, Role::Candidate, How::Pins))),
        (Wish { stays: true, ..pinned([true, true]) }, Ok((first, Role::Active, How::Write))),
        (forced(Role::Active), Ok((first, Role::Active, How::Forced))),
        (forced(Role::Candidate), Ok((second, Role::Candidate, How::Forced))),
        (Wish { stays: true, ..forced(Role::Candidate) }, Ok((second, Role::Candidate, How::Forced))),
        (
            Wish { matching: Some([true, false]), ..forced(Role::Candidate) },
            Err(Unmet { slot: second, role: Role::Candidate }),
        ),
        (Wish { matching: Some([false, true]), ..forced(Role::Active) }, none()),
    ] {
        assert_eq!(choose(view(99), wish, 0), expected, "{wish:?}");
        for closed in [View { open: false, ..view(100) }, View { killed: true, ..view(100) }] {
            let active_matches = wish.matching.is_none_or(|[active, _]| active);
            let expected = if active_matches { Ok((first, Role::Active, How::Closed)) } else { none() };
            assert_eq!(choose(closed, wish, 0), expected, "closed, {wish:?}");
        }
    }
}

proptest! {
    /// Whatever a request says: nobody gets an arm that is closed or does not match.
    #[test]
    fn no_wish_leads_where_it_must_not(
        weight in 0u8..=100,
        [second_is_active, open, killed, stays] in any::<[bool; 4]>(),
        forced in prop::option::of(prop_oneof![Just(Role::Active), Just(Role::Candidate)]),
        matching in any::<Option<[bool; 2]>>(),
        point in any::<u64>(),
    ) {
        let active = if second_is_active { Slot::Second } else { Slot::First };
        let view = View { active, open, killed, ..view(weight) };
        let fits = |slot: Slot| matching.is_none_or(|by_slot| by_slot[slot.index()]);
        match choose(view, Wish { forced, matching, stays }, point) {
            Ok((slot, role, how)) => {
                prop_assert_eq!(slot == active, role == Role::Active);
                prop_assert!(fits(slot));
                if !open || killed {
                    prop_assert_eq!((role, how), (Role::Active, How::Closed));
                } else if let Some(forced) = forced {
                    prop_assert_eq!(role, forced);
                } else if stays && role == Role::Candidate {
                    prop_assert!(!fits(active), "a write leaves the active arm for its pins alone");
                }
            }
            Err(unmet) => {
                prop_assert!(!fits(unmet.slot));
                prop_assert!(forced.is_some() || !open || killed || !fits(unmet.slot.other()));
            }
        }
    }
}
