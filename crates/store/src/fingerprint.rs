//! What makes two requests under one key the same request.
//!
//! Method, path, query and a digest of the body. A JSON body is digested as what it says and
//! not as it is spelled: the order of members, white space and escapes do not matter, nor do
//! the fields that the route ignores. Numbers are the same where they have the same value;
//! other than in the canonical form of RFC 8785, whole numbers up to 64 bits keep all their
//! digits, since ids of that size are common and two of them must not look alike. A body
//! counts by its bytes where it is not JSON, where it has two members of one name, a whole
//! number past 64 bits, or is nested deeper than 128: readers differ about what these say.
//!
//! Of a JSON body the digests of its parts are kept too, as deep as [`MOST_LEAVES`] pointers
//! reach, so that a conflict can name what differs; never values.
//!
//! A body that was not gathered counts by its `Content-Digest` (RFC 9530). Its sha-256 is the
//! digest that the gathered body would have had if it is not JSON.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Method, Uri, header};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

mod json;

/// The most pointers that are kept of a JSON body.
pub const MOST_LEAVES: usize = 64;

/// What of a request makes its fingerprint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FingerprintRules {
    /// JSON pointers into the body to what does not count; `*` stands for every item or
    /// member.
    pub ignore: Vec<Box<str>>,
}

/// What a request was.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Fingerprint {
    method: [u8; 8],
    path: [u8; 16],
    query: [u8; 16],
    body: BodyPrint,
    /// The pointers of a JSON body's parts with short digests of their values; empty for
    /// other bodies and for those with too many.
    leaves: Vec<(Box<str>, u32)>,
}

/// What a body was. Bodies of different kinds are never the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
enum BodyPrint {
    /// Not gathered, and nothing said what it was.
    Unread,
    /// A digest of what the JSON says.
    Json([u8; 32]),
    /// The sha-256 of the bytes.
    Bytes([u8; 32]),
    /// A digest of the sha-512 of the bytes.
    Sha512([u8; 32]),
}

/// What differs between two requests: `method`, `path`, `query`, `body`, or a JSON pointer
/// into the body.
pub type Difference = Box<str>;

impl Fingerprint {
    /// The fingerprint of a request; `body` is none where it was not gathered. Such a request
    /// must have a [`has_content_digest`], else its body does not count.
    #[must_use]
    pub fn of(
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: Option<&Bytes>,
        rules: &FingerprintRules,
    ) -> Self {
        let (body, leaves) = match body {
            None => (digest_in(headers).unwrap_or(BodyPrint::Unread), Vec::new()),
            Some(bytes) => match may_be_json(headers).then(|| json::read(bytes, &rules.ignore)).flatten() {
                Some(value) => (BodyPrint::Json(value.digest()), value.leaves()),
                None => (BodyPrint::Bytes(Sha256::digest(bytes).into()), Vec::new()),
            },
        };
        Self {
            method: short(method.as_str()),
            path: short(uri.path()),
            query: short(uri.query().unwrap_or_default()),
            body,
            leaves,
        }
    }

    /// What differs between this request and another; nothing where they are the same.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        let mut differs: Vec<Difference> = Vec::new();
        for (name, same) in [
            ("method", self.method == other.method),
            ("path", self.path == other.path),
            ("query", self.query == other.query),
        ] {
            if !same {
                differs.push(name.into());
            }
        }
        if self.body != other.body {
            differs.extend(self.body_differences(other));
        }
        differs
    }

    fn body_differences(&self, other: &Self) -> Vec<Difference> {
        let mut pointers: Vec<&str> = Vec::new();
        for (mine, yours) in [(self, other), (other, self)] {
            let differs = |leaf: &&(Box<str>, u32)| !yours.leaves.contains(leaf);
            pointers.extend(mine.leaves.iter().filter(differs).map(|(pointer, _)| &**pointer));
        }
        pointers.sort_unstable();
        pointers.dedup();
        // Where one body has a list and the other one too long to be followed, the list itself
        // says it.
        let mut outermost: Vec<&str> = Vec::new();
        for pointer in pointers {
            let within =
                |outer: &&str| pointer.strip_prefix(*outer).is_some_and(|rest| rest.starts_with('/'));
            if !outermost.iter().any(within) {
                outermost.push(pointer);
            }
        }
        // The whole body is one leaf, or nothing is known of its parts.
        if outermost.is_empty() || outermost == [""] || self.leaves.is_empty() || other.leaves.is_empty() {
            return vec!["body".into()];
        }
        outermost.into_iter().map(Into::into).collect()
    }
}

/// Whether a request says by its `Content-Digest` what its body is, so that the body need not
/// be gathered. `sha-256` and `sha-512` are understood.
#[must_use]
pub fn has_content_digest(headers: &HeaderMap) -> bool {
    digest_in(headers).is_some()
}

/// A body may be JSON by its content type, or where it has none. An encoded one is not read.
fn may_be_json(headers: &HeaderMap) -> bool {
    if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return false;
    }
    let Some(kind) = headers.get(header::CONTENT_TYPE) else { return true };
    let essence = kind.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let essence = essence.to_ascii_lowercase();
    essence == b"application/json" || essence == b"text/json" || essence.ends_with(b"+json")
}

/// The digest in `Content-Digest`: a dictionary whose members are `name=:base64:`.
fn digest_in(headers: &HeaderMap) -> Option<BodyPrint> {
    let mut found = None;
    for value in headers.get_all("content-digest") {
        for member in value.to_str().ok()?.split(',') {
            let Some((name, value)) = member.trim().split_once('=') else { continue };
            let Some(text) = value.strip_prefix(':').and_then(|rest| rest.split_once(':')) else { continue };
            let Ok(digest) = STANDARD.decode(text.0) else { continue };
            match (name, digest.len()) {
                ("sha-256", 32) => return digest.try_into().ok().map(BodyPrint::Bytes),
                ("sha-512", 64) => found = Some(BodyPrint::Sha512(Sha256::digest(&digest).into())),
                _ => {}
            }
        }
    }
    found
}

fn short<const N: usize>(text: &str) -> [u8; N] {
    let mut short = [0; N];
    short.copy_from_slice(&Sha256::digest(text)[..N]);
    short
}

#[cfg(test)]
mod tests;
