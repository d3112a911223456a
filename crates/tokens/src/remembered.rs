//! Tokens that were verified, so that the next request with the same one costs a digest.
//!
//! At most [`REMEMBERED`] are held, and at most [`REMEMBERED_BYTES`] of token text stand behind them,
//! whatever comes, and those in use stay ([`sluicegate_core::recent`]).

use std::sync::Arc;

use sha2::{Digest, Sha256};
use sluicegate_core::{Claims, Recent};

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
}

/// What is remembered with one set of keys. A token weighs as much as it is long.
pub(crate) type Remembered = Recent<TokenDigest, Verified>;

/// Nothing is remembered yet.
pub(crate) fn nothing() -> Remembered {
    Recent::new(REMEMBERED / 2, REMEMBERED_BYTES / 2)
}

/// `against` says who must have issued the token, for whom, and signed how. The keys outlive a
/// reload that changes that, and what they remember must not.
pub(crate) fn digest(against: &TokenDigest, token: &str) -> TokenDigest {
    Sha256::new().chain_update(against).chain_update(token).finalize().into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sluicegate_core::Claims;

    use super::{REMEMBERED, REMEMBERED_BYTES, Verified, digest, nothing};

    #[test]
    fn what_is_remembered_stays_within_both_bounds() {
        for (length, bounded) in [(100, REMEMBERED), (16 * 1024, REMEMBERED_BYTES / (16 * 1024))] {
            let remembered = nothing();
            let claims = Arc::new(Claims::verified(serde_json::Map::new()));
            for number in 0..REMEMBERED * 3 {
                let verified = Verified { claims: claims.clone(), from: 0.0, until: 1.0 };
                remembered.keep(digest(&[0; 32], &number.to_string()), verified, length);
            }
            let (count, bytes) = remembered.holds();
            assert!((bounded / 2..=bounded).contains(&count), "{count} of {length} bytes");
            assert!(bytes <= REMEMBERED_BYTES, "{bytes}");
        }
    }
}
