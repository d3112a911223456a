//! `status:` of the freeze section: a word or a number.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The status of a refused write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StatusRule {
    /// 503 where every freeze that covers the write has a known end, else 423.
    #[default]
    Auto,
    /// Always 423 (Locked).
    Locked,
    /// Always 503 (Service Unavailable).
    Unavailable,
}

impl StatusRule {
    fn of(text: &str) -> Option<Self> {
        match text {
            "auto" => Some(Self::Auto),
            "423" => Some(Self::Locked),
            "503" => Some(Self::Unavailable),
            _ => None,
        }
    }
}

impl Serialize for StatusRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Locked => serializer.serialize_u16(423),
            Self::Unavailable => serializer.serialize_u16(503),
        }
    }
}

impl<'de> Deserialize<'de> for StatusRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl de::Visitor<'_> for Reader {
    type Value = StatusRule;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("auto, 423 or 503")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<StatusRule, E> {
        StatusRule::of(text).ok_or_else(|| E::custom(format_args!("`{text}` is not auto, 423 or 503")))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<StatusRule, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<StatusRule, E> {
        self.visit_str(&number.to_string())
    }
}

impl JsonSchema for StatusRule {
    fn schema_name() -> Cow<'static, str> {
        "FreezeStatusRule".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": ["auto", 423, 503] })
    }
}
