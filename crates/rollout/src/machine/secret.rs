//! What signs the cookies.

use std::{
    collections::hash_map::RandomState,
    fmt::{self, Write as _},
    hash::BuildHasher,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest, Sha256};

/// 32 bytes that nobody else knows. In the record they are hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(pub [u8; 32]);

impl Secret {
    /// Bytes that nobody has drawn before.
    ///
    /// They come from the keys that the standard library draws from the system for its hash
    /// maps, 128 bits, through `SipHash` and SHA-256; [`sluicegate_core::Chance`] is not for
    /// secrets.
    #[must_use]
    pub fn draw() -> Self {
        let system = RandomState::new();
        let mut digest = Sha256::new();
        for part in 0..4_u64 {
            digest.update(system.hash_one(part).to_be_bytes());
        }
        Self(digest.finalize().into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = String::with_capacity(64);
        for byte in self.0 {
            write!(text, "{byte:02x}").map_err(serde::ser::Error::custom)?;
        }
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || D::Error::custom("a secret is not 64 hexadecimal digits");
        if text.len() != 64 || !text.is_ascii() {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}
