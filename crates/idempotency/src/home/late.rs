//! Ends of attempts that the store has not taken yet.
//!
//! They are kept in memory until it takes them: an end that was given up would leave its key
//! running for as long as this process lives. Their bodies count against the budget of held
//! bodies; where that has no room, or where [`MANY`] wait, an end is kept in short words. From
//! there on nothing is begun any more, so that no more wait than those and what runs already.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use sluicegate_body::Held;
use tokio::sync::watch;

use super::{Home, Settle};

/// When so many wait, the store is asked to begin nothing.
const MANY: usize = 10_000;

/// An end that waits for the store.
#[derive(Debug)]
pub(crate) struct Late {
    pub(crate) settle: Settle,
    /// The room that the answer took while it was kept.
    pub(crate) held: Option<Held>,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<VecDeque<Late>>,
    /// How many wait, the one that is being tried included.
    count: watch::Sender<usize>,
}

impl Queue {
    pub(super) fn push(&self, mut late: Late, home: &Arc<Home>) {
        let bytes = late.settle.put.as_ref().map_or(0, |put| put.value.len());
        let held = late.held.take().unwrap_or_else(|| home.budget.hold());
        if !self.is_full() && held.grow(bytes) {
            late.held = Some(held);
        } else if late.settle.short.is_some() {
            late.settle.put = late.settle.short.take();
        }
        self.waiting.lock().push_back(late);
        self.count.send_modify(|count| *count += 1);
    }

    /// The next one to try; it counts until it is [put back](Queue::put_back) or
    /// [done](Queue::done).
    pub(super) fn next(&self) -> Option<Late> {
        self.waiting.lock().pop_front()
    }

    pub(super) fn put_back(&self, late: Late) {
        self.waiting.lock().push_back(late);
    }

    pub(super) fn done(&self) {
        self.count.send_modify(|count| *count -= 1);
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() >= MANY
    }

    pub(super) fn len(&self) -> usize {
        *self.count.borrow()
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }
}
