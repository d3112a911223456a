//! Whether it is certain that no intent waits.
//!
//! A write that no freeze holds back must go behind older intents of its line, so each one
//! would have to ask the store. In a store that is this process's own, every intent comes in
//! through here; so one word of memory can say that there is none, and the question costs a
//! load. In a store that others share it can never be certain, and each write asks.
//!
//! The word errs to one side only: *quiet* is said after a tally found nothing open, and only
//! if no intent has begun to come in since before the tally was asked for. Whoever brings one
//! in takes the word back first.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};

/// The word.
#[derive(Debug)]
pub(crate) struct Quiet {
    shared: bool,
    /// 0 while quiet, else the number of the last that began to come in.
    last: AtomicU64,
    begun: AtomicU64,
    inside: AtomicUsize,
}

/// Held while an intent comes in.
#[derive(Debug)]
pub(crate) struct Coming<'a>(&'a Quiet);

/// What was seen before a tally was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Before(Option<u64>);

impl Quiet {
    pub(crate) fn new(shared: bool) -> Self {
        // Not quiet: what stands in the store is not known yet.
        Self { shared, last: AtomicU64::new(1), begun: AtomicU64::new(1), inside: AtomicUsize::new(0) }
    }

    /// Whether certainly no intent waits.
    pub(crate) fn is_quiet(&self) -> bool {
        !self.shared && self.last.load(SeqCst) == 0
    }

    /// An intent may come in from here on, until this is dropped.
    pub(crate) fn coming(&self) -> Coming<'_> {
        self.inside.fetch_add(1, SeqCst);
        self.last.store(self.begun.fetch_add(1, SeqCst) + 1, SeqCst);
        Coming(self)
    }

    /// Called before a tally is asked for.
    pub(crate) fn before(&self) -> Before {
        let last = self.last.load(SeqCst);
        Before((self.inside.load(SeqCst) == 0).then_some(last))
    }

    /// Called with what the tally found.
    pub(crate) fn tallied(&self, before: Before, open: u64) {
        if open > 0 {
            drop(self.coming());
        } else if let Before(Some(last)) = before {
            // Fails where another has begun to come in meanwhile.
            let _ = self.last.compare_exchange(last, 0, SeqCst, SeqCst);
        }
    }
}

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::Quiet;

    #[test]
    fn quiet_is_said_only_after_a_tally_that_nothing_came_in_beside() {
        let quiet = Quiet::new(false);
        assert!(!quiet.is_quiet(), "nothing is known yet");
        let before = quiet.before();
        quiet.tallied(before, 0);
        assert!(quiet.is_quiet());

        let coming = quiet.coming();
        assert!(!quiet.is_quiet());
        quiet.tallied(quiet.before(), 0);
        assert!(!quiet.is_quiet(), "it is on its way");
        drop(coming);
        let before = quiet.before();
        drop(quiet.coming());
        quiet.tallied(before, 0);
        assert!(!quiet.is_quiet(), "it came in after the tally was asked for");
        quiet.tallied(quiet.before(), 0);
        assert!(quiet.is_quiet());
        quiet.tallied(quiet.before(), 1);
        assert!(!quiet.is_quiet(), "one was found");
    }

    #[test]
    fn a_shared_store_is_never_quiet() {
        let quiet = Quiet::new(true);
        quiet.tallied(quiet.before(), 0);
        assert!(!quiet.is_quiet());
    }
}
