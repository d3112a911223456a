//! The fence of one key as the models see it: the rules of `Records::swap`, and what the
//! gateway's own code decides about what it finds.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Uri};
use sluicegate_store::{
    EntryId, Expect, Holder, Record, Tag,
    fence::{Decision, Fence, FenceState, OnUnknown, StoredAnswer, StoredBody, decide},
    fingerprint::{Fingerprint, FingerprintRules},
};

/// A fencing token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Token(pub(crate) u16);

/// An answer of the upstream: the number of the effect that it tells of.
pub(crate) type Answer = u8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Value {
    Running,
    Unknown,
    Sealed(Answer),
    Deferred(u8),
}

/// [`Holder`], in a form that can be hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Held {
    Nobody,
    Alive,
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Stored {
    pub(crate) token: Token,
    pub(crate) value: Value,
    pub(crate) held: Held,
}

/// [`Expect`], in a form that can be hashed; and what a broken protocol says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Expected {
    Absent,
    Token(Token),
    Abandoned(Token),
    Anything,
}

impl Expected {
    pub(crate) fn token(self) -> Option<Token> {
        match self {
            Self::Token(token) | Self::Abandoned(token) => Some(token),
            Self::Absent | Self::Anything => None,
        }
    }
}

/// What a broken store does not look at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Blind {
    /// Which write a record was made by.
    pub(crate) tokens: bool,
    /// Whether the holder of a record that is taken over is gone.
    pub(crate) deaths: bool,
    /// A record whose holder is gone.
    pub(crate) abandoned: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Swapped {
    Done,
    Conflict,
}

/// Whether a record is as expected.
pub(crate) fn is_as_expected(record: Option<Stored>, expected: Expected, blind: Blind) -> bool {
    let gone = record.is_some_and(|found| found.held == Held::Gone);
    let has = |token| record.is_some_and(|found| blind.tokens || found.token == token);
    match expected {
        Expected::Absent => record.is_none() || (gone && blind.abandoned),
        Expected::Token(token) => has(token),
        Expected::Abandoned(token) => has(token) && (gone || blind.deaths),
        Expected::Anything => true,
    }
}

/// The compare-and-set. A write that is found made already is done.
pub(crate) fn swap(
    record: &mut Option<Stored>,
    expected: Expected,
    put: Option<Stored>,
    blind: Blind,
) -> Swapped {
    let made = match (&record, &put) {
        (Some(found), Some(put)) => found.token == put.token,
        (None, None) => true,
        _ => false,
    };
    if made {
        return Swapped::Done;
    }
    if !is_as_expected(*record, expected, blind) {
        return Swapped::Conflict;
    }
    *record = put;
    Swapped::Done
}

/// [`Decision`], in the words of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decided {
    Begin(Expected),
    Wait,
    Replay(Answer),
    Unknown,
    Deferred(u8),
}

/// What the gateway's own code decides about what it found.
pub(crate) fn decided(found: Option<Stored>, print: &Fingerprint, on_unknown: OnUnknown) -> Decided {
    let found = found.map(|stored| (record(stored), fence(stored.value, print)));
    match decide(found.as_ref().map(|(record, fence)| (record, fence)), print, on_unknown) {
        Decision::Begin(Expect::Absent) => Decided::Begin(Expected::Absent),
        Decision::Begin(Expect::Tag(tag)) => Decided::Begin(Expected::Token(token(tag))),
        Decision::Begin(Expect::Abandoned(tag)) => Decided::Begin(Expected::Abandoned(token(tag))),
        Decision::Wait => Decided::Wait,
        Decision::Replay(answer) => Decided::Replay(u8::try_from(answer.status).unwrap()),
        Decision::Unknown(_) => Decided::Unknown,
        Decision::Deferred(EntryId(id)) => Decided::Deferred(u8::try_from(id).unwrap()),
        other => panic!("nothing in the model leads to {other:?}"),
    }
}

fn record(stored: Stored) -> Record {
    Record {
        tag: Tag(stored.token.0.into()),
        value: Bytes::new(),
        holder: match stored.held {
            Held::Nobody => Holder::Nobody,
            Held::Alive => Holder::Alive,
            Held::Gone => Holder::Gone,
        },
        expires_in: Duration::from_secs(1),
    }
}

fn token(Tag(tag): Tag) -> Token {
    Token(u16::try_from(tag).unwrap())
}

/// One request: every send of a model is the same.
pub(crate) fn print() -> Fingerprint {
    let uri = Uri::from_static("/v1/documents");
    Fingerprint::of(&Method::POST, &uri, &HeaderMap::new(), None, &FingerprintRules::default())
}

fn fence(value: Value, print: &Fingerprint) -> Fence {
    let state = match value {
        Value::Running => FenceState::Running,
        Value::Unknown => FenceState::Unknown(Box::default()),
        Value::Deferred(id) => FenceState::Deferred(EntryId(id.into())),
        Value::Sealed(answer) => FenceState::Sealed(StoredAnswer {
            status: answer.into(),
            headers: Vec::new(),
            trailers: Vec::new(),
            body: StoredBody::Whole(Bytes::new()),
        }),
    };
    Fence {
        key: Box::default(),
        route: Box::default(),
        method: Box::default(),
        tenant: None,
        request_id: Box::default(),
        print: print.clone(),
        created_ms: 0,
        changed_ms: 0,
        state,
    }
}
