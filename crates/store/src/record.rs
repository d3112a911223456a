//! Records: small values under a key that change only by compare-and-set.
//!
//! Why this way: a fence must never be begun twice, whoever asks and however late an answer
//! of the store comes. So there is one way to change a record: name the [`Tag`] it has and
//! the one it gets. Every write brings a new tag, drawn at random by the writer, so that a
//! tag is never seen twice, not even after a store has lost its last writes; it is the
//! fencing token: whoever holds an old tag is refused.
//!
//! A record may be *held*: its writer is at work and says so. In Redis that is a lease by the
//! server's clock, which [`Records::beat`] prolongs; on disk and in memory the holder is this
//! process, and the lock on the folder proves a former one dead. Nothing happens by itself
//! when a holder is gone: readers see [`Holder::Gone`], and only a writer that expects the
//! record [`Expect::Abandoned`] may take it over. The former holder's tag stays good until
//! then, so that one who was merely slow can still write what it knows.

use std::{fmt, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sluicegate_core::Chance;

use crate::{Answered, error::Full};

/// The name of a record: 32 bytes, a digest of what it is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
pub struct RecordKey(pub [u8; 32]);

impl RecordKey {
    /// Where the switches are that operators turn.
    pub const SWITCHES: Self = Self(*b"sluicegate: operators' switches\0");

    /// How the keys begin that are no digest. That a digest begins like this is as likely as
    /// to guess a number of 96 bits.
    const RESERVED: &[u8] = b"sluicegate: ";

    /// The key of a record that is no fence: of what `kind` and `name` say. Its first part is
    /// text and its last a digest of both.
    #[must_use]
    pub fn reserved(kind: &str, name: &str) -> Self {
        let digest = Sha256::new().chain_update(kind).chain_update([0]).chain_update(name).finalize();
        let mut key = [0; 32];
        let (text, rest) = key.split_at_mut(Self::RESERVED.len());
        text.copy_from_slice(Self::RESERVED);
        rest.copy_from_slice(&digest[..rest.len()]);
        Self(key)
    }

    /// Whether it is a fence's; whoever lists fences leaves the others out.
    #[must_use]
    pub fn is_fence(&self) -> bool {
        !self.0.starts_with(Self::RESERVED)
    }
}

impl fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..8].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The fencing token of one write of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
pub struct Tag(pub u128);

impl Tag {
    /// A tag that nobody has drawn before.
    #[must_use]
    pub fn draw(chance: &Chance) -> Self {
        Self(u128::from(chance.bits()) << 64 | u128::from(chance.bits()))
    }
}

/// A record as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The token of the write that made it so.
    pub tag: Tag,
    /// What was written.
    pub value: Bytes,
    /// Whether somebody is at work on it.
    pub holder: Holder,
    /// How long it is still kept.
    pub expires_in: Duration,
}

/// Whether somebody is at work on a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// It was written without being held.
    Nobody,
    /// Its holder lives.
    Alive,
    /// Its holder is dead, or has not been heard of for a whole lease.
    Gone,
}

/// What must be true of a record for a write to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// There is none, or it has expired.
    Absent,
    /// It has this tag, whoever holds it.
    Tag(Tag),
    /// It has this tag and its holder is gone.
    Abandoned(Tag),
}

/// A write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// Its fencing token, new for each write.
    pub tag: Tag,
    /// What is written.
    pub value: Bytes,
    /// Whose share of the store it takes, a tenant's name or nothing.
    pub owner: Box<str>,
    /// How long it is kept; a held record lives at least as long as its holder.
    pub ttl: Duration,
    /// Whether the writer holds it from here on.
    pub held: bool,
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swapped {
    /// It is done.
    Done,
    /// The record is not as expected; here it is.
    Conflict(Option<Record>),
    /// There is no room for it.
    Full(Full),
}

/// The most that is kept. What does not fit is refused; nothing is thrown away before its
/// time to make room.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Records in all.
    pub max_keys: u64,
    /// Bytes of their values in all.
    pub max_bytes: u64,
    /// The part of both that one owner may take, above 0 and up to 1.
    pub share: f64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { max_keys: 1_000_000, max_bytes: 1 << 30, share: 1.0 }
    }
}

/// One page of records, in the order of their keys.
pub type Page = Vec<(RecordKey, Record)>;

/// Records that change by compare-and-set.
///
/// Each method's answer is an [`Answered`]: on the spot where the engine is in memory, else
/// when the store has said so. A write whose answer is an error may or may not have been
/// made; to ask again with the same [`Put`] is safe, since a record that already carries its
/// tag counts as [`Swapped::Done`].
pub trait Records: Send + Sync + fmt::Debug {
    /// The record of that key, if there is one that has not expired.
    fn get(&self, key: RecordKey) -> Answered<Option<Record>>;

    /// Makes the write, or removes the record where there is none to `put`, if the record is
    /// as expected. Removing what is absent already is [`Swapped::Done`].
    fn swap(&self, key: RecordKey, expect: Expect, put: Option<Put>) -> Answered<Swapped>;

    /// Says that the caller is still at work on these, and tells for each whether it still
    /// holds it. Call it every [`Records::lease`] / 3.
    fn beat(&self, held: Vec<(RecordKey, Tag)>) -> Answered<Vec<bool>>;

    /// How long a holder is taken to be alive after its last beat; none where it needs none,
    /// because the process itself is the holder.
    fn lease(&self) -> Option<Duration>;

    /// Up to `limit` records whose keys come after `after`. Records may come and go between
    /// two pages; one that stays is seen. A page may hold fewer; only an empty one is the end.
    fn page(&self, after: Option<RecordKey>, limit: usize) -> Answered<Page>;

    /// From now on these bounds hold. What is kept already stays.
    fn bound(&self, bounds: Bounds);

    /// Records and bytes of values that are kept now, in all. Counted as the engine counts for
    /// its bounds.
    fn usage(&self) -> Answered<(u64, u64)>;
}
