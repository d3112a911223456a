//! When requests come: Poisson processes, the same for every system.

use std::{ops::Range, time::Duration};

use fastrand::Rng;
use sluicegate_core::Lane;

/// One request to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When it is due, since the start.
    pub at: Duration,
    /// Who sends it.
    pub lane: Lane,
}

/// Requests of one lane at one rate for some time.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Who sends them.
    pub lane: Lane,
    /// Requests a second, in the mean.
    pub rate: f64,
    /// From when to when.
    pub during: Range<Duration>,
}

/// All arrivals of these streams in the order they come; the same for the same `seed`.
#[must_use]
pub fn arrivals(streams: &[Stream], seed: u64) -> Vec<Arrival> {
    let mut all = Vec::new();
    for (number, stream) in streams.iter().enumerate() {
        let mut random = Rng::with_seed(seed.wrapping_add(number as u64));
        let mut at = stream.during.start;
        loop {
            // The time from one to the next is exponential. `f64` is below 1, so the logarithm is finite.
            at += Duration::from_secs_f64(-(1.0 - random.f64()).ln() / stream.rate);
            if at >= stream.during.end {
                break;
            }
            all.push(Arrival { at, lane: stream.lane });
        }
    }
    all.sort_by_key(|arrival| arrival.at);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn flood() -> Vec<Arrival> {
        let calm = Stream { lane: Lane::Interactive, rate: 400.0, during: Duration::ZERO..30 * SECOND };
        let flood = Stream { lane: Lane::Batch, rate: 1600.0, during: 10 * SECOND..20 * SECOND };
        arrivals(&[calm, flood], 7)
    }

    #[test]
    fn they_come_in_order_at_the_rate_within_their_time() {
        let all = flood();
        assert!(all.is_sorted_by_key(|it| it.at));
        let (batch, interactive): (Vec<Arrival>, Vec<_>) =
            all.into_iter().partition(|it| it.lane == Lane::Batch);
        // Five standard deviations of a Poisson count are 5 times its root.
        assert!(interactive.len().abs_diff(12_000) < 550, "{}", interactive.len());
        assert!(batch.len().abs_diff(16_000) < 640, "{}", batch.len());
        assert!(batch.iter().all(|it| (10 * SECOND..20 * SECOND).contains(&it.at)));
    }

    #[test]
    fn every_system_gets_the_same() {
        assert_eq!(flood(), flood());
    }

    /// For exponential gaps the standard deviation is the mean.
    #[test]
    fn they_come_at_random() {
        let all =
            arrivals(&[Stream { lane: Lane::Batch, rate: 1000.0, during: Duration::ZERO..20 * SECOND }], 1);
        let gaps: Vec<_> =
            all.windows(2).map(|two| two[1].at.saturating_sub(two[0].at).as_secs_f64()).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let deviation = (gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64).sqrt();
        assert!((deviation / mean - 1.0).abs() < 0.05, "{deviation} {mean}");
    }
}
