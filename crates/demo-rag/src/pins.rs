//! The pins: which version of each part this instance serves with.
//!
//! They are shown twice, in the manifest (a JSON object with every pin) and in the `X-WFGY`
//! header of every answer (the few that change, and those the owner named). `INDEX_HASH` and
//! `DOC_COUNT` come from the index, unless the owner overrides them to stage a mismatch.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value};

/// The header that carries pins.
pub(crate) const PINS_HEADER: HeaderName = HeaderName::from_static("x-wfgy");

/// Why a pin cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("pin {name}={value}: {why}")]
pub(crate) struct PinError {
    name: String,
    value: String,
    why: &'static str,
}

/// The pins that do not follow the index.
#[derive(Clone, Debug)]
pub(crate) struct Pins {
    version: String,
    named: BTreeMap<String, String>,
}

impl Pins {
    /// Pins of model `version`, with `named` added or put in place of the usual ones.
    pub(crate) fn new(version: String, named: BTreeMap<String, String>) -> Result<Self, PinError> {
        let version = named.get("MODEL_VER").cloned().unwrap_or(version);
        let pins = Self { version, named };
        let mut all = pins.named.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect::<Vec<_>>();
        all.push(("MODEL_VER", &pins.version));
        for (name, value) in all {
            if let Some(why) = fault(name, value) {
                return Err(PinError { name: name.to_owned(), value: value.to_owned(), why });
            }
        }
        Ok(pins)
    }

    /// The model version, which is also told in answers.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// The hash shown for an index whose own hash is `hash`.
    pub(crate) fn index_hash(&self, hash: String) -> String {
        self.named.get("INDEX_HASH").cloned().unwrap_or(hash)
    }

    /// The header for an index of this hash and count.
    pub(crate) fn header(&self, hash: &str, count: usize) -> HeaderValue {
        let count = count.to_string();
        let mut parts = vec![
            format!("INDEX_HASH={}", self.shown("INDEX_HASH", hash)),
            format!("MODEL_VER={}", self.version),
            format!("DOC_COUNT={}", self.shown("DOC_COUNT", &count)),
        ];
        let usual = ["INDEX_HASH", "MODEL_VER", "DOC_COUNT"];
        let named = self.named.iter().filter(|(name, _)| !usual.contains(&name.as_str()));
        parts.extend(named.map(|(name, value)| format!("{name}={value}")));
        // `new` let only visible ASCII in, so this does not fail.
        HeaderValue::try_from(parts.join(",")).unwrap_or(HeaderValue::from_static(""))
    }

    /// The manifest for an index of this hash and count.
    pub(crate) fn manifest(&self, hash: &str, count: usize) -> Map<String, Value> {
        let mut members = Map::new();
        let texts = [
            ("INDEX_HASH", hash),
            ("MODEL_VER", self.version.as_str()),
            ("PROMPT_VER", "p-1"),
            ("EMBED_MODEL_VER", "bm25-2"),
            ("NORM", "none"),
            ("metric", "bm25"),
            ("RERANK_CONF", "none"),
            ("TOK_VER", "unicode-words-1"),
            ("ANALYZER_CONF", "english-stem-stop"),
            ("CHUNK_SCHEMA_VER", "whole-document-1"),
            ("BUILD_ID", env!("CARGO_PKG_VERSION")),
        ];
        members.extend(texts.map(|(name, text)| (name.to_owned(), Value::from(text))));
        members.insert("DOC_COUNT".to_owned(), Value::from(count));
        // The sparse space of 32-bit token hashes that the bm25 crate embeds into.
        members.insert("EMBED_DIM".to_owned(), Value::from(1_u64 << 32));
        members.extend(self.named.iter().map(|(name, text)| (name.clone(), Value::from(text.as_str()))));
        members
    }

    fn shown<'a>(&'a self, name: &str, own: &'a str) -> &'a str {
        self.named.get(name).map_or(own, String::as_str)
    }
}

fn fault(name: &str, value: &str) -> Option<&'static str> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || !name.bytes().all(word) {
        return Some("a name is letters, digits and _");
    }
    if value.is_empty() || value.len() > 128 {
        return Some("a value has 1 to 128 characters");
    }
    if !value.bytes().all(|byte| byte.is_ascii_graphic() && !b",=\"".contains(&byte)) {
        return Some("a value is visible ASCII without a comma, an equals sign or a quote");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::Pins;

    fn pins(named: &[(&str, &str)]) -> Result<Pins, super::PinError> {
        let named = named.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Pins::new("m-1".to_owned(), named)
    }

    #[test]
    fn named_pins_are_added_and_override() {
        let pins = pins(&[("GIT_SHA", "abc"), ("INDEX_HASH", "ffff"), ("PROMPT_VER", "p-9")]).unwrap();
        assert_eq!(
            pins.header("0011", 3),
            "INDEX_HASH=ffff,MODEL_VER=m-1,DOC_COUNT=3,GIT_SHA=abc,PROMPT_VER=p-9"
        );
        let manifest = pins.manifest("0011", 3);
        assert_eq!(manifest["INDEX_HASH"], "ffff");
        assert_eq!(manifest["PROMPT_VER"], "p-9");
        assert_eq!(manifest["DOC_COUNT"], 3);
    }

    #[test]
    fn a_pin_that_would_break_the_header_is_refused() {
        for (name, value) in [("A", "b,c"), ("A", "x\r\ny"), ("A B", "c"), ("A", ""), ("A", "é")] {
            let error = pins(&[(name, value)]).unwrap_err().to_string();
            assert!(error.starts_with("pin A"), "{error}");
        }
    }
}
