//! Pins: which version of each part of the service an answer was made with.
//!
//! On the wire they are `X-WFGY: INDEX_HASH=a1d9,MODEL_VER=m-2`: pairs without quotes, parted
//! by commas, spaces around them allowed, several header lines read as one. Names are case
//! sensitive. A client sends those it relies on; a service says those it serves with.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;

/// The header that carries pins, in both directions.
pub const PINS: HeaderName = HeaderName::from_static("x-wfgy");

/// More than this in one header is a slip or an attack: the runbooks know 14.
const MOST: usize = 64;

/// Names and values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Pins(BTreeMap<Box<str>, Box<str>>);

/// One pin on which two sides differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diff {
    /// Its name.
    pub pin: Box<str>,
    /// What is pinned; none where this side does not name it.
    pub expected: Option<Box<str>>,
    /// What came.
    pub got: Option<Box<str>>,
}

impl Pins {
    /// These names and values. The caller has checked them with [`fault`].
    pub fn new<N: Into<Box<str>>, V: Into<Box<str>>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// What the headers say; none where they say nothing.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and how it is written.
    pub fn of(headers: &HeaderMap) -> Result<Option<Self>, String> {
        let mut lines = headers.get_all(PINS).iter().peekable();
        if lines.peek().is_none() {
            return Ok(None);
        }
        let mut pins = BTreeMap::new();
        for line in lines {
            read(line, &mut pins)?;
        }
        Ok(Some(Self(pins)))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| &**value)
    }

    /// All of them, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// What a client asked for and is not pinned so here. A pin that is not declared here
    /// cannot be vouched for and differs.
    #[must_use]
    pub fn unmet(&self, asked: &Self) -> Vec<Diff> {
        let differing = asked.iter().filter(|(name, got)| self.get(name) != Some(got));
        differing.map(|(name, got)| self.diff(name, got)).collect()
    }

    /// What a service told and is pinned otherwise. What is not told, or not pinned, is no
    /// difference.
    #[must_use]
    pub fn contradicted(&self, told: &Self) -> Vec<Diff> {
        let differing =
            told.iter().filter(|(name, got)| self.get(name).is_some_and(|expected| expected != *got));
        differing.map(|(name, got)| self.diff(name, got)).collect()
    }

    fn diff(&self, name: &str, got: &str) -> Diff {
        Diff { pin: name.into(), expected: self.get(name).map(Into::into), got: Some(got.into()) }
    }
}

fn read(line: &HeaderValue, into: &mut BTreeMap<Box<str>, Box<str>>) -> Result<(), String> {
    let form = "write NAME=value pairs parted by commas, such as INDEX_HASH=a1d9,MODEL_VER=m-2";
    let text = line.to_str().map_err(|_| format!("X-WFGY is not visible ASCII; {form}"))?;
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (name, value) =
            part.split_once('=').ok_or_else(|| format!("X-WFGY has a part without `=`; {form}"))?;
        let (name, value) = (name.trim_end(), value.trim_start());
        if let Some(fault) = fault(name, value) {
            return Err(format!("a pin in X-WFGY cannot be used: {fault}; {form}"));
        }
        if into.insert(name.into(), value.into()).is_some_and(|before| *before != *value) {
            return Err(format!("X-WFGY has the pin {name} twice with different values; send it once"));
        }
        if into.len() > MOST {
            return Err(format!("X-WFGY has more than {MOST} pins; send those you rely on"));
        }
    }
    Ok(())
}

/// What is wrong with a pin.
#[must_use]
pub fn fault(name: &str, value: &str) -> Option<&'static str> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if name.is_empty() || name.len() > 64 || !name.bytes().all(word) {
        return Some("a name is 1 to 64 letters, digits, `_`, `-` or `.`");
    }
    if value.is_empty() || value.len() > 128 {
        return Some("a value has 1 to 128 characters");
    }
    if !value.bytes().all(|byte| byte.is_ascii_graphic() && !b",\"".contains(&byte)) {
        return Some("a value is visible ASCII without commas, quotes or spaces");
    }
    None
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::{PINS, Pins};

    fn read(lines: &[&str]) -> Result<Option<Pins>, String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(PINS, line.parse().unwrap());
        }
        Pins::of(&headers)
    }

    #[test]
    fn pairs_are_read_from_all_lines() {
        let pins =
            read(&["INDEX_HASH=a1d9, MODEL_VER = m-2,", "metric=bm25,INDEX_HASH=a1d9"]).unwrap().unwrap();
        let all: Vec<_> = pins.iter().collect();
        assert_eq!(all, [("INDEX_HASH", "a1d9"), ("MODEL_VER", "m-2"), ("metric", "bm25")]);
        assert_eq!(read(&[]).unwrap(), None);
        assert!(read(&[""]).unwrap().unwrap().is_empty());
        assert_eq!(read(&["A=b=c"]).unwrap().unwrap().get("A"), Some("b=c"), "only the first `=` parts");
    }

    #[test]
    fn what_cannot_be_read_says_how_to_write_it() {
        for line in ["INDEX_HASH", "=x", "A=", "A B=c", "A=b c", "A=1,A=2"] {
            let error = read(&[line]).unwrap_err();
            assert!(error.contains("X-WFGY"), "{error}");
        }
        let many: Vec<_> = (0..65).map(|n| format!("P{n}=1")).collect();
        assert!(read(&[&many.join(",")]).unwrap_err().contains("more than 64"));
    }

    #[test]
    fn what_is_asked_must_be_declared_and_what_is_told_must_not_differ() {
        let arm = Pins::new([("INDEX_HASH", "a1"), ("MODEL_VER", "m-1")]);
        let asked = Pins::new([("INDEX_HASH", "a1"), ("MODEL_VER", "m-2"), ("NORM", "l2")]);
        let unmet = arm.unmet(&asked);
        let shown = serde_json::to_value(&unmet).unwrap();
        let expected = serde_json::json!([
            { "pin": "MODEL_VER", "expected": "m-1", "got": "m-2" },
            { "pin": "NORM", "expected": null, "got": "l2" },
        ]);
        assert_eq!(shown, expected);
        assert_eq!(arm.contradicted(&asked), unmet[..1], "NORM is told and nobody has pinned it");
        assert!(arm.unmet(&arm).is_empty() && arm.contradicted(&arm).is_empty());
    }
}
