//! What is known of a request whose copy goes out, and what becomes of its header fields.
//!
//! A copy must not be taken for its original, and must not be able to act as its sender:
//!
//! - Credentials are taken off: [`CREDENTIALS`], and what the shadow's `strip` adds. What `set`
//!   names is put on after that.
//! - `Idempotency-Key` is taken off. A copied write gets one of its own, made from its original's,
//!   so that the test copy dedupes as the original service does and never meets the same key.
//! - `Expect` is taken off: nobody waits for permission.
//! - [`ADDED`] are put on: that it is a copy, its own id, and a digest by which both sides of a
//!   pair can be found in logs.
//!
//! The rest goes as the primary got it, request id and trace context included.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use http_body_util::Full;
use sha2::{Digest, Sha256};
use sluicegate_core::headers::{CREDENTIALS, hex};

use crate::input::ShadowSettings;

/// Header fields that every copy carries.
pub(crate) const ADDED: [&str; 3] = ["x-sluicegate-shadow", "shadow-id", "req-hash"];

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Whether the field frames or addresses a message, and is never a setting's to say.
pub(crate) fn is_framing(name: &HeaderName) -> bool {
    [header::CONNECTION, header::CONTENT_LENGTH, header::HOST, header::TRANSFER_ENCODING].contains(name)
}

/// The head of a request, as the primary got it.
#[derive(Debug)]
pub(crate) struct CopyHead {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    /// It may change stored state.
    pub(crate) writes: bool,
}

impl CopyHead {
    /// The path, and of the query the names alone: values may be what a person asked, and so may
    /// what has no name.
    pub(crate) fn shown_path(&self) -> String {
        let mut shown = self.uri.path().to_owned();
        let pairs = self.uri.query().unwrap_or_default().split('&');
        let names = pairs.filter_map(|pair| pair.split_once('=')).map(|(name, _)| name);
        for (at, name) in names.enumerate() {
            shown.push(if at == 0 { '?' } else { '&' });
            shown.push_str(name);
        }
        shown
    }

    /// A digest of method, path, query and body: the same for the same request.
    pub(crate) fn digest(&self, body: &[u8]) -> String {
        let mut digest = Sha256::new();
        digest.update(self.method.as_str());
        digest.update(b" ");
        digest.update(self.uri.path_and_query().map_or("", |it| it.as_str()));
        digest.update(b"\n");
        digest.update(body);
        hex(&digest.finalize()[..16])
    }

    /// The copy.
    pub(crate) fn copy(
        &self,
        settings: &ShadowSettings,
        (id, digest): (&str, &str),
        body: Bytes,
    ) -> Request<Full<Bytes>> {
        let mut headers = self.headers.clone();
        for name in CREDENTIALS {
            headers.remove(name);
        }
        for name in &settings.strip {
            headers.remove(name);
        }
        headers.remove(header::EXPECT);
        let key = headers.remove(&IDEMPOTENCY_KEY);
        if self.writes {
            let made_from = key.as_ref().map_or(id.as_bytes(), HeaderValue::as_bytes);
            let key = format!("\"shadow-{}\"", hex(&Sha256::digest(made_from)[..16]));
            put(&mut headers, IDEMPOTENCY_KEY, &key);
        }
        for (name, value) in &settings.set {
            headers.insert(name, value.clone());
        }
        for (name, value) in ADDED.into_iter().zip(["1", id, digest]) {
            put(&mut headers, HeaderName::from_static(name), value);
        }
        if headers.contains_key(header::TRANSFER_ENCODING) || headers.contains_key(header::CONTENT_LENGTH) {
            headers.remove(header::TRANSFER_ENCODING);
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = headers;
        request
    }
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests;
