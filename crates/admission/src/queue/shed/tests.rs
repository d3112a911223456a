use std::time::Duration;

use sluicegate_core::{Chance, Lane};
use tokio::time::Instant;

use super::{Shed, Step};
use crate::queue::{Ended, ShedLimits};

const MS: Duration = Duration::from_millis(1);

/// Beats for so long, with ten waits and ten answers each 50 ms.
fn pass(shed: &Shed, now: &mut Instant, span: Duration, wait: Duration, failed: usize) {
    let until = *now + span;
    while *now < until {
        for n in 0..10 {
            shed.waited(wait, false);
            shed.ended(if n < failed { Ended::Failed } else { Ended::Well });
        }
        *now += MS * 50;
        shed.beat(*now);
    }
}

#[test]
fn the_ladder_is_climbed_while_waits_are_long_and_left_when_they_are_not() {
    let (shed, mut now) = (Shed::new(Some(ShedLimits::default())), Instant::now());
    pass(&shed, &mut now, MS * 1000, MS * 100, 0);
    assert_eq!(shed.step(), Step::Nothing);
    pass(&shed, &mut now, MS * 1000, MS * 400, 0);
    assert_eq!(shed.step(), Step::HalfOfBatch);
    pass(&shed, &mut now, MS * 1000, MS * 400, 0);
    assert_eq!(shed.step(), Step::Batch);
    // Interactive is not touched for five seconds.
    pass(&shed, &mut now, MS * 4000, MS * 400, 0);
    assert_eq!(shed.step(), Step::Batch);
    pass(&shed, &mut now, MS * 12_000, MS * 400, 0);
    assert_eq!(shed.step(), Step::Half);
    assert!(shed.lateness() > 1.0);
    // Between half the limit and the limit it stays.
    pass(&shed, &mut now, MS * 3000, MS * 200, 0);
    assert_eq!(shed.step(), Step::Half);
    pass(&shed, &mut now, MS * 3000, MS * 100, 0);
    assert_eq!(shed.step(), Step::Nothing);
    assert!(shed.lateness() < 0.01);
}

#[test]
fn interactive_is_spared_within_two_seconds_of_the_flood() {
    let (shed, mut now) = (Shed::new(Some(ShedLimits::default())), Instant::now());
    pass(&shed, &mut now, MS * 30_000, MS * 400, 0);
    assert_eq!(shed.step(), Step::Half);
    pass(&shed, &mut now, MS * 2000, Duration::ZERO, 0);
    assert!(shed.step() <= Step::Batch, "{:?}", shed.step());
}

#[test]
fn errors_count_and_a_few_answers_do_not() {
    let (shed, mut now) = (Shed::new(Some(ShedLimits::default())), Instant::now());
    for _ in 0..90 {
        shed.ended(Ended::Failed);
        now += MS * 100;
        shed.beat(now);
    }
    assert_eq!(shed.step(), Step::Nothing);
    pass(&shed, &mut now, MS * 1000, Duration::ZERO, 1);
    assert_ne!(shed.step(), Step::Nothing);
    pass(&shed, &mut now, MS * 5000, Duration::ZERO, 0);
    assert_eq!(shed.step(), Step::Nothing);
}

#[test]
fn a_quiet_time_and_a_reload_without_limits_end_it() {
    let (shed, mut now) = (Shed::new(Some(ShedLimits::default())), Instant::now());
    pass(&shed, &mut now, MS * 30_000, MS * 400, 0);
    now += MS * 60_000;
    shed.beat(now);
    assert_eq!(shed.step(), Step::Half, "what came in the quiet time ended with the flood");
    now += MS * 1000;
    shed.beat(now);
    assert_eq!(shed.step(), Step::Nothing);
    pass(&shed, &mut now, MS * 3000, MS * 400, 0);
    assert_ne!(shed.step(), Step::Nothing);
    shed.set(None);
    assert_eq!(shed.step(), Step::Nothing);
}

#[test]
fn what_a_tenants_own_cap_makes_wait_does_not_count() {
    let (shed, mut now) = (Shed::new(Some(ShedLimits::default())), Instant::now());
    for _ in 0..100 {
        (0..10).for_each(|_| shed.waited(MS * 900, true));
        now += MS * 50;
        shed.beat(now);
    }
    assert_eq!(shed.step(), Step::Nothing);
}

#[test]
fn a_share_is_refused_by_lane() {
    let chance = Chance::seeded(3);
    let shed = Shed::new(Some(ShedLimits::default()));
    let refused = |step: Step, lane| {
        shed.step.store(step as u8, super::Relaxed);
        (0..4000).filter(|_| shed.refuses(lane, &chance)).count()
    };
    assert_eq!(refused(Step::Batch, Lane::Interactive), 0);
    assert_eq!(refused(Step::Batch, Lane::Batch), 4000);
    for (step, lane, expected) in [
        (Step::HalfOfBatch, Lane::Batch, 2000),
        (Step::Quarter, Lane::Interactive, 1000),
        (Step::Half, Lane::Interactive, 2000),
    ] {
        let refused = refused(step, lane);
        assert!(refused.abs_diff(expected) < 200, "{step:?} {refused}");
    }
}
