//! How often each class of differences shows.

use std::{collections::HashMap, sync::Arc};

use super::pair::Against;
use crate::noise::Counts;

/// The most classes that are counted each by itself.
pub const MOST_CLASSES: usize = 200;

/// The class of all differences whose own class was one too many, or has too long a name.
pub const OTHER: &str = "other";

/// The longest name of a class in bytes: names come from answers.
const LONGEST_NAME: usize = 256;

/// One class of differences.
#[derive(Clone, Debug)]
pub(crate) struct Class {
    pub(crate) name: Arc<str>,
    /// How many pairs show it, by [`Against`].
    pub(crate) differing: [u64; 2],
    /// What had been counted when it first showed, with that pair, by [`Against`].
    before: [Counts; 2],
}

impl Class {
    /// All pairs, and those that show it; `all` is how many pairs there were.
    pub(crate) fn counts(&self, all: [Counts; 2]) -> [Counts; 2] {
        Against::ALL.map(|against| Counts {
            pairs: all[against as usize].pairs,
            differing: self.differing[against as usize],
        })
    }

    /// The same of the pairs after the one that showed it first.
    pub(crate) fn tested(&self, all: [Counts; 2]) -> [Counts; 2] {
        let counts = self.counts(all);
        Against::ALL.map(|against| counts[against as usize].since(self.before[against as usize]))
    }
}

/// All classes, in the order in which they first showed.
#[derive(Debug, Default)]
pub(crate) struct Classes {
    places: HashMap<Arc<str>, usize>,
    list: Vec<Class>,
}

impl Classes {
    pub(crate) fn list(&self) -> &[Class] {
        &self.list
    }

    /// Counts a pair that shows these classes, each once. `all` are the counts of all pairs with
    /// this one. Returns the places in the list.
    pub(super) fn note<'a>(
        &mut self,
        against: Against,
        names: impl Iterator<Item = &'a str>,
        all: [Counts; 2],
    ) -> Vec<usize> {
        let mut shown: Vec<usize> = Vec::new();
        for name in names {
            let place = self.place(name, all);
            if shown.contains(&place) {
                continue;
            }
            shown.push(place);
            let class = &mut self.list[place];
            class.differing[against as usize] += 1;
            if class.differing == [0, 1] || class.differing == [1, 0] {
                class.before[against as usize].differing = 1;
            }
        }
        shown
    }

    /// The place of a class in the list, where it is put if it is new.
    fn place(&mut self, name: &str, all: [Counts; 2]) -> usize {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        let is_named = self.list.len() < MOST_CLASSES && name.len() <= LONGEST_NAME;
        if name != OTHER && !is_named {
            return self.place(OTHER, all);
        }
        let name: Arc<str> = name.into();
        let place = self.list.len();
        let before = all.map(|counts| Counts { pairs: counts.pairs, differing: 0 });
        self.list.push(Class { name: name.clone(), differing: [0, 0], before });
        self.places.insert(name, place);
        place
    }
}

#[cfg(test)]
mod tests {
    use super::{Against, Classes, Counts, MOST_CLASSES, OTHER};

    fn all(shadow: u64, own: u64) -> [Counts; 2] {
        [shadow, own].map(|pairs| Counts { pairs, differing: 0 })
    }

    #[test]
    fn a_class_is_counted_once_a_pair_and_tested_after_the_first() {
        let mut classes = Classes::default();
        classes.note(Against::Shadow, ["ids", "ids", "status"].into_iter(), all(10, 5));
        classes.note(Against::Own, ["ids"].into_iter(), all(12, 6));
        let ids = &classes.list()[0];
        assert_eq!((&*ids.name, ids.differing), ("ids", [1, 1]));
        let counted = |pairs, differing| Counts { pairs, differing };
        assert_eq!(ids.counts(all(20, 8)), [counted(20, 1), counted(8, 1)]);
        assert_eq!(ids.tested(all(20, 8)), [counted(10, 0), counted(3, 1)]);
    }

    #[test]
    fn classes_past_the_most_and_long_names_are_one() {
        let mut classes = Classes::default();
        for n in 0..MOST_CLASSES + 50 {
            classes.note(Against::Shadow, [format!("/{n}").as_str()].into_iter(), all(n as u64 + 1, 0));
        }
        assert_eq!(classes.list().len(), MOST_CLASSES + 1);
        let last = classes.list().last().unwrap();
        assert_eq!((&*last.name, last.differing), (OTHER, [50, 0]));

        let mut classes = Classes::default();
        let long = "x".repeat(10_000);
        classes.note(Against::Own, [long.as_str(), "y", "other"].into_iter(), all(0, 1));
        let names: Vec<_> = classes.list().iter().map(|class| (&*class.name, class.differing)).collect();
        assert_eq!(names, [(OTHER, [0, 1]), ("y", [0, 1])]);
    }
}
