//! What an arm did since the window began.

use hdrhistogram::Histogram;

use super::block::{ArmBlock, Latencies};

/// The longest time that is told from longer ones, in microseconds: an hour.
const LONGEST: u64 = 3_600_000_000;

/// The digits that two times must share to be counted as one.
const DIGITS: u8 = 2;

/// More answers are not counted: far beyond what an arm ever has, and sums stay in range.
const MOST: u64 = 1 << 60;

/// How long answers took, from a microsecond to an hour, to within 0.8%.
#[derive(Clone, Debug)]
pub(super) struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Self {
        match Histogram::new_with_bounds(1, LONGEST, DIGITS) {
            Ok(times) => Self(times),
            Err(_) => unreachable!("the bounds and the digits are constants that a histogram takes"),
        }
    }
}

impl Times {
    pub(super) fn add(&mut self, latency: &Latencies) {
        for (took, answers) in latency.pairs() {
            let room = MOST.saturating_sub(self.0.len());
            self.0.saturating_record_n(took, answers.min(room));
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        // Cannot fail: both have the same bounds.
        let _ = self.0.add(&other.0);
    }

    pub(super) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time in microseconds beyond which a share of the answers took.
    pub(super) fn beyond(&self, tail: f64) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.0.value_at_quantile(1.0 - tail) as f64)
    }
}

/// The counts of an arm.
#[derive(Clone, Debug, Default)]
pub(super) struct Total {
    pub(super) requests: u64,
    pub(super) errors: u64,
    pub(super) times: Times,
}

impl Total {
    pub(super) fn add(&mut self, block: &ArmBlock) {
        self.requests = self.requests.saturating_add(block.requests);
        self.errors = self.errors.saturating_add(block.errors());
        self.times.add(&block.latency);
    }

    pub(super) fn error_rate(&self) -> Option<f64> {
        (self.requests > 0).then(|| self.errors as f64 / self.requests as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::Times;
    use crate::stats::Latencies;

    #[test]
    fn quantiles_are_within_a_hundredth() {
        let mut latency = Latencies::default();
        (1..=1000).for_each(|took| latency.record(took * 1000, 1));
        let mut times = Times::default();
        assert_eq!(times.beyond(0.05), None);
        times.add(&latency);
        let p95 = times.beyond(0.05).unwrap();
        assert!((950_000.0..960_000.0).contains(&p95), "{p95}");
    }

    #[test]
    fn times_and_counts_beyond_all_bounds_are_taken() {
        let mut latency = Latencies::default();
        for took in [0, u64::MAX] {
            latency.record(took, u64::MAX);
            latency.record(took, u64::MAX);
        }
        let mut times = Times::default();
        times.add(&latency);
        times.merge(&times.clone());
        assert_eq!(times.count(), 2 * super::MOST);
        assert!(times.beyond(0.01).is_some());
    }
}
