//! What the document says about telling requests apart.
//!
//! Plain input types: which requests a route takes, and where a request's tenant stands.
//! The path pattern is the one type here that checks itself, because the router, the
//! checks of the document and the tests must read it alike.

use std::{collections::BTreeMap, fmt, str::FromStr};

use http::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicegate_core::{ClaimName, text_form};

pub use crate::{
    cost::{CostInput, CostRule},
    field::FieldInput,
    host::{HostError, HostPattern},
};
use crate::{field::FieldMatch, path::normalise, pattern::Pattern, router::RouteMatch, tenant::TenantFrom};

/// Which requests a route takes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MatchInput {
    /// The path: `/v1/retrieve`; `{name}` stands for one segment, `{*rest}` at the end for
    /// all that follows, also nothing.
    pub path: PathPattern,
    /// The methods it takes; without it, all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub methods: Option<Vec<MethodInput>>,
    /// The hosts it answers for: `api.example.org`, or `*.example.org` for all below; without it, all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostPattern>,
    /// What header fields must say, by their names: a value, `{ prefix: VALUE }` or `{ present: true }`; all of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, FieldInput>,
}

impl MatchInput {
    /// What the router asks; or everything that is wrong: pairs of a path below this one and a
    /// message.
    pub fn check(&self) -> Result<RouteMatch, Vec<(String, String)>> {
        let (mut fields, mut faults) = (Vec::new(), Vec::new());
        for (name, asked) in &self.headers {
            match HeaderName::try_from(name) {
                Ok(name) if name == http::header::HOST => {
                    let message = "hosts are matched by `hosts`; move it there".to_owned();
                    faults.push((format!("headers.{name}"), message));
                }
                Ok(parsed) => fields.push(FieldMatch::new(parsed, asked.clone())),
                Err(_) => {
                    let message = format!("`{name}` is not the name of a header; write one such as x-env");
                    faults.push((format!("headers.{name}"), message));
                }
            }
        }
        let matching = RouteMatch::path(Pattern::new(&self.path)).hosts(self.hosts.iter().cloned());
        let matching = match &self.methods {
            Some(methods) => matching.methods(methods.iter().map(|method| method.0.clone())),
            None => matching,
        };
        if faults.is_empty() { Ok(matching.fields(fields)) } else { Err(faults) }
    }

    /// Whether every request that `other` takes is taken by this one too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let methods = match (&self.methods, &other.methods) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(mine), Some(theirs)) => !theirs.is_empty() && theirs.iter().all(|it| mine.contains(it)),
        };
        let host = |theirs: &HostPattern| self.hosts.iter().any(|mine| mine.covers(theirs));
        let hosts = self.hosts.is_empty() || (!other.hosts.is_empty() && other.hosts.iter().all(host));
        let field = |(name, mine): (&String, &FieldInput)| {
            other
                .headers
                .iter()
                .any(|(named, theirs)| named.eq_ignore_ascii_case(name) && mine.covers(theirs))
        };
        methods && hosts && self.headers.iter().all(field) && self.path.covers(&other.path)
    }
}

/// The pattern of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathPattern {
    text: String,
    segments: Vec<Segment>,
    rest: bool,
}

/// One segment of a path pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// Exactly this text, in canonical form.
    Literal(String),
    /// Any text that is not empty.
    Any,
}

/// What is wrong with a path pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It does not begin at the root.
    #[error("the path `{0}` must begin with `/`")]
    NotRooted(String),
    /// A `{*rest}` that something follows.
    #[error("in the path `{0}`, `{{*…}}` must be the last segment")]
    RestNotLast(String),
    /// Braces that are not a whole segment, or name nothing.
    #[error(
        "in the path `{path}`, the segment `{segment}` is not a parameter; write `{{name}}` for one segment or `{{*rest}}` at the end"
    )]
    Braces {
        /// The whole pattern.
        path: String,
        /// The segment at fault.
        segment: String,
    },
    /// Two parameters of one name.
    #[error("the path `{path}` names `{name}` twice")]
    Twice {
        /// The whole pattern.
        path: String,
        /// The name used twice.
        name: String,
    },
    /// A segment no request can have, because such paths are refused or merged before.
    #[error(
        "the path `{path}` can never match: `{what}` is not in any path that is let through (no empty or dot segments, no encoded slashes, no query)"
    )]
    NotNormal {
        /// The whole pattern.
        path: String,
        /// The part at fault.
        what: String,
    },
}

