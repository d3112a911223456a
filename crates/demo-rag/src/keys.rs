//! Idempotency keys, honoured as draft-ietf-httpapi-idempotency-key-header describes.
//!
//! The first request under a key claims it. Its answer is kept and given again to the same
//! request (same method, path and body) without a second effect; another request under the
//! key is refused; one that comes while the first still runs is told so. A claim that ends
//! before a decision was made is given back, so that a retry may try again.
//!
//! Bounds: the last [`KEPT_KEYS`] answers are kept, the oldest goes first. Running ones are
//! as many as there are requests in flight.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::{index::Seal, problem::Problem};

/// How many finished keys are remembered.
pub const KEPT_KEYS: usize = 10_000;
const MAX_KEY: usize = 255;

/// The answer to a write, in the form that can be kept.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) content_type: HeaderValue,
    pub(crate) location: Option<HeaderValue>,
    pub(crate) body: Bytes,
    pub(crate) seal: Seal,
}

/// What makes two requests the same.
pub(crate) type Fingerprint = [u8; 32];

pub(crate) fn fingerprint(method: &Method, path: &str, body: &[u8]) -> Fingerprint {
    let mut hasher = Sha256::new();
    // Neither a method nor a path holds a line feed, so the parts cannot run together.
    for part in [method.as_str().as_bytes(), b"\n", path.as_bytes(), b"\n", body] {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// The key of a request, if it has one.
pub(crate) fn key_of(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::bad_request("there is more than one Idempotency-Key; send one"));
    }
    match value.to_str() {
        Ok(key) if (1..=MAX_KEY).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => Err(Problem::bad_request("the Idempotency-Key must be 1 to 255 visible ASCII characters")),
    }
}

#[derive(Debug, Default)]
struct Inner {
    records: HashMap<String, Record>,
    /// The finished keys, oldest first.
    finished: VecDeque<String>,
}

#[derive(Debug)]
struct Record {
    fingerprint: Fingerprint,
    /// `None` while the first request runs.
    answer: Option<Answer>,
}

/// The keys of one instance; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys(Arc<Mutex<Inner>>);

/// What a key means for the request that brought it.
#[derive(Debug)]
pub(crate) enum Claimed {
    /// It is the first.
    First(Claim),
    /// It has been answered: so.
    Again(Answer),
    /// The first is still running.
    Running,
    /// The key belongs to another request.
    Other,
}

impl Keys {
    pub(crate) fn claim(&self, key: String, fingerprint: Fingerprint) -> Claimed {
        let mut inner = self.0.lock();
        match inner.records.get(&key) {
            Some(record) if record.fingerprint != fingerprint => Claimed::Other,
            Some(Record { answer: Some(answer), .. }) => Claimed::Again(answer.clone()),
            Some(Record { answer: None, .. }) => Claimed::Running,
            None => {
                inner.records.insert(key.clone(), Record { fingerprint, answer: None });
                drop(inner);
                Claimed::First(Claim { keys: self.clone(), key: Some(key) })
            }
        }
    }
}

/// The right to answer for a key. Dropping it without an answer gives the key back.
#[derive(Debug)]
pub(crate) struct Claim {
    keys: Keys,
    key: Option<String>,
}

impl Claim {
    /// Keeps the answer under the key.
    pub(crate) fn settle(mut self, answer: &Answer) {
        let Some(key) = self.key.take() else { return };
        let mut inner = self.keys.0.lock();
        if let Some(record) = inner.records.get_mut(&key) {
            record.answer = Some(answer.clone());
        }
        inner.finished.push_back(key);
        if inner.finished.len() > KEPT_KEYS
            && let Some(oldest) = inner.finished.pop_front()
        {
            inner.records.remove(&oldest);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.keys.0.lock().records.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue, Method, StatusCode};

    use super::{Answer, Claimed, KEPT_KEYS, Keys, fingerprint, key_of};
    use crate::{index::Index, pins::Pins};

    fn answer() -> Answer {
        let pins = Pins::new("m-1".to_owned(), BTreeMap::new()).unwrap();
        Answer {
            status: StatusCode::CREATED,
            content_type: HeaderValue::from_static("application/json"),
            location: None,
            body: Bytes::from_static(b"{}"),
            seal: Index::new(pins, Vec::new()).seal(),
        }
    }

    #[test]
    fn a_key_is_claimed_kept_and_given_back() {
        let keys = Keys::default();
        let (one, other) = ([1; 32], [2; 32]);
        let Claimed::First(claim) = keys.claim("k".into(), one) else { panic!("first") };
        assert!(matches!(keys.claim("k".into(), one), Claimed::Running));
        assert!(matches!(keys.claim("k".into(), other), Claimed::Other));
        drop(claim);
        let Claimed::First(claim) = keys.claim("k".into(), other) else { panic!("given back") };
        claim.settle(&answer());
        assert!(matches!(keys.claim("k".into(), other), Claimed::Again(a) if a.body == "{}"));
        assert!(matches!(keys.claim("k".into(), one), Claimed::Other));
    }

    #[test]
    fn the_oldest_answer_is_forgotten_first() {
        let keys = Keys::default();
        for n in 0..=KEPT_KEYS {
            let Claimed::First(claim) = keys.claim(n.to_string(), [0; 32]) else { panic!("{n}") };
            claim.settle(&answer());
        }
        assert_eq!(keys.0.lock().records.len(), KEPT_KEYS);
        assert!(matches!(keys.claim("1".into(), [0; 32]), Claimed::Again(_)));
        assert!(matches!(keys.claim("0".into(), [0; 32]), Claimed::First(_)));
    }

    #[test]
    fn method_path_and_body_make_the_fingerprint() {
        let base = fingerprint(&Method::PUT, "/a", b"x");
        assert_eq!(base, fingerprint(&Method::PUT, "/a", b"x"));
        assert_ne!(base, fingerprint(&Method::POST, "/a", b"x"));
        assert_ne!(base, fingerprint(&Method::PUT, "/b", b"x"));
        assert_ne!(base, fingerprint(&Method::PUT, "/a", b"y"));
    }

    #[test]
    fn two_keys_an_empty_and_a_long_one_are_refused() {
        let headers = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("idempotency-key", HeaderValue::from_str(value).unwrap());
            }
            headers
        };
        assert_eq!(key_of(&headers(&[])).unwrap(), None);
        assert_eq!(key_of(&headers(&["k"])).unwrap().as_deref(), Some("k"));
        assert!(key_of(&headers(&["k", "k"])).is_err());
        assert!(key_of(&headers(&[""])).is_err());
        assert!(key_of(&headers(&[&"k".repeat(256)])).is_err());
    }
}
