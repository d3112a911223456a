//! One arm against the other: how the events of a block fell to the two.
//!
//! If a request is as likely to be an event on one arm as on the other, then, given that `K`
//! of the block's `N` requests were events, the candidate's part `k` is hypergeometric, whatever
//! the rate is; if the candidate is better, it is stochastically smaller. For odds that are `psi`
//! times the active arm's, `psi^k / E[psi^k]` is therefore an e-value.
//!
//! The expectation is not summed up but bounded from above, which keeps the e-value one and
//! makes it cheap for blocks of any size: sampling without replacement is dominated by
//! sampling with it (Hoeffding 1963), and the hypergeometric can be drawn in four ways
//! (events among the candidate's requests, the candidate's among the events, and both of
//! the complement), of which the smallest bound is taken. For rare events little is lost.

use super::evidence::Grid;
use super::rate::Trials;

/// Odds of a candidate that is worse.
const WORSE: [f64; 7] = [1.15, 1.4, 2.0, 4.0, 12.0, 60.0, 1000.0];
/// Odds of a candidate that is better.
const BETTER: [f64; 5] = [0.7, 0.5, 0.3, 0.12, 0.02];

/// The counts of both arms: active, candidate.
pub(super) type Pair = [Trials; 2];

/// A grid of odds ratios.
#[derive(Clone, Debug)]
pub(super) struct Odds(&'static [f64]);

impl Odds {
    /// Refutes "the candidate is not worse".
    pub(super) const fn worse() -> Self {
        Self(&WORSE)
    }

    /// Refutes "the candidate is not better".
    pub(super) const fn better() -> Self {
        Self(&BETTER)
    }
}

impl Grid for Odds {
    type Counts = Pair;

    fn size(&self) -> usize {
        self.0.len()
    }

    fn gain(&self, alternative: usize, [active, candidate]: Pair) -> f64 {
        let psi = self.0[alternative];
        let of = [active.of as f64, candidate.of as f64];
        let events = [active.events.min(active.of) as f64, candidate.events.min(candidate.of) as f64];
        if of[0] == 0.0 || of[1] == 0.0 {
            return 0.0;
        }
        events[1] * psi.ln() - ln_mean_at_most(psi, of, events[0] + events[1])
    }
}

/// A bound on `ln E[psi^k]` of the hypergeometric with these margins.
fn ln_mean_at_most(psi: f64, of: [f64; 2], events: f64) -> f64 {
    let all = of[0] + of[1];
    let (of_candidate, of_events) = (of[1] / all, events / all);
    let (up, down) = (psi - 1.0, 1.0 / psi - 1.0);
    let bounds = [
        events * (of_candidate * up).ln_1p(),
        of[1] * (of_events * up).ln_1p(),
        of[1] * psi.ln() + (all - events).max(0.0) * (of_candidate * down).ln_1p(),
        events * psi.ln() + of[0] * (of_events * down).ln_1p(),
    ];
    bounds.into_iter().fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Odds, Pair};
    use crate::stats::{evidence::Grid, rate::Trials};

    fn pair(active: (u64, u64), candidate: (u64, u64)) -> Pair {
        [Trials { events: active.0, of: active.1 }, Trials { events: candidate.0, of: candidate.1 }]
    }

    fn choose(n: u64, k: u64) -> f64 {
        (0..k).map(|i| (n - i) as f64 / (i + 1) as f64).product()
    }

    /// The expectation of an alternative's e-value given the margins, by enumeration, for
    /// true odds of `truth`.
    fn expectation(grid: &Odds, alternative: usize, of: [u64; 2], events: u64, truth: f64) -> f64 {
        let (mut sum, mut weight) = (0.0, 0.0);
        for k in events.saturating_sub(of[0])..=events.min(of[1]) {
            let power = truth.powi(i32::try_from(k).unwrap());
            let likely = choose(of[1], k) * choose(of[0], events - k) * power;
            weight += likely;
            sum += likely * grid.gain(alternative, pair((events - k, of[0]), (k, of[1]))).exp();
        }
        sum / weight
    }

    #[test]
    fn the_expectation_under_the_null_is_at_most_one() {
        for (grid, truths) in [(Odds::worse(), [1.0, 0.8, 0.1]), (Odds::better(), [1.0, 1.3, 9.0])] {
            for alternative in 0..grid.size() {
                for active in 0..14 {
                    for candidate in 0..14 {
                        for events in 0..=active + candidate {
                            for truth in truths {
                                let mean =
                                    expectation(&grid, alternative, [active, candidate], events, truth);
                                assert!(
                                    mean < 1.0 + 1e-9,
                                    "{alternative}: {events} of {active} + {candidate}, odds {truth}: {mean}"
                                );
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn little_is_lost_where_events_are_rare() {
        let grid = Odds::worse();
        for (alternative, of, events) in
            [(3, [190, 10], 2), (4, [95, 5], 1), (2, [50, 50], 3), (5, [1, 19], 19)]
        {
            let mean = expectation(&grid, alternative, of, events, 1.0);
            assert!(mean > 0.9, "{alternative}: {events} of {of:?}: {mean}");
        }
    }

    #[test]
    fn an_arm_without_requests_says_nothing() {
        let grid = Odds::worse();
        for counts in [pair((0, 0), (9, 9)), pair((9, 9), (0, 0)), pair((0, 0), (0, 0))] {
            assert!((0..grid.size()).all(|alternative| grid.gain(alternative, counts) == 0.0));
        }
    }

    #[test]
    fn what_hits_both_alike_says_nothing_for_worse() {
        let grid = Odds::worse();
        for all_failed in [pair((95, 95), (5, 5)), pair((50, 50), (50, 50)), pair((0, 95), (0, 5))] {
            assert!((0..grid.size()).all(|alternative| grid.gain(alternative, all_failed) <= 1e-9));
        }
    }

    proptest! {
        #[test]
        fn finite_and_monotone_for_any_counts(a: u64, b: u64, of: [u64; 2], more: u64) {
            for (grid, more_is_more) in [(Odds::worse(), true), (Odds::better(), false)] {
                for alternative in 0..grid.size() {
                    prop_assert!(grid.gain(alternative, pair((a, of[0]), (b, of[1]))).is_finite());
                    // The same events, more of them on the candidate.
                    let small = |value: u64| value % 1_000_000;
                    let (low, high) = (small(b).min(small(more)), small(b).max(small(more)));
                    let of = [small(of[0]) + high, small(of[1]) + high];
                    let at = |k: u64| grid.gain(alternative, pair((high - k, of[0]), (k, of[1])));
                    prop_assert!(low == high || (at(low) < at(high)) == more_is_more);
                }
            }
        }
    }
}
