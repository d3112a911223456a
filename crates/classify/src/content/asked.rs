//! Objects that say by a member whether something is to be stored.
//!
//! Where the product stores by default, only a plain `false` says that nothing is: `null` stands
//! for the default.

use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeSeed, MapAccess, Visitor},
};
use sluicegate_core::Access;

use super::members::{Name, Value, is};

/// Whether an object writes: where one of `members` is there and neither null nor false; with
/// `kept` also unless the first of them is false.
pub(super) fn judge(text: &str, members: &[Box<str>], kept: bool) -> Result<Access, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(text);
    let access = Object { members, kept }.deserialize(&mut json)?;
    json.end()?;
    Ok(access)
}

struct Object<'r> {
    members: &'r [Box<str>],
    kept: bool,
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = Access;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Access, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = Access;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Access, A::Error> {
        let (mut asks_for_more, mut declines) = (false, false);
        let mut seen = vec![false; self.members.len()];
        while let Some((Name(name), value)) = members.next_entry::<Name<'de>, Value<'de>>()? {
            for (at, (wanted, seen)) in self.members.iter().zip(&mut seen).enumerate() {
                if !is::<A::Error>(&name, wanted)? {
                    continue;
                }
                if std::mem::replace(seen, true) {
                    return Err(serde::de::Error::custom("a member twice"));
                }
                match value {
                    Value::False => declines |= at == 0,
                    Value::Null => {}
                    _ => asks_for_more = true,
                }
            }
        }
        let writes = asks_for_more || (self.kept && !declines);
        Ok(if writes { Access::Write } else { Access::Read })
    }
}
