use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use sluicegate_store::{EntryId, accepted, fence::StoredBody};

use super::{Head, REPLAYED, WITHOUT_BODY, deferred, replay};

fn head() -> Head {
    let (parts, ()) = Response::builder()
        .status(201)
        .header("content-type", "application/json")
        .header("content-encoding", "gzip")
        .header("set-cookie", "a=1")
        .header("set-cookie", "b=2")
        .header("etag", "\"7\"")
        .header("connection", "close, X-Hop")
        .header("x-hop", "1")
        .header("keep-alive", "timeout=5")
        .header("transfer-encoding", "chunked")
        .header("trailer", "x-sum")
        .header("content-length", "999")
        .header("date", "Sat, 05 Jan 2030 02:00:00 GMT")
        .header("x-request-id", "r-1")
        .header("upgrade", "h2c")
        .body(())
        .unwrap()
        .into_parts();
    Head::of(&parts)
}

#[tokio::test]
async fn what_belongs_to_one_connection_or_message_is_not_kept() {
    let trailers = HeaderMap::from_iter([(header::ETAG, HeaderValue::from_static("x"))]);
    let stored = head().answer(StoredBody::Whole(Bytes::from_static(b"{}")), Some(&trailers));
    let response = replay(stored);
    assert_eq!(response.status(), StatusCode::CREATED);
    let mut names: Vec<_> = response.headers().keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-encoding", "content-type", "etag", "idempotency-replayed", "set-cookie"]);
    assert_eq!(response.headers().get_all("set-cookie").iter().count(), 2);
    assert_eq!(response.body().size_hint().exact(), Some(2), "its length is made anew");
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers(), Some(&trailers));
    assert_eq!(collected.to_bytes(), "{}");
}

#[tokio::test]
async fn without_its_body_an_answer_says_so_and_promises_none() {
    let response = replay(head().answer(StoredBody::NotKept("too large".into()), None));
    assert_eq!(response.headers()[&WITHOUT_BODY], "without-body");
    assert_eq!(response.headers()[&REPLAYED], "true");
    assert!(!response.headers().contains_key("content-type"));
    assert!(!response.headers().contains_key("content-encoding"));
    assert!(response.headers().contains_key("etag"));
    assert!(response.body().is_end_stream());
}

#[tokio::test]
async fn an_empty_body_is_whole() {
    let response = replay(head().answer(StoredBody::Whole(Bytes::new()), None));
    assert!(!response.headers().contains_key(&WITHOUT_BODY));
    assert!(response.body().is_end_stream());
}

#[tokio::test]
async fn a_duplicate_of_a_kept_write_gets_the_same_202() {
    let first = accepted(EntryId(7));
    let response = deferred(accepted(EntryId(7)));
    assert_eq!(
        (response.status(), &response.headers()["location"]),
        (first.status(), &first.headers()["location"])
    );
    assert_eq!(response.headers()[&REPLAYED], "true");
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), *first.body());
}