impl PathPattern {
    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The segments before a `{*rest}`. A pattern that ends in `/` has an empty literal last.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether it ends in `{*rest}`.
    #[must_use]
    pub const fn has_rest(&self) -> bool {
        self.rest
    }

    /// Whether every path that `other` matches is matched by this one too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let (mine, theirs) = (self.segments.len(), other.segments.len());
        let long_enough = match (self.rest, other.rest) {
            (true, true) => theirs >= mine,
            // `/a/{*rest}` takes `/a/` but not `/a`.
            (true, false) => theirs > mine,
            (false, true) => false,
            (false, false) => theirs == mine,
        };
        long_enough && self.segments.iter().zip(&other.segments).all(|(mine, theirs)| mine.covers(theirs))
    }
}

impl PathPattern {
    /// The path that it matches, where it is one of plain segments: in the canonical form.
    #[must_use]
    pub fn canonical_literal(&self) -> String {
        let mut path = String::new();
        for segment in &self.segments {
            path.push('/');
            if let Segment::Literal(text) = segment {
                path.push_str(text);
            }
        }
        path
    }

    /// Whether `prefix`, a path of plain segments without a slash at the end, is what every path
    /// that matches begins with, in whole segments.
    #[must_use]
    pub fn begins_with(&self, prefix: &Self) -> bool {
        let plain = |segment: &Segment| matches!(segment, Segment::Literal(text) if !text.is_empty());
        !prefix.rest && prefix.segments.iter().all(plain) && self.segments.starts_with(&prefix.segments)
    }
}

impl Segment {
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, Self::Literal(text)) => !text.is_empty(),
            (Self::Any, Self::Any) => true,
            (Self::Literal(_), _) => self == other,
        }
    }
}

impl FromStr for PathPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let path = || text.to_owned();
        let inside = text.strip_prefix('/').ok_or_else(|| PatternError::NotRooted(path()))?;
        let parts: Vec<&str> = inside.split('/').collect();
        let last = parts.len() - 1;
        let (mut segments, mut names, mut rest) = (Vec::new(), Vec::new(), false);
        for (at, part) in parts.iter().copied().enumerate() {
            let braces = || PatternError::Braces { path: path(), segment: part.to_owned() };
            let Some(inner) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) else {
                if part.contains(['{', '}', '*']) {
                    return Err(braces());
                }
                let canonical = canonical(part).filter(|text| !text.is_empty() || at == last);
                segments.push(Segment::Literal(canonical.ok_or_else(|| PatternError::NotNormal {
                    path: path(),
                    what: if part.is_empty() { "//".to_owned() } else { part.to_owned() },
                })?));
                continue;
            };
            let name = inner.strip_prefix('*').unwrap_or(inner);
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
                return Err(braces());
            }
            if names.contains(&name) {
                return Err(PatternError::Twice { path: path(), name: name.to_owned() });
            }
            names.push(name);
            if inner.starts_with('*') {
                if at != last {
                    return Err(PatternError::RestNotLast(path()));
                }
                rest = true;
            } else {
                segments.push(Segment::Any);
            }
        }
        Ok(Self { text: path(), segments, rest })
    }
}

/// A literal segment in the canonical form that paths are compared in; none where no path that
/// is let through can have it.
fn canonical(segment: &str) -> Option<String> {
    if segment.contains(['?', '#']) {
        return None;
    }
    let rooted = format!("/{segment}");
    let canonical = normalise(&rooted).ok()?;
    Some(canonical.trim_start_matches('/').to_owned())
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The name of a method: `GET`, `POST` or any other token, in capitals.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MethodInput(pub http::Method);

/// What is wrong with a method's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a method; methods are written in capitals, such as GET or POST")]
pub struct MethodError(String);

impl FromStr for MethodInput {
    type Err = MethodError;

    fn from_str(text: &str) -> Result<Self, MethodError> {
        let wrong = || MethodError(text.to_owned());
        if text.chars().any(|c| c.is_ascii_lowercase()) {
            return Err(wrong());
        }
        http::Method::from_bytes(text.as_bytes()).map(Self).map_err(|_| wrong())
    }
}

impl fmt::Display for MethodInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

text_form!(PathPattern, "^/", "A path: /v1/answer, /v1/documents/{id}, /v1/documents/{*rest}.");
text_form!(MethodInput, "^[A-Z!#$%&'*+.^_`|~0-9-]+$", "A method in capitals: GET, POST.");

/// Who a request is for.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantsInput {
    /// Where a request names its tenant.
    pub from: TenantSource,
    /// Groups of tenants whose rates are multiplied, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<BTreeMap<String, TenantClassInput>>,
}

