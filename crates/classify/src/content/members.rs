//! Members of JSON objects, read so that no other parser can have read another value.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};

/// The name of a member.
#[derive(Deserialize)]
pub(super) struct Name<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// Whether a member is the wanted one; an error where only a lenient parser would say so.
///
/// Some parsers (Go's among them) find members without regard to case, and to some (of C) a name
/// ends at a NUL.
pub(super) fn is<E: Error>(name: &str, wanted: &str) -> Result<bool, E> {
    if name == wanted {
        return Ok(true);
    }
    let before_nul = name.chars().take_while(|c| *c != '\0');
    if before_nul.map(folded).eq(wanted.chars().map(folded)) {
        return Err(E::custom("a name in another spelling"));
    }
    Ok(false)
}

/// Without regard to case, as Unicode's simple folding has it for what can become ASCII.
fn folded(c: char) -> char {
    match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    }
}

/// Keeps a value that must be there once.
pub(super) fn once<T, E: Error>(kept: &mut Option<T>, value: T) -> Result<(), E> {
    match kept.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::custom("a member twice")),
    }
}

/// What a value is as far as it matters here: the rest of it is read and dropped, so that an
/// error in it is found, and depth ends where the parser's limit is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Null,
    False,
    Text(Cow<'a, str>),
    /// Anything else.
    Other,
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Value<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_bool<E: Error>(self, is: bool) -> Result<Value<'de>, E> {
                Ok(if is { Value::Other } else { Value::False })
            }

            fn visit_i64<E: Error>(self, _: i64) -> Result<Value<'de>, E> {
                Ok(Value::Other)
            }

            fn visit_u64<E: Error>(self, _: u64) -> Result<Value<'de>, E> {
                Ok(Value::Other)
            }

            fn visit_f64<E: Error>(self, _: f64) -> Result<Value<'de>, E> {
                Ok(Value::Other)
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Value<'de>, E> {
                Ok(Value::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Value<'de>, E> {
                Ok(Value::Text(Cow::Owned(text.to_owned())))
            }

            fn visit_unit<E: Error>(self) -> Result<Value<'de>, E> {
                Ok(Value::Null)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value<'de>, A::Error> {
                while elements.next_element::<Value<'de>>()?.is_some() {}
                Ok(Value::Other)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value<'de>, A::Error> {
                while members.next_entry::<Name<'de>, Value<'de>>()?.is_some() {}
                Ok(Value::Other)
            }
        }

        deserializer.deserialize_any(Any)
    }
}
