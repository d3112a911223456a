//! What a request takes from each of its buckets.

use std::{borrow::Cow, fmt};

use http::{HeaderMap, HeaderName};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};
use sluicegate_core::{Code, Refusal, units::Size};

/// What a request takes, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cost {
    /// The same for each.
    Fixed(u32),
    /// What this header says; 1 where it is not there.
    Header(HeaderName),
    /// One for each such piece of the body that is begun, at least one.
    PerBytes {
        /// The length of a piece.
        piece: u64,
        /// What a body counts as whose length is not announced.
        unknown: u64,
    },
}

impl Cost {
    /// One for each request.
    pub const ONE: Self = Self::Fixed(1);

    /// What a request with these headers, and a body of this length if that is known, takes.
    pub(crate) fn of(&self, headers: &HeaderMap, length: Option<u64>) -> Result<u32, Refusal> {
        match self {
            Self::Fixed(cost) => Ok(*cost),
            Self::Header(name) => {
                let mut values = headers.get_all(name).iter();
                let Some(value) = values.next() else { return Ok(1) };
                let digits =
                    value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
                let cost = digits.and_then(|text| text.parse().ok());
                cost.filter(|cost| *cost > 0 && values.next().is_none()).ok_or_else(|| {
                    let detail = format!("{name} is no cost; send a whole number from 1 on, once");
                    Refusal::new(Code::BadRequest, detail)
                })
            }
            Self::PerBytes { piece, unknown } => {
                let pieces = length.unwrap_or(*unknown).div_ceil((*piece).max(1));
                Ok(u32::try_from(pieces.max(1)).unwrap_or(u32::MAX))
            }
        }
    }
}

/// What a request takes from each of its buckets: a number, or where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum CostInput {
    /// The same for each.
    Fixed(u32),
    /// By a rule.
    Rule(CostRule),
}

/// Where the cost of a request stands: exactly one of these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CostRule {
    /// In this header; 1 where it is not there. For callers that are trusted to tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// 1 for each piece of the body of this size that is begun; a body of unknown length counts as one of `limits.max_body`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_bytes: Option<Size>,
}

impl CostInput {
    /// The cost as it is charged, or what is wrong, with the path below `cost`.
    pub fn check(&self, max_body: Option<Size>) -> Result<Cost, (String, String)> {
        match self {
            Self::Fixed(0) => {
                Err((String::new(), "0 would let everything through; write 1 or more".to_owned()))
            }
            Self::Fixed(cost) => Ok(Cost::Fixed(*cost)),
            Self::Rule(CostRule { header: Some(name), per_bytes: None }) => {
                match HeaderName::from_bytes(name.as_bytes()) {
                    Ok(name) => Ok(Cost::Header(name)),
                    Err(_) => Err((
                        ".header".to_owned(),
                        format!("`{name}` is not the name of a header; write one such as x-cost"),
                    )),
                }
            }
            Self::Rule(CostRule { header: None, per_bytes: Some(Size(0)) }) => {
                let message = "pieces of no bytes cannot be counted; write a size such as 4KiB";
                Err((".per_bytes".to_owned(), message.to_owned()))
            }
            Self::Rule(CostRule { header: None, per_bytes: Some(piece) }) => match max_body {
                Some(max) => Ok(Cost::PerBytes { piece: piece.0, unknown: max.0 }),
                None => Err((
                    ".per_bytes".to_owned(),
                    "a body of unknown length counts as one of `limits.max_body`, which is not set; set it"
                        .to_owned(),
                )),
            },
            Self::Rule(_) => {
                Err((String::new(), "a rule has one key: write `header` or `per_bytes`".to_owned()))
            }
        }
    }
}

impl<'de> Deserialize<'de> for CostInput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = CostInput;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number, or a rule such as { header: x-cost } or { per_bytes: 4KiB }")
            }

            fn visit_u64<E: de::Error>(self, cost: u64) -> Result<CostInput, E> {
                u32::try_from(cost)
                    .map(CostInput::Fixed)
                    .map_err(|_| E::custom(format_args!("`{cost}` is too large; {} is the most", u32::MAX)))
            }

            /// What stands in the environment comes as text.
            fn visit_str<E: de::Error>(self, text: &str) -> Result<CostInput, E> {
                let digits = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok());
                match digits.flatten() {
                    Some(cost) => self.visit_u64(cost),
                    None => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<CostInput, A::Error> {
                CostRule::deserialize(MapAccessDeserializer::new(map)).map(CostInput::Rule)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for CostInput {
    fn schema_name() -> Cow<'static, str> {
        "CostInput".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let rule = generator.subschema_for::<CostRule>();
        json_schema!({
            "description": "What a request takes from each of its buckets: a number, or where it stands.",
            "anyOf": [{ "type": "integer", "minimum": 1, "maximum": u32::MAX }, rule]
        })
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};
    use sluicegate_core::units::Size;

    use super::{Cost, CostInput, CostRule};

    fn head(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_header_tells_the_cost_or_is_refused() {
        let cost = Cost::Header(HeaderName::from_static("x-cost"));
        assert_eq!(cost.of(&head(&[]), None).unwrap(), 1);
        assert_eq!(cost.of(&head(&[("x-cost", "17")]), None).unwrap(), 17);
        for wrong in ["0", "", "-1", "+1", "1.5", "4294967296", "x"] {
            let error = cost.of(&head(&[("x-cost", wrong)]), None).unwrap_err().to_string();
            assert!(error.contains("x-cost is no cost"), "{wrong}: {error}");
        }
        assert!(cost.of(&head(&[("x-cost", "1"), ("x-cost", "1")]), None).is_err());
    }

    #[test]
    fn a_body_costs_by_the_piece() {
        let cost = Cost::PerBytes { piece: 1024, unknown: 10_240 };
        for (length, pieces) in [(0, 1), (1024, 1), (1025, 2), (u64::MAX, u32::MAX)] {
            assert_eq!(cost.of(&HeaderMap::new(), Some(length)).unwrap(), pieces, "{length}");
        }
        assert_eq!(cost.of(&HeaderMap::new(), None).unwrap(), 10);
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        let wrong = |input: CostInput| input.check(None).unwrap_err();
        assert!(wrong(CostInput::Fixed(0)).1.contains("write 1 or more"));
        let rule = |header: Option<&str>, per_bytes| {
            CostInput::Rule(CostRule { header: header.map(str::to_owned), per_bytes })
        };
        let piece = Some(Size::kib(4));
        assert_eq!(wrong(rule(Some("a b"), None)).0, ".header");
        assert!(wrong(rule(None, piece)).1.contains("limits.max_body"));
        for neither_or_both in [rule(None, None), rule(Some("x"), piece)] {
            assert!(wrong(neither_or_both).1.contains("one key"));
        }
        let good = rule(None, piece).check(Some(Size::kib(8))).unwrap();
        assert_eq!(good, Cost::PerBytes { piece: 4096, unknown: 8192 });
    }
}
