//! The fence: the record that one idempotency key has begun, and how it ended.
//!
//! | state | means | leaves it by |
//! |---|---|---|
//! | running | an attempt may be at the upstream; its holder lives | sealed, unknown, removed (not applied), its holder's death |
//! | unknown | the attempt may or may not have been applied | sealed by its own late holder, an operator, a new attempt under `on_unknown: retry` |
//! | sealed | the answer is known and is given to every duplicate | its life's end |
//! | deferred | the write is kept as an intent | sealed, unknown or removed, by the intent's end |
//!
//! [`decide`] says what a request that finds a fence has to do: the one place of that logic,
//! used by the layers and checked by the model. It never lets a key run twice: the caller
//! begins by a compare-and-set with the [`Expect`] that comes with [`Decision::Begin`], and
//! looks again when that fails.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    StoreError,
    fingerprint::{Difference, Fingerprint},
    queue::EntryId,
    record::{Expect, Holder, Record},
};

/// The first byte of an encoded fence: the version of its form.
const FORM: u8 = 1;

/// Spare bytes after a running fence. How it ended then always fits into a store that is
/// full, if need be without the answer's body: replacing a record by a smaller one needs no
/// room.
const ROOM_TO_END: usize = 64;

/// What is known of one idempotency key.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Fence {
    /// The key as the client sent it, or as it was derived.
    pub key: Box<str>,
    /// The route it was used on.
    pub route: Box<str>,
    /// The method it was used with.
    pub method: Box<str>,
    /// The tenant that used it.
    pub tenant: Option<Box<str>>,
    /// The request id of the newest attempt.
    pub request_id: Box<str>,
    /// What the request was.
    pub print: Fingerprint,
    /// When the key was first used: milliseconds since 1970.
    pub created_ms: u64,
    /// When its state last changed: milliseconds since 1970.
    pub changed_ms: u64,
    /// Where it stands.
    pub state: FenceState,
}

/// Where a fence stands.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum FenceState {
    /// An attempt may be at the upstream.
    Running,
    /// The attempt may or may not have been applied; why nobody knows.
    Unknown(Box<str>),
    /// The attempt's answer.
    Sealed(StoredAnswer),
    /// The write is kept as this intent.
    Deferred(EntryId),
}

impl FenceState {
    /// The word for it in answers and metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Unknown(_) => "unknown",
            Self::Sealed(_) => "sealed",
            Self::Deferred(_) => "deferred",
        }
    }
}

/// An answer as it is given to duplicates.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct StoredAnswer {
    /// Its status.
    pub status: u16,
    /// Its header fields, without those that belong to one connection or one message.
    pub headers: Vec<(Box<str>, Bytes)>,
    /// Its body.
    pub body: StoredBody,
    /// The trailers after its body; a gRPC answer has its status there.
    pub trailers: Vec<(Box<str>, Bytes)>,
}

/// The body of a stored answer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum StoredBody {
    /// All of it.
    Whole(Bytes),
    /// It was not kept: why.
    NotKept(Box<str>),
}

impl FenceState {
    /// The same end, said so shortly that it fits where the running fence stood.
    #[must_use]
    pub fn shortened(&self) -> Self {
        let why = || "the store had no room for more".into();
        match self {
            Self::Sealed(answer) => Self::Sealed(StoredAnswer {
                status: answer.status,
                headers: Vec::new(),
                body: StoredBody::NotKept(why()),
                trailers: Vec::new(),
            }),
            Self::Unknown(_) => Self::Unknown(why()),
            other => other.clone(),
        }
    }
}

impl Fence {
    /// The fence as it is stored.
    pub fn encode(&self) -> Result<Bytes, StoreError> {
        let mut bytes = vec![FORM];
        postcard::to_io(self, &mut bytes).map_err(|error| StoreError::new(format!("a fence: {error}")))?;
        if self.state == FenceState::Running {
            bytes.resize(bytes.len() + ROOM_TO_END, 0);
        }
        Ok(bytes.into())
    }

    /// Reads a stored fence.
    pub fn decode(bytes: &Bytes) -> Result<Self, StoreError> {
        match bytes.split_first() {
            Some((&FORM, rest)) => postcard::from_bytes(rest)
                .map_err(|error| StoreError::new(format!("a stored fence cannot be read: {error}"))),
            Some((form, _)) => Err(StoreError::new(format!(
                "a stored fence has form {form}, which this version does not know (it knows {FORM})"
            ))),
            None => Err(StoreError::new("a stored fence is empty")),
        }
    }
}

/// What is done where a first attempt's fate cannot be known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnUnknown {
    /// The retry is refused.
    #[default]
    Refuse,
    /// The retry runs.
    Retry,
}

/// What a request that found a record has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Begin an attempt, by a compare-and-set that expects this.
    Begin(Expect),
    /// Wait for the attempt that runs, then look again.
    Wait,
    /// Give this answer.
    Replay(StoredAnswer),
    /// Tell the client that the write is kept as this intent.
    Deferred(EntryId),
    /// Refuse: the key belongs to another request, which differs in this.
    Conflict(Vec<Difference>),
    /// Refuse: the fate of the first attempt cannot be known, for this reason.
    Unknown(Box<str>),
}

/// Why the fate of an attempt is unknown whose holder is gone.
pub const HOLDER_GONE: &str = "the gateway that sent it went away before it had an answer";

/// Whether an attempt's fate is unknown, and why: it was noted, or its holder is gone.
#[must_use]
pub fn unknown(record: &Record, fence: &Fence) -> Option<Box<str>> {
    match (&fence.state, record.holder) {
        (FenceState::Unknown(why), _) => Some(why.clone()),
        (FenceState::Running, Holder::Gone | Holder::Nobody) => Some(HOLDER_GONE.into()),
        _ => None,
    }
}

/// What a request with this fingerprint has to do that found `found`.
#[must_use]
pub fn decide(found: Option<(&Record, &Fence)>, print: &Fingerprint, on_unknown: OnUnknown) -> Decision {
    let Some((record, fence)) = found else { return Decision::Begin(Expect::Absent) };
    let differs = fence.print.differences(print);
    if !differs.is_empty() {
        return Decision::Conflict(differs);
    }
    if let Some(why) = unknown(record, fence) {
        return match (on_unknown, record.holder) {
            (OnUnknown::Refuse, _) => Decision::Unknown(why),
            (OnUnknown::Retry, Holder::Gone) => Decision::Begin(Expect::Abandoned(record.tag)),
            (OnUnknown::Retry, _) => Decision::Begin(Expect::Tag(record.tag)),
        };
    }
    match &fence.state {
        FenceState::Sealed(answer) => Decision::Replay(answer.clone()),
        FenceState::Deferred(intent) => Decision::Deferred(*intent),
        FenceState::Running | FenceState::Unknown(_) => Decision::Wait,
    }
}

#[cfg(test)]
mod tests;
