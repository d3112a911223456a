//! The bearer tokens of the admin API: who may ask, and for what.
//!
//! Each has a name, which the audit log tells, and a role. Only the SHA-256 of a token is kept, and
//! one that is sent is compared with all of them, without an early way out: neither memory nor
//! timing gives one away. A reload may set, change or remove them; the next request is judged by
//! the new ones.

use std::sync::Arc;

use http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use sluicegate_core::Live;
use subtle::ConstantTimeEq;

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// To look.
    Read,
    /// To look and to change.
    Operate,
}

impl Role {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
        }
    }
}

/// A token with its name.
#[derive(Debug)]
pub struct NamedToken {
    /// What the audit log calls it.
    pub name: String,
    /// What it is good for.
    pub role: Role,
    /// The token; spaces and line ends around it come from the file it was read from.
    pub secret: String,
}

/// The tokens that requests may carry; without any, none is asked for.
#[derive(Debug)]
pub struct Tokens(Live<Vec<Known>>);

#[derive(Debug)]
struct Known {
    digest: [u8; 32],
    bearer: Bearer,
}

/// Who has sent a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bearer {
    pub(crate) name: Arc<str>,
    pub(crate) role: Role,
}

impl Tokens {
    /// With these.
    #[must_use]
    pub fn new(tokens: &[NamedToken]) -> Self {
        Self(Live::new(known(tokens)))
    }

    /// Replaces them for every request from now on.
    pub fn set(&self, tokens: &[NamedToken]) {
        self.0.store(known(tokens));
    }

    /// Whether requests must carry one.
    pub fn is_required(&self) -> bool {
        !self.0.load().is_empty()
    }

    /// Whose token these headers carry.
    pub(crate) fn bearer(&self, headers: &HeaderMap) -> Option<Bearer> {
        let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let (scheme, token) = sent?.split_once(' ')?;
        let sent = digest(token);
        let all = self.0.load();
        let found = all
            .iter()
            .fold(None, |found, it| if bool::from(it.digest.ct_eq(&sent)) { Some(it) } else { found });
        found.filter(|_| scheme.eq_ignore_ascii_case("bearer")).map(|it| it.bearer.clone())
    }
}

fn known(tokens: &[NamedToken]) -> Vec<Known> {
    tokens
        .iter()
        .map(|NamedToken { name, role, secret }| Known {
            digest: digest(secret),
            bearer: Bearer { name: name.as_str().into(), role: *role },
        })
        .collect()
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.trim().as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header};

    use super::{NamedToken, Role, Tokens};

    fn with(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::try_from(value).unwrap());
        headers
    }

    fn token(name: &str, role: Role, secret: &str) -> NamedToken {
        NamedToken { name: name.to_owned(), role, secret: secret.to_owned() }
    }

    #[test]
    fn only_the_present_tokens_are_let_in_each_under_its_name() {
        let tokens =
            Tokens::new(&[token("night", Role::Operate, "first\n"), token("board", Role::Read, "look")]);
        let who = |value: &str| tokens.bearer(&with(value)).map(|it| (it.name.to_string(), it.role));
        assert_eq!(who("Bearer first"), Some(("night".to_owned(), Role::Operate)));
        assert_eq!(who("bearer first"), Some(("night".to_owned(), Role::Operate)));
        assert_eq!(who("Bearer look"), Some(("board".to_owned(), Role::Read)));
        for wrong in ["Bearer second", "Bearer ", "Bearer", "Basic first", "first", "Bearer first2"] {
            assert_eq!(who(wrong), None, "{wrong}");
        }
        assert_eq!(tokens.bearer(&HeaderMap::new()), None);
        tokens.set(&[token("night", Role::Operate, "second")]);
        assert!(
            tokens.bearer(&with("Bearer first")).is_none() && tokens.bearer(&with("Bearer look")).is_none()
        );
        assert!(tokens.bearer(&with("Bearer second")).is_some() && tokens.is_required());
        tokens.set(&[]);
        assert!(!tokens.is_required());
    }
}
