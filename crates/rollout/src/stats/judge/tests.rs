use std::time::Duration;

use proptest::prelude::*;
use sluicegate_core::Role;

use super::Judge;
use crate::stats::{Block, Course, Gate, Limits, Reference, Report, Verdict};

/// What an arm does in a tick: its requests, its errors, and how long the good ones take.
type Does = (u64, u64, u64);

fn block(active: Does, candidate: Does) -> Block {
    let mut block = Block::default();
    for (arm, (requests, errors, took)) in block.arms.iter_mut().zip([active, candidate]) {
        (arm.requests, arm.errors) = (requests, errors);
        // Evenly from that time to twice of it.
        let good = requests.saturating_sub(errors);
        for nth in 0..good {
            arm.latency.record(took + took * (2 * nth + 1) / (2 * good), 1);
        }
    }
    block
}

fn limits() -> Limits {
    Limits { at_least: Duration::from_secs(60), ..Limits::default() }
}

fn judge(course: Course) -> Judge {
    Judge::new(&limits(), course, 0, Reference::default())
}

/// Feeds ticks of a second, from the time the judge is at.
fn feed(judge: &mut Judge, seconds: u64, active: Does, candidate: Does) {
    for _ in 0..seconds {
        let elapsed = judge.elapsed + Duration::from_secs(1);
        judge.add(&block(active, candidate), elapsed);
    }
}

fn gate(report: &Report, gate: Gate) -> &super::GateReport {
    report.gates.iter().find(|report| report.gate == gate).unwrap()
}

const GOOD: Does = (100, 0, 1_000);
const FEW: Does = (10, 0, 1_000);

#[test]
fn a_good_candidate_passes_after_its_time() {
    let mut judge = judge(Course::Compared);
    feed(&mut judge, 59, GOOD, FEW);
    assert_eq!(judge.verdict(), Verdict::InsufficientData);
    assert_eq!(judge.report().remaining, Duration::from_secs(1));
    feed(&mut judge, 1, GOOD, FEW);
    let report = judge.report();
    assert_eq!((judge.verdict(), report.verdict), (Verdict::Pass, Verdict::Pass), "{}", report.says());
    assert_eq!(report.missing(), [0, 0]);
    assert_eq!(report.samples, [6_000, 600]);
    assert!(!report.objects(200));
}

#[test]
fn nothing_at_all_holds_and_says_how_many_samples_are_missing() {
    let mut judge = judge(Course::Compared);
    assert_eq!(judge.verdict(), Verdict::InsufficientData);
    feed(&mut judge, 3600, (0, 0, 0), (0, 0, 0));
    let report = judge.report();
    assert_eq!(report.verdict, Verdict::InsufficientData);
    assert_eq!((report.short_of, report.missing()), ([200, 200], [200, 200]));
    assert!(report.says().contains("200 more samples of the candidate"), "{}", report.says());
    feed(&mut judge, 1, (1, 0, 1_000), (1, 1, 1_000));
    assert_eq!(judge.report().short_of, [199, 199]);
    assert_eq!(judge.verdict(), Verdict::InsufficientData);
}

#[test]
fn what_the_bound_still_needs_is_foretold() {
    let mut judge = judge(Course::Compared);
    feed(&mut judge, 25, GOOD, FEW);
    let report = judge.report();
    let errors = gate(&report, Gate::ErrorRate);
    assert_eq!(errors.verdict, Verdict::InsufficientData, "{}", errors.says);
    let [active, more] = errors.missing.unwrap();
    assert_eq!(active, 0);
    assert!(errors.says.contains("twice as much is not excluded"), "{}", errors.says);
    // As foretold: not a tick before half of it, and surely after twice of it.
    let ticks = more / 10;
    feed(&mut judge, ticks / 2, GOOD, FEW);
    assert_ne!(gate(&judge.report(), Gate::ErrorRate).verdict, Verdict::Pass);
    feed(&mut judge, ticks * 3 / 2, GOOD, FEW);
    assert_eq!(gate(&judge.report(), Gate::ErrorRate).verdict, Verdict::Pass);
}

