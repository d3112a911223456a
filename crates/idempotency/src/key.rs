//! The idempotency key of a request: sent or derived, and the place of its fence.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value;
use sha2::{Digest, Sha256};
use sluicegate_core::{Claims, Code, Refusal, headers::hex};
use sluicegate_store::RecordKey;

use crate::input::{KeyPart, ScopePart};

/// The header in which a client sends its key.
pub static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The longest key, in characters.
pub const MAX_KEY: usize = 255;

/// A key as it will be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// What the client sent, without quotes; or the digest of the parts it was derived from.
    pub(crate) text: Box<str>,
    /// It was derived: no key that a client sends is ever the same.
    pub(crate) derived: bool,
}

/// Why a key that was sent cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyFault {
    #[error("Idempotency-Key was sent more than once; send one key")]
    Several,
    #[error("Idempotency-Key is empty; send 1 to {MAX_KEY} characters")]
    Empty,
    #[error("Idempotency-Key has {0} characters; {MAX_KEY} is the most")]
    TooLong(usize),
    #[error(
        "Idempotency-Key has a character at position {0} that is not allowed there; send a quoted string of printable ASCII, or a bare key of visible ASCII without `\"`, `,`, `;` and `\\`"
    )]
    BadByte(usize),
    #[error("Idempotency-Key begins with a quote that is not closed; send \"key\" or key")]
    Unclosed,
}

impl From<KeyFault> for Refusal {
    fn from(fault: KeyFault) -> Self {
        Self::new(Code::IdempotencyKeyInvalid, fault.to_string())
    }
}

/// The key that a client sent, if it sent one: a string of RFC 8941, as the IETF draft has it,
/// or the bare key that most clients send. Both forms of the same text are the same key.
pub(crate) fn sent(headers: &HeaderMap) -> Result<Option<Key>, KeyFault> {
    let mut values = headers.get_all(&IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(KeyFault::Several);
    }
    let value = value.as_bytes().trim_ascii();
    let text = if value.first() == Some(&b'"') { quoted(value)? } else { bare(value)? };
    match text.len() {
        0 => Err(KeyFault::Empty),
        1..=MAX_KEY => Ok(Some(Key { text: text.into(), derived: false })),
        longer => Err(KeyFault::TooLong(longer)),
    }
}

fn bare(value: &[u8]) -> Result<String, KeyFault> {
    let allowed = |byte: &u8| byte.is_ascii_graphic() && !b"\",;\\".contains(byte);
    match value.iter().position(|byte| !allowed(byte)) {
        Some(at) => Err(KeyFault::BadByte(at + 1)),
        None => Ok(value.iter().map(|byte| char::from(*byte)).collect()),
    }
}

/// RFC 8941 section 3.3.3; parameters after the string mean nothing here and are refused.
fn quoted(value: &[u8]) -> Result<String, KeyFault> {
    let mut text = String::new();
    let mut bytes = value.iter().enumerate().skip(1);
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => {
                return if at + 1 == value.len() { Ok(text) } else { Err(KeyFault::BadByte(at + 2)) };
            }
            b'\\' => match bytes.next() {
                Some((_, escaped @ (b'"' | b'\\'))) => text.push(char::from(*escaped)),
                Some((at, _)) => return Err(KeyFault::BadByte(at + 1)),
                None => return Err(KeyFault::Unclosed),
            },
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => return Err(KeyFault::BadByte(at + 1)),
        }
    }
    Err(KeyFault::Unclosed)
}

/// The key that follows from the parts named by the route; none where one of them is missing.
/// `body` is none where it was not gathered.
pub(crate) fn derived(parts: &[KeyPart], headers: &HeaderMap, body: Option<&[u8]>) -> Option<Key> {
    if parts.is_empty() {
        return None;
    }
    let mut hasher = Sha256::new();
    let mut json: Option<Value> = None;
    for part in parts {
        match part {
            KeyPart::Header(name) => feed_header(&mut hasher, headers, name)?,
            KeyPart::Json(pointer) => {
                if json.is_none() {
                    json = serde_json::from_slice(body?).ok();
                }
                let scalar = match json.as_ref()?.pointer(pointer)? {
                    Value::Null | Value::Array(_) | Value::Object(_) => return None,
                    scalar => scalar.to_string(),
                };
                feed(&mut hasher, scalar.as_bytes());
            }
        }
    }
    Some(Key { text: hex(&hasher.finalize()).into(), derived: true })
}

/// Whether a key can only be derived from the body.
pub(crate) fn needs_body(parts: &[KeyPart]) -> bool {
    parts.iter().any(|part| matches!(part, KeyPart::Json(_)))
}

impl Key {
    /// The field that tells an upstream a derived key.
    pub(crate) fn field(&self) -> Option<HeaderValue> {
        HeaderValue::try_from(format!("\"{}\"", self.text)).ok()
    }

    /// Where the fence of this key is. Whatever the key's scope is made of goes in with its
    /// length before it, so that no two scopes ever read the same.
    pub(crate) fn place(
        &self,
        tenant: Option<&str>,
        method: &Method,
        route: &str,
        scope: &[ScopePart],
        (headers, claims): (&HeaderMap, Option<&Claims>),
    ) -> RecordKey {
        let mut hasher = Sha256::new();
        hasher.update(b"fence 1");
        hasher.update([u8::from(tenant.is_some()), u8::from(self.derived)]);
        feed(&mut hasher, tenant.unwrap_or_default().as_bytes());
        feed(&mut hasher, method.as_str().as_bytes());
        feed(&mut hasher, route.as_bytes());
        feed(&mut hasher, self.text.as_bytes());
        for part in scope {
            // With the number of its values: one that is missing is not an empty one.
            match part {
                ScopePart::Header(name) => {
                    feed(&mut hasher, name.as_str().as_bytes());
                    let _ = feed_header(&mut hasher, headers, name);
                }
                ScopePart::Claim(name) => {
                    // No header has such a name.
                    feed(&mut hasher, b"\0claim");
                    feed(&mut hasher, name.as_str().as_bytes());
                    let value = claims.and_then(|claims| claims.said(name));
                    hasher.update([u8::from(value.is_some())]);
                    feed(&mut hasher, value.unwrap_or_default().as_bytes());
                }
            }
        }
        RecordKey(hasher.finalize().into())
    }
}

/// Feeds all values of a header; none where it is missing.
fn feed_header(hasher: &mut Sha256, headers: &HeaderMap, name: &HeaderName) -> Option<()> {
    let values = headers.get_all(name);
    let count = values.iter().count();
    hasher.update((count as u64).to_be_bytes());
    values.iter().for_each(|value| feed(hasher, value.as_bytes()));
    (count > 0).then_some(())
}

fn feed(hasher: &mut Sha256, bytes: &[u8]) {
    hasher.update((bytes.len() as u64).to_be_bytes());
    hasher.update(bytes);
}

#[cfg(test)]
mod tests;
