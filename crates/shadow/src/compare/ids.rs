//! The ids that two answers retrieved, and their scores.
//!
//! A list counts with each id once, where it stands first: what was retrieved is a ranking of
//! documents, though several passages of one may be in it.
//!
//! The overlap is that of the first k, k being the length of the longer list. The rank distance
//! is Spearman's footrule with location parameter k + 1 (`F^(k+1)`) of Fagin, Kumar and Sivakumar,
//! "Comparing top k lists" (2003): the sum of how far each id has moved, where one that a list
//! does not have stands right after its end, at k + 1. It is divided by what two lists of these
//! lengths have that share nothing, so that 0 is the same order and 1 nothing in common.

use std::{borrow::Cow, collections::HashMap};

use super::{
    found::{Found, MOST_OF_CLASS},
    gather::{Gathered, Place, What},
    rules::Rules,
    shown,
};
use crate::comparison::{Difference, IdsCompared, Kind, MOST_TOLD, Seen, Shown};

/// The ids of both sides.
#[derive(Debug)]
pub(super) struct Ids<'g> {
    primary: Ranked<'g>,
    shadow: Ranked<'g>,
    pub(super) compared: IdsCompared,
}

/// The ids of one side, each once.
#[derive(Debug)]
struct Ranked<'g> {
    /// Each id and its number in the list, in their order.
    order: Vec<(&'g str, usize)>,
    /// Its rank, from 0.
    ranks: HashMap<&'g str, usize>,
}

impl<'g> Ranked<'g> {
    fn of(list: &'g [Cow<'_, str>]) -> Self {
        let mut ranked = Self { order: Vec::new(), ranks: HashMap::new() };
        for (number, id) in list.iter().enumerate() {
            let rank = ranked.order.len();
            let rank_of = *ranked.ranks.entry(id).or_insert(rank);
            if rank_of == rank {
                ranked.order.push((id, number));
            }
        }
        ranked
    }

    fn without<'s>(&'s self, other: &'s Ranked<'_>) -> impl Iterator<Item = (&'g str, usize)> + 's {
        self.order.iter().copied().filter(|(id, _)| !other.ranks.contains_key(id))
    }
}

impl<'g> Ids<'g> {
    /// None where neither side has any.
    pub(super) fn of(primary: &'g Gathered<'_>, shadow: &'g Gathered<'_>) -> Option<Self> {
        if primary.ids.is_empty() && shadow.ids.is_empty() {
            return None;
        }
        let (primary, shadow) = (Ranked::of(&primary.ids), Ranked::of(&shadow.ids));
        let k = primary.order.len().max(shadow.order.len());
        let both = primary.order.len() - primary.without(&shadow).count();
        let list = |ids: &mut dyn Iterator<Item = (&'g str, usize)>| {
            ids.take(MOST_TOLD).map(|(id, _)| shown::cut(id).into()).collect::<Vec<Box<str>>>()
        };
        let compared = IdsCompared {
            k,
            overlap: both as f64 / k as f64,
            rank_distance: rank_distance(&primary, &shadow, k),
            missing: list(&mut primary.without(&shadow)),
            new: list(&mut shadow.without(&primary)),
            order_changed: both == primary.order.len()
                && both == shadow.order.len()
                && !primary.order.iter().map(|(id, _)| id).eq(shadow.order.iter().map(|(id, _)| id)),
        };
        Some(Self { primary, shadow, compared })
    }

    /// Whether an id that one side has is told to be missing on the other.
    pub(super) fn tell_of(&self, id: &str) -> bool {
        self.primary.ranks.contains_key(id) != self.shadow.ranks.contains_key(id)
    }

    /// Whether they say that anything stands elsewhere.
    pub(super) fn tell_order(&self) -> bool {
        self.compared.order_changed || !self.compared.missing.is_empty() || !self.compared.new.is_empty()
    }

