//! The error rate: to abort, to fail and to pass.

use super::{
    evidence::Evidence,
    found::{Found, View, Why, is_inside},
    limits::{LEAST_ERRORS, Limits, Needed},
    odds::{Odds, Pair},
    rate::{Rate, Trials},
    report::Verdict,
};

/// What is known of the errors.
#[derive(Clone, Debug)]
pub(super) struct Errors {
    above_abort: Evidence<Rate>,
    above_gate: Evidence<Rate>,
    below_twice_gate: Evidence<Rate>,
    /// Than the active arm.
    worse: Evidence<Odds>,
}

impl Errors {
    pub(super) fn new(limits: &Limits, needed: &Needed) -> Self {
        let most = needed.abort_errors.max(needed.fail_errors);
        Self {
            above_abort: Evidence::since_any_start(Rate::above(limits.abort_errors), needed.abort_errors),
            above_gate: Evidence::since_any_start(Rate::above(limits.gate_errors), needed.fail_errors),
            below_twice_gate: Evidence::since_the_beginning(
                Rate::below(2.0 * limits.gate_errors),
                needed.pass,
            ),
            worse: Evidence::since_any_start(Odds::worse(), most),
        }
    }

    /// Adds a tick of the arm that is judged.
    pub(super) fn add(&mut self, trials: Trials, begin: f64) {
        if trials.of > 0 {
            self.above_abort.add(trials, begin);
            self.above_gate.add(trials, begin);
            self.below_twice_gate.add(trials, begin);
        }
    }

    /// Adds a pool of both arms.
    pub(super) fn compare(&mut self, pair: Pair, begin: f64) {
        self.worse.add(pair, begin);
    }

    /// The abort test.
    pub(super) fn abort(&self, view: &View<'_>) -> Found {
        let needed = view.needed.abort_errors;
        let bound = self.above_abort.ln();
        let evidence = if view.alone { bound } else { bound.min(self.worse.ln()) };
        let (verdict, why) = match view.judged() {
            judged if judged.requests == 0 => (Verdict::InsufficientData, Why::Few),
            judged if judged.errors >= LEAST_ERRORS && evidence >= needed => (Verdict::Abort, Why::Proven),
            judged if judged.errors >= LEAST_ERRORS && bound >= needed => (Verdict::Pass, Why::Alike),
            _ => (Verdict::Pass, Why::Nothing),
        };
        Found::new(verdict, why, evidence, needed)
    }

    /// The gate of a step.
    pub(super) fn gate(&self, view: &View<'_>) -> Found {
        let needed = view.needed.fail_errors;
        let bound = self.above_gate.ln();
        let evidence = if view.alone { bound } else { bound.min(self.worse.ln()) };
        let judged = view.judged();
        if judged.errors >= LEAST_ERRORS && evidence >= needed {
            return Found::new(Verdict::Fail, Why::Proven, evidence, needed);
        }
        if judged.errors >= LEAST_ERRORS && bound >= needed {
            return Found::new(Verdict::Inconclusive, Why::Alike, evidence, needed);
        }
        let few = view.short_of(view.limits.samples, view.totals.each_ref().map(|total| total.requests));
        let inside = view.inside(&self.below_twice_gate, few, judged.requests);
        let estimate_inside = judged.error_rate().is_none_or(|rate| is_inside(rate, view.limits.gate_errors));
        match few {
            [0, 0] if !estimate_inside => Found::new(Verdict::Inconclusive, Why::Outside, evidence, needed),
            [0, 0] => inside,
            _ => Found { verdict: Verdict::InsufficientData, why: Why::Few, ..inside }
                .missing(inside.missing.filter(|_| estimate_inside).unwrap_or(few)),
        }
    }
}
