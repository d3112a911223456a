//! The differences that have been found, under their caps.

use std::collections::HashMap;

use crate::comparison::{Comparison, Difference, IdsCompared, MOST_TOLD};

/// The most differences of one class of places that are told. The rest of the room is for
/// other classes: what an answer differs in is more than how often.
pub(super) const MOST_OF_CLASS: usize = 10;

/// What has been found so far.
#[derive(Debug, Default)]
pub(super) struct Found {
    differences: Vec<Difference>,
    more: usize,
    /// How many of each class of places in the JSON were found, told or not.
    of_class: HashMap<usize, usize>,
    pub(super) ids: Option<IdsCompared>,
    pub(super) texts: Option<f64>,
}

impl Found {
    /// A difference whose class no other can fill: a status, a header, the ids.
    pub(super) fn tell(&mut self, difference: Difference) {
        if self.differences.len() < MOST_TOLD {
            self.differences.push(difference);
        } else {
            self.count_one();
        }
    }

    /// A difference that is only counted.
    pub(super) fn count_one(&mut self) {
        self.more += 1;
    }

    /// One more difference of a class of places, made only where there is room for it.
    pub(super) fn tell_of(&mut self, class: usize, difference: impl FnOnce() -> Difference) {
        let of_class = self.of_class.entry(class).or_default();
        *of_class += 1;
        if *of_class <= MOST_OF_CLASS && self.differences.len() < MOST_TOLD {
            self.differences.push(difference());
        } else {
            self.count_one();
        }
    }

    pub(super) fn into_comparison(self) -> Comparison {
        Comparison { differences: self.differences, more: self.more, ids: self.ids, texts: self.texts }
    }
}

#[cfg(test)]
mod tests {
    use super::{Found, MOST_OF_CLASS};
    use crate::comparison::{Difference, Kind, MOST_TOLD};

    fn of(class: &str) -> Difference {
        Difference { class: class.into(), kind: Kind::Value, primary: None, shadow: None }
    }

    #[test]
    fn one_class_does_not_fill_the_room() {
        let mut found = Found::default();
        for _ in 0..1000 {
            found.tell_of(1, || of("/many"));
        }
        found.tell_of(2, || of("/other"));
        let found = found.into_comparison();
        assert_eq!(found.differences.len(), MOST_OF_CLASS + 1);
        assert_eq!(found.more, 1000 - MOST_OF_CLASS);
        assert_eq!(&*found.differences[MOST_OF_CLASS].class, "/other");
    }

    #[test]
    fn many_classes_end_at_the_cap_and_are_counted() {
        let mut found = Found::default();
        for class in 0..300 {
            found.tell_of(class, || of("/class"));
        }
        found.tell(of("status"));
        let found = found.into_comparison();
        assert_eq!((found.differences.len(), found.more), (MOST_TOLD, 301 - MOST_TOLD));
    }
}
