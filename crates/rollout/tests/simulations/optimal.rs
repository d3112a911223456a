//! What the best possible test would need: Wald's sequential probability ratio test of two
//! known rates. No test with the same probabilities of being wrong needs fewer samples on
//! average (Wald and Wolfowitz 1948). It is told what ours must find out: the rate of the
//! candidate, and that there are no other faults to look for.

use sluicegate_rollout::stats::{ABORT_P99_ALPHA, FAIL_ERRORS_ALPHA, FAIL_P95_ALPHA, Limits};

use crate::{
    chance::Draw,
    file::{File, Optimal},
    times::Times,
};

/// How often the fault is overlooked.
const BETA: f64 = 0.01;

/// The mean number of samples: by Wald's formula, and in simulation.
pub(crate) struct Needs {
    pub(crate) formula: f64,
    pub(crate) simulated: f64,
}

pub(crate) fn needs(file: &File) -> Option<Needs> {
    let limits = Limits::default();
    let fault = file.candidate.first()?;
    let share_beyond = |tail: f64, ratio: f64| {
        let line = Times::of(file.latency).beyond(tail) * ratio;
        Times::in_phase(file.latency, fault).share_beyond(line / fault.slower)
    };
    let (null, truth, alpha) = match file.optimal? {
        Optimal::Errors => (limits.gate_errors, fault.errors, FAIL_ERRORS_ALPHA),
        Optimal::P95 => (0.05, share_beyond(0.05, 1.0 + limits.gate_p95_uplift), FAIL_P95_ALPHA),
        Optimal::P99 => (0.01, share_beyond(0.01, limits.abort_p99_ratio), ABORT_P99_ALPHA),
    };
    let truth = truth.min(1.0 - 1e-9);
    let test = Test {
        truth,
        event: (truth / null).ln(),
        none: ((1.0 - truth) / (1.0 - null)).ln(),
        high: ((1.0 - BETA) / alpha).ln(),
        low: (BETA / (1.0 - alpha)).ln(),
    };
    Some(Needs { formula: test.formula(), simulated: test.simulated() })
}

struct Test {
    truth: f64,
    /// What an event and what its absence add to the logarithm of the ratio.
    event: f64,
    none: f64,
    /// Where it ends.
    high: f64,
    low: f64,
}

impl Test {
    fn formula(&self) -> f64 {
        let gain = self.truth * self.event + (1.0 - self.truth) * self.none;
        ((1.0 - BETA) * self.high + BETA * self.low) / gain
    }

    fn simulated(&self) -> f64 {
        const RUNS: u64 = 4_000;
        let draw = Draw::seeded(7);
        let samples: f64 = (0..RUNS).map(|_| self.once(&draw)).sum();
        samples / RUNS as f64
    }

    /// From one event to the next.
    fn once(&self, draw: &Draw) -> f64 {
        let (mut samples, mut log) = (0.0, 0.0);
        while log < self.high {
            let without = (draw.unit().ln() / (-self.truth).ln_1p()).floor();
            let until_low = ((self.low - log) / self.none).ceil();
            if without >= until_low {
                return samples + until_low;
            }
            samples += without + 1.0;
            log += without * self.none + self.event;
        }
        samples
    }
}
