use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Uri};

use super::{Decision, Fence, FenceState, HOLDER_GONE, OnUnknown, StoredAnswer, StoredBody, decide};
use crate::{
    fingerprint::{Fingerprint, FingerprintRules},
    queue::EntryId,
    record::{Expect, Holder, Record, Tag},
};

fn print(body: &'static str) -> Fingerprint {
    let body = Bytes::from_static(body.as_bytes());
    let rules = FingerprintRules::default();
    Fingerprint::of(&Method::POST, &Uri::from_static("/a"), &HeaderMap::new(), Some(&body), &rules)
}

fn fence(state: FenceState) -> Fence {
    Fence {
        key: "k-1".into(),
        route: "ingest".into(),
        method: "POST".into(),
        tenant: Some("acme".into()),
        request_id: "r-1".into(),
        print: print(r#"{"a":1}"#),
        created_ms: 1,
        changed_ms: 2,
        state,
    }
}

fn answer() -> StoredAnswer {
    StoredAnswer {
        status: 201,
        headers: vec![("content-type".into(), Bytes::from_static(b"application/json"))],
        body: StoredBody::Whole(Bytes::from_static(b"{}")),
        trailers: vec![("grpc-status".into(), Bytes::from_static(b"0"))],
    }
}

const TAG: Tag = Tag(7);

fn record(fence: &Fence, holder: Holder) -> Record {
    Record { tag: TAG, value: fence.encode().unwrap(), holder, expires_in: Duration::from_secs(60) }
}

#[test]
fn each_state_leads_to_its_decision() {
    use OnUnknown::{Refuse, Retry};
    let unknown = || FenceState::Unknown("reset".into());
    let why = |text: &str| Decision::Unknown(text.into());
    for (state, holder, on_unknown, expected) in [
        (FenceState::Running, Holder::Alive, Refuse, Decision::Wait),
        (FenceState::Running, Holder::Alive, Retry, Decision::Wait),
        (FenceState::Running, Holder::Gone, Refuse, why(HOLDER_GONE)),
        (FenceState::Running, Holder::Nobody, Refuse, why(HOLDER_GONE)),
        (FenceState::Running, Holder::Gone, Retry, Decision::Begin(Expect::Abandoned(TAG))),
        (FenceState::Running, Holder::Nobody, Retry, Decision::Begin(Expect::Tag(TAG))),
        (unknown(), Holder::Nobody, Refuse, why("reset")),
        (unknown(), Holder::Nobody, Retry, Decision::Begin(Expect::Tag(TAG))),
        (FenceState::Sealed(answer()), Holder::Nobody, Retry, Decision::Replay(answer())),
        (FenceState::Deferred(EntryId(3)), Holder::Nobody, Retry, Decision::Deferred(EntryId(3))),
    ] {
        let fence = fence(state);
        let record = record(&fence, holder);
        let same = print(r#"{ "a": 1 }"#);
        assert_eq!(decide(Some((&record, &fence)), &same, on_unknown), expected);
        let other = decide(Some((&record, &fence)), &print(r#"{"a":2}"#), on_unknown);
        assert_eq!(other, Decision::Conflict(vec!["/a".into()]), "another request is refused in any state");
    }
    assert_eq!(decide(None, &print(""), Refuse), Decision::Begin(Expect::Absent));
}

#[test]
fn what_is_written_is_read_back() {
    for state in [
        FenceState::Running,
        FenceState::Unknown("x".into()),
        FenceState::Sealed(answer()),
        FenceState::Deferred(EntryId(1)),
    ] {
        let fence = fence(state);
        assert_eq!(Fence::decode(&fence.encode().unwrap()).unwrap(), fence);
    }
}

#[test]
fn what_cannot_be_read_is_an_error_that_says_so() {
    let error = |bytes: &'static [u8]| Fence::decode(&Bytes::from_static(bytes)).unwrap_err().to_string();
    assert!(error(b"").contains("empty"));
    assert!(error(b"\x02abc").contains("form 2"));
    assert!(error(b"\x01\xff").contains("cannot be read"));
}

#[test]
fn an_end_in_short_words_fits_where_the_running_fence_stood() {
    let running = fence(FenceState::Running).encode().unwrap().len();
    for state in [FenceState::Sealed(answer()), FenceState::Unknown("w".repeat(500).into())] {
        let short = Fence { changed_ms: u64::MAX, ..fence(state.shortened()) };
        assert!(short.encode().unwrap().len() <= running);
    }
    assert_eq!(FenceState::Deferred(EntryId(1)).shortened(), FenceState::Deferred(EntryId(1)));
}
