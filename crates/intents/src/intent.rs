//! What is stored of an intent.
//!
//! Its *value* says what the write is, and never changes. Its *note* says how it is doing, and
//! is written anew by each step. Both begin with a byte that names their form.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri, header};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sluicegate_core::Clock;
use sluicegate_store::{
    EntryId, RecordKey, StoreError, Tag,
    fence::{Fence, FenceState, StoredAnswer},
    fingerprint::Fingerprint,
};

use crate::kept::StoredHeaders;

/// The first byte of an encoded value or note: the version of its form.
const FORM: u8 = 1;

/// What the write is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Intent {
    pub(crate) route: Box<str>,
    pub(crate) upstream: Box<str>,
    pub(crate) tenant: Option<Box<str>>,
    pub(crate) request_id: Box<str>,
    pub(crate) method: Box<str>,
    /// Path and query.
    pub(crate) target: Box<str>,
    pub(crate) headers: StoredHeaders,
    pub(crate) body: Bytes,
    pub(crate) key: Box<str>,
    /// Where the key's fence is.
    pub(crate) fence: RecordKey,
    /// What the fence knows the request by.
    pub(crate) print: Fingerprint,
    /// What keeps it in order, as clients see it.
    pub(crate) order_key: Box<str>,
    /// Milliseconds since 1970.
    pub(crate) created_ms: u64,
    /// How long its fence lives once it is settled, where its route is gone by then.
    pub(crate) fence_ttl_ms: u64,
}

/// How it is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Note {
    /// How often it may have been sent, in all.
    pub(crate) attempts: u32,
    /// The same since it was last put into the queue: what `tries` counts.
    pub(crate) tries: u32,
    /// The fate of some attempt is not known: it may yet be applied, whatever a later one came
    /// to. Such an intent never ends as one of which nothing was applied.
    pub(crate) doubtful: bool,
    /// What stood in the way the last time.
    pub(crate) error: Option<Box<str>>,
    /// The upstream's answer.
    pub(crate) answer: Option<StoredAnswer>,
    /// The tag under which it was claimed when its holder was given up: a holder that was merely
    /// slow may still tell what became of it, until a newer attempt has been made.
    pub(crate) given_up: Option<Tag>,
    /// What was done to the fence last.
    pub(crate) fence: FenceMark,
}

/// What was done to the fence last, so that it is known whether it is still this intent's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) enum FenceMark {
    /// It belongs to another attempt, or nobody knows.
    #[default]
    Lost,
    /// This write of it was the intent's.
    Wrote(Tag),
    /// It was removed.
    Released,
}

impl Intent {
    pub(crate) fn encode(&self) -> Result<Bytes, StoreError> {
        encode(self, "an intent", self.body.len() + 512)
    }

    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, StoreError> {
        decode(bytes, "intent")
    }

    /// The fence of its key in `state`.
    pub(crate) fn fence(&self, state: FenceState, clock: &Clock) -> Fence {
        Fence {
            key: self.key.clone(),
            route: self.route.clone(),
            method: self.method.clone(),
            tenant: self.tenant.clone(),
            request_id: self.request_id.clone(),
            print: self.print.clone(),
            created_ms: self.created_ms,
            changed_ms: clock.unix_millis(),
            state,
        }
    }

    /// Whose share of the store it takes.
    pub(crate) fn owner(&self) -> Box<str> {
        self.tenant.clone().unwrap_or_default()
    }

    /// The write as it is sent, but for the headers that are set.
    pub(crate) fn request(&self) -> Result<Request<Bytes>, StoreError> {
        let wrong = |what: &str| StoreError::new(format!("a stored intent has a {what} that cannot be read"));
        let mut request = Request::new(self.body.clone());
        *request.method_mut() = Method::from_bytes(self.method.as_bytes()).map_err(|_| wrong("method"))?;
        *request.uri_mut() = self.target.parse().map_err(|_| wrong("path"))?;
        *request.headers_mut() = crate::kept::restored(&self.headers);
        Ok(request)
    }
}

impl Note {
    /// Why nobody knows whether it was applied.
    pub(crate) fn doubt(&self) -> Box<str> {
        self.error.clone().unwrap_or_else(|| "an attempt was cut off".into())
    }

    pub(crate) fn encode(&self) -> Result<Bytes, StoreError> {
        encode(self, "an intent's note", 64)
    }

    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, StoreError> {
        decode(bytes, "note of an intent")
    }
}

