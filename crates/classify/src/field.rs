//! What a route asks of a request's header fields.
//!
//! A route may take a request only for what a field says: an exact value, a beginning, that it is
//! there, or that it is not. Values are compared byte by byte. A field that comes more than once
//! has no one value, so it is neither equal to anything nor begins with anything; it is there.

use std::{borrow::Cow, fmt};

use http::{HeaderMap, HeaderName};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};

/// What is asked of one header field: its value, or a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldInput {
    /// It has this value.
    Is(String),
    /// Its value begins so.
    Prefix(String),
    /// Whether it is there.
    Present(bool),
}

impl FieldInput {
    /// Whether every field that satisfies `other` satisfies this as well.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Present(true), Self::Is(_) | Self::Prefix(_)) => true,
            (Self::Prefix(mine), Self::Is(theirs) | Self::Prefix(theirs)) => {
                theirs.starts_with(mine.as_str())
            }
            _ => self == other,
        }
    }
}

/// The same as a mapping: exactly one of these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct FieldRule {
    /// Its value begins so.
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<String>,
    /// Whether it is there, whatever it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    present: Option<bool>,
}

impl<'de> Deserialize<'de> for FieldInput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = FieldInput;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value, or a rule such as { prefix: Bearer } or { present: true }")
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<FieldInput, E> {
                Ok(FieldInput::Is(value.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<FieldInput, A::Error> {
                match FieldRule::deserialize(MapAccessDeserializer::new(map))? {
                    FieldRule { prefix: Some(prefix), present: None } => Ok(FieldInput::Prefix(prefix)),
                    FieldRule { prefix: None, present: Some(present) } => Ok(FieldInput::Present(present)),
                    FieldRule { .. } => {
                        Err(de::Error::custom("a rule has one key: write `prefix` or `present`"))
                    }
                }
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl Serialize for FieldInput {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (prefix, present) = match self {
            Self::Is(value) => return serializer.serialize_str(value),
            Self::Prefix(prefix) => (Some(prefix.clone()), None),
            Self::Present(present) => (None, Some(*present)),
        };
        FieldRule { prefix, present }.serialize(serializer)
    }
}

impl JsonSchema for FieldInput {
    fn schema_name() -> Cow<'static, str> {
        "FieldInput".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let rule = generator.subschema_for::<FieldRule>();
        json_schema!({
            "description": "What is asked of a header field: its value, or a rule.",
            "anyOf": [{ "type": "string" }, rule]
        })
    }
}

/// What is asked of one header field, ready to be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldMatch {
    name: HeaderName,
    asked: FieldInput,
}

impl FieldMatch {
    /// Asks this of the field of that name.
    #[must_use]
    pub const fn new(name: HeaderName, asked: FieldInput) -> Self {
        Self { name, asked }
    }

    /// Whether a request with these fields is admitted.
    #[must_use]
    pub fn admits(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(&self.name).iter();
        let (first, second) = (values.next(), values.next());
        let only = || first.filter(|_| second.is_none()).map(http::HeaderValue::as_bytes);
        match &self.asked {
            FieldInput::Present(wanted) => first.is_some() == *wanted,
            FieldInput::Is(value) => only() == Some(value.as_bytes()),
            FieldInput::Prefix(prefix) => only().is_some_and(|value| value.starts_with(prefix.as_bytes())),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};
    use serde_json::json;

    use super::{FieldInput, FieldMatch};

    fn read(value: serde_json::Value) -> Result<FieldInput, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn it_is_read_and_written_in_one_form() {
        for form in [json!("beta"), json!({ "prefix": "b" }), json!({ "present": false })] {
            assert_eq!(serde_json::to_value(read(form.clone()).unwrap()).unwrap(), form);
        }
        for wrong in [json!({}), json!({ "prefix": "a", "present": true })] {
            assert!(read(wrong).unwrap_err().contains("one key"));
        }
        assert!(read(json!({ "is": "a" })).is_err());
    }

    #[test]
    fn a_field_sent_twice_has_no_one_value() {
        let admits = |asked: FieldInput, values: &[&'static str]| {
            let name = HeaderName::from_static("x-env");
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(&name, HeaderValue::from_static(value));
            }
            FieldMatch::new(name, asked).admits(&headers)
        };
        let is = || FieldInput::Is("beta".to_owned());
        let prefix = || FieldInput::Prefix("be".to_owned());
        assert!(admits(is(), &["beta"]) && admits(prefix(), &["beta"]) && admits(prefix(), &["be"]));
        assert!(!admits(is(), &["Beta"]) && !admits(prefix(), &["b"]));
        for asked in [is(), prefix()] {
            assert!(!admits(asked.clone(), &[]) && !admits(asked, &["beta", "beta"]));
        }
        assert!(admits(FieldInput::Present(true), &["", "a"]) && admits(FieldInput::Present(false), &[]));
        assert!(!admits(FieldInput::Present(true), &[]) && !admits(FieldInput::Present(false), &[""]));
    }

    #[test]
    fn a_wider_rule_covers_a_narrower_one() {
        let (is, prefix) = (FieldInput::Is("beta".into()), FieldInput::Prefix("be".into()));
        let (there, gone) = (FieldInput::Present(true), FieldInput::Present(false));
        assert!(there.covers(&is) && there.covers(&prefix) && prefix.covers(&is) && is.covers(&is));
        assert!(!is.covers(&prefix) && !prefix.covers(&there) && !there.covers(&gone) && !gone.covers(&is));
    }
}
