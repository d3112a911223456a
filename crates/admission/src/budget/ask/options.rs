//! `stream_options` of a request, and how it is made to ask for usage.
//!
//! The place is found in the bytes as they came, so that all around it stays as it is.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use serde::{
    Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::budget::json::Name;

/// What is put in place of a range of the body so that the answer tells its usage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Insertion {
    at: Range<usize>,
    text: &'static str,
}

impl Insertion {
    /// `body` with it made; `None` where it is not the body that was read.
    pub(super) fn made_in(&self, body: &Bytes) -> Option<Bytes> {
        let (before, after) = (body.get(..self.at.start)?, body.get(self.at.end..)?);
        let mut changed = BytesMut::with_capacity(before.len() + self.text.len() + after.len());
        changed.extend_from_slice(before);
        changed.extend_from_slice(self.text.as_bytes());
        changed.extend_from_slice(after);
        Some(changed.freeze())
    }
}

/// Where `stream_options` stands in the body.
#[derive(Debug, Default)]
pub(super) enum Options {
    #[default]
    Absent,
    Null(Range<usize>),
    /// An object that does not name `include_usage`; `at` is after its brace.
    Object {
        at: usize,
        empty: bool,
    },
    /// The value of `include_usage`, which asks for nothing.
    Unwanted(Range<usize>),
    /// It asks for usage, or is nothing that an API would take.
    Leave,
}

impl Options {
    /// Reads the value of `stream_options`, which is a part of `body`.
    pub(super) fn of(raw: &RawValue, body: &[u8]) -> Self {
        let Some(start) = offset(raw.get(), body) else { return Self::Leave };
        if raw.get() == "null" {
            return Self::Null(start..start + raw.get().len());
        }
        let Ok(members) = serde_json::from_str::<Members<'_>>(raw.get()) else { return Self::Leave };
        match members.include_usage {
            None => Self::Object { at: start + 1, empty: members.count == 0 },
            Some(value) if matches!(value.get(), "false" | "null") => match offset(value.get(), body) {
                Some(start) => Self::Unwanted(start..start + value.get().len()),
                None => Self::Leave,
            },
            Some(_) => Self::Leave,
        }
    }

    /// What makes a request with these options ask for usage; `None` where it does already.
    pub(super) fn insertion(&self, body: &[u8]) -> Option<Insertion> {
        let (at, text) = match self {
            Self::Absent => {
                let after_brace = body.iter().position(|byte| *byte == b'{')? + 1;
                (after_brace..after_brace, r#""stream_options":{"include_usage":true},"#)
            }
            Self::Null(at) => (at.clone(), r#"{"include_usage":true}"#),
            Self::Object { at, empty: true } => (*at..*at, r#""include_usage":true"#),
            Self::Object { at, empty: false } => (*at..*at, r#""include_usage":true,"#),
            Self::Unwanted(at) => (at.clone(), "true"),
            Self::Leave => return None,
        };
        Some(Insertion { at, text })
    }
}

/// Where `part` begins in `whole`, of which it is a part.
fn offset(part: &str, whole: &[u8]) -> Option<usize> {
    let start = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
    (whole.get(start..start + part.len())? == part.as_bytes()).then_some(start)
}

/// The members of `stream_options`; of two of one name the last counts.
struct Members<'a> {
    include_usage: Option<&'a RawValue>,
    count: usize,
}

impl<'de> serde::Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;

            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Members<'de>, A::Error> {
                let mut read = Members { include_usage: None, count: 0 };
                while let Some(is_it) = members.next_key_seed(Name(|name: &str| name == "include_usage"))? {
                    read.count += 1;
                    if is_it {
                        read.include_usage = Some(members.next_value()?);
                    } else {
                        members.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(read)
            }
        }

        deserializer.deserialize_map(Reader)
    }
}