fn encode(what: &impl Serialize, name: &str, size: usize) -> Result<Bytes, StoreError> {
    let mut bytes = Vec::with_capacity(size);
    bytes.push(FORM);
    let bytes =
        postcard::to_extend(what, bytes).map_err(|error| StoreError::new(format!("{name}: {error}")))?;
    Ok(bytes.into())
}

fn decode<T: DeserializeOwned>(bytes: &Bytes, name: &str) -> Result<T, StoreError> {
    match bytes.split_first() {
        Some((&FORM, rest)) => postcard::from_bytes(rest)
            .map_err(|error| StoreError::new(format!("a stored {name} cannot be read: {error}"))),
        Some((form, _)) => Err(StoreError::new(format!(
            "a stored {name} has form {form}, which this version does not know (it knows {FORM})"
        ))),
        None => Err(StoreError::new(format!("a stored {name} is empty"))),
    }
}

/// Path and query of a request, however its target was written.
pub(crate) fn target(uri: &Uri) -> Box<str> {
    uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).into()
}

/// The name that the client asked for, where it did not come as a header (HTTP/2).
pub(crate) fn host(uri: &Uri, headers: &HeaderMap) -> Option<(Box<str>, Bytes)> {
    let authority = uri.authority().filter(|_| !headers.contains_key(header::HOST))?;
    Some(("host".into(), Bytes::copy_from_slice(authority.as_str().as_bytes())))
}

/// An id made at `millis`: they sort by time, and the rest is chance.
pub(crate) fn new_id(millis: u64, chance: &sluicegate_core::Chance) -> EntryId {
    let mut random = [0; 10];
    random[..8].copy_from_slice(&chance.bits().to_be_bytes());
    random[8..].copy_from_slice(&chance.bits().to_be_bytes()[..2]);
    EntryId(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid().as_u128())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use sluicegate_core::Chance;
    use sluicegate_store::{
        Tag,
        fence::{StoredAnswer, StoredBody},
    };

    use super::{FenceMark, Intent, Note, host, new_id, target};
    use crate::testing;

    #[test]
    fn values_and_notes_are_read_back() {
        let intent = testing::intent("ingest", Some("acme"), "/v1/documents/7?a=b", b"{\"a\":1}");
        assert_eq!(Intent::decode(&intent.encode().unwrap()).unwrap(), intent);
        let note = Note {
            attempts: 3,
            tries: 1,
            doubtful: true,
            error: Some("the upstream answered 429".into()),
            answer: Some(StoredAnswer {
                status: 201,
                headers: vec![("etag".into(), Bytes::from_static(b"\"1\""))],
                body: StoredBody::Whole(Bytes::from_static(b"made")),
                trailers: Vec::new(),
            }),
            given_up: Some(Tag(7)),
            fence: FenceMark::Wrote(Tag(8)),
        };
        assert_eq!(Note::decode(&note.encode().unwrap()).unwrap(), note);
    }

    #[test]
    fn another_form_is_told() {
        let of = |bytes: &'static [u8]| Intent::decode(&Bytes::from_static(bytes)).unwrap_err().to_string();
        assert!(of(b"\x02abc").contains("has form 2"), "{}", of(b"\x02abc"));
        assert!(of(b"").contains("is empty"));
        assert!(of(b"\x01").contains("cannot be read"));
    }

    #[test]
    fn ids_sort_by_time() {
        let chance = Chance::seeded(1);
        let ids: Vec<_> = (0..100).map(|n| new_id(1_893_808_800_000 + n, &chance)).collect();
        assert!(ids.is_sorted());
        assert_eq!(uuid::Uuid::from_u128(ids[0].0).get_version_num(), 7);
    }

    #[test]
    fn a_target_is_path_and_query_and_the_authority_becomes_the_host() {
        let uri = "http://docs.example/v1/a?b=c".parse().unwrap();
        assert_eq!(&*target(&uri), "/v1/a?b=c");
        let none = http::HeaderMap::new();
        assert_eq!(host(&uri, &none).unwrap().1, "docs.example");
        assert_eq!(host(&"/v1".parse().unwrap(), &none), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let mut bytes = bytes;
            bytes.insert(0, 1);
            let bytes = Bytes::from(bytes);
            let _ = Intent::decode(&bytes);
            let _ = Note::decode(&bytes);
        }
    }
}
