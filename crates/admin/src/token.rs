//! The bearer token of the admin API.
//!
//! Only the token's SHA-256 is kept, and digests are compared without an early way out, so
//! that neither memory nor timing gives it away. A reload may set, change or remove it; the
//! next request is judged by the new one.

use http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use sluicegate_core::Live;

/// The token that requests must carry, if any.
#[derive(Debug)]
pub struct Token(Live<Option<[u8; 32]>>);

impl Token {
    /// With a token, or `None` for an API that asks for none.
    #[must_use]
    pub fn new(token: Option<&str>) -> Self {
        Self(Live::new(token.map(digest)))
    }

    /// Replaces it for every request from now on.
    pub fn set(&self, token: Option<&str>) {
        self.0.store(token.map(digest));
    }

    /// Whether requests must carry one.
    pub fn is_required(&self) -> bool {
        self.0.load().is_some()
    }

    /// Whether these headers carry it; true when none is required.
    pub(crate) fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(expected) = **self.0.load() else { return true };
        let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some((scheme, token)) = sent.and_then(|value| value.split_once(' ')) else { return false };
        let differing = digest(token.trim()).iter().zip(expected).fold(0, |all, (a, b)| all | (a ^ b));
        scheme.eq_ignore_ascii_case("bearer") && differing == 0
    }
}

/// Spaces and line ends around a token come from the file it was read from.
fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.trim().as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header};

    use super::Token;

    fn with(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::try_from(value).unwrap());
        headers
    }

    #[test]
    fn only_the_present_token_is_let_in() {
        let token = Token::new(Some("first\n"));
        assert!(token.admits(&with("Bearer first")));
        assert!(token.admits(&with("bearer first")));
        for wrong in ["Bearer second", "Bearer ", "Bearer", "Basic first", "first", "Bearer first2"] {
            assert!(!token.admits(&with(wrong)), "{wrong}");
        }
        assert!(!token.admits(&HeaderMap::new()));
        token.set(Some("second"));
        assert!(!token.admits(&with("Bearer first")));
        assert!(token.admits(&with("Bearer second")));
        token.set(None);
        assert!(token.admits(&HeaderMap::new()));
    }
}
