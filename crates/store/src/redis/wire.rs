//! What goes to the scripts and what they answer.

use std::time::Duration;

use ::redis::{ScriptInvocation, Value};
use bytes::Bytes;

use crate::{
    StoreError,
    error::Full,
    queue::{Entry, EntryId, EntryState},
    record::{Bounds, Expect, Holder, Put, Record, RecordKey, Tag},
};

/// Milliseconds as the scripts take them.
pub(super) fn millis(span: Duration) -> u64 {
    // Past this the scripts' numbers would not be exact; it is 285 years.
    const MOST: u128 = 9_000_000_000_000;
    u64::try_from(span.as_millis().min(MOST)).unwrap_or_default()
}

pub(super) fn tag_arg(tag: Tag) -> [u8; 16] {
    tag.0.to_be_bytes()
}

/// An id sorts as text as it does as a number.
pub(super) fn id_arg(id: EntryId) -> String {
    format!("{:032x}", id.0)
}

/// The most that is kept in all and of one owner, in the order in which it is looked at.
pub(super) fn most(count: u64, bytes: u64, share: f64) -> [u64; 4] {
    [count, bytes, part(count, share), part(bytes, share)]
}

/// One owner's part: at least one, since a share of none would shut everybody out.
fn part(most: u64, share: f64) -> u64 {
    if share >= 1.0 {
        return most;
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    // Casts saturate; a share is not negative.
    let part = (most as f64 * share) as u64;
    part.max(1)
}

/// Adds a change of a record to a call.
pub(super) fn put_change(
    call: &mut ScriptInvocation<'_>,
    key: RecordKey,
    expect: Expect,
    put: Option<&Put>,
    lease: Duration,
    bounds: Bounds,
) {
    let (word, tag) = match expect {
        Expect::Absent => ("absent", None),
        Expect::Tag(tag) => ("tag", Some(tag)),
        Expect::Abandoned(tag) => ("abandoned", Some(tag)),
    };
    call.arg(&key.0[..]).arg(word).arg(&tag.map_or([0; 16], tag_arg)[..]);
    put_write(call, put, lease, bounds);
}

/// Adds the part of a change that says what is written.
pub(super) fn put_write(call: &mut ScriptInvocation<'_>, put: Option<&Put>, lease: Duration, bounds: Bounds) {
    let Some(put) = put else {
        call.arg("remove");
        return;
    };
    call.arg("put").arg(&tag_arg(put.tag)[..]).arg(&put.value[..]).arg(&*put.owner);
    call.arg(millis(put.ttl)).arg(u8::from(put.held)).arg(millis(lease));
    for most in most(bounds.max_keys, bounds.max_bytes, bounds.share) {
        call.arg(most);
    }
}

/// An answer that is read part by part.
#[derive(Debug)]
pub(super) struct Answer(std::vec::IntoIter<Value>);

impl Answer {
    /// The parts of a list.
    pub(super) fn of(value: Value) -> Result<Self, StoreError> {
        match value {
            Value::Array(parts) => Ok(Self(parts.into_iter())),
            other => Err(strange("a list", &other)),
        }
    }

    fn part(&mut self) -> Result<Value, StoreError> {
        self.0.next().ok_or_else(|| strange("one part more", &Value::Nil))
    }

    pub(super) fn bytes(&mut self) -> Result<Bytes, StoreError> {
        match self.part()? {
            Value::BulkString(bytes) => Ok(bytes.into()),
            other => Err(strange("a string", &other)),
        }
    }

    pub(super) fn text(&mut self) -> Result<Box<str>, StoreError> {
        let bytes = self.bytes()?;
        std::str::from_utf8(&bytes).map(Into::into).map_err(|_| {
            StoreError::new("Redis holds a name that is not UTF-8; was it written by another program?")
        })
    }

    pub(super) fn number(&mut self) -> Result<i64, StoreError> {
        match self.part()? {
            Value::Int(number) => Ok(number),
            Value::BulkString(digits) => std::str::from_utf8(&digits)
                .ok()
                .and_then(|digits| digits.parse().ok())
                .ok_or_else(|| strange("a number", &Value::BulkString(digits.clone()))),
            other => Err(strange("a number", &other)),
        }
    }

    /// A number that is never negative.
    pub(super) fn amount(&mut self) -> Result<u64, StoreError> {
        Ok(u64::try_from(self.number()?).unwrap_or_default())
    }

    pub(super) fn tag(&mut self) -> Result<Tag, StoreError> {
        let bytes = self.bytes()?;
        let tag = <[u8; 16]>::try_from(&bytes[..])
            .map_err(|_| strange("a tag", &Value::BulkString(bytes.to_vec())))?;
        Ok(Tag(u128::from_be_bytes(tag)))
    }

    pub(super) fn full(&mut self) -> Result<Full, StoreError> {
        const ALL: [Full; 4] = [Full::Count, Full::Bytes, Full::OwnersCount, Full::OwnersBytes];
        let which = self.number()?;
        usize::try_from(which)
            .ok()
            .and_then(|which| ALL.get(which).copied())
            .ok_or_else(|| strange("one of four bounds", &Value::Int(which)))
    }

    /// The next part as a list of its own, or nothing.
    pub(super) fn list(&mut self) -> Result<Option<Self>, StoreError> {
        match self.part()? {
            Value::Nil => Ok(None),
            value => Self::of(value).map(Some),
        }
    }

    /// The parts that are left, each a list.
    pub(super) fn lists(self) -> impl Iterator<Item = Result<Self, StoreError>> {
        self.0.map(Self::of)
    }

    pub(super) fn truths(self) -> Vec<bool> {
        self.0.map(|part| part == Value::Int(1)).collect()
    }

    pub(super) fn key(&mut self) -> Result<RecordKey, StoreError> {
        let bytes = self.bytes()?;
        let key = <[u8; 32]>::try_from(&bytes[..])
            .map_err(|_| strange("a key", &Value::BulkString(bytes.to_vec())))?;
        Ok(RecordKey(key))
    }

    pub(super) fn record(mut self) -> Result<Record, StoreError> {
        let tag = self.tag()?;
        let holder = match self.number()? {
            0 => Holder::Nobody,
            1 => Holder::Alive,
            _ => Holder::Gone,
        };
        let expires_in = Duration::from_millis(self.amount()?);
        Ok(Record { tag, value: self.bytes()?, holder, expires_in })
    }

    pub(super) fn entry(mut self) -> Result<Entry, StoreError> {
        let id = self.text()?;
        let id =
            u128::from_str_radix(&id, 16).map_err(|_| strange("an id", &Value::SimpleString(id.into())))?;
        let tag = self.tag()?;
        let state = self.number()?;
        let state = usize::try_from(state)
            .ok()
            .and_then(|state| EntryState::ALL.get(state).copied())
            .ok_or_else(|| strange("a state", &Value::Int(state)))?;
        Ok(Entry {
            id: EntryId(id),
            tag,
            state,
            abandoned: self.number()? == 1,
            line: self.text()?,
            owner: self.text()?,
            value: self.bytes()?,
            note: self.bytes()?,
        })
    }
}

/// What an operation says to an answer it cannot read.
fn strange(expected: &str, found: &Value) -> StoreError {
    let found = match found {
        Value::Nil => "nothing".to_owned(),
        Value::Int(number) => number.to_string(),
        Value::BulkString(bytes) => format!("{} bytes", bytes.len()),
        Value::Array(parts) => format!("a list of {}", parts.len()),
        _ => "something else".to_owned(),
    };
    StoreError::new(format!(
        "Redis answered {found} where {expected} was expected; do other programs write to its keys?"
    ))
}

/// An answer of another kind than those an operation knows.
pub(super) fn unknown_word(word: &str) -> StoreError {
    StoreError::new(format!("Redis answered `{word}`, which this version does not know"))
}
