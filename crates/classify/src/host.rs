//! Which hosts a route answers for.
//!
//! | pattern | matches | does not match |
//! |---|---|---|
//! | `api.example.org` | `api.example.org`, `API.example.org.:8443` | `a.api.example.org` |
//! | `*.example.org` | `api.example.org`, `eu.api.example.org` | `example.org` |
//! | `[2001:db8::7]` | `[2001:db8::7]:8080` | |
//!
//! A host is what `Host` says, or `:authority` on HTTP/2, without its port, without the dot that
//! ends an absolute name, and whatever its case. Comparing allocates nothing.

use std::{fmt, net::Ipv6Addr, str::FromStr};

use sluicegate_core::text_form;

/// The longest name that DNS has.
const LONGEST: usize = 253;

/// A host, or all hosts below one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPattern {
    /// In lower case; without the star, and so with a dot first, where it is a wildcard.
    text: Box<str>,
    below: bool,
}

/// What is wrong with the pattern of a host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a host; write one such as api.example.org, or *.example.org for all below it, without a port"
)]
pub struct HostError(String);

impl HostPattern {
    /// Whether the value of a `Host` field, or an `:authority`, is one of its hosts.
    #[must_use]
    pub fn matches(&self, host: &[u8]) -> bool {
        let (host, text) = (bare(host), self.text.as_bytes());
        let Some(before) = host.len().checked_sub(text.len()) else { return false };
        (if self.below { before > 0 } else { before == 0 }) && host[before..].eq_ignore_ascii_case(text)
    }

    /// Whether every host that `other` matches is matched by this one too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self.below, other.below) {
            (false, true) => false,
            (false, false) => self == other,
            (true, false) => self.matches(other.text.as_bytes()),
            (true, true) => other.text.ends_with(&*self.text),
        }
    }
}

/// Without the port, and without the last dot of an absolute name.
fn bare(host: &[u8]) -> &[u8] {
    let end = if host.first() == Some(&b'[') {
        host.iter().position(|byte| *byte == b']').map(|bracket| bracket + 1)
    } else {
        host.iter().position(|byte| *byte == b':')
    };
    let host = &host[..end.unwrap_or(host.len())];
    host.strip_suffix(b".").unwrap_or(host)
}

impl FromStr for HostPattern {
    type Err = HostError;

    fn from_str(written: &str) -> Result<Self, HostError> {
        let wrong = || HostError(written.to_owned());
        let text = written.to_ascii_lowercase();
        if let Some(inside) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
            inside.parse::<Ipv6Addr>().map_err(|_| wrong())?;
            return Ok(Self { text: text.into(), below: false });
        }
        let (name, below) = match text.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (text.as_str(), false),
        };
        let fits = |label: &str| {
            !label.is_empty()
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        if name.len() > LONGEST || !name.split('.').all(fits) {
            return Err(wrong());
        }
        let text = if below { format!(".{name}") } else { name.to_owned() };
        Ok(Self { text: text.into(), below })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.below { "*" } else { "" })?;
        f.write_str(&self.text)
    }
}

text_form!(
    HostPattern,
    r"^(\*\.)?[A-Za-z0-9_.-]+$|^\[",
    "A host without its port: api.example.org, or *.example.org for all hosts below it."
);

#[cfg(test)]
mod tests {
    use super::HostPattern;

    fn host(text: &str) -> HostPattern {
        text.parse().unwrap()
    }

    #[test]
    fn hosts_match_what_they_say() {
        let table: &[(&str, &[&str], &[&str])] = &[
            (
                "API.example.org",
                &["api.example.org", "Api.Example.Org:8443", "api.example.org.", "api.example.org.:80"],
                &["example.org", "a.api.example.org", "api.example.orgx", "", "api.example.org.."],
            ),
            (
                "*.example.org",
                &["a.example.org", "a.b.EXAMPLE.org:1"],
                &["example.org", ".example.org", "aexample.org", "example.org.evil"],
            ),
            ("[2001:DB8::7]", &["[2001:db8::7]", "[2001:db8::7]:8080"], &["[2001:db8::8]", "2001"]),
            ("127.0.0.1", &["127.0.0.1:80"], &["127.0.0.11"]),
        ];
        for (text, yes, no) in table {
            for given in *yes {
                assert!(host(text).matches(given.as_bytes()), "{text} should match {given}");
            }
            for given in *no {
                assert!(!host(text).matches(given.as_bytes()), "{text} should not match {given}");
            }
        }
    }

    #[test]
    fn what_is_no_host_is_told() {
        for text in ["", "*", "*.", "a..b", "a.b.", "http://a", "a:80", "a/b", "*a.b", "a.*.b", "[::1", "[a]"]
        {
            let error = text.parse::<HostPattern>().unwrap_err().to_string();
            assert!(error.contains("is not a host"), "{text}: {error}");
        }
        assert_eq!(host("*.Example.org").to_string(), "*.example.org");
    }

    #[test]
    fn a_wider_pattern_covers_a_narrower_one() {
        for (wide, narrow) in
            [("*.b.org", "a.b.org"), ("*.b.org", "*.a.b.org"), ("*.b.org", "*.b.org"), ("a.org", "A.org")]
        {
            assert!(host(wide).covers(&host(narrow)), "{wide} over {narrow}");
        }
        for (one, other) in [("*.b.org", "b.org"), ("a.b.org", "*.b.org"), ("*.a.b.org", "*.b.org")] {
            assert!(!host(one).covers(&host(other)), "{one} over {other}");
        }
    }
}
