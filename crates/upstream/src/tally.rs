//! Counting what happened in the last ten seconds, cheaply.
//!
//! Every request is counted, and the count is read only where something has gone wrong. So a
//! thread counts into a cell of its own, which no other thread writes at the same time, and only
//! the reader walks over all cells. A cell has a slot per second; each slot carries the second it
//! belongs to, so that an old one is recognised and needs no clearing.

use std::{
    array,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

use tokio::time::Instant;

/// The seconds that are counted, the present one included.
pub(crate) const WINDOW: u64 = 10;
/// Slots per cell: more than the window has seconds, and one pair of cache lines.
const SLOTS: usize = 16;
/// Cells; threads past this number share.
const CELLS: usize = 8;

static NEXT_THREAD: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static CELL: usize = NEXT_THREAD.fetch_add(1, Ordering::Relaxed) % CELLS;
}

/// A count over the last ten seconds.
#[derive(Debug)]
pub(crate) struct Tally {
    born: Instant,
    cells: [Cell; CELLS],
}

/// Slots: the second in the upper half, the count in the lower. Aligned so that two cells never
/// share a cache line (or the pair of them that is fetched together).
#[derive(Debug)]
#[repr(align(128))]
struct Cell([AtomicU64; SLOTS]);

impl Tally {
    pub(crate) fn new(born: Instant) -> Self {
        Self { born, cells: array::from_fn(|_| Cell(array::from_fn(|_| AtomicU64::new(0)))) }
    }

    /// Seconds since a moment before the first count; never 0, which marks an unused slot.
    pub(crate) fn second(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.born).as_secs() + 1
    }

    /// Counts one more.
    pub(crate) fn add(&self, now: Instant) {
        let second = self.second(now);
        let cell = CELL.with(|cell| &self.cells[*cell]);
        let slot = &cell.0[index(second)];
        let mut seen = slot.load(Ordering::Relaxed);
        loop {
            let next = match (seen >> 32).cmp(&second) {
                std::cmp::Ordering::Equal => seen.saturating_add(1),
                std::cmp::Ordering::Less => (second << 32) | 1,
                // So late that its second has been given up.
                std::cmp::Ordering::Greater => return,
            };
            match slot.compare_exchange_weak(seen, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
    }

    /// The count since the begin of the ninth second before the present one.
    pub(crate) fn sum(&self, now: Instant) -> u64 {
        let last = self.second(now);
        let first = last.saturating_sub(WINDOW - 1);
        let slots = self.cells.iter().flat_map(|cell| &cell.0);
        slots
            .map(|slot| slot.load(Ordering::Relaxed))
            .filter(|slot| (first..=last).contains(&(slot >> 32)))
            .map(|slot| slot & u64::from(u32::MAX))
            .sum()
    }

    /// Begins anew.
    pub(crate) fn clear(&self) {
        for slot in self.cells.iter().flat_map(|cell| &cell.0) {
            slot.store(0, Ordering::Relaxed);
        }
    }
}

fn index(second: u64) -> usize {
    usize::try_from(second % SLOTS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use tokio::time::Instant;

    use super::Tally;

    proptest! {
        /// Whatever is counted when: the sum is what fell into the present second and the nine
        /// before it.
        #[test]
        fn the_sum_is_that_of_the_last_ten_seconds(steps in prop::collection::vec(0..4000u64, 1..200)) {
            let born = Instant::now();
            let tally = Tally::new(born);
            let (mut now, mut counted) = (0, Vec::new());
            for step in steps {
                now += step;
                let at = born + Duration::from_millis(now);
                tally.add(at);
                counted.push(now / 1000);
                let expected = counted.iter().filter(|second| **second + 10 > now / 1000).count();
                prop_assert_eq!(tally.sum(at), expected as u64);
            }
            tally.clear();
            prop_assert_eq!(tally.sum(born + Duration::from_millis(now)), 0);
        }
    }

    #[test]
    fn threads_lose_no_count() {
        let born = Instant::now();
        let tally = Tally::new(born);
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| (0..10_000).for_each(|_| tally.add(born)));
            }
        });
        assert_eq!(tally.sum(born), 160_000);
    }

    #[test]
    fn what_comes_too_late_is_left_out() {
        let born = Instant::now();
        let tally = Tally::new(born);
        tally.add(born + Duration::from_secs(16));
        tally.add(born);
        assert_eq!(tally.sum(born + Duration::from_secs(16)), 1);
    }
}
