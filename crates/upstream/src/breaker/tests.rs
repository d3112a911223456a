use std::time::Duration;

use proptest::prelude::*;
use sluicegate_core::Chance;
use tokio::time::{Instant, advance};

use super::{Breaker, Kind, Pass, Rule, State, state::Admission};

const SECOND: Duration = Duration::from_secs(1);
const RULE: Rule =
    Rule { consecutive: 3, ratio: None, minimum: 20, base: SECOND, max: Duration::from_secs(8), probes: 2 };

fn chance() -> Chance {
    Chance::seeded(7)
}

fn pass(breaker: &Breaker, rule: &Rule) -> Pass {
    breaker.pass(rule).unwrap().0
}

/// Fails in a row until it opens, and says for how long.
fn open(breaker: &Breaker, rule: &Rule) -> Duration {
    while let Ok((pass, _)) = breaker.pass(rule) {
        breaker.failed(pass, rule, &chance());
    }
    breaker.wait(rule)
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_open_it_and_a_success_between_them_does_not() {
    let breaker = Breaker::new();
    for _ in 0..10 {
        for _ in 0..2 {
            assert_eq!(breaker.failed(pass(&breaker, &RULE), &RULE, &chance()), None);
        }
        assert_eq!(breaker.succeeded(pass(&breaker, &RULE), &RULE), None);
    }
    let last = pass(&breaker, &RULE);
    breaker.failed(last, &RULE, &chance());
    breaker.failed(last, &RULE, &chance());
    assert_eq!(breaker.kind(), Kind::Closed);
    assert_eq!(breaker.failed(last, &RULE, &chance()), Some(Kind::Open));
    let wait = breaker.pass(&RULE).unwrap_err();
    assert!(wait >= SECOND && wait <= SECOND * 6 / 5, "{wait:?}");
}

#[tokio::test(start_paused = true)]
async fn it_stays_open_longer_each_time_until_the_probes_succeed() {
    let breaker = Breaker::new();
    for seconds in [1, 2, 4, 8, 8] {
        let length = open(&breaker, &RULE);
        let expected = SECOND * seconds;
        assert!(length >= expected && length <= expected * 6 / 5, "{length:?}, not {expected:?}");
        advance(length.saturating_sub(Duration::from_millis(1))).await;
        assert!(breaker.pass(&RULE).is_err());
        assert_eq!(breaker.kind(), Kind::Open);
        advance(Duration::from_millis(1)).await;
        assert_eq!(breaker.kind(), Kind::HalfOpen);
        // One failure is enough from now on: `open` sends one probe.
    }
    advance(10 * SECOND).await;
    let (one, changed) = breaker.pass(&RULE).unwrap();
    assert_eq!((one.probe, changed), (true, Some(Kind::HalfOpen)));
    let other = pass(&breaker, &RULE);
    assert_eq!(breaker.succeeded(one, &RULE), None, "two must succeed");
    assert_eq!(breaker.succeeded(other, &RULE), Some(Kind::Closed));
    let length = open(&breaker, &RULE);
    assert!(length <= SECOND * 6 / 5, "the lengths begin anew: {length:?}");
}

#[tokio::test(start_paused = true)]
async fn only_the_probes_are_let_through() {
    let breaker = Breaker::new();
    advance(open(&breaker, &RULE)).await;
    let probes: Vec<_> = (0..100).filter_map(|_| breaker.pass(&RULE).ok()).collect();
    assert_eq!(probes.len(), 2);
    let wait = breaker.wait(&RULE);
    assert_eq!(wait, SECOND, "these may hang: another one goes after a while");
    advance(wait).await;
    assert!(breaker.pass(&RULE).is_ok());
    assert!(breaker.pass(&RULE).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_probe_whose_client_left_gives_its_place_back() {
    let breaker = Breaker::new();
    advance(open(&breaker, &RULE)).await;
    for _ in 0..100 {
        let (one, other) = (pass(&breaker, &RULE), pass(&breaker, &RULE));
        assert!(breaker.pass(&RULE).is_err());
        breaker.gave_up(one);
        breaker.gave_up(other);
    }
}

#[tokio::test(start_paused = true)]
async fn late_news_counts_for_nothing() {
    let breaker = Breaker::new();
    let before = pass(&breaker, &RULE);
    advance(open(&breaker, &RULE)).await;
    assert_eq!(breaker.succeeded(before, &RULE), None);
    let probe = pass(&breaker, &RULE);
    for _ in 0..9 {
        breaker.succeeded(before, &RULE);
        breaker.failed(before, &RULE, &chance());
    }
    assert_eq!(breaker.kind(), Kind::HalfOpen, "what was sent before it opened decides nothing");
    breaker.failed(probe, &RULE, &chance());
    let wait = breaker.wait(&RULE);
    breaker.failed(probe, &RULE, &chance());
    assert_eq!((breaker.kind(), breaker.wait(&RULE)), (Kind::Open, wait));
}

#[tokio::test(start_paused = true)]
async fn a_share_of_failures_opens_it_once_there_are_enough_answers() {
    let rule = Rule { consecutive: 0, ratio: Some(0.5), ..RULE };
    let breaker = Breaker::new();
    let one = pass(&breaker, &rule);
    for _ in 0..9 {
        breaker.failed(one, &rule, &chance());
        breaker.succeeded(one, &rule);
    }
    breaker.failed(one, &rule, &chance());
    assert_eq!(breaker.kind(), Kind::Closed, "19 answers are not 20");
    assert_eq!(breaker.failed(one, &rule, &chance()), Some(Kind::Open));

    // What led to it is forgotten once it closes.
    advance(breaker.wait(&rule)).await;
    let probes = [pass(&breaker, &rule), pass(&breaker, &rule)];
    breaker.succeeded(probes[0], &rule);
    assert_eq!(breaker.succeeded(probes[1], &rule), Some(Kind::Closed));
    let again = pass(&breaker, &rule);
    for _ in 0..19 {
        assert_eq!(breaker.failed(again, &rule, &chance()), None);
    }
    assert_eq!(breaker.failed(again, &rule, &chance()), Some(Kind::Open));
}

#[tokio::test(start_paused = true)]
async fn old_failures_are_forgotten() {
    let rule = Rule { consecutive: 0, ratio: Some(0.5), ..RULE };
    let breaker = Breaker::new();
    let one = pass(&breaker, &rule);
    for _ in 0..19 {
        breaker.failed(one, &rule, &chance());
    }
    advance(10 * SECOND).await;
    for _ in 0..19 {
        breaker.succeeded(one, &rule);
    }
    assert_eq!(breaker.failed(one, &rule, &chance()), None);
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_is_off_never_opens_it_and_closes_an_open_one() {
    let off = Rule { consecutive: 0, ..RULE };
    let breaker = Breaker::new();
    for _ in 0..1000 {
        breaker.failed(pass(&breaker, &off), &off, &chance());
    }
    assert_eq!(breaker.kind(), Kind::Closed);
    open(&breaker, &RULE);
    assert_eq!(breaker.wait(&off), Duration::ZERO);
    assert_eq!(breaker.pass(&off).unwrap().1, Some(Kind::Closed));
    assert_eq!(breaker.kind(), Kind::Closed);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Admit,
    Succeed,
    Fail,
    GiveUp,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Admit),
        2 => Just(Step::Succeed),
        2 => Just(Step::Fail),
        1 => Just(Step::GiveUp),
        1 => (0..3000u64).prop_map(Step::Wait),
    ]
}

fn any_rule() -> impl Strategy<Value = Rule> {
    (1..5u32, 1..5u32, 1..2000u64, 0..4000u64).prop_map(|(consecutive, probes, base, more)| Rule {
        consecutive,
        probes,
        base: Duration::from_millis(base),
        max: Duration::from_millis(base + more),
        ..RULE
    })
}

proptest! {
    /// Over any walk of the bare machine: an open breaker lets nobody through before its time; a
    /// wait that was told is true; while it is half open no more probes are out than must
    /// succeed, but for one per `base`; and it closes only by successes.
    #[test]
    fn any_walk_keeps_the_promises(rule in any_rule(), steps in prop::collection::vec(step(), 1..200)) {
        let mut now = Instant::now();
        let mut state = State::CLOSED;
        // Those out that the present kind of state let through, and probes let through in it.
        let (mut out, mut probes, mut since) = (0usize, 0u32, now);
        for step in steps {
            let before = Kind::of(&state);
            let next = match step {
                Step::Wait(millis) => {
                    now += Duration::from_millis(millis);
                    continue;
                }
                Step::Admit => {
                    let wait = state.wait(&rule, now);
                    let (next, admission) = state.admit(&rule, now);
                    match admission {
                        Admission::Refused(told) => {
                            prop_assert_eq!((told, before), (wait, Kind::of(&next)));
                            prop_assert!(!told.is_zero());
                            let (_, then) = next.admit(&rule, now + told);
                            prop_assert_eq!(then, Admission::Probe, "the wait was not true");
                            continue;
                        }
                        Admission::Usual => prop_assert_eq!(before, Kind::Closed),
                        Admission::Probe => prop_assert_ne!(before, Kind::Closed),
                    }
                    next
                }
                _ if out == 0 => continue,
                Step::Succeed => state.succeeded(&rule),
                Step::Fail => state.failed(&rule, false, now, 0.0),
                Step::GiveUp => state.gave_up(),
            };
            let after = Kind::of(&next);
            if matches!(step, Step::Admit) {
                if before != after {
                    (out, probes, since) = (0, 0, now);
                }
                out += 1;
                probes += 1;
            } else {
                out -= 1;
                if matches!(step, Step::GiveUp) {
                    prop_assert_eq!(before, after);
                    probes = probes.saturating_sub(1);
                }
                if before != after {
                    out = 0;
                    prop_assert_eq!(after == Kind::Closed, matches!(step, Step::Succeed));
                }
            }
            if let State::HalfOpen { out: told, .. } = next {
                prop_assert_eq!(told as usize, out);
                let extra = now.duration_since(since).as_millis() / rule.base.as_millis();
                prop_assert!(u128::from(probes) <= u128::from(rule.probes) + extra);
            }
            if let State::Open { until, .. } = next {
                prop_assert!(until >= now && until - now <= rule.max);
            }
            state = next;
        }
    }
}
