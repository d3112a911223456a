//! A JSON text as what it says.

use std::{borrow::Cow, collections::BTreeMap, collections::btree_map::Entry, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use sha2::{Digest, Sha256};

use super::MOST_LEAVES;

/// The most bytes of pointers that are kept of one body.
const MOST_POINTER_BYTES: usize = 4096;

/// From here on a 64-bit float does not hold every whole number.
const INEXACT: f64 = 9_007_199_254_740_992.0;

/// A value, borrowed from its text where that is possible.
#[derive(Debug)]
pub(super) enum Value<'a> {
    /// It does not count.
    Ignored,
    Null,
    Bool(bool),
    Whole(i128),
    Fraction(f64),
    Text(Cow<'a, str>),
    List(Vec<Value<'a>>),
    Object(BTreeMap<Cow<'a, str>, Value<'a>>),
}

/// Reads a JSON text and leaves out what the pointers in `ignore` name. None where it is not
/// JSON, or where readers differ about what it says.
pub(super) fn read<'a>(text: &'a [u8], ignore: &[Box<str>]) -> Option<Value<'a>> {
    let mut value: Value<'a> = serde_json::from_slice(text).ok()?;
    for pointer in ignore {
        let tokens: Vec<String> =
            pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~")).collect();
        value.leave_out(&tokens);
    }
    Some(value)
}

impl Value<'_> {
    fn leave_out(&mut self, pointer: &[String]) {
        let Some((first, rest)) = pointer.split_first() else {
            *self = Self::Ignored;
            return;
        };
        match self {
            Self::List(items) if first == "*" => {
                for item in items {
                    item.leave_out(rest);
                }
            }
            Self::Object(members) if first == "*" => {
                for member in members.values_mut() {
                    member.leave_out(rest);
                }
            }
            Self::List(items) => {
                if let Some(item) = first.parse().ok().and_then(|at: usize| items.get_mut(at)) {
                    item.leave_out(rest);
                }
            }
            Self::Object(members) => {
                if let Some(member) = members.get_mut(first.as_str()) {
                    member.leave_out(rest);
                }
            }
            _ => {}
        }
    }

    /// A digest of what it says.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        self.feed(&mut hasher);
        hasher.finalize().into()
    }

    /// Feeds a form that reads in one way only: a letter for the kind, then lengths before all
    /// that varies in length.
    fn feed(&self, hasher: &mut Sha256) {
        match self {
            Self::Ignored => {}
            Self::Null => hasher.update(b"n"),
            Self::Bool(true) => hasher.update(b"t"),
            Self::Bool(false) => hasher.update(b"f"),
            Self::Whole(number) => {
                hasher.update(b"i");
                hasher.update(number.to_be_bytes());
            }
            Self::Fraction(number) => {
                hasher.update(b"d");
                hasher.update(number.to_bits().to_be_bytes());
            }
            Self::Text(text) => {
                hasher.update(b"s");
                feed_text(hasher, text);
            }
            Self::List(items) => {
                hasher.update(b"[");
                for item in items {
                    item.feed(hasher);
                }
                hasher.update(b"]");
            }
            Self::Object(members) => {
                hasher.update(b"{");
                for (name, member) in members {
                    if !matches!(member, Self::Ignored) {
                        feed_text(hasher, name);
                        member.feed(hasher);
                    }
                }
                hasher.update(b"}");
            }
        }
    }

    /// Its parts with their pointers, as deep as the caps allow: containers are opened one
    /// after the other, the outer ones first; one that does not fit any more is a part by
    /// itself.
    pub(super) fn leaves(&self) -> Vec<(Box<str>, u32)> {
        let mut parts = vec![(String::new(), self)];
        let (mut at, mut bytes) = (0, 0);
        while let Some((pointer, value)) = parts.get(at) {
            let room = (MOST_LEAVES + 1).saturating_sub(parts.len());
            match value.open(pointer, room, MOST_POINTER_BYTES - bytes) {
                Some((inner, more)) => {
                    parts.remove(at);
                    parts.extend(inner);
                    bytes += more;
                }
                None => at += 1,
            }
        }
        parts.into_iter().map(|(pointer, value)| (pointer.into(), value.short_digest())).collect()
    }

    /// The pointers of what is in a container, and their length in all, if there are at most
    /// `room` of at most `bytes`. An empty container is a part by itself.
    fn open(&self, pointer: &str, room: usize, bytes: usize) -> Option<(Vec<(String, &Self)>, usize)> {
        let counts = |value: &&Self| !matches!(value, Self::Ignored);
        let inner: Vec<_> = match self {
            Self::List(items) if items.len() <= room => items
                .iter()
                .enumerate()
                .filter(|(_, item)| counts(item))
                .map(|(at, item)| (format!("{pointer}/{at}"), item))
                .collect(),
            Self::Object(members) if members.len() <= room => members
                .iter()
                .filter(|(_, member)| counts(member))
                .map(|(name, member)| {
                    (format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1")), member)
                })
                .collect(),
            _ => return None,
        };
        let length = inner.iter().map(|(pointer, _)| pointer.len()).sum();
        (!inner.is_empty() && length <= bytes).then_some((inner, length))
    }

    fn short_digest(&self) -> u32 {
        let [a, b, c, d, ..] = self.digest();
        u32::from_be_bytes([a, b, c, d])
    }
}

fn feed_text(hasher: &mut Sha256, text: &str) {
    hasher.update((text.len() as u64).to_be_bytes());
    hasher.update(text);
}

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

/// Text that is borrowed where its spelling has no escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_str(Reader)? {
            Value::Text(text) => Ok(Self(text)),
            _ => Err(D::Error::custom("a member's name is not text")),
        }
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value<'de>, E> {
        Ok(Value::Whole(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value<'de>, E> {
        Ok(Value::Whole(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value<'de>, E> {
        if value.abs() >= INEXACT {
            return Err(E::custom("a number that cannot be held exactly"));
        }
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and below 2^53")]
        Ok(if value.fract() == 0.0 { Value::Whole(value as i128) } else { Value::Fraction(value) })
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value<'de>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value<'de>, A::Error> {
        let mut object = BTreeMap::new();
        while let Some(Text(name)) = members.next_key()? {
            match object.entry(name) {
                Entry::Vacant(place) => drop(place.insert(members.next_value()?)),
                Entry::Occupied(_) => return Err(A::Error::custom("two members have one name")),
            }
        }
        Ok(Value::Object(object))
    }
}
