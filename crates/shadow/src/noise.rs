//! What is noise: how often pairs differ that should not, and whether others differ more often.
//!
//! Two answers of one and the same service differ too: a time taken, a score that jitters, a
//! reworded text. How often they do is measured by an A/A sample: some copies go to the route's
//! own upstream. A difference of the shadow counts only in so far as it is more frequent than
//! that, and only once that is proven.
//!
//! # The bounds
//!
//! The numbers are looked at whenever somebody likes, and a rollout may look after each pair. An
//! interval for a fixed number of samples would be wrong far too often then, so the bounds here
//! are a *confidence sequence*: with a probability of at least `1 - alpha` the true rate lies
//! inside them after every pair, however many there will be ([`bounds`]). For `s` differing
//! pairs of `n`, it is all rates `p` with
//!
//! ```text
//! B(a + s, b + n - s) / B(a, b)  /  (p^s (1 - p)^(n - s))  <  1 / alpha
//! ```
//!
//! The left side is the likelihood of the pairs under a rate drawn from Beta(`a`, `b`), over that
//! under `p`. If `p` is the true rate it is a martingale that begins at one, and by Ville's
//! inequality it ever reaches `1 / alpha` with a probability of at most `alpha`. The mixture is
//! Beta(1/4, 3/4): it leans to small rates, where a good shadow is, and costs about one pair in a
//! hundred elsewhere. With nothing differing it proves a rate below 1% after some 720 pairs at
//! `alpha` = 0.005, where Beta(1/2, 1/2) needs 930 and knowing the answer 530.
//!
//! # The test
//!
//! What exceeds the noise is the difference of two rates, the shadow's and the own service's
//! ([`excess`]): each has its bounds at `alpha / 2`, and the excess is between the lower one of
//! the first less the upper one of the second, and the other way round. This is right whatever
//! the ratio of the two samples and however it changes. It is not the sharpest test there is:
//! where noise is high a joint one would need about half the pairs, and one that is told both
//! rates far fewer, as measuring the noise is most of the work. But it gives what people ask for,
//! an interval, from the numbers that they see. How many pairs it takes is in the table that
//! `tests/simulations.rs` prints.
//!
//! # The budget of errors
//!
//! [`ALPHA`] = 1% is the probability that a run in which nothing differs beyond noise is ever
//! called different. Half is for whether *anything* differs in a pair ([`ANY_ALPHA`]), half is
//! shared by the classes of differences ([`CLASS_ALPHA`], Bonferroni over [`TESTED_CLASSES`]).
//! Classes are not named before but found on the way: the pair that shows a class first is not
//! counted for its test, and all that follow are, so that what drew the attention is no evidence
//! of its own. That something is the *same* is said where it is proven of every class at
//! [`ALPHA`]; as all must be proven, none needs a share of its own (an intersection-union test).
//!
//! # What is not seen
//!
//! Pairs are taken to be independent. A session that repeats one question a hundred times is a
//! hundred pairs of one cause; sampling by a key makes such heaps, and the promise weaker. A
//! rate that changes is averaged over all pairs since the last reset.
//!
//! # Sources
//!
//! Ville, *Étude critique de la notion de collectif*, 1939. Robbins, *Statistical methods related
//! to the law of the iterated logarithm*, 1970 (mixtures). Howard, Ramdas, `McAuliffe`, Sekhon,
//! *Time-uniform, nonparametric, nonasymptotic confidence sequences*, 2021. Berger,
//! *Multiparameter hypothesis testing and acceptance sampling*, 1982 (intersection-union).

use serde::Serialize;

use crate::ledger::MOST_CLASSES;

/// How probable it may be that a service which is no different is ever called different.
pub const ALPHA: f64 = 0.01;

/// The share of [`ALPHA`] for whether anything differs in a pair.
pub const ANY_ALPHA: f64 = ALPHA / 2.0;

