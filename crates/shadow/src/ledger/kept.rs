//! The last differing pairs.
//!
//! A field that is noise differs in most pairs and would soon fill the ring, while what is
//! looked for shows once in a hundred. So where one has to go, it is the oldest of those that
//! show nothing but known noise; only without any of them, the oldest of all.

use std::{collections::VecDeque, sync::Arc};

use super::pair::KeptPair;

#[derive(Debug)]
struct Entry {
    pair: Arc<KeptPair>,
    /// When it was put in, all that it shows was known as noise.
    is_noise: bool,
}

/// The last differing pairs, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Kept(VecDeque<Entry>);

impl Kept {
    /// Puts a pair in; at most `most` stay.
    pub(super) fn push(&mut self, pair: Arc<KeptPair>, is_noise: bool, most: usize) {
        self.0.push_back(Entry { pair, is_noise });
        self.cut(most);
    }

    /// Lets go of what is too much.
    pub(super) fn cut(&mut self, most: usize) {
        while self.0.len() > most {
            let first = self.0.iter().position(|entry| entry.is_noise).unwrap_or(0);
            self.0.remove(first);
        }
    }

    /// All, the newest first.
    pub(super) fn newest_first(&self) -> Vec<Arc<KeptPair>> {
        self.0.iter().rev().map(|entry| entry.pair.clone()).collect()
    }
}
