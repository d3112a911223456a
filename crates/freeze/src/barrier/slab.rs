//! A list whose places are stable and used again.

/// Entries by place; a freed place is given out again.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Option<T>>,
    free: Vec<usize>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Puts an entry in and says where.
    pub(crate) fn insert(&mut self, entry: T) -> usize {
        if let Some(at) = self.free.pop() {
            self.slots[at] = Some(entry);
            return at;
        }
        self.slots.push(Some(entry));
        self.slots.len() - 1
    }

    /// Takes the entry at this place out.
    pub(crate) fn remove(&mut self, at: usize) -> Option<T> {
        let entry = self.slots.get_mut(at)?.take()?;
        self.free.push(at);
        if self.free.len() == self.slots.len() {
            // Empty: a burst's places need not be walked by every later survey.
            self.slots.clear();
            self.free.clear();
        }
        Some(entry)
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Every entry.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::Slab;

    #[test]
    fn places_are_stable_and_used_again() {
        let mut slab = Slab::default();
        let (a, b) = (slab.insert("a"), slab.insert("b"));
        assert_eq!(slab.remove(a), Some("a"));
        assert_eq!(slab.remove(a), None);
        assert_eq!(slab.insert("c"), a);
        assert_eq!(slab.iter().copied().collect::<Vec<_>>(), ["c", "b"]);
        assert_eq!((slab.remove(b), slab.remove(a), slab.len()), (Some("b"), Some("c"), 0));
        assert_eq!(slab.remove(7), None);
        assert_eq!((slab.insert("d"), slab.len()), (0, 1));
    }
}