#[test]
fn a_candidate_that_only_fails_is_aborted_after_five_errors() {
    let mut judge = judge(Course::Compared);
    feed(&mut judge, 5, (19, 0, 1_000), (1, 1, 1_000));
    feed(&mut judge, 4, (19, 0, 1_000), (0, 0, 1_000));
    let report = judge.report();
    assert_eq!(report.verdict, Verdict::Abort, "{report:?}");
    assert!(report.says().contains("100.00% of 5 requests of the candidate failed"), "{}", report.says());
    assert!(report.says().contains("more than 1.00% is proven"), "{}", report.says());
    assert_eq!(judge.verdict(), Verdict::Abort);
}

#[test]
fn four_errors_prove_nothing() {
    let mut judge = judge(Course::Alone(Role::Candidate));
    feed(&mut judge, 4, (0, 0, 0), (1, 1, 1_000));
    assert_eq!(judge.verdict(), Verdict::InsufficientData);
    feed(&mut judge, 1, (0, 0, 0), (1, 1, 1_000));
    assert_eq!(judge.verdict(), Verdict::Abort);
}

#[test]
fn between_gate_and_abort_it_fails() {
    let mut judge = judge(Course::Compared);
    // 0.8% beside none.
    for _ in 0..400 {
        feed(&mut judge, 4, (1_000, 0, 1_000), (100, 1, 1_000));
        feed(&mut judge, 1, (1_000, 0, 1_000), (100, 0, 1_000));
        if judge.verdict() == Verdict::Fail {
            break;
        }
    }
    let report = judge.report();
    assert_eq!(report.verdict, Verdict::Fail, "{}", report.says());
    assert_eq!(gate(&report, Gate::AbortErrors).verdict, Verdict::Pass);
    assert!(report.objects(200));
    // With that gate as a dry run nothing keeps the step from passing.
    assert_eq!(report.verdict_without(&[Gate::ErrorRate]), Verdict::Pass);
}

#[test]
fn arms_that_fail_alike_hold() {
    let mut judge = judge(Course::Compared);
    feed(&mut judge, 1_000, (100, 3, 1_000), (100, 3, 1_000));
    let report = judge.report();
    assert_eq!(report.verdict, Verdict::Inconclusive);
    assert!(report.says().contains("both fail alike"), "{}", report.says());
    assert!(report.objects(200));
}

#[test]
fn an_outage_of_both_does_not_make_a_small_difference_an_abort() {
    let mut judge = judge(Course::Compared);
    feed(&mut judge, 60, (100, 60, 1_000), (100, 60, 1_000));
    assert_ne!(judge.verdict(), Verdict::Abort);
    for _ in 0..200 {
        feed(&mut judge, 2, (100, 0, 1_000), (100, 1, 1_000));
        feed(&mut judge, 3, (100, 0, 1_000), (100, 0, 1_000));
        assert_ne!(judge.verdict(), Verdict::Abort, "{}", judge.report().says());
    }
}

#[test]
fn an_estimate_at_the_gate_passes_and_one_above_holds() {
    let mut at = judge(Course::Compared);
    feed(&mut at, 200, (100, 1, 1_000), (200, 1, 1_000));
    let at = at.report();
    assert_eq!(at.errors[1] * 200, at.samples[1]);
    assert_eq!(gate(&at, Gate::ErrorRate).verdict, Verdict::Pass, "{at:?}");

    let mut above = judge(Course::Compared);
    feed(&mut above, 200, (100, 1, 1_000), (200, 1, 1_000));
    above.add(&block(GOOD, (199, 1, 1_000)), Duration::from_secs(300));
    let above = above.report();
    assert_eq!(gate(&above, Gate::ErrorRate).verdict, Verdict::Inconclusive, "{above:?}");
    assert!(above.says().contains("but that is not proven"), "{}", above.says());
}