/// How many classes are tested at most: the named ones, and what is beyond them.
pub const TESTED_CLASSES: usize = MOST_CLASSES + 1;

/// The share of [`ALPHA`] of each class.
pub const CLASS_ALPHA: f64 = (ALPHA - ANY_ALPHA) / TESTED_CLASSES as f64;

/// The mixture, Beta(`MIX_DIFFERING`, `MIX_ALIKE`).
const MIX_DIFFERING: f64 = 0.25;
const MIX_ALIKE: f64 = 0.75;

/// How many pairs there were, and how many of them differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All pairs.
    pub pairs: u64,
    /// Those that differ; not more than all.
    pub differing: u64,
}

impl Counts {
    /// The share that differs; none without pairs.
    #[must_use]
    pub fn share(self) -> Option<f64> {
        (self.pairs > 0).then(|| self.differing as f64 / self.pairs as f64)
    }

    /// What has come since `earlier` counts of the same thing.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            pairs: self.pairs.saturating_sub(earlier.pairs),
            differing: self.differing.saturating_sub(earlier.differing),
        }
    }
}

/// Where a number lies, with the probability that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// Not below this.
    pub lower: f64,
    /// Not above this.
    pub upper: f64,
}

/// Between which rates the true one is, after every pair at once, but for a probability of
/// `alpha` (above 0, at most 1).
#[must_use]
pub fn bounds(counts: Counts, alpha: f64) -> Interval {
    bounds_of(counts.pairs as f64, counts.differing.min(counts.pairs) as f64, alpha)
}

/// By how much the shadow's rate exceeds the own one; negative where it is less.
#[must_use]
pub fn excess(shadow: Counts, own: Counts, alpha: f64) -> Interval {
    let (shadow, own) = (bounds(shadow, alpha / 2.0), bounds(own, alpha / 2.0));
    Interval { lower: shadow.lower - own.upper, upper: shadow.upper - own.lower }
}

/// [`bounds`] of numbers that need not be whole, as in a forecast.
pub(crate) fn bounds_of(pairs: f64, differing: f64, alpha: f64) -> Interval {
    let alike = pairs - differing;
    let needed = ln_beta(MIX_DIFFERING + differing, MIX_ALIKE + alike) - ln_beta(MIX_DIFFERING, MIX_ALIKE)
        + alpha.ln();
    Interval { lower: lower_of(differing, alike, needed), upper: 1.0 - lower_of(alike, differing, needed) }
}

/// More steps than are ever needed: an end all the same.
const MOST_STEPS: usize = 200;

/// The smallest rate of `events` among `events + others` whose log-likelihood is `needed`.
///
/// In the log-odds `x` of the rate, the log-likelihood `-events ln(1 + e^-x) - others ln(1 + e^x)`
/// is concave, rises up to the rate that was seen, and is nowhere above `events * x`. Newton's
/// method from where *that* is `needed` comes nearer from below with every step and never jumps
/// over: whenever it ends, it ends on the safe side.
fn lower_of(events: f64, others: f64, needed: f64) -> f64 {
    if events <= 0.0 {
        return 0.0;
    }
    let mut odds = needed / events;
    for _ in 0..MOST_STEPS {
        let likelihood = -events * ln_1p_exp(-odds) - others * ln_1p_exp(odds);
        let slope = events * sigmoid(-odds) - others * sigmoid(odds);
        let step = (needed - likelihood) / slope;
        // Also where rounding has made an end of the slope.
        if !step.is_finite() || step <= 1e-12 * odds.abs().max(1.0) {
            break;
        }
        odds += step;
    }
    sigmoid(odds)
}

/// `1 / (1 + e^-x)`.
fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `ln(1 + e^x)`, for any `x`.
fn ln_1p_exp(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// The logarithm of the beta function.
fn ln_beta(one: f64, other: f64) -> f64 {
    libm::lgamma(one) + libm::lgamma(other) - libm::lgamma(one + other)
}

#[cfg(test)]
mod tests;
