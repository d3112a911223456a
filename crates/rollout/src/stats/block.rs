//! What happened between two ticks.

use hdrhistogram::Histogram;
use sluicegate_core::Role;

/// The counts of one tick, of both arms.
#[derive(Clone, Debug, Default)]
pub struct Block {
    /// By role: the active arm, the candidate.
    pub arms: [ArmBlock; 2],
}

impl Block {
    /// The counts of an arm.
    #[must_use]
    pub const fn arm(&self, role: Role) -> &ArmBlock {
        &self.arms[role as usize]
    }

    /// The counts of an arm, to add to.
    pub const fn arm_mut(&mut self, role: Role) -> &mut ArmBlock {
        &mut self.arms[role as usize]
    }
}

/// The counts of one arm.
#[derive(Clone, Debug, Default)]
pub struct ArmBlock {
    /// All requests that are counted, good and bad.
    pub requests: u64,
    /// Those of them that were errors.
    pub errors: u64,
    /// How long the good ones took.
    pub latency: Latencies,
}

impl ArmBlock {
    /// The errors: never more than there were requests.
    pub(super) fn errors(&self) -> u64 {
        self.errors.min(self.requests)
    }
}

/// How long answers took: pairs of a time and how many took it.
///
/// A tick has a few dozen answers, a histogram some thousand counters: a list is smaller and
/// quicker to go through.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    pairs: Vec<(u64, u64)>,
    count: u64,
}

impl Latencies {
    /// Adds what a recorder has counted, in microseconds.
    pub fn add(&mut self, recorded: &Histogram<u32>) {
        for step in recorded.iter_recorded() {
            self.record(step.value_iterated_to(), u64::from(step.count_at_value()));
        }
    }

    /// Adds answers that took `microseconds`.
    pub fn record(&mut self, microseconds: u64, answers: u64) {
        if answers > 0 {
            self.pairs.push((microseconds, answers));
            self.count = self.count.saturating_add(answers);
        }
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Forgets all, and keeps the memory.
    pub fn clear(&mut self) {
        self.pairs.clear();
        self.count = 0;
    }

    pub(super) fn pairs(&self) -> impl Iterator<Item = (u64, u64)> {
        self.pairs.iter().copied()
    }

    /// How many took longer than `microseconds`.
    pub(super) fn slower_than(&self, microseconds: f64) -> u64 {
        let slower = self.pairs().filter(|(took, _)| *took as f64 > microseconds);
        slower.fold(0, |sum, (_, answers)| sum.saturating_add(answers))
    }
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;

    use super::Latencies;

    #[test]
    fn what_a_recorder_counted_comes_over_whole() {
        let mut recorded: Histogram<u32> = Histogram::new_with_bounds(1, 3_600_000_000, 2).unwrap();
        recorded.record_n(100, 3).unwrap();
        recorded.record(90_000).unwrap();
        let mut latencies = Latencies::default();
        latencies.add(&recorded);
        latencies.add(&recorded);
        assert_eq!(latencies.count(), 8);
        assert_eq!(latencies.slower_than(100.0), 2);
        assert_eq!(latencies.slower_than(99.0), 8);
        assert_eq!(latencies.slower_than(91_000.0), 0);
        latencies.clear();
        assert_eq!((latencies.count(), latencies.slower_than(0.0)), (0, 0));
    }
}
