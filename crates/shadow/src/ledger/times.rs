//! How long both sides of the pairs took.
//!
//! Only pairs in which both were answered count, so that the two sides are of the same requests.
//! A histogram and not a list: its size does not depend on how many there are.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::report::{LatencyReport, Quantiles};

/// The longest time that is told from longer ones, in microseconds: an hour.
const LONGEST: u64 = 3_600_000_000;

/// How long both sides took.
#[derive(Debug)]
pub(super) struct Times {
    primary: Histogram<u64>,
    copy: Histogram<u64>,
    copy_slower: u64,
}

impl Default for Times {
    fn default() -> Self {
        Self { primary: histogram(), copy: histogram(), copy_slower: 0 }
    }
}

fn histogram() -> Histogram<u64> {
    #[expect(clippy::expect_used, reason = "these bounds are good ones, as every test here shows")]
    Histogram::new_with_bounds(1, LONGEST, 2).expect("good bounds")
}

impl Times {
    pub(super) fn note(&mut self, primary: Duration, copy: Duration) {
        self.primary.saturating_record(micros(primary));
        self.copy.saturating_record(micros(copy));
        self.copy_slower += u64::from(copy > primary);
    }

    pub(super) fn report(&self) -> Option<LatencyReport> {
        let pairs = self.primary.len();
        (pairs > 0).then(|| LatencyReport {
            pairs,
            primary: quantiles(&self.primary),
            copy: quantiles(&self.copy),
            copy_slower: self.copy_slower as f64 / pairs as f64,
        })
    }
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX).clamp(1, LONGEST)
}

fn quantiles(times: &Histogram<u64>) -> Quantiles {
    let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|part| times.value_at_quantile(part) as f64 / 1e6);
    Quantiles { p50, p95, p99 }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Times;

    #[test]
    fn both_sides_of_the_same_pairs() {
        let mut times = Times::default();
        assert_eq!(times.report(), None);
        for millis in 1..=100 {
            let took = Duration::from_millis(millis);
            times.note(took, if millis <= 25 { took / 2 } else { took * 2 });
        }
        times.note(Duration::ZERO, Duration::MAX);
        let report = times.report().unwrap();
        assert_eq!(report.pairs, 101);
        assert!((report.primary.p50 - 0.05).abs() < 0.001, "{report:?}");
        assert!((report.primary.p99 - 0.1).abs() < 0.002, "{report:?}");
        assert!((report.copy.p95 - 0.192).abs() < 0.004, "{report:?}");
        assert!((report.copy_slower - 76.0 / 101.0).abs() < 1e-12, "{report:?}");
    }
}
