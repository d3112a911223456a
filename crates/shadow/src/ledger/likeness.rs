//! How alike retrieved ids and texts are, over all pairs.

use crate::{
    comparison::{Comparison, IdsCompared, Kind},
    report::{IdsReport, Spread, TextsReport},
};

/// Numbers from 0 to 1: their sum, and how many lie in each tenth.
#[derive(Debug, Default)]
struct Shares {
    count: u64,
    sum: f64,
    /// Of each tenth, the upper end not with it; those that are 1 stand last.
    tenths: [u64; 11],
}

impl Shares {
    fn note(&mut self, share: f64) {
        // Neither a number from elsewhere nor rounding may spoil the books.
        let share = if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) };
        self.count += 1;
        self.sum += share;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is from 0 to 10")]
        let tenth = (share * 10.0) as usize;
        self.tenths[tenth] += 1;
    }

    fn spread(&self) -> Spread {
        Spread { mean: self.sum / self.count.max(1) as f64, tenths: self.tenths }
    }
}

/// What is counted of the ids and texts of one kind of pairs.
#[derive(Debug, Default)]
pub(super) struct Likeness {
    overlap: Shares,
    rank_distance: Shares,
    other_ids: u64,
    other_order: u64,
    ids: u64,
    texts: Shares,
    texts_differ: u64,
}

impl Likeness {
    pub(super) fn note(&mut self, comparison: &Comparison) {
        if let Some(ids) = &comparison.ids {
            self.note_ids(ids);
        }
        if let Some(similarity) = comparison.texts {
            self.texts.note(similarity);
            let differs = comparison.differences.iter().any(|difference| difference.kind == Kind::Text);
            self.texts_differ += u64::from(differs);
        }
    }

    fn note_ids(&mut self, ids: &IdsCompared) {
        self.overlap.note(ids.overlap);
        self.rank_distance.note(ids.rank_distance);
        self.other_ids += u64::from(!ids.missing.is_empty() || !ids.new.is_empty());
        self.other_order += u64::from(ids.order_changed);
        self.ids = self.ids.saturating_add(ids.k as u64);
    }

    pub(super) fn ids_report(&self) -> Option<IdsReport> {
        let pairs = self.overlap.count;
        (pairs > 0).then(|| IdsReport {
            pairs,
            mean_length: self.ids as f64 / pairs as f64,
            overlap: self.overlap.spread(),
            rank_distance: self.rank_distance.spread(),
            other_ids: self.other_ids,
            other_order: self.other_order,
        })
    }

    pub(super) fn texts_report(&self) -> Option<TextsReport> {
        let pairs = self.texts.count;
        (pairs > 0).then(|| TextsReport {
            pairs,
            similarity: self.texts.spread(),
            differing: self.texts_differ,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Shares;

    #[test]
    fn tenths_begin_at_their_lower_end() {
        let mut shares = Shares::default();
        for share in [0.0, 0.05, 0.1, 0.95, 1.0, 1.0, 7.0, -1.0, f64::NAN] {
            shares.note(share);
        }
        assert_eq!(shares.spread().tenths, [4, 1, 0, 0, 0, 0, 0, 0, 0, 1, 3]);
        assert!((shares.spread().mean - 4.1 / 9.0).abs() < 1e-12);
    }
}