#[test]
fn a_p95_at_the_gate_passes_and_one_above_holds_or_fails() {
    let p95_of = |took: u64| {
        let limits = Limits { gate_p95_uplift: 1.0, ..limits() };
        let mut judge = Judge::new(&limits, Course::Compared, 0, Reference::default());
        // Times below 256 microseconds are told apart exactly.
        feed(&mut judge, 300, (100, 0, 50), (100, 0, took));
        gate(&judge.report(), Gate::LatencyP95).clone()
    };
    let at = p95_of(100);
    assert_eq!((at.candidate, at.bound), (Some(194e-6), Some(194e-6)));
    assert_eq!(at.verdict, Verdict::Pass, "{}", at.says);
    let above = p95_of(101);
    assert_ne!(above.verdict, Verdict::Pass, "{}", above.says);
    assert!(above.candidate > above.bound);
}

#[test]
fn twice_as_slow_fails_and_thrice_as_slow_aborts() {
    let judge_of = |took: u64| {
        let mut judge = judge(Course::Compared);
        feed(&mut judge, 120, GOOD, (10, 0, took));
        judge.report()
    };
    let twice = judge_of(1_900);
    assert_eq!(twice.verdict, Verdict::Fail, "{}", twice.says());
    assert!(twice.says().contains("more than +15% is proven"), "{}", twice.says());
    let thrice = judge_of(5_000);
    assert_eq!(thrice.verdict, Verdict::Abort, "{}", thrice.says());
    assert!(thrice.says().contains("more than 2 times is proven"), "{}", thrice.says());
}

#[test]
fn a_p99_needs_a_thousand_answers() {
    let mut judge = judge(Course::Compared);
    feed(&mut judge, 99, GOOD, (10, 0, 5_000));
    let report = judge.report();
    assert_eq!(gate(&report, Gate::AbortP99).missing, Some([0, 10]));
    assert_eq!(report.verdict, Verdict::Fail);
    feed(&mut judge, 1, GOOD, (10, 0, 5_000));
    assert_eq!(judge.verdict(), Verdict::Abort);
}

#[test]
fn both_arms_twice_as_slow_is_no_fault_of_the_candidate() {
    let mut judge = judge(Course::Compared);
    feed(&mut judge, 100, GOOD, (10, 0, 1_000));
    feed(&mut judge, 200, (100, 0, 4_000), (10, 0, 4_000));
    assert_eq!(judge.verdict(), Verdict::Pass, "{}", judge.report().says());
}

#[test]
fn at_a_weight_of_100_the_bound_and_the_reference_decide() {
    let mut before = judge(Course::Compared);
    feed(&mut before, 100, GOOD, GOOD);
    let reference = before.into_reference();
    assert_eq!(reference.samples(), 10_000);
    let after = |candidate: Does| {
        let mut judge = Judge::new(&limits(), Course::at_weight(100), 3, reference.clone());
        feed(&mut judge, 100, (0, 0, 0), candidate);
        (judge.report(), judge.into_reference())
    };
    let (good, kept) = after((100, 0, 1_000));
    assert_eq!(good.verdict, Verdict::Pass, "{}", good.says());
    assert_eq!(kept.samples(), 10_000);
    assert_eq!(after((100, 2, 1_000)).0.verdict, Verdict::Abort);
    assert_eq!(after((100, 0, 1_900)).0.verdict, Verdict::Fail);
    assert_eq!(after((100, 0, 5_000)).0.verdict, Verdict::Abort);
    // Without a reference nothing is known of latency, and it holds.
    let mut judge = Judge::new(&limits(), Course::at_weight(100), 0, Reference::default());
    feed(&mut judge, 100, (0, 0, 0), GOOD);
    let report = judge.report();
    assert_eq!(report.verdict, Verdict::InsufficientData);
    assert_eq!(gate(&report, Gate::LatencyP95).missing, Some([200, 0]), "{}", report.says());
}

#[test]
fn after_a_switch_the_new_active_arm_is_watched() {
    let mut before = judge(Course::Compared);
    feed(&mut before, 100, GOOD, FEW);
    let reference = before.into_reference();
    let after = |active: Does| {
        let mut judge = Judge::new(&limits(), Course::Alone(Role::Active), 0, reference.clone());
        feed(&mut judge, 100, active, (0, 0, 0));
        judge.report()
    };
    assert_eq!(after(GOOD).verdict, Verdict::Pass, "{}", after(GOOD).says());
    let fails = after((100, 3, 1_000));
    assert_eq!(fails.verdict, Verdict::Abort);
    assert!(fails.says().contains("requests of the active arm failed"), "{}", fails.says());
    assert_eq!(after((100, 0, 9_000)).verdict, Verdict::Abort);
}

