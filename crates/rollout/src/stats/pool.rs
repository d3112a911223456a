//! Ticks that are compared together.
//!
//! A tick in which only one arm had requests says nothing about which is worse, so ticks are
//! pooled until both are likely to have some. How long a pool lasts is set before it begins,
//! by how many requests there were in the one before: it must not depend on how its own
//! requests end.

use super::{block::Block, latency::Lines, odds::Pair, rate::Trials};

/// The requests a pool should have of the arm with fewer. With more the answer comes later,
/// with fewer the comparison is blunt.
const WANTED: u64 = 4;

/// The shortest and the longest pool, and the first, in seconds.
const SHORTEST: f64 = 0.1;
const LONGEST: f64 = 60.0;
const FIRST: f64 = 1.0;

/// The counts of a pool.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pooled {
    /// When it began, in seconds of the window.
    pub(super) begin: f64,
    pub(super) errors: Pair,
    /// For each line of the pool, the answers that were slower.
    pub(super) slow: [Option<Pair>; 3],
}

/// The pool that is being filled.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    /// What is in it, once it has begun.
    open: Option<(Pooled, Lines)>,
    lasts: f64,
}

impl Pool {
    pub(super) const fn new() -> Self {
        Self { open: None, lasts: FIRST }
    }

    /// Adds a tick; `lines` says what is slow, and is asked only where a pool begins. Gives
    /// the pool back when it is complete.
    pub(super) fn add(
        &mut self,
        block: &Block,
        (begin, end): (f64, f64),
        lines: impl FnOnce() -> Lines,
    ) -> Option<Pooled> {
        let (pooled, lines) = self.open.get_or_insert_with(|| {
            let lines = lines();
            let slow = lines.map(|line| line.map(|_| Pair::default()));
            (Pooled { begin, errors: Pair::default(), slow }, lines)
        });
        for (index, arm) in block.arms.iter().enumerate() {
            pooled.errors[index].add(arm.errors(), arm.requests);
            for (slow, line) in pooled.slow.iter_mut().zip(*lines) {
                if let (Some(slow), Some(line)) = (slow, line) {
                    slow[index].add(arm.latency.slower_than(line.of[index]), arm.latency.count());
                }
            }
        }
        let fewer = pooled.errors[0].of.min(pooled.errors[1].of);
        if fewer == 0 || end - pooled.begin < self.lasts * (1.0 - 1e-9) {
            return None;
        }
        let wanted = (end - pooled.begin) * WANTED as f64 / fewer as f64;
        self.lasts = wanted.clamp(self.lasts / 2.0, self.lasts * 2.0).clamp(SHORTEST, LONGEST);
        self.open.take().map(|(pooled, _)| pooled)
    }
}

impl Trials {
    fn add(&mut self, events: u64, of: u64) {
        self.events = self.events.saturating_add(events);
        self.of = self.of.saturating_add(of);
    }
}

#[cfg(test)]
mod tests {
    use super::{Pool, Pooled};
    use crate::stats::{ArmBlock, Block};

    fn block(active: u64, candidate: u64) -> Block {
        let arm = |requests| ArmBlock { requests, ..ArmBlock::default() };
        Block { arms: [arm(active), arm(candidate)] }
    }

    /// Runs ticks of 100 ms with one candidate's request in each `apart` of them.
    fn pools(apart: usize, ticks: usize) -> Vec<Pooled> {
        let mut pool = Pool::new();
        let mut closed = Vec::new();
        for tick in 0..ticks {
            let begin = tick as f64 * 0.1;
            let block = block(3, u64::from(tick % apart == 0));
            closed.extend(pool.add(&block, (begin, begin + 0.1), || [None; 3]));
        }
        closed
    }

    #[test]
    fn a_pool_lasts_until_both_arms_are_likely_to_have_some() {
        for apart in [1, 7, 40] {
            let closed = pools(apart, 20_000);
            let last = closed.last().unwrap();
            assert!((3..=6).contains(&last.errors[1].of), "{apart}: {last:?}");
        }
        assert!(pools(3_000, 20_000).iter().all(|pooled| pooled.errors[1].of > 0));
    }

    #[test]
    fn nothing_is_lost_or_counted_twice() {
        let closed = pools(5, 10_000);
        let candidates: u64 = closed.iter().map(|pooled| pooled.errors[1].of).sum();
        assert!((1_990..=2_000).contains(&candidates), "{candidates}");
        assert!(closed.windows(2).all(|two| two[0].begin < two[1].begin));
    }

    #[test]
    fn with_much_traffic_each_tick_is_a_pool() {
        let mut pool = Pool::new();
        let mut closed = 0;
        for tick in 0..1_000 {
            let begin = f64::from(tick) * 0.1;
            closed += usize::from(pool.add(&block(950, 50), (begin, begin + 0.1), || [None; 3]).is_some());
        }
        assert!(closed > 980, "{closed}");
    }
}
