//! The room that all bodies which are held may take together.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// The bytes that all held bodies may take together; clones share it.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Purse>);

#[derive(Debug)]
struct Purse {
    max: AtomicUsize,
    taken: AtomicUsize,
}

/// Bytes taken from a [`Budget`]. They are given back when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Held(Arc<Share>);

#[derive(Debug)]
struct Share {
    budget: Budget,
    bytes: AtomicUsize,
}

impl Budget {
    /// A budget of `max` bytes.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self(Arc::new(Purse { max: AtomicUsize::new(max), taken: AtomicUsize::new(0) }))
    }

    /// From now on it is of `max` bytes. What is taken already stays.
    pub fn set_max(&self, max: usize) {
        self.0.max.store(max, Ordering::Relaxed);
    }

    /// The bytes that it has in all.
    #[must_use]
    pub fn max(&self) -> usize {
        self.0.max.load(Ordering::Relaxed)
    }

    /// The bytes that are taken now.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.0.taken.load(Ordering::Relaxed)
    }

    /// Takes nothing yet.
    #[must_use]
    pub fn hold(&self) -> Held {
        Held(Arc::new(Share { budget: self.clone(), bytes: AtomicUsize::new(0) }))
    }
}

impl Held {
    /// Takes `more` bytes; false when the budget has no room for them.
    #[must_use]
    pub fn grow(&self, more: usize) -> bool {
        let purse = &self.0.budget.0;
        let max = purse.max.load(Ordering::Relaxed);
        let room = |taken: usize| taken.checked_add(more).filter(|sum| *sum <= max);
        let took = purse.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok();
        if took {
            self.0.bytes.fetch_add(more, Ordering::Relaxed);
        }
        took
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let bytes = *self.bytes.get_mut();
        self.budget.0.taken.fetch_sub(bytes, Ordering::Relaxed);
    }
}
