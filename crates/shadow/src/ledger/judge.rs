//! What the books prove.
//!
//! The three rules, in the order in which they are asked:
//!
//! 1. *Different*: it is proven that what differs exceeds the noise by more than `allow`, be it
//!    of the pairs as a whole or of one class, with at least `pairs` of each kind. A class by
//!    itself is enough, as one that is always noise would hide all others from the whole.
//! 2. *Same*: it is proven of the pairs as a whole and of each class that has shown that the
//!    excess is at most `allow`. Where nothing differs, that needs no pairs of the own upstream.
//! 3. Else it is open: there are fewer than `pairs`, or nothing is proven yet.

use super::{Against, books::Books, classes::Class};
use crate::{
    noise::{ALPHA, ANY_ALPHA, CLASS_ALPHA, Counts, Interval, bounds_of, excess},
    report::{Finding, Missing, Verdict},
};

/// What an open verdict is forecast for at most: so many times the pairs there are.
const FARTHEST: f64 = 1e6;

/// What is to be judged by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bar {
    pub(super) allow: f64,
    pub(super) pairs: u64,
}

impl Bar {
    /// What is proven.
    pub(super) fn verdict(self, books: &Books) -> Verdict {
        let [shadow, own] = books.all();
        if shadow.pairs < self.pairs {
            return Verdict::InsufficientData;
        }
        let has_own = own.pairs >= self.pairs;
        if has_own && self.is_different(books) {
            Verdict::Different
        } else if self.is_same(books) {
            Verdict::Same
        } else if has_own || shadow.differing == 0 {
            Verdict::Undecided
        } else {
            Verdict::InsufficientData
        }
    }

    fn is_different(self, books: &Books) -> bool {
        let all = books.all();
        exceeds(all, ANY_ALPHA, self.allow)
            || books.classes().iter().any(|class| exceeds(class.tested(all), CLASS_ALPHA, self.allow))
    }

    fn is_same(self, books: &Books) -> bool {
        let all = books.all();
        let is_within = |[shadow, own]: [Counts; 2]| excess(shadow, own, ALPHA).upper <= self.allow;
        is_within(all) && books.classes().iter().all(|class| is_within(class.counts(all)))
    }

    /// How many more pairs there must be for a verdict; none where there is one, or where none
    /// would come of it.
    pub(super) fn missing(self, books: &Books, verdict: Verdict) -> Option<Missing> {
        let [shadow, own] = books.all();
        match verdict {
            Verdict::Same | Verdict::Different => None,
            Verdict::InsufficientData => {
                let needs_own = shadow.differing > 0;
                let short = |counts: Counts| self.pairs.saturating_sub(counts.pairs);
                Some(Missing { shadow: short(shadow), own: if needs_own { short(own) } else { 0 } })
            }
            Verdict::Undecided => {
                let times = self.times_until(books)?;
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
                let more = |counts: Counts| (counts.pairs as f64 * (times - 1.0)).ceil() as u64;
                let needs_own = shadow.differing > 0;
                // There is no verdict yet: it takes one more at least.
                Some(Missing { shadow: more(shadow).max(1), own: if needs_own { more(own) } else { 0 } })
            }
        }
    }

    /// How many times the pairs that are there make a verdict, if all goes on as it did.
    fn times_until(self, books: &Books) -> Option<f64> {
        let all = books.all();
        let things = || {
            let classes = books.classes().iter();
            std::iter::once((all, ANY_ALPHA)).chain(classes.map(|class| (class.counts(all), CLASS_ALPHA)))
        };
        let surplus = |[shadow, own]: [Counts; 2]| {
            shadow.share().unwrap_or(0.0) - own.share().unwrap_or(0.0) - self.allow
        };
        let over = things().filter(|(counts, _)| surplus(*counts) > 0.0);
        let different = over.filter_map(|(counts, alpha)| {
            first_times(|times| grown(counts, times, alpha).lower > self.allow)
        });
        if let Some(times) = different.reduce(f64::min) {
            return Some(times);
        }
        things()
            .map(|(counts, _)| first_times(|times| grown(counts, times, ALPHA).upper <= self.allow))
            .try_fold(1.0, |most, times| Some(f64::max(most, times?)))
    }
}

/// By how much all pairs exceed the noise: what proves them different, what proves them the same.
pub(super) fn known([shadow, own]: [Counts; 2]) -> Interval {
    let (different, same) = (excess(shadow, own, ANY_ALPHA), excess(shadow, own, ALPHA));
    Interval { lower: different.lower, upper: same.upper }
}

/// What is known of a class.
pub(super) fn finding(class: &Class, all: [Counts; 2], allow: f64) -> (Finding, Interval) {
    let ([shadow, own], [shadow_tested, own_tested]) = (class.counts(all), class.tested(all));
    let known = Interval {
        lower: excess(shadow_tested, own_tested, CLASS_ALPHA).lower,
        upper: excess(shadow, own, ALPHA).upper,
    };
    let finding = if known.lower > 0.0 {
        Finding::Different
    } else if class.differing[Against::Own as usize] > 0 {
        Finding::Noise
    } else if known.upper <= allow {
        Finding::Same
    } else {
        Finding::Unknown
    };
    (finding, known)
}

/// Whether the shadow's rate is proven to exceed the own one by more than `allow`.
fn exceeds([shadow, own]: [Counts; 2], alpha: f64, allow: f64) -> bool {
    // Bounds hold the share that was seen: if that is not over, the bound is not.
    match (shadow.share(), own.share()) {
        (Some(seen), Some(noise)) if seen - noise > allow => excess(shadow, own, alpha).lower > allow,
        _ => false,
    }
}

/// The excess if there were so many times the pairs.
fn grown([shadow, own]: [Counts; 2], times: f64, alpha: f64) -> Interval {
    let of =
        |counts: Counts| bounds_of(counts.pairs as f64 * times, counts.differing as f64 * times, alpha / 2.0);
    let (shadow, own) = (of(shadow), of(own));
    Interval { lower: shadow.lower - own.upper, upper: shadow.upper - own.lower }
}

/// About the smallest number from which on something is so, up to [`FARTHEST`].
fn first_times(is_so: impl Fn(f64) -> bool) -> Option<f64> {
    let (mut not_yet, mut enough) = (1.0, 1.0);
    while !is_so(enough) {
        not_yet = enough;
        enough *= 2.0;
        if enough > FARTHEST {
            return None;
        }
    }
    // To a hundredth: it is a forecast.
    while enough - not_yet > 0.01 * enough {
        let middle = f64::midpoint(not_yet, enough);
        if is_so(middle) { enough = middle } else { not_yet = middle }
    }
    Some(enough)
}
