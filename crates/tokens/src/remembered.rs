//! Tokens that were verified, so that the next request with the same one costs a digest.
//!
//! Two generations: a token is remembered in the young one; when that is full it becomes the old
//! one, and what was old is forgotten. A token that is used again moves to the young one. So at
//! most [`REMEMBERED`] are held, and at most [`REMEMBERED_BYTES`] of token text stand behind them,
//! whatever comes, and those in use stay.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use sluicegate_core::Claims;

/// The most tokens that are remembered.
pub const REMEMBERED: usize = 4096;

/// The most that these tokens may have together, in bytes: what is kept of one, its claims, grows
/// with it.
pub const REMEMBERED_BYTES: usize = 8 << 20;

/// The digest of a token and of what it was held against: the token itself is not kept.
pub(crate) type TokenDigest = [u8; 32];

/// A token that was verified: what it says, and when it holds, in seconds since 1970.
#[derive(Clone, Debug)]
pub(crate) struct Verified {
    pub(crate) claims: Arc<Claims>,
    pub(crate) from: f64,
    pub(crate) until: f64,
    /// The token's own length.
    pub(crate) length: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Remembered(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<TokenDigest, Verified>,
    old: HashMap<TokenDigest, Verified>,
    /// Of the tokens that the young one has taken.
    bytes: usize,
}

/// `against` says who must have issued the token, for whom, and signed how. The keys outlive a
/// reload that changes that, and what they remember must not.
pub(crate) fn digest(against: &TokenDigest, token: &str) -> TokenDigest {
    Sha256::new().chain_update(against).chain_update(token).finalize().into()
}

impl Remembered {
    pub(crate) fn find(&self, token: &TokenDigest) -> Option<Verified> {
        let mut both = self.0.lock();
        if let Some(found) = both.young.get(token) {
            return Some(found.clone());
        }
        let found = both.old.remove(token)?;
        both.keep(*token, found.clone());
        Some(found)
    }

    pub(crate) fn keep(&self, token: TokenDigest, verified: Verified) {
        self.0.lock().keep(token, verified);
    }
}

impl Generations {
    fn keep(&mut self, token: TokenDigest, verified: Verified) {
        let bytes = self.bytes + verified.length;
        if self.young.len() >= REMEMBERED / 2 || bytes > REMEMBERED_BYTES / 2 {
            self.old = std::mem::take(&mut self.young);
            self.bytes = verified.length;
        } else {
            self.bytes = bytes;
        }
        self.young.insert(token, verified);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sluicegate_core::Claims;

    use super::{REMEMBERED, REMEMBERED_BYTES, Remembered, Verified, digest};

    #[test]
    fn a_flood_is_bounded_and_what_is_used_stays() {
        let remembered = Remembered::default();
        let claims = Arc::new(Claims::verified(serde_json::Map::new()));
        let verified = || Verified { claims: claims.clone(), from: 0.0, until: 1.0, length: 100 };
        let digest = |token: &str| digest(&[0; 32], token);
        let used = digest("used");
        remembered.keep(used, verified());
        for number in 0..REMEMBERED * 3 {
            remembered.keep(digest(&number.to_string()), verified());
            if number % 1000 == 0 {
                assert!(remembered.find(&used).is_some(), "after {number}");
            }
        }
        let both = remembered.0.lock();
        assert!(both.young.len() + both.old.len() <= REMEMBERED);
        drop(both);
        assert!(remembered.find(&digest("0")).is_none());
    }

    #[test]
    fn long_tokens_are_fewer() {
        let remembered = Remembered::default();
        let claims = Arc::new(Claims::verified(serde_json::Map::new()));
        for number in 0..REMEMBERED {
            let verified = Verified { claims: claims.clone(), from: 0.0, until: 1.0, length: 16 * 1024 };
            remembered.keep(digest(&[0; 32], &number.to_string()), verified);
        }
        let both = remembered.0.lock();
        let bytes: usize = both.young.values().chain(both.old.values()).map(|it| it.length).sum();
        assert!(bytes <= REMEMBERED_BYTES && bytes > REMEMBERED_BYTES / 4, "{bytes}");
    }
}