/// Where a request names its tenant.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TenantSource {
    /// In this request header.
    Header(String),
    /// In this query parameter.
    Query(String),
    /// By the hash of the API key in this header: `key-` and the first 32 digits of its SHA-256.
    ApiKey(String),
    /// In this claim of a JWT that was verified by `jwt`: its name, or a JSON pointer.
    Claim(String),
}

impl TenantSource {
    /// The same, checked; or the key that is wrong, and why.
    pub fn check(&self) -> Result<TenantFrom, (&'static str, String)> {
        let header = |key, name: &str| {
            HeaderName::try_from(name).map_err(|_| {
                (key, format!("`{name}` is not the name of a header; write one such as x-tenant-id"))
            })
        };
        match self {
            Self::Header(name) => header("header", name).map(TenantFrom::Header),
            Self::ApiKey(name) => header("api_key", name).map(TenantFrom::ApiKey),
            Self::Query(name) if name.is_empty() => {
                Err(("query", "names no query parameter; write one such as tenant".to_owned()))
            }
            Self::Query(name) => Ok(TenantFrom::Query(name.as_str().into())),
            Self::Claim(name) => ClaimName::new(name).map(TenantFrom::Claim).map_err(|why| ("claim", why)),
        }
    }
}

/// Where a request names its lane.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LaneSource {
    /// In this request header: `interactive` or `batch`.
    Header(String),
}

/// A group of tenants.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantClassInput {
    /// What its members' rates, bursts and budgets are multiplied by.
    pub multiplier: f64,
    /// The tenants in it.
    pub members: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::{MethodInput, PathPattern};

    fn pattern(text: &str) -> PathPattern {
        text.parse().unwrap()
    }

    #[test]
    fn patterns_say_what_is_wrong() {
        let table = [
            ("v1", "the path `v1` must begin with `/`"),
            ("/{*rest}/x", "in the path `/{*rest}/x`, `{*…}` must be the last segment"),
            (
                "/a{b}",
                "in the path `/a{b}`, the segment `a{b}` is not a parameter; write `{name}` for one segment or `{*rest}` at the end",
            ),
            ("/{a}/{a}", "the path `/{a}/{a}` names `a` twice"),
            (
                "/a//b",
                "the path `/a//b` can never match: `//` is not in any path that is let through (no empty or dot segments, no encoded slashes, no query)",
            ),
        ];
        for (text, message) in table {
            assert_eq!(text.parse::<PathPattern>().unwrap_err().to_string(), message);
        }
        for text in ["/{}", "/{*}", "/*", "/a/../b", "/a?b", "/{a b}", "/%2f", "/%4", ""] {
            assert!(text.parse::<PathPattern>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_wider_pattern_covers_a_narrower_one() {
        let covering = [
            ("/{*rest}", "/"),
            ("/{*rest}", "/a/b"),
            ("/{*all}", "/{*rest}"),
            ("/a/{*rest}", "/a/{id}"),
            ("/{x}", "/{y}"),
            ("/{x}", "/a"),
            ("/a/", "/a/"),
            ("/%7euser", "/~user"),
            ("/a/{*r}", "/a/"),
        ];
        for (wide, narrow) in covering {
            assert!(pattern(wide).covers(&pattern(narrow)), "{wide} over {narrow}");
        }
        for (one, other) in [
            ("/a", "/{x}"),
            ("/{x}", "/"),
            ("/a", "/a/"),
            ("/{x}/b", "/{*rest}"),
            ("/a/{*r}", "/b"),
            ("/a/{*r}", "/a"),
        ] {
            assert!(!pattern(one).covers(&pattern(other)), "{one} over {other}");
        }
    }

    #[test]
    fn methods_are_tokens_in_capitals() {
        assert!("M-SEARCH".parse::<MethodInput>().is_ok());
        for text in ["get", "", "A B", "Ä"] {
            assert!(text.parse::<MethodInput>().is_err(), "{text}");
        }
    }
}
