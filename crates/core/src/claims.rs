//! What a verified token says of its bearer.
//!
//! Whoever verifies a token puts its claims into the request's facts; who belongs to whom
//! ([`key`](crate::key)), which tenant it is and what separates equal keys may go by one of them.
//! Nothing here verifies anything: claims are only ever made of a token that was.

use std::{borrow::Cow, fmt, sync::Arc};

use http::HeaderMap;
use serde_json::{Map, Value};

use crate::refusal::Refusal;

/// Verifies the token that a request brings.
pub trait VerifyTokens: fmt::Debug + Send + Sync {
    /// The claims of the token in these fields, nothing where there is none; or why a request that
    /// brings it is not served.
    fn claims(&self, headers: &HeaderMap) -> Result<Option<Arc<Claims>>, Refusal>;
}

/// The claims of a token that was verified.
#[derive(Debug, PartialEq)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// The claims of a token that was verified.
    #[must_use]
    pub const fn verified(claims: Map<String, Value>) -> Self {
        Self(claims)
    }

    /// What a claim says, where it is a text, a number or a truth value.
    #[must_use]
    pub fn text(&self, name: &ClaimName) -> Option<Cow<'_, str>> {
        match name.find(&self.0)? {
            Value::Array(_) | Value::Object(_) => None,
            plain => said(plain),
        }
    }

    /// What a claim says, whatever it is: lists and objects as JSON, so that what differs in the
    /// token differs here, and nobody who has such a claim is taken for one who has none.
    #[must_use]
    pub fn said(&self, name: &ClaimName) -> Option<Cow<'_, str>> {
        said(name.find(&self.0)?)
    }
}

fn said(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Bool(true) => Some("true".into()),
        Value::Bool(false) => Some("false".into()),
        other => Some(other.to_string().into()),
    }
}

/// Which claim: its name, or a JSON pointer to one inside another, such as `/realm/tenant`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClaimName(Box<str>);

impl ClaimName {
    /// A claim's name.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn new(name: &str) -> Result<Self, String> {
        if name.is_empty() {
            return Err(
                "names no claim; write one such as sub, or a JSON pointer such as /realm/tenant".into()
            );
        }
        Ok(Self(name.into()))
    }

    /// The name, as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn find<'a>(&self, claims: &'a Map<String, Value>) -> Option<&'a Value> {
        let Some(path) = self.0.strip_prefix('/') else { return claims.get(&*self.0) };
        let (first, below) = path.split_at(path.find('/').unwrap_or(path.len()));
        claims.get(&first.replace("~1", "/").replace("~0", "~"))?.pointer(below)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{ClaimName, Claims};

    #[test]
    fn a_claim_is_found_by_its_name_or_by_a_pointer() {
        let Value::Object(claims) = json!({
            "sub": "u7", "n": 7, "ok": true, "list": ["a"], "https://id.example/tenant": "acme",
            "realm": { "tenant": "inner", "a/b": "c" }, "empty": "", "nothing": null,
        }) else {
            panic!("an object")
        };
        let claims = Claims::verified(claims);
        let text = |name: &str| claims.text(&ClaimName::new(name).unwrap()).map(String::from);
        for (name, expected) in [
            ("sub", "u7"),
            ("n", "7"),
            ("ok", "true"),
            ("https://id.example/tenant", "acme"),
            ("/realm/tenant", "inner"),
            ("/realm/a~1b", "c"),
            ("/sub", "u7"),
            ("/list/0", "a"),
            ("empty", ""),
        ] {
            assert_eq!(text(name).as_deref(), Some(expected), "{name}");
        }
        for none in [
            "list",
            "realm",
            "nothing",
            "tenant",
            "/realm",
            "/realm/none",
            "/",
            "/sub/x",
            "/list/1",
            "/list/-",
        ] {
            assert_eq!(text(none), None, "{none}");
        }
        let said = |name: &str| claims.said(&ClaimName::new(name).unwrap()).map(String::from);
        assert_eq!(said("list").as_deref(), Some("[\"a\"]"));
        assert_eq!(said("realm").as_deref(), Some("{\"a/b\":\"c\",\"tenant\":\"inner\"}"));
        assert_eq!((said("sub").as_deref(), said("n").as_deref()), (Some("u7"), Some("7")));
        assert_eq!((said("nothing"), said("other")), (None, None));
        assert!(ClaimName::new("").is_err());
    }
}
