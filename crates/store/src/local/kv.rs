//! What the local engines need of a place to keep bytes: ordered maps that change together.

use std::ops::ControlFlow;

use bytes::Bytes;

use crate::StoreError;

/// One of the maps of a local store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Space {
    /// Records by their keys.
    Records,
    /// When to look whether a record has expired: seconds since 1970, then its key.
    Expiry,
    /// How many records an owner has, and how many bytes, by the digest of its name.
    Counts,
    /// Heads and notes of entries by their ids.
    Entries,
    /// Values of entries by their ids.
    Values,
    /// What the engine notes for itself.
    Notes,
}

impl Space {
    /// Every map there is.
    pub(crate) const ALL: [Self; 6] =
        [Self::Records, Self::Expiry, Self::Counts, Self::Entries, Self::Values, Self::Notes];
}

/// What is seen of a map on a walk: a key and its value.
pub(crate) type See<'a> = &'a mut dyn FnMut(&[u8], Bytes) -> Result<ControlFlow<()>, StoreError>;

/// Ordered maps from bytes to bytes; keys are neither empty nor long.
///
/// A write is seen by [`Kv::get`] at once. Whether it lasts is the business of whoever owns
/// the place: on disk all writes of one round last together or not at all.
pub(crate) trait Kv {
    /// Whether what is put here is there again after the process has died.
    const LASTS: bool;

    /// The value at `key`.
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// Shows what comes after `after`, in order of the keys, until `see` has had enough. May
    /// miss what was written since the last round.
    fn walk(&self, space: Space, after: Option<&[u8]>, see: See<'_>) -> Result<(), StoreError>;

    /// Puts `value` at `key`.
    fn put(&mut self, space: Space, key: &[u8], value: Bytes);

    /// Leaves nothing at `key`.
    fn remove(&mut self, space: Space, key: &[u8]);
}
