//! A rate against a bound: Bernoulli trials, `k` of `n`.
//!
//! The likelihood ratio of a rate `p1` to the bound `p0` is
//! `(p1/p0)^k * ((1-p1)/(1-p0))^(n-k)`. Its expectation under a rate `p` is a power of
//! `1 + (p - p0)(p1 - p0) / (p0 (1 - p0))`: one at the bound, less on the null's side of it.

use super::{evidence::Grid, limits};

/// Alternatives above a bound, as multiples of its odds.
const ABOVE: [f64; 8] = [1.25, 1.6, 2.2, 3.5, 7.0, 20.0, 100.0, 10_000.0];
/// Alternatives below a bound.
const BELOW: [f64; 5] = [0.7, 0.5, 0.3, 0.12, 0.02];

/// Events of some trials.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Trials {
    pub(super) events: u64,
    pub(super) of: u64,
}

/// A grid of rates on one side of a bound.
#[derive(Clone, Debug)]
pub(super) struct Rate {
    /// For each alternative what an event and what its absence say.
    says: Vec<(f64, f64)>,
}

impl Rate {
    /// Refutes "the rate is at most `bound`".
    pub(super) fn above(bound: f64) -> Self {
        Self::new(bound, &ABOVE)
    }

    /// Refutes "the rate is at least `bound`".
    pub(super) fn below(bound: f64) -> Self {
        Self::new(bound, &BELOW)
    }

    fn new(bound: f64, multiples: &[f64]) -> Self {
        let bound = limits::rate(bound);
        let says = multiples.iter().map(|multiple| {
            // With odds of `m` times the bound's, `1 - p1 = (1 - p0) / (1 + (m - 1) p0)`.
            let none = -((multiple - 1.0) * bound).ln_1p();
            (multiple.ln() + none, none)
        });
        Self { says: says.collect() }
    }
}

impl Grid for Rate {
    type Counts = Trials;

    fn size(&self) -> usize {
        self.says.len()
    }

    fn gain(&self, alternative: usize, Trials { events, of }: Trials) -> f64 {
        let (event, none) = self.says[alternative];
        events as f64 * event + of.saturating_sub(events) as f64 * none
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Rate, Trials};
    use crate::stats::evidence::Grid;

    /// The expectation of an alternative's e-value over `of` trials at `rate`, by enumeration.
    fn expectation(grid: &Rate, alternative: usize, of: u64, rate: f64) -> f64 {
        let mut probability = (1.0 - rate).powi(i32::try_from(of).unwrap());
        let mut sum = 0.0;
        for events in 0..=of {
            sum += probability * grid.gain(alternative, Trials { events, of }).exp();
            probability *= (of - events) as f64 / (events + 1) as f64 * rate / (1.0 - rate);
        }
        sum
    }

    #[test]
    fn the_expectation_under_the_null_is_at_most_one() {
        for bound in [0.0001, 0.005, 0.01, 0.05, 0.4] {
            for (grid, rates) in [
                (Rate::above(bound), [bound, bound * 0.9, bound * 0.1]),
                (Rate::below(bound), [bound, bound * 1.1, bound * 2.0]),
            ] {
                for alternative in 0..grid.size() {
                    for of in [0, 1, 7, 60] {
                        for rate in rates {
                            let mean = expectation(&grid, alternative, of, rate);
                            assert!(mean < 1.0 + 1e-9, "{bound} {alternative} {of} {rate}: {mean}");
                        }
                        let at_bound = expectation(&grid, alternative, of, bound);
                        assert!((at_bound - 1.0).abs() < 1e-9, "{at_bound}");
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn finite_and_monotone_for_any_counts(bound in any::<f64>(), events: u64, of: u64, other: u64) {
            let (few, many) = (events.min(other), events.max(other));
            for (grid, more_is_more) in [(Rate::above(bound), true), (Rate::below(bound), false)] {
                for alternative in 0..grid.size() {
                    let of = of.max(many);
                    let low = grid.gain(alternative, Trials { events: few, of });
                    let high = grid.gain(alternative, Trials { events: many, of });
                    prop_assert!(low.is_finite() && high.is_finite());
                    let rising = if more_is_more { high - low } else { low - high };
                    prop_assert!(rising >= 0.0);
                    let more_than_all = grid.gain(alternative, Trials { events: many, of: few });
                    prop_assert!(more_than_all.is_finite());
                }
            }
        }
    }
}
