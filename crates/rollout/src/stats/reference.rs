//! What users of the active arm are used to.

use super::{block::ArmBlock, total::Times};

/// After so many answers the older half is forgotten.
const GENERATION: u64 = 100_000;

/// How many standard errors of its own the reference is taken to be wrong by, where it stands
/// in for an arm that has no traffic.
const DOUBT: f64 = 3.0;

/// The latencies of the active arm over the last 100,000 to 200,000 answers.
///
/// It is handed on from window to window of a run, and tells what "slow" is: before a block
/// comes its lines are fixed. In a window without traffic on the active arm it stays as it is.
#[derive(Clone, Debug, Default)]
pub struct Reference {
    older: Times,
    newer: Times,
    seen: u64,
}

impl Reference {
    /// Adds what the active arm did.
    pub fn add(&mut self, active: &ArmBlock) {
        if self.newer.count() >= GENERATION {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.add(&active.latency);
        self.seen = self.seen.saturating_add(active.latency.count());
    }

    /// The answers it knows.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.older.count().saturating_add(self.newer.count())
    }

    /// The answers it has ever been told of.
    pub(super) const fn seen(&self) -> u64 {
        self.seen
    }

    /// The times in microseconds beyond which these shares of the answers took.
    pub(super) fn beyond<const N: usize>(&self, tails: [f64; N]) -> [Option<f64>; N] {
        if self.older.count() == 0 {
            return tails.map(|tail| self.newer.beyond(tail));
        }
        let mut all = self.older.clone();
        all.merge(&self.newer);
        tails.map(|tail| all.beyond(tail))
    }

    /// A share that is surely not larger than `tail` in truth, and one that is surely not
    /// smaller, for a quantile that was estimated from this many answers.
    pub(super) fn doubted(&self, tail: f64) -> (f64, f64) {
        let doubt = DOUBT * (tail * (1.0 - tail) / (self.samples().max(1) as f64)).sqrt();
        ((tail - doubt).max(0.0), (tail + doubt).min(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::Reference;
    use crate::stats::ArmBlock;

    fn block(took: u64, answers: u64) -> ArmBlock {
        let mut block = ArmBlock { requests: answers, ..ArmBlock::default() };
        block.latency.record(took, answers);
        block
    }

    #[test]
    fn what_is_long_ago_is_forgotten() {
        let mut reference = Reference::default();
        assert_eq!(reference.beyond([0.05]), [None]);
        reference.add(&block(1_000_000, 100_000));
        for _ in 0..100 {
            reference.add(&block(1_000, 1_500));
        }
        assert!(reference.samples() <= 200_000, "{}", reference.samples());
        assert_eq!(reference.seen(), 250_000);
        let [p95] = reference.beyond([0.05]);
        assert!(p95.unwrap() < 1_010.0, "{p95:?}");
    }

    #[test]
    fn the_fewer_the_answers_the_larger_the_doubt() {
        let mut reference = Reference::default();
        assert_eq!(reference.doubted(0.05), (0.0, 0.05 + 3.0 * (0.05_f64 * 0.95).sqrt()));
        reference.add(&block(1_000, 1_000));
        let (least, most) = reference.doubted(0.05);
        assert!((0.028..0.031).contains(&least) && (0.069..0.072).contains(&most), "{least} {most}");
    }
}
