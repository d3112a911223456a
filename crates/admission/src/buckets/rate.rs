//! The numbers of a bucket, and what a level means under them.
//!
//! A level is the moment when the bucket is full again (GCRA's theoretical arrival time). How
//! far that moment lies ahead is the *backlog*; divided by the time for one token it is the
//! number of tokens that are missing.

use std::{num::NonZeroU32, time::Duration};

use governor::{Quota, nanos::Nanos};

/// The highest rate, in tokens a second. The time for one token is kept in whole nanoseconds,
/// rounded up; at this rate that makes a bucket slower by at most a tenth of a percent.
pub const MAX_RPS: f64 = 1_000_000.0;

/// The longest time that an empty bucket may need until it is full: a year. Longer ones are
/// slips of the pen, and the bound keeps all sums far from overflow.
pub const MAX_REFILL: Duration = Duration::from_secs(366 * 24 * 60 * 60);

const NANOS: f64 = 1e9;

/// How fast a bucket fills and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The same numbers in `governor`'s words.
    quota: Quota,
    /// Nanoseconds until one token has run in.
    every: u64,
}

/// Numbers that make no bucket.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum RateError {
    /// The rate.
    #[error("rps {0}: a rate is a number above 0 and at most {MAX_RPS}; leave it out for no limit")]
    Rps(f64),
    /// The burst.
    #[error("burst 0: a bucket that holds nothing refuses everything; write 1 or more")]
    NoBurst,
    /// Both together.
    #[error(
        "rps {rps} with burst {burst}: an empty bucket would need more than a year to fill; raise rps or lower burst"
    )]
    TooSlow {
        /// The rate.
        rps: f64,
        /// The burst.
        burst: u32,
    },
}

impl Rate {
    /// `rps` tokens a second, up to `burst` of them.
    pub fn new(rps: f64, burst: u32) -> Result<Self, RateError> {
        if !(rps > 0.0 && rps <= MAX_RPS) {
            return Err(RateError::Rps(rps));
        }
        let burst = NonZeroU32::new(burst).ok_or(RateError::NoBurst)?;
        Self::of((NANOS / rps).ceil(), burst).ok_or(RateError::TooSlow { rps, burst: burst.get() })
    }

    /// So many nanoseconds for one token, a whole number: always rounded up, so that a bucket
    /// never gives more than its rate.
    fn of(every: f64, burst: NonZeroU32) -> Option<Self> {
        if every * f64::from(burst.get()) > MAX_REFILL.as_secs_f64() * NANOS {
            return None;
        }
        let every = whole(every);
        Some(Self { quota: Quota::with_period(Duration::from_nanos(every))?.allow_burst(burst), every })
    }

    /// Rate and burst of a tenant class. The burst is rounded down, and is at least 1; the rate
    /// stays below the highest.
    pub(super) fn times(self, multiplier: f64) -> Result<Self, RateError> {
        let burst = u32::try_from(whole((f64::from(self.burst()) * multiplier).floor())).unwrap_or(u32::MAX);
        let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        let every = (self.every as f64 / multiplier).ceil().max(NANOS / MAX_RPS);
        let rps = self.rps() * multiplier;
        Self::of(every, burst).ok_or(RateError::TooSlow { rps, burst: burst.get() })
    }

    /// Tokens a second.
    #[must_use]
    pub fn rps(self) -> f64 {
        NANOS / self.every as f64
    }

    /// Tokens that the bucket holds.
    #[must_use]
    pub fn burst(self) -> u32 {
        self.quota.burst_size().get()
    }

    /// The time for one token.
    #[must_use]
    pub fn every(self) -> Duration {
        Duration::from_nanos(self.every)
    }

    /// The time in which an empty bucket fills.
    #[must_use]
    pub fn refill(self) -> Duration {
        Duration::from_nanos(self.time_for(self.burst()))
    }

    /// The same numbers in `governor`'s words.
    pub(super) fn quota(self) -> Quota {
        self.quota
    }

    /// The time in which so many tokens run in. The cost fits, so the product does too.
    pub(super) fn time_for(self, cost: u32) -> u64 {
        self.every.saturating_mul(u64::from(cost))
    }

    /// From when on a bucket that is full again at `full_at` has so many tokens.
    pub(super) fn has_at(self, cost: u32, full_at: Nanos) -> Nanos {
        (full_at + Nanos::new(self.time_for(cost))).saturating_sub(Nanos::new(self.time_for(self.burst())))
    }

    /// The whole tokens in a bucket with so much backlog.
    pub(super) fn left(self, backlog: u64) -> u32 {
        let free = self.time_for(self.burst()).saturating_sub(backlog);
        u32::try_from(free / self.every).unwrap_or(u32::MAX)
    }
}

/// A number that was checked to be whole and positive; past the range of the type, its end.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, as is meant")]
fn whole(number: f64) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use governor::nanos::Nanos;
    use proptest::prelude::*;

    use super::{MAX_RPS, Rate, RateError};

    #[test]
    fn numbers_that_make_no_bucket_are_refused() {
        for rps in [0.0, -1.0, f64::NAN, f64::INFINITY, MAX_RPS * 1.01] {
            assert!(matches!(Rate::new(rps, 1), Err(RateError::Rps(_))), "{rps}");
        }
        assert_eq!(Rate::new(1.0, 0), Err(RateError::NoBurst));
        assert_eq!(Rate::new(1e-9, 1), Err(RateError::TooSlow { rps: 1e-9, burst: 1 }));
        assert!(Rate::new(1e-300, u32::MAX).is_err());
        assert!(Rate::new(MAX_RPS, u32::MAX).is_ok());
    }

    #[test]
    fn a_class_scales_rate_and_burst() {
        let rate = Rate::new(20.0, 5).unwrap();
        assert_eq!(rate.times(1.0), Ok(rate));
        assert_eq!(rate.times(2.0), Rate::new(40.0, 10));
        assert_eq!(rate.times(0.5), Rate::new(10.0, 2), "the burst is rounded down");
        assert_eq!(Rate::new(20.0, 1).unwrap().times(0.5), Rate::new(10.0, 1), "but holds one");
        assert_eq!(Rate::new(MAX_RPS, 1).unwrap().times(2.0), Rate::new(MAX_RPS, 2));
    }

    proptest! {
        #[test]
        fn the_rate_is_never_above_what_was_asked_and_hardly_below(rps in 0.001..MAX_RPS, burst in 1..10_000u32) {
            let rate = Rate::new(rps, burst).unwrap();
            prop_assert!(rate.rps() <= rps * (1.0 + 1e-12));
            prop_assert!(rate.rps() >= rps * (1.0 - rps / 1e9 - 1e-12));
            prop_assert_eq!(rate.burst(), burst);
            prop_assert_eq!(rate.times(1.0), Ok(rate));
        }

        #[test]
        fn tokens_left_and_the_time_they_are_there_agree(
            rps in 0.01..MAX_RPS, burst in 1..1000u32, cost in 1..1000u32, ahead in 0..1_000_000_000_000u64,
        ) {
            let rate = Rate::new(rps, burst).unwrap();
            prop_assume!(cost <= burst);
            let now = 1_000_000_000_000_000u64;
            let there = rate.has_at(cost, Nanos::new(now + ahead)) <= Nanos::new(now);
            prop_assert_eq!(there, rate.left(ahead) >= cost);
        }
    }
}
