//! A route's path pattern in the form it is matched in.
//!
//! An operator writes a [`PathPattern`]; a [`Pattern`] is that, made ready.
//!
//! | pattern | matches | does not match |
//! |---|---|---|
//! | `/v1/retrieve` | `/v1/retrieve` | `/v1/retrieve/` |
//! | `/v1/{id}/chunks` | `/v1/7/chunks` | `/v1//chunks`, `/v1/7/8/chunks` |
//! | `/v1/documents/{*rest}` | `/v1/documents/`, `/v1/documents/a/b` | `/v1/documents` |
//! | `/{*rest}` | every path | the target of `OPTIONS *` |
//!
//! `{name}` is exactly one segment and not empty; `{*name}` is all the rest, which may be
//! empty. Matching is case-sensitive, allocates nothing and never goes back: a parameter
//! ends at the next slash and nowhere else. Literals are in the canonical form of
//! [`crate::path`], so `/%7Euser` and `/~user` are one pattern.

use crate::input::{PathPattern, PatternError, Segment};

/// A pattern, ready to be matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// What the path begins with, up to the first parameter.
    literal: Box<str>,
    /// What follows it.
    tail: Box<[Part]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// These characters, slashes included.
    Literal(Box<str>),
    /// One segment.
    One,
    /// Everything that is left.
    Rest,
}

impl Pattern {
    /// Reads a pattern and makes it ready.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        Ok(Self::new(&text.parse()?))
    }

    /// Makes a pattern ready.
    #[must_use]
    pub fn new(pattern: &PathPattern) -> Self {
        let mut literal = String::new();
        let mut tail = Vec::new();
        for segment in pattern.segments() {
            append(&mut literal, &mut tail, "/");
            match segment {
                Segment::Any => tail.push(Part::One),
                Segment::Literal(text) => append(&mut literal, &mut tail, text),
            }
        }
        if pattern.has_rest() {
            append(&mut literal, &mut tail, "/");
            tail.push(Part::Rest);
        }
        Self { literal: literal.into(), tail: tail.into() }
    }

    /// Whether a canonical path matches.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let Some(mut left) = path.strip_prefix(&*self.literal) else { return false };
        for part in &self.tail {
            match part {
                Part::Literal(literal) => match left.strip_prefix(&**literal) {
                    Some(after) => left = after,
                    None => return false,
                },
                Part::One => {
                    let end = left.find('/').unwrap_or(left.len());
                    if end == 0 {
                        return false;
                    }
                    left = &left[end..];
                }
                Part::Rest => return true,
            }
        }
        left.is_empty()
    }

    /// What every path that matches begins with.
    pub(crate) fn literal(&self) -> &str {
        &self.literal
    }
}

/// Adds literal characters to what comes last: the beginning, or a literal after a parameter.
fn append(literal: &mut String, tail: &mut Vec<Part>, text: &str) {
    match tail.last_mut() {
        None => literal.push_str(text),
        Some(Part::Literal(last)) => *last = format!("{last}{text}").into(),
        Some(_) => tail.push(Part::Literal(text.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::{Pattern, PatternError};

    #[test]
    fn patterns_match_what_they_say() {
        let table: &[(&str, &[&str], &[&str])] = &[
            ("/", &["/"], &["/a", "*"]),
            ("/v1/retrieve", &["/v1/retrieve"], &["/v1/retrieve/", "/v1/Retrieve", "/v1/retrieved", "/v1"]),
            ("/a/", &["/a/"], &["/a", "/a/b"]),
            ("/v1/{id}/chunks", &["/v1/7/chunks"], &["/v1/chunks", "/v1/7/8/chunks", "/v1/7/chunks/"]),
            ("/v1/{id}", &["/v1/7"], &["/v1/", "/v1/7/", "/v1/7/8", "/v1"]),
            ("/{a}/{b}", &["/1/2"], &["/1", "/1/", "/1/2/3"]),
            ("/{a}/", &["/1/"], &["/1", "//"]),
            (
                "/v1/documents/{*rest}",
                &["/v1/documents/", "/v1/documents/a/b"],
                &["/v1/documents", "/v1/doc"],
            ),
            ("/{*rest}", &["/", "/a", "/a/b/"], &["*"]),
            ("/{db}/x/{*rest}", &["/d/x/", "/d/x/y"], &["/d/x", "/x/"]),
            ("/%c3%a9/%7euser", &["/%C3%A9/~user"], &["/%c3%a9/%7euser"]),
            ("/pkg.Service/{method}", &["/pkg.Service/Get"], &["/pkg.Service/"]),
        ];
        for (text, yes, no) in table {
            let pattern = Pattern::parse(text).unwrap();
            for path in *yes {
                assert!(pattern.matches(path), "{text} should match {path}");
            }
            for path in *no {
                assert!(!pattern.matches(path), "{text} should not match {path}");
            }
        }
    }

    #[test]
    fn patterns_that_no_request_can_match_are_refused() {
        for text in ["/a/../b", "/a%2fb", "/a/..;x/b", "/%c0%ae", "/%+1"] {
            assert!(matches!(Pattern::parse(text), Err(PatternError::NotNormal { .. })), "{text}");
        }
        for text in ["", "a/b", "/{*a}/b", "/a{b}"] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }
}
