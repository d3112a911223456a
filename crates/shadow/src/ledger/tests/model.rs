//! The ledger as one would write it without a thought of time or memory: all pairs are kept,
//! and every question goes through all of them.

use std::collections::{BTreeSet, HashSet};

use http::StatusCode;
use jiff::Timestamp;

use super::super::{Against, Failed, Ledger, MOST_CLASSES, OTHER, Pair};
use crate::{
    noise::{ALPHA, ANY_ALPHA, CLASS_ALPHA, Counts, excess},
    report::Verdict,
};

#[derive(Clone, Debug)]
pub(super) struct Noted {
    pub(super) against: Against,
    pub(super) copy: Copy,
}

#[derive(Clone, Debug)]
pub(super) enum Copy {
    /// Differs in these classes, by number.
    Compared(Vec<usize>),
    /// Was not compared; the status is another one.
    Status(bool),
    Failed(Failed),
}

impl Noted {
    pub(super) fn differs(&self) -> bool {
        !self.names().is_empty()
    }

    fn names(&self) -> Vec<String> {
        match &self.copy {
            Copy::Compared(classes) => classes.iter().map(|class| format!("/{class}")).collect(),
            Copy::Status(other) => other.then(|| "status".to_owned()).into_iter().collect(),
            Copy::Failed(_) => vec!["answer".to_owned()],
        }
    }
}

pub(super) fn note(ledger: &Ledger, noted: &Noted) {
    let good = super::side(StatusCode::OK, 10);
    let names = noted.names();
    let comparison = super::differing(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let (copy, comparison) = match noted.copy {
        Copy::Compared(_) => (Ok(good), Some(&comparison)),
        Copy::Status(other) => {
            let status = if other { StatusCode::NOT_FOUND } else { StatusCode::OK };
            (Ok(super::side(status, 20)), None)
        }
        Copy::Failed(failed) => (Err(failed), None),
    };
    let request = super::request("x");
    let pair = Pair { at: Timestamp::UNIX_EPOCH, request: &request, primary: good, copy, comparison };
    let answer = ledger.note(noted.against, &pair);
    assert_eq!(answer.differs, noted.differs());
    assert_eq!(answer.classes.is_empty(), names.is_empty());
}

pub(super) fn counts(pairs: &[Noted], against: Against) -> (u64, u64) {
    let of = pairs.iter().filter(|pair| pair.against == against);
    (of.clone().count() as u64, of.filter(|pair| pair.differs()).count() as u64)
}

pub(super) fn answered(pairs: &[Noted], against: Against) -> u64 {
    let of = pairs.iter().filter(|pair| pair.against == against);
    of.filter(|pair| !matches!(pair.copy, Copy::Failed(_))).count() as u64
}

/// The names that are counted by themselves: the first ones.
fn named(pairs: &[Noted]) -> HashSet<String> {
    let mut named = HashSet::new();
    for name in pairs.iter().flat_map(Noted::names) {
        if named.len() < MOST_CLASSES {
            named.insert(name);
        }
    }
    named
}

/// The classes of a pair as they are counted.
fn counted(pair: &Noted, named: &HashSet<String>) -> BTreeSet<String> {
    let as_counted = |name: String| if named.contains(&name) { name } else { OTHER.to_owned() };
    pair.names().into_iter().map(as_counted).collect()
}

pub(super) fn classes(pairs: &[Noted]) -> Vec<(String, [u64; 2])> {
    let named = named(pairs);
    let all: BTreeSet<_> = pairs.iter().flat_map(|pair| counted(pair, &named)).collect();
    all.into_iter()
        .map(|class| {
            let showing = Against::ALL.map(|against| {
                let of = pairs.iter().filter(|pair| pair.against == against);
                of.filter(|pair| counted(pair, &named).contains(&class)).count() as u64
            });
            (class, showing)
        })
        .collect()
}

fn both(pairs: &[Noted], shows: impl Fn(&Noted) -> bool) -> [Counts; 2] {
    Against::ALL.map(|against| {
        let of = pairs.iter().filter(|pair| pair.against == against);
        let differing = of.clone().filter(|pair| shows(pair)).count() as u64;
        Counts { pairs: of.count() as u64, differing }
    })
}

pub(super) fn verdict(pairs: &[Noted], allow: f64, least: u64) -> Verdict {
    let named = named(pairs);
    let [shadow, own] = both(pairs, Noted::differs);
    let exceeds = |[shadow, own]: [Counts; 2], alpha| excess(shadow, own, alpha).lower > allow;
    let is_within = |[shadow, own]: [Counts; 2]| excess(shadow, own, ALPHA).upper <= allow;
    let (mut different, mut same) = (exceeds([shadow, own], ANY_ALPHA), is_within([shadow, own]));
    for (class, _) in classes(pairs) {
        let shows = |pair: &Noted| counted(pair, &named).contains(&class);
        let first = pairs.iter().position(shows).unwrap();
        different |= exceeds(both(&pairs[first + 1..], shows), CLASS_ALPHA);
        same &= is_within(both(pairs, shows));
    }
    if shadow.pairs < least {
        Verdict::InsufficientData
    } else if different && own.pairs >= least {
        Verdict::Different
    } else if same {
        Verdict::Same
    } else if own.pairs < least && shadow.differing > 0 {
        Verdict::InsufficientData
    } else {
        Verdict::Undecided
    }
}
