//! The queue: entries kept durably, claimed in order per order key.
//!
//! Why an own trait beside [`Records`]: an intent is appended in the same transaction that
//! moves its key's fence, it must wait for those before it under its order key, and there are
//! caps on all of them. No sequence of single compare-and-sets gives that.
//!
//! Entries of one order key form a line. Only the head of a line can be claimed; while it is
//! claimed or in doubt those behind it wait. An entry has left its line once its state is
//! [`EntryState::is_over`]; it is then kept for its `ttl` so that its owner can ask for it.
//!
//! Every change is on disk (or acknowledged by Redis) before it is answered, claims too: an
//! entry whose claim could be lost could be applied twice.

use std::{fmt, time::Duration};

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Answered,
    error::Full,
    record::{Expect, Put, Record, RecordKey, Tag},
};

/// The id of an entry: a UUID of version 7, so that ids sort by the time they were made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
pub struct EntryId(pub u128);

impl fmt::Debug for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Where an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "IntentState")]
pub enum EntryState {
    /// It waits in its line.
    Queued,
    /// It has been claimed.
    Applying,
    /// It was claimed by a holder that is gone, or its outcome is unknown. It holds its line.
    InDoubt,
    /// It was done.
    Applied,
    /// It was refused for good.
    Dead,
    /// It waited for too long.
    Expired,
    /// An operator threw it away.
    Dropped,
}

impl EntryState {
    /// Every state there is.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Applying,
        Self::InDoubt,
        Self::Applied,
        Self::Dead,
        Self::Expired,
        Self::Dropped,
    ];

    /// Whether it has left its line and no longer counts for the caps.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Applied | Self::Dead | Self::Expired | Self::Dropped)
    }

    /// The word for it in answers and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Applying => "applying",
            Self::InDoubt => "in_doubt",
            Self::Applied => "applied",
            Self::Dead => "dead",
            Self::Expired => "expired",
            Self::Dropped => "dropped",
        }
    }
}

/// An entry as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub id: EntryId,
    /// The fencing token of its last change.
    pub tag: Tag,
    /// Where it stands.
    pub state: EntryState,
    /// In the state `Applying`: whether its holder is gone.
    pub abandoned: bool,
    /// The line it stands in.
    pub line: Box<str>,
    /// Whose share of the caps it takes.
    pub owner: Box<str>,
    /// What it is: written once.
    pub value: Bytes,
    /// How it is doing: written anew by each change.
    pub note: Bytes,
}

/// A new entry.
#[derive(Clone, Debug)]
pub struct Append {
    /// Its id, made by the caller.
    pub id: EntryId,
    /// Its first fencing token.
    pub tag: Tag,
    /// The line it goes to the end of.
    pub line: Box<str>,
    /// Whose share of the caps it takes.
    pub owner: Box<str>,
    /// What it is.
    pub value: Bytes,
    /// How it is doing.
    pub note: Bytes,
    /// Only if entries that are not over stand in the line already.
    pub only_behind: bool,
    /// A record that changes with it, or neither does.
    pub record: Option<(RecordKey, Expect, Put)>,
}

/// What became of an append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is kept.
    Done,
    /// The line is empty and the entry was to go behind others only.
    NothingAhead,
    /// The record is not as expected; here it is.
    Conflict(Option<Record>),
    /// There is no room for it.
    Full(Full),
}

/// A change of an entry.
#[derive(Clone, Debug)]
pub struct Change {
    /// The tag that the entry must have.
    pub expect: Tag,
    /// The one it gets.
    pub tag: Tag,
    /// Where it stands from now on. From `Applying` to `Queued` it keeps its place.
    pub state: EntryState,
    /// How it is doing.
    pub note: Bytes,
    /// Not to be claimed again before this has passed; for `Queued`.
    pub delay: Duration,
    /// How long it is kept from now on; for states that are over.
    pub ttl: Duration,
    /// A record that changes with it (no [`Put`] removes it), or neither does.
    pub record: Option<(RecordKey, Expect, Option<Put>)>,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It is done.
    Done,
    /// The entry is not as expected, or there is none any more.
    Conflict(Option<Entry>),
    /// The record is not as expected; here it is.
    RecordConflict(Option<Record>),
}

/// The most that is kept of entries that are not over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Caps {
    /// Entries in all.
    pub max_count: u64,
    /// Bytes of their values in all.
    pub max_bytes: u64,
    /// The part of both that one owner may take, above 0 and up to 1.
    pub share: f64,
}

/// How many entries stand where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The state of these.
    pub count: [u64; 7],
    /// Bytes of the values of those that are not over.
    pub bytes: u64,
    /// How long the oldest one that is not over has been kept.
    pub oldest: Option<Duration>,
}

impl Tally {
    /// The entries in one state.
    #[must_use]
    pub fn of(&self, state: EntryState) -> u64 {
        self.count[state as usize]
    }

    /// The entries that are not over.
    #[must_use]
    pub fn open(&self) -> u64 {
        EntryState::ALL.into_iter().filter(|state| !state.is_over()).map(|state| self.of(state)).sum()
    }
}

/// Entries kept in lines.
///
/// A write whose answer is an error may or may not have been made; to ask again with the same
/// tag is safe, since an entry that already carries it counts as done.
pub trait Queue: Send + Sync + fmt::Debug {
    /// Appends an entry to its line.
    fn append(&self, append: Append, caps: Caps) -> Answered<Appended>;

    /// Claims up to `limit` heads of lines that are queued and due, the longest waiting first:
    /// they are `Applying` under the `tags` given, one each.
    fn claim(&self, tags: Vec<Tag>) -> Answered<Vec<Entry>>;

    /// Makes a change.
    fn change(&self, id: EntryId, change: Change) -> Answered<Changed>;

    /// Says that the caller is still at work on these, and tells for each whether it still
    /// holds it. Call it every [`Records::lease`](crate::Records::lease) / 3.
    fn beat_entries(&self, held: Vec<(EntryId, Tag)>) -> Answered<Vec<bool>>;

    /// The entry of that id.
    fn entry(&self, id: EntryId) -> Answered<Option<Entry>>;

    /// Up to `limit` entries in a state, or in any, whose ids come after `after`, in the order
    /// of their ids. A page may hold fewer; only an empty one is the end.
    fn entries(
        &self,
        state: Option<EntryState>,
        after: Option<EntryId>,
        limit: usize,
    ) -> Answered<Vec<Entry>>;

    /// How many stand where.
    fn tally(&self) -> Answered<Tally>;
}
