//! The level of a bucket that all share, under its lock.
//!
//! Each lock also keeps the latest moment that was told to it, and takes an earlier one for
//! that. Threads read the clock before they hold the lock, so moments may arrive out of order;
//! were they taken as they are, a refund could reckon with less time than another charge has
//! already used. The lock is a type parameter, so that the very code that runs in production
//! also runs under `shuttle`, which tries thread orders; see the tests of `steps`.

use governor::nanos::Nanos;

use super::seat::Seat;

/// A mutual exclusion.
pub(super) trait Lock<T> {
    /// A lock around `value`.
    fn new(value: T) -> Self;

    /// Runs `work` alone.
    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R;
}

impl<T> Lock<T> for parking_lot::Mutex<T> {
    fn new(value: T) -> Self {
        Self::new(value)
    }

    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut self.lock())
    }
}

/// What is known of one bucket.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Level {
    /// When it is full again.
    pub(super) full_at: Nanos,
    /// The latest moment it was told.
    pub(super) latest: Nanos,
}

impl Level {
    /// Works on the level, at `now` or the latest moment known.
    pub(super) fn with<R>(&mut self, now: Nanos, work: impl FnOnce(&Seat, Nanos) -> R) -> R {
        self.latest = self.latest.max(now);
        let seat = Seat::new(self.full_at);
        let answer = work(&seat, self.latest);
        self.full_at = seat.full_at();
        answer
    }
}

#[cfg(test)]
mod tests {
    use governor::nanos::Nanos;

    use super::Level;
    use crate::buckets::Rate;

    #[test]
    fn a_moment_that_comes_late_is_not_taken_for_an_earlier_one() {
        let (rate, mut level) = (Rate::new(1.0, 3).unwrap(), Level::default());
        let second = |at: u64| Nanos::new(at * 1_000_000_000);
        assert!(level.with(second(10), |seat, now| seat.take(rate, 3, now)).is_ok());
        level.with(second(0), |seat, now| {
            assert_eq!(now, second(10));
            seat.give_back(rate, 3, now.saturating_sub(second(9)).as_u64());
        });
        assert!(level.with(second(0), |seat, now| seat.take(rate, 2, now)).is_ok());
        assert!(level.with(second(10), |seat, now| seat.take(rate, 1, now)).is_err());
    }
}
