//! What was used last, within bounds.
//!
//! Two generations: what comes is kept in the young one; when that is full it becomes the old one,
//! and what was old is forgotten. What is found again moves to the young one. So nothing is ever
//! searched for what to forget, no more is held than twice the bounds of a generation, whatever
//! comes, and what is in use stays.

use std::{collections::HashMap, hash::Hash, mem};

use parking_lot::Mutex;

/// What is remembered under keys; shared by all threads.
#[derive(Debug)]
pub struct Recent<K, V> {
    /// How many a generation may have, and what they may weigh together.
    most: usize,
    heaviest: usize,
    both: Mutex<Generations<K, V>>,
}

#[derive(Debug)]
struct Generations<K, V> {
    young: HashMap<K, (V, usize)>,
    old: HashMap<K, (V, usize)>,
    /// Of all that the young one has taken.
    weight: usize,
}

impl<K: Eq + Hash, V: Clone> Recent<K, V> {
    /// Remembers the last `most` at least, and less than twice as many, where each weighs nothing.
    /// Two generations weigh at most twice `heaviest`, or what the last one weighs if that is more.
    #[must_use]
    pub fn new(most: usize, heaviest: usize) -> Self {
        let both = Generations { young: HashMap::new(), old: HashMap::new(), weight: 0 };
        Self { most, heaviest, both: Mutex::new(both) }
    }

    /// What was kept under this key, if it is remembered.
    pub fn find(&self, key: &K) -> Option<V> {
        let mut both = self.both.lock();
        if let Some((found, _)) = both.young.get(key) {
            return Some(found.clone());
        }
        let (key, (found, weight)) = both.old.remove_entry(key)?;
        self.put(&mut both, key, found.clone(), weight);
        Some(found)
    }

    /// Keeps it, in the place of what was there.
    pub fn keep(&self, key: K, value: V, weight: usize) {
        self.put(&mut self.both.lock(), key, value, weight);
    }

    fn put(&self, both: &mut Generations<K, V>, key: K, value: V, weight: usize) {
        both.weight += weight;
        if both.young.len() >= self.most || both.weight > self.heaviest {
            both.old = mem::take(&mut both.young);
            both.weight = weight;
        }
        both.young.insert(key, (value, weight));
    }

    /// How many are remembered, and what they weigh.
    #[must_use]
    pub fn holds(&self) -> (usize, usize) {
        let both = self.both.lock();
        let weight = both.young.values().chain(both.old.values()).map(|(_, weight)| weight).sum();
        (both.young.len() + both.old.len(), weight)
    }
}

#[cfg(test)]
mod tests {
    use super::Recent;

    #[test]
    fn a_flood_is_bounded_and_what_is_used_stays() {
        let recent = Recent::new(1000, usize::MAX);
        recent.keep(0, "used", 0);
        for number in 1..=3500 {
            recent.keep(number, "flood", 0);
            if number % 500 == 0 {
                assert_eq!(recent.find(&0), Some("used"), "after {number}");
            }
        }
        assert!((1000..=2000).contains(&recent.holds().0), "{:?}", recent.holds());
        assert_eq!((recent.find(&1), recent.find(&3500)), (None, Some("flood")));
    }

    #[test]
    fn the_heavier_they_are_the_fewer() {
        let recent = Recent::new(1000, 100);
        for number in 0..1000 {
            recent.keep(number, (), 10);
        }
        let (count, weight) = recent.holds();
        assert!((10..=20).contains(&count) && weight <= 200, "{count} of {weight}");
        recent.keep(1000, (), 500);
        assert!(recent.find(&1000).is_some(), "one is always kept");
    }
}
