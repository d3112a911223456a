//! One charge over several buckets: all or nothing, step by step.
//!
//! The buckets are charged in their order. Where one refuses, those before it get back what
//! was taken, and then all are asked from when on they could give it: the latest answer is the
//! one that is true for a client that comes back alone. No two levels are held at once.
//!
//! Why nothing is ever admitted in excess, though others charge in between: compare the level
//! `T` (as a time) with the level `U` it would have had without a charge that was given back.
//! The charge puts them `cost` apart. From then on both move alike, but that `U` stops being
//! full earlier and so loses what runs in while it is full: in all no more than the time that
//! has passed. A refund of `cost` less that time therefore never brings `T` below `U`, whatever
//! else is charged or given back in between; and what `T` admits, `U` would have.

use governor::nanos::Nanos;

use super::{
    cells::{Cells, Place, Shard},
    level::{Level, Lock},
    rate::Rate,
    seat::Seat,
};

/// Where the level of one step lives.
#[derive(Debug)]
pub(super) enum Pool<'a, S, L> {
    /// All share it.
    Shared(&'a L),
    /// Each tenant has one.
    Tenant(&'a Cells<S, L>, u64),
}

/// One bucket in a charge, and what was seen of it.
#[derive(Debug)]
pub(super) struct Step<'a, S, L> {
    pool: Pool<'a, S, L>,
    pub(super) rate: Rate,
    /// Which level judged.
    pub(super) place: Place,
    /// How long until that level is full.
    pub(super) backlog: u64,
    /// The moment it judged by.
    at: Nanos,
}

/// The steps of one charge, by kind.
pub(super) type Steps<'a, S, L> = [Option<Step<'a, S, L>>; 4];

/// Who refused, and from when on nobody would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) which: usize,
    pub(super) until: Nanos,
}

impl<'a, S: Lock<Shard>, L: Lock<Level>> Step<'a, S, L> {
    pub(super) fn new(pool: Pool<'a, S, L>, rate: Rate) -> Self {
        Self { pool, rate, place: Place::Own, backlog: 0, at: Nanos::default() }
    }

    fn work<R>(&mut self, now: Nanos, work: impl FnOnce(&Seat, Nanos) -> R) -> R {
        let (at, backlog) = (&mut self.at, &mut self.backlog);
        let work = |seat: &Seat, now: Nanos| {
            let answer = work(seat, now);
            *at = now;
            *backlog = seat.full_at().saturating_sub(now).as_u64();
            answer
        };
        let (answer, place) = match self.pool {
            Pool::Shared(level) => (level.with(|level| level.with(now, work)), Place::Own),
            Pool::Tenant(cells, key) => cells.with(key, now, work),
        };
        self.place = place;
        answer
    }

    fn take(&mut self, cost: u32, now: Nanos) -> Result<(), Nanos> {
        let rate = self.rate;
        self.work(now, |seat, now| seat.take(rate, cost, now))
    }

    fn when(&mut self, cost: u32, now: Nanos) -> Nanos {
        let rate = self.rate;
        self.work(now, |seat, _| seat.when(rate, cost))
    }

    /// Gives back to the level that judged before what was taken `at` that moment, but for
    /// what has run in since.
    pub(super) fn undo(&self, cost: u32, at: Nanos, now: Nanos) {
        let work = |seat: &Seat, now: Nanos| {
            seat.give_back(self.rate, cost, now.saturating_sub(at).as_u64());
        };
        match self.pool {
            Pool::Shared(level) => level.with(|level| level.with(now, work)),
            Pool::Tenant(cells, key) => cells.again(key, self.place, now, work),
        }
    }
}

/// Takes the cost from every bucket, or from none. It fits them all.
pub(super) fn charge<S: Lock<Shard>, L: Lock<Level>>(
    steps: &mut Steps<'_, S, L>,
    cost: u32,
    now: Nanos,
) -> Result<(), Refused> {
    for which in 0..steps.len() {
        let Some(Err(until)) = steps[which].as_mut().map(|step| step.take(cost, now)) else { continue };
        for step in steps[..which].iter().flatten() {
            step.undo(cost, step.at, now);
        }
        return Err(latest(steps, cost, now, Refused { which, until }));
    }
    Ok(())
}

/// The bucket that takes longest. The one that refused may have been given something since; a
/// wait as it was then is on the safe side.
fn latest<S: Lock<Shard>, L: Lock<Level>>(
    steps: &mut Steps<'_, S, L>,
    cost: u32,
    now: Nanos,
    mut refused: Refused,
) -> Refused {
    for (which, step) in steps.iter_mut().enumerate() {
        let Some(until) = step.as_mut().map(|step| step.when(cost, now)) else { continue };
        if until > refused.until {
            refused = Refused { which, until };
        }
    }
    refused
}

#[cfg(test)]
mod tests;
