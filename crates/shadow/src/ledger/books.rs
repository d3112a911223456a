//! Everything that is counted.

use jiff::Timestamp;

use super::{
    classes::{Class, Classes},
    likeness::Likeness,
    pair::{Against, Failed, Pair},
    times::Times,
};
use crate::{
    noise::Counts,
    report::{FailedReport, KindReport},
};

/// The class of a copy that got no answer.
const ANSWER: &str = "answer";

/// The class of another status, where nothing else was compared.
const STATUS: &str = "status";

/// What is counted of one kind of pairs.
#[derive(Debug, Default)]
struct OfKind {
    counts: Counts,
    /// By [`Failed`].
    failed: [u64; Failed::ALL.len()],
    times: Times,
    likeness: Likeness,
}

/// Everything that is counted since a time.
#[derive(Debug)]
pub(super) struct Books {
    pub(super) since: Timestamp,
    /// By [`Against`].
    kinds: [OfKind; 2],
    classes: Classes,
}

impl Books {
    pub(super) fn new(since: Timestamp) -> Self {
        Self { since, kinds: Default::default(), classes: Classes::default() }
    }

    /// How many pairs there were of each kind, and how many of them differ in anything.
    pub(super) fn all(&self) -> [Counts; 2] {
        self.kinds.each_ref().map(|kind| kind.counts)
    }

    pub(super) fn classes(&self) -> &[Class] {
        self.classes.list()
    }

    /// Counts a pair. Returns the places of its classes; none where both sides are alike.
    pub(super) fn note(&mut self, against: Against, pair: &Pair<'_>) -> Vec<usize> {
        let kind = &mut self.kinds[against as usize];
        kind.counts.pairs += 1;
        let differs = match pair.copy {
            Err(failed) => {
                kind.failed[failed as usize] += 1;
                true
            }
            Ok(copy) => {
                kind.times.note(pair.primary.took, copy.took);
                match pair.comparison {
                    Some(comparison) => {
                        kind.likeness.note(comparison);
                        !comparison.differences.is_empty() || comparison.more > 0
                    }
                    None => copy.status != pair.primary.status,
                }
            }
        };
        if !differs {
            return Vec::new();
        }
        kind.counts.differing += 1;
        let all = self.all();
        match (pair.copy, pair.comparison) {
            (Err(_), _) => self.classes.note(against, [ANSWER].into_iter(), all),
            (Ok(_), None) => self.classes.note(against, [STATUS].into_iter(), all),
            (Ok(_), Some(comparison)) => {
                let names = comparison.differences.iter().map(|difference| &*difference.class);
                self.classes.note(against, names, all)
            }
        }
    }

    /// What is told of one kind of pairs.
    pub(super) fn kind_report(&self, against: Against) -> KindReport {
        let kind = &self.kinds[against as usize];
        let [timeout, unreachable, reset, breaker, too_large] = kind.failed;
        KindReport {
            pairs: kind.counts.pairs,
            differing: kind.counts.differing,
            share: kind.counts.share(),
            failed: FailedReport { timeout, unreachable, reset, breaker, too_large },
            latency: kind.times.report(),
            ids: kind.likeness.ids_report(),
            texts: kind.likeness.texts_report(),
        }
    }
}