    /// Tells what is different: the first id that is missing and the first that is new, or the
    /// first place where another one stands.
    pub(super) fn tell(
        &self,
        rules: &Rules,
        primary: &Gathered<'_>,
        shadow: &Gathered<'_>,
        found: &mut Found,
    ) {
        let missing = self.primary.without(&self.shadow).next();
        let new = self.shadow.without(&self.primary).next();
        let both = self.primary.order.iter().copied().zip(self.shadow.order.iter().copied());
        let moved = both.into_iter().find(|(ours, theirs)| ours.0 != theirs.0);
        let (class, kind, ours, theirs) = match (missing, new, moved) {
            (None, None, None) => return,
            (None, None, Some((ours, theirs))) => ("order", Kind::Order, Some(ours), Some(theirs)),
            (Some(_), None, _) => ("ids", Kind::Missing, missing, None),
            (None, Some(_), _) => ("ids", Kind::New, None, new),
            (Some(_), Some(_), _) => ("ids", Kind::Value, missing, new),
        };
        let seen = |side: &Gathered<'_>, (id, number): (&str, usize)| {
            let place = side.place(rules, What::Id, number);
            Seen { pointer: place.map_or_else(|| "".into(), |it| it.pointer), value: shown::text(id, true) }
        };
        found.tell(Difference {
            class: class.into(),
            kind,
            primary: ours.map(|id| seen(primary, id)),
            shadow: theirs.map(|id| seen(shadow, id)),
        });
    }

    /// The scores of the ids that both have: pairs of numbers of scores. None where not each id
    /// has exactly one, and it cannot be said which score is whose.
    pub(super) fn scores(
        &self,
        primary: &Gathered<'_>,
        shadow: &Gathered<'_>,
    ) -> Option<Vec<(usize, usize)>> {
        let one_each = |side: &Ranked<'_>, all: &Gathered<'_>| {
            side.order.len() == all.ids.len() && all.ids.len() == all.scores.len()
        };
        (one_each(&self.primary, primary) && one_each(&self.shadow, shadow)).then(|| {
            let both = self.primary.order.iter();
            both.filter_map(|(id, number)| Some((*number, *self.shadow.ranks.get(id)?))).collect()
        })
    }
}

fn rank_distance(primary: &Ranked<'_>, shadow: &Ranked<'_>, k: usize) -> f64 {
    // Ranks are from 0, so the place after the end is k.
    let from_end = |rank: usize| (k - rank) as f64;
    let all = primary.order.len() + shadow.order.len();
    let apart = primary.order.iter().enumerate().map(|(rank, (id, _))| {
        shadow.ranks.get(id).map_or(from_end(rank), |other| rank.abs_diff(*other) as f64)
    });
    let apart = apart.sum::<f64>();
    let new = shadow.without(primary).filter_map(|(id, _)| shadow.ranks.get(id)).map(|rank| from_end(*rank));
    let apart = apart + new.sum::<f64>();
    let most = |length: usize| (0..length).map(from_end).sum::<f64>();
    let most = most(primary.order.len()) + most(shadow.order.len());
    if all == 0 { 0.0 } else { apart / most }
}

/// Two numbers are equal within a share of the larger one.
pub(super) fn near(a: f64, b: f64, tolerance: f64) -> bool {
    // A difference past the largest number is infinite, and larger than any share.
    (a - b).abs() <= tolerance * a.abs().max(b.abs())
}

/// Tells the scores that are too far apart, of those in the pairs.
pub(super) fn tell_scores(
    rules: &Rules,
    pairs: &[(usize, usize)],
    primary: &Gathered<'_>,
    shadow: &Gathered<'_>,
    found: &mut Found,
) {
    let apart = pairs.iter().filter_map(|&(ours, theirs)| {
        let (a, b) = (primary.scores.get(ours)?, shadow.scores.get(theirs)?);
        let tolerance = a.tolerance.max(b.tolerance);
        (!near(a.value, b.value, tolerance)).then_some((ours, theirs, a.value, b.value))
    });
    let apart = apart.collect::<Vec<_>>();
    let first = || apart.iter().take(MOST_TOLD);
    let ours = primary.places(rules, What::Score, &first().map(|it| it.0).collect());
    let theirs = shadow.places(rules, What::Score, &first().map(|it| it.1).collect());
    let mut told = HashMap::<&str, usize>::new();
    for (at_ours, at_theirs, a, b) in &apart {
        let (Some(ours), Some(theirs)) = (ours.get(at_ours), theirs.get(at_theirs)) else {
            found.count_one();
            continue;
        };
        let told = told.entry(&ours.class).or_default();
        *told += 1;
        if *told > MOST_OF_CLASS {
            found.count_one();
            continue;
        }
        let seen = |place: &Place, value: f64| Seen {
            pointer: place.pointer.clone(),
            value: Shown::Value(value.into()),
        };
        found.tell(Difference {
            class: ours.class.clone(),
            kind: Kind::Value,
            primary: Some(seen(ours, *a)),
            shadow: Some(seen(theirs, *b)),
        });
    }
}

#[cfg(test)]
mod tests;
