//! The bounds of a judge, and what it may spend on them.

use std::time::Duration;

use sluicegate_core::Role;

/// The probability that a whole run is aborted for its errors without a reason.
pub const ABORT_ERRORS_ALPHA: f64 = 0.002;
/// The probability that a whole run is aborted for its p99 without a reason.
pub const ABORT_P99_ALPHA: f64 = 0.002;
/// The probability that a whole run fails by its errors without a reason.
pub const FAIL_ERRORS_ALPHA: f64 = 0.005;
/// The probability that a whole run fails by its p95 without a reason.
pub const FAIL_P95_ALPHA: f64 = 0.005;
/// The probability that a step passes a gate though the candidate is at twice its bound.
pub const PASS_BETA: f64 = 0.05;

/// Fewer errors than these prove nothing: one unlucky user is no reason to abort.
pub(super) const LEAST_ERRORS: u64 = 5;
/// Answers of each arm before a p99 is spoken of.
pub(super) const P99_SAMPLES: u64 = 1_000;
/// Answers of the active arm before a p95 is spoken of.
pub(super) const P95_SAMPLES: u64 = 200;
/// The share of answers beyond a p95.
pub(super) const P95_TAIL: f64 = 0.05;
/// The share of answers beyond a p99.
pub(super) const P99_TAIL: f64 = 0.01;

/// The nearest to nothing and to everything that a rate may be.
const LEAST_RATE: f64 = 1e-6;

/// What a window is judged by.
///
/// Every value is taken without a panic; which ones make sense is for the configuration to
/// say. A rate is kept between 0.000001 and 0.999999, an uplift is at least zero, a ratio at
/// least one.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// The highest error rate of the candidate that passes a gate.
    pub gate_errors: f64,
    /// By which share the candidate's p95 may be above the active arm's: 0.15 is 15%.
    pub gate_p95_uplift: f64,
    /// The error rate above which a run is aborted.
    pub abort_errors: f64,
    /// The ratio of the p99 above which a run is aborted.
    pub abort_p99_ratio: f64,
    /// The samples of each arm that a step takes at least.
    pub samples: u64,
    /// How long a step lasts at least.
    pub at_least: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            gate_errors: 0.005,
            gate_p95_uplift: 0.15,
            abort_errors: 0.01,
            abort_p99_ratio: 2.0,
            samples: 200,
            at_least: Duration::from_secs(300),
        }
    }
}

impl Limits {
    /// The same with every number in the range in which it can be counted with.
    pub(super) fn sound(&self) -> Self {
        let at_least = |least: f64, value: f64| if value > least { value.min(1e6) } else { least };
        Self {
            gate_errors: rate(self.gate_errors),
            gate_p95_uplift: at_least(0.0, self.gate_p95_uplift),
            abort_errors: rate(self.abort_errors),
            abort_p99_ratio: at_least(1.0, self.abort_p99_ratio),
            ..self.clone()
        }
    }
}

/// A rate that is neither nothing nor everything, so that its logarithms are finite.
pub(super) fn rate(value: f64) -> f64 {
    if value > LEAST_RATE { value.min(1.0 - LEAST_RATE) } else { LEAST_RATE }
}

/// Which arms have traffic in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// The candidate is judged beside the active arm.
    Compared,
    /// One arm has all the traffic and is judged by the bounds and by what was before: the
    /// candidate at a weight of 100, the active arm after a switch.
    Alone(Role),
}

impl Course {
    /// The course of a step.
    #[must_use]
    pub const fn at_weight(percent: u8) -> Self {
        if percent >= 100 { Self::Alone(Role::Candidate) } else { Self::Compared }
    }

    /// The arm that is judged.
    pub(super) const fn watched(self) -> Role {
        match self {
            Self::Compared => Role::Candidate,
            Self::Alone(role) => role,
        }
    }
}

/// What a window may spend of the probabilities of its run, as the logarithm of what an
/// e-process must reach.
#[derive(Clone, Copy, Debug)]
pub(super) struct Needed {
    pub(super) abort_errors: f64,
    pub(super) abort_p99: f64,
    pub(super) fail_errors: f64,
    pub(super) fail_p95: f64,
    pub(super) pass: f64,
}

impl Needed {
    /// The share of window `i` is `1 / ((i + 1)(i + 2))`: together one, for any number of them.
    pub(super) fn of_window(window: u32) -> Self {
        let window = f64::from(window);
        let share = 1.0 / ((window + 1.0) * (window + 2.0));
        let needed = |alpha: f64| -(alpha * share).ln();
        Self {
            abort_errors: needed(ABORT_ERRORS_ALPHA),
            abort_p99: needed(ABORT_P99_ALPHA),
            fail_errors: needed(FAIL_ERRORS_ALPHA),
            fail_p95: needed(FAIL_P95_ALPHA),
            pass: -PASS_BETA.ln(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Limits, Needed};

    #[test]
    fn the_windows_of_a_run_spend_no_more_than_the_run_has() {
        let spent: f64 = (0..100_000).map(|window| (-Needed::of_window(window).abort_errors).exp()).sum();
        assert!(spent < super::ABORT_ERRORS_ALPHA && spent > 0.999 * super::ABORT_ERRORS_ALPHA);
        assert!(Needed::of_window(u32::MAX).fail_p95.is_finite());
    }

    #[test]
    fn no_setting_is_out_of_range() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 0.0, 1.0, 2.0] {
            let limits = Limits {
                gate_errors: value,
                gate_p95_uplift: value,
                abort_errors: value,
                abort_p99_ratio: value,
                ..Limits::default()
            };
            let sound = limits.sound();
            assert!(sound.gate_errors > 0.0 && sound.gate_errors < 1.0);
            assert!(sound.abort_errors > 0.0 && sound.abort_errors < 1.0);
            assert!(sound.gate_p95_uplift >= 0.0 && sound.gate_p95_uplift.is_finite());
            assert!(sound.abort_p99_ratio >= 1.0 && sound.abort_p99_ratio.is_finite());
        }
        assert_eq!(Limits::default().sound(), Limits::default());
    }
}