#[test]
fn an_active_arm_without_requests_does_not_hide_a_bad_candidate() {
    let mut judge = judge(Course::Compared);
    feed(&mut judge, 99, (0, 0, 0), (1, 1, 1_000));
    assert_ne!(judge.verdict(), Verdict::Abort);
    feed(&mut judge, 1, (0, 0, 0), (1, 1, 1_000));
    assert_eq!(judge.verdict(), Verdict::Abort);
}

#[test]
fn a_fault_that_comes_late_is_found_soon() {
    let mut judge = judge(Course::Compared);
    feed(&mut judge, 6 * 3600, GOOD, FEW);
    let before = judge.totals[1].requests;
    for second in 0..600 {
        feed(&mut judge, 1, GOOD, (10, u64::from(second % 2 == 0), 1_000));
        if judge.verdict() == Verdict::Abort {
            break;
        }
    }
    assert_eq!(judge.verdict(), Verdict::Abort);
    let requests = judge.totals[1].requests - before;
    assert!(requests < 800, "{requests}");
}

#[test]
fn a_report_can_be_kept_and_read_again() {
    let mut judge = judge(Course::Compared);
    feed(&mut judge, 30, GOOD, (10, 1, 3_000));
    let report = judge.report();
    let text = serde_json::to_string(&report).unwrap();
    assert!(text.contains(r#""gate":"latency_p95""#) && text.contains(r#""elapsed":30.0"#), "{text}");
    let read: Report = serde_json::from_str(&text).unwrap();
    assert_eq!(read.says(), report.says());
    assert_eq!((read.verdict, read.samples, read.elapsed), (report.verdict, report.samples, report.elapsed));
}

proptest! {
    #[test]
    fn nothing_panics_and_every_number_is_one(
        numbers in prop::array::uniform4(any::<f64>()),
        samples: u64,
        at_least: u32,
        window: u32,
        course in prop::sample::select(vec![Course::Compared, Course::Alone(Role::Active), Course::Alone(Role::Candidate)]),
        ticks in prop::collection::vec((prop::array::uniform4(any::<u64>()), 0u32..100, any::<u32>()), 0..40),
    ) {
        let [gate_errors, gate_p95_uplift, abort_errors, abort_p99_ratio] = numbers;
        let at_least = Duration::from_secs(u64::from(at_least));
        let limits = Limits { gate_errors, gate_p95_uplift, abort_errors, abort_p99_ratio, samples, at_least };
        let mut judge = Judge::new(&limits, course, window, Reference::default());
        for ([active, active_errors, candidate, candidate_errors], shift, elapsed) in ticks {
            let mut block = Block::default();
            let [first, second] = &mut block.arms;
            (first.requests, first.errors) = (active >> shift.min(63), active_errors >> shift.min(63));
            (second.requests, second.errors) = (candidate >> (shift / 2).min(63), candidate_errors >> shift.min(63));
            first.latency.record(active_errors >> (shift / 2).min(63), active >> shift.min(63));
            second.latency.record(candidate, candidate_errors >> shift.min(63));
            judge.add(&block, Duration::from_millis(u64::from(elapsed)));
            let report = judge.report();
            prop_assert_eq!(report.verdict, judge.verdict());
            for gate in &report.gates {
                prop_assert!(gate.evidence.is_finite() && gate.needed.is_finite());
                for number in [gate.active, gate.candidate, gate.bound].into_iter().flatten() {
                    prop_assert!(number.is_finite() && number >= 0.0);
                }
                prop_assert!(!gate.says.is_empty() && !gate.says.contains("NaN"));
            }
            let text = serde_json::to_string(&report).unwrap();
            prop_assert!(serde_json::from_str::<Report>(&text).is_ok());
        }
    }
}
