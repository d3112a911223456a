//! A body that can be made and checked at any length without being held.
//!
//! The bytes repeat with a prime period and look random inside it, so that a piece that is
//! lost, doubled or moved does not go unseen.

use std::{fmt::Write as _, sync::LazyLock};

use bytes::Bytes;
use ring::digest::{Context, SHA256};

/// The period, a prime: no buffer size divides it.
const PERIOD: usize = 65_521;

static BLOCK: LazyLock<Bytes> = LazyLock::new(|| {
    let mut state = 0x9e37_79b9_u32;
    (0..PERIOD)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state.to_le_bytes()[1]
        })
        .collect::<Vec<u8>>()
        .into()
});

/// The pattern's first `length` bytes in pieces of at most its period.
pub fn pieces(length: u64) -> impl Iterator<Item = Bytes> + Send {
    let mut left = length;
    std::iter::from_fn(move || {
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(PERIOD);
        left -= size as u64;
        (size > 0).then(|| BLOCK.slice(..size))
    })
}

/// The SHA-256 of the pattern's first `length` bytes, in hexadecimal.
pub fn digest(length: u64) -> String {
    let mut digest = Digest::default();
    pieces(length).for_each(|piece| digest.add(&piece));
    digest.finish()
}

/// A SHA-256 that is fed piece by piece.
#[derive(Clone)]
pub struct Digest(Context);

impl Default for Digest {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl Digest {
    /// Takes in a piece.
    pub fn add(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The digest in hexadecimal.
    pub fn finish(self) -> String {
        let mut text = String::new();
        for byte in self.0.finish().as_ref() {
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}
