//! What this gateway has written lately, so that it can be written again.
//!
//! A server that takes another's place after a failure may lack the last writes that were
//! acknowledged. What is held is remembered until it is let go or its holder has not beaten for
//! a lease, anything else for one lease; past a bound on bytes the oldest is forgotten. Each write remembers the tags that its
//! record had before in this process, so that a record that fell back to one of them is
//! brought forward again, and one that has any other tag is left alone.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    time::{Duration, Instant},
};

use crate::record::Tag;

/// The most bytes of what is not held.
const MOST_BYTES: usize = 16 << 20;

/// One remembered write.
#[derive(Clone, Debug)]
pub(super) struct Kept<W> {
    /// The tags that came before it.
    pub(super) before: Vec<Tag>,
    /// The write itself.
    pub(super) write: W,
    /// When it was made.
    pub(super) at: Instant,
    /// When its holder last beat.
    heard: Instant,
    /// When it joined the queue of what fades.
    queued: Instant,
}

/// What a write is to the journal.
pub(super) trait Remembered: Clone {
    /// Its tag; none for a removal.
    fn tag(&self) -> Option<Tag>;
    /// Whether its writer holds it.
    fn held(&self) -> bool;
    /// The bytes it takes, about.
    fn bytes(&self) -> usize;
}

/// The writes of this process, each the newest of its key.
#[derive(Debug)]
pub(super) struct Journal<K, W> {
    span: Duration,
    kept: HashMap<K, Kept<W>>,
    /// What is to be looked at, the oldest first; one that has joined anew since is passed by.
    fading: VecDeque<(Instant, K)>,
    bytes: usize,
}

impl<K: Copy + Eq + Hash, W: Remembered> Journal<K, W> {
    pub(super) fn new(span: Duration) -> Self {
        Self { span, kept: HashMap::new(), fading: VecDeque::new(), bytes: 0 }
    }

    /// Notes an acknowledged write over a record that had the tag `over`.
    pub(super) fn note(&mut self, key: K, over: Option<Tag>, write: W) {
        self.note_at(key, over, write, Instant::now());
    }

    fn note_at(&mut self, key: K, over: Option<Tag>, write: W, at: Instant) {
        let mut before = Vec::new();
        if let Some(old) = self.take(key) {
            if old.write.tag() == write.tag() && write.tag().is_some() {
                before = old.before;
            } else if old.write.tag() == over && over.is_some() {
                before = old.before;
                before.extend(over);
            } else {
                before.extend(over);
            }
        } else {
            before.extend(over);
        }
        if !write.held() {
            self.bytes += write.bytes();
        }
        self.fading.push_back((at, key));
        self.kept.insert(key, Kept { before, write, at, heard: at, queued: at });
        self.fade(at);
    }

    /// What is remembered of a key.
    pub(super) fn write(&self, key: K) -> Option<&W> {
        self.kept.get(&key).map(|kept| &kept.write)
    }

    /// Says that the holders of these are still at work, whether or not the server can be told.
    pub(super) fn all_heard(&mut self, keys: impl Iterator<Item = K>) {
        let now = Instant::now();
        keys.for_each(|key| self.heard_at(key, now));
    }

    fn heard_at(&mut self, key: K, at: Instant) {
        if let Some(kept) = self.kept.get_mut(&key) {
            kept.heard = at;
        }
    }

    /// Says that what was held under this tag is another's now.
    pub(super) fn lost(&mut self, key: K, tag: Tag) {
        if self.kept.get(&key).is_some_and(|kept| kept.write.held() && kept.write.tag() == Some(tag)) {
            self.take(key);
        }
    }

    /// All that is remembered, or only what is held.
    pub(super) fn all(&mut self, held_only: bool) -> Vec<(K, Kept<W>)> {
        self.fade(Instant::now());
        let wanted = self.kept.iter().filter(|(_, kept)| !held_only || kept.write.held());
        wanted.map(|(key, kept)| (*key, kept.clone())).collect()
    }

    fn take(&mut self, key: K) -> Option<Kept<W>> {
        let old = self.kept.remove(&key)?;
        if !old.write.held() {
            self.bytes = self.bytes.saturating_sub(old.write.bytes());
        }
        Some(old)
    }

    fn fade(&mut self, now: Instant) {
        while let Some(&(queued, key)) = self.fading.front() {
            let Some(kept) = self.kept.get_mut(&key).filter(|kept| kept.queued == queued) else {
                self.fading.pop_front();
                continue;
            };
            let (held, too_much) = (kept.write.held(), self.bytes > MOST_BYTES);
            let since = if held { kept.heard } else { kept.at };
            if now.saturating_duration_since(since) >= self.span || (too_much && !held) {
                self.fading.pop_front();
                self.take(key);
            } else if too_much || now.saturating_duration_since(queued) >= self.span {
                kept.queued = now;
                self.fading.pop_front();
                self.fading.push_back((now, key));
            } else {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests;
