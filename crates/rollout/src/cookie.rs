//! The cookie that keeps a browser on its arm.
//!
//! Its value is base64url of `key (8 bytes) | epoch (4) | tag (16)`, 38 characters. The key is
//! drawn at random when a browser comes without a good cookie; it is no name of a user and says
//! nothing outside this rollout. The tag is the first half of HMAC-SHA256 (RFC 2104; truncated as
//! in RFC 4868) over `rollout | key | epoch` under the rollout's secret, compared in constant
//! time: a client cannot choose its key, and so cannot choose its arm, and a cookie of another
//! rollout or installation does not count. Nor does one of another epoch: with each run keys are
//! drawn anew, so that it is not always the same people who try what is new.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use http::{HeaderMap, HeaderValue};
use sha2::Sha256;
use sluicegate_core::CookieName;

const KEY: usize = 8;
const EPOCH: usize = 4;
const TAG: usize = 16;
const BYTES: usize = KEY + EPOCH + TAG;
/// Of the value: four characters for three bytes, without padding.
const CHARACTERS: usize = (BYTES * 4).div_ceil(3);

/// How long a browser keeps it: a week, in seconds.
const MAX_AGE: u32 = 604_800;

/// A browser sends one, or a few where pages under several paths or hosts have set it; each one
/// that is looked at costs a digest.
const MOST_LOOKED_AT: usize = 3;

/// Signs and reads the cookies of one rollout in one epoch.
#[derive(Clone)]
pub(crate) struct Signer {
    /// Has read the rollout's name.
    mac: Hmac<Sha256>,
    epoch: [u8; EPOCH],
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").finish_non_exhaustive()
    }
}

impl Signer {
    pub(crate) fn new(secret: &[u8; 32], rollout: &str, epoch: u64) -> Self {
        // HMAC itself fills a short key up with zeros to the block of its hash.
        let mut key = [0; 64];
        key[..secret.len()].copy_from_slice(secret);
        let mut mac = <Hmac<Sha256> as Mac>::new(&key.into());
        mac.update(rollout.as_bytes());
        let [.., a, b, c, d] = epoch.to_be_bytes();
        Self { mac, epoch: [a, b, c, d] }
    }

    fn tagged(&self, key: [u8; KEY]) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        mac.update(&key);
        mac.update(&self.epoch);
        mac
    }

    /// The cookie's value for this key.
    pub(crate) fn sign(&self, key: [u8; KEY]) -> String {
        let tag = self.tagged(key).finalize().into_bytes();
        let mut bytes = [0; BYTES];
        bytes[..KEY].copy_from_slice(&key);
        bytes[KEY..KEY + EPOCH].copy_from_slice(&self.epoch);
        bytes[KEY + EPOCH..].copy_from_slice(&tag[..TAG]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The key in a value that was signed for this rollout and epoch.
    pub(crate) fn read(&self, value: &[u8]) -> Option<[u8; KEY]> {
        if value.len() != CHARACTERS {
            return None;
        }
        // Room for what the length could stand for at most.
        let mut bytes = [0; CHARACTERS.div_ceil(4) * 3];
        let read = URL_SAFE_NO_PAD.decode_slice(value, &mut bytes).ok()?;
        let (key, rest) = bytes[..read].split_first_chunk::<KEY>()?;
        let (epoch, tag) = rest.split_first_chunk::<EPOCH>()?;
        if *epoch != self.epoch || tag.len() != TAG {
            return None;
        }
        self.tagged(*key).verify_truncated_left(tag).is_ok().then_some(*key)
    }

    /// The key of the first good cookie of that name.
    pub(crate) fn find(&self, name: &CookieName, headers: &HeaderMap) -> Option<[u8; KEY]> {
        let mut looked_at =
            name.values(headers).filter(|value| value.len() == CHARACTERS).take(MOST_LOOKED_AT);
        looked_at.find_map(|value| self.read(value))
    }

    /// The `Set-Cookie` for a key.
    pub(crate) fn set_cookie(&self, name: &CookieName, key: [u8; KEY], secure: bool) -> Option<HeaderValue> {
        let (name, value) = (name.as_str(), self.sign(key));
        let secure = if secure { "; Secure" } else { "" };
        let cookie = format!("{name}={value}; Path=/; Max-Age={MAX_AGE}; HttpOnly; SameSite=Lax{secure}");
        HeaderValue::try_from(cookie).ok()
    }
}

#[cfg(test)]
mod tests;
