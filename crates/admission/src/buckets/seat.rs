//! One level while it is held: where `governor` decides.
//!
//! `governor` asks a [`StateStore`] for the old value of a cell and hands the new one back. A
//! [`Seat`] is such a store for the one cell whose lock the caller holds. The decision and its
//! arithmetic are `governor`'s. What it has no words for, to look without taking and to give
//! back, stands beside it.

use std::{cell::Cell, num::NonZeroU32};

use governor::{RateLimiter, clock::Clock, middleware::NoOpMiddleware, nanos::Nanos, state::StateStore};

use super::rate::Rate;

/// The cell that is held: when the bucket is full again. A moment that has passed is as good
/// as any other that has.
#[derive(Debug)]
pub(super) struct Seat(Cell<Nanos>);

impl StateStore for &Seat {
    type Key = ();

    fn measure_and_replace<T, F, E>(&self, (): &(), decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let (answer, full_at) = decide(Some(self.0.get()))?;
        self.0.set(full_at);
        Ok(answer)
    }
}

/// A clock that stands where it is set. `governor` reads it once for its own start, which is
/// the epoch, and then for the moment of the request.
#[derive(Debug, Default)]
struct Moment(Cell<Nanos>);

impl Clock for Moment {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.get()
    }
}

type Limiter<'a> = RateLimiter<(), &'a Seat, Moment, NoOpMiddleware<Nanos>>;

impl Seat {
    pub(super) fn new(full_at: Nanos) -> Self {
        Self(Cell::new(full_at))
    }

    /// When the bucket is full again.
    pub(super) fn full_at(&self) -> Nanos {
        self.0.get()
    }

    /// Takes the cost, or says from when on it could be taken. The cost fits the rate; nothing
    /// costs nothing.
    pub(super) fn take(&self, rate: Rate, cost: u32, now: Nanos) -> Result<(), Nanos> {
        let Some(cost) = NonZeroU32::new(cost) else { return Ok(()) };
        let limiter = Limiter::new(rate.quota(), self, Moment::default());
        limiter.clock().0.set(now);
        match limiter.check_key_n(&(), cost) {
            Ok(taken) => taken.map_err(|until| until.earliest_possible()),
            Err(_above_the_burst) => Err(Nanos::new(u64::MAX)),
        }
    }

    /// From when on the cost could be taken; takes nothing.
    pub(super) fn when(&self, rate: Rate, cost: u32) -> Nanos {
        rate.has_at(cost, self.full_at())
    }

    /// Gives a charge back, but for what has run in again in the time since.
    pub(super) fn give_back(&self, rate: Rate, cost: u32, since: u64) {
        let back = Nanos::new(rate.time_for(cost).saturating_sub(since));
        self.0.set(self.0.get().saturating_sub(back));
    }
}

#[cfg(test)]
mod tests {
    use governor::nanos::Nanos;
    use proptest::prelude::*;

    use super::Seat;
    use crate::buckets::Rate;

    proptest! {
        #[test]
        fn a_look_says_what_a_charge_would(
            rps in 0.1..1000.0,
            (burst, cost) in (1..50u32).prop_flat_map(|burst| (Just(burst), 1..=burst)),
            now in 0..10_000_000_000u64,
            missing in 0.0..1.0,
        ) {
            let rate = Rate::new(rps, burst).unwrap();
            let ahead = rate.refill().mul_f64(missing);
            let seat = Seat::new(Nanos::new(now) + Nanos::from(ahead));
            let when = seat.when(rate, cost);
            match seat.take(rate, cost, Nanos::new(now)) {
                Ok(()) => prop_assert!(when <= Nanos::new(now)),
                Err(until) => prop_assert_eq!(until, when),
            }
        }
    }
}
