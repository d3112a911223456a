//! What the engines on this machine have in common: the store's logic over a [`Kv`].
//!
//! All of it is plain code that runs alone: the memory engine puts a lock around it, the
//! engine on disk a thread. So a compare and the write that follows it need nothing to hold
//! them together. Time comes with each question, from whoever asks.
//! The holder of a record or of a claim is the process; each opening of a store draws an *epoch*,
//! and what is held under another one has lost its holder.
//!
//! Values live in the [`Kv`] only. In memory are the counters for the bounds and where the
//! entries stand.

use std::time::Duration;

use crate::{StoreError, record::Bounds};

mod counts;
mod form;
mod kv;
mod lines;
mod queue;
mod records;

pub(crate) use kv::{Kv, See, Space};
pub(crate) use records::seen;

/// A store on this machine.
#[derive(Debug)]
pub(crate) struct Local<K> {
    kv: K,
    now: u64,
    epoch: u64,
    bounds: Bounds,
    kept: counts::Counts,
    /// Up to where expired records were removed. Each look begins behind it and not at the
    /// first note, since a log-structured tree walks past everything that was removed before.
    /// None after the clock was set back: there may be notes from before the place.
    place: Option<records::Place>,
    lines: lines::Lines,
}

impl<K: Kv> Local<K> {
    /// An empty store over `kv`, which is empty.
    pub(crate) fn empty(kv: K, epoch: u64) -> Self {
        let (bounds, kept, lines) = Default::default();
        Self { kv, now: 0, epoch, bounds, kept, place: None, lines }
    }

    /// A store over what is kept in `kv`, in the hands of the process of this epoch, which is
    /// not 0.
    pub(crate) fn open(kv: K, epoch: u64) -> Result<Self, StoreError> {
        let mut local = Self::empty(kv, epoch);
        local.load_counts()?;
        local.load_entries()?;
        Ok(local)
    }

    /// Where its bytes are kept.
    pub(crate) fn kv(&self) -> &K {
        &self.kv
    }

    /// Where its bytes are kept.
    pub(crate) fn kv_mut(&mut self) -> &mut K {
        &mut self.kv
    }

    /// From now on these bounds hold.
    pub(crate) fn bound(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    /// From now on the process has a new epoch: what it held so far is held by nobody
    /// alive.
    pub(crate) fn begin_next_epoch(&mut self) {
        self.epoch += 1;
    }

    /// Removes what has expired, looking at `limit` of each kind at most; says whether there
    /// may be more.
    pub(crate) fn sweep(&mut self, limit: usize) -> Result<bool, StoreError> {
        let entries = self.sweep_entries(limit);
        let records = self.sweep_records(limit)?;
        Ok(entries == limit || records == limit)
    }

    /// What is asked next is asked at this time: milliseconds since 1970.
    pub(crate) fn at(&mut self, now: u64) -> &mut Self {
        self.now = now;
        self
    }

    fn now(&self) -> u64 {
        self.now
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
