use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use http_body_util::BodyExt;
use serde_json::json;

use sluicegate_core::headers::CREDENTIALS;

use super::{ADDED, CopyHead};
use crate::input::{ShadowInput, ShadowSettings};

fn settings(more: &serde_json::Value) -> ShadowSettings {
    let mut input = json!({ "to": "lab", "percent": 10 });
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let input: ShadowInput = serde_json::from_value(input).unwrap();
    input.check(&crate::AnswersInput::default(), &std::path::Path::to_path_buf).unwrap()
}

fn head(headers: &[(&'static str, &str)], writes: bool) -> CopyHead {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, HeaderValue::from_str(value).unwrap());
    }
    CopyHead { method: Method::POST, uri: "/v1/retrieve?q=who&k=3".parse().unwrap(), headers: map, writes }
}

fn copy(head: &CopyHead, settings: &ShadowSettings) -> http::Request<http_body_util::Full<Bytes>> {
    head.copy(settings, ("00ff", "abcd"), Bytes::from_static(b"{}"))
}

#[tokio::test]
async fn a_copy_is_marked_and_carries_no_credential() {
    let mut fields: Vec<(&str, &str)> = CREDENTIALS.iter().map(|name| (*name, "secret")).collect();
    fields.extend([("cookie", "second=secret"), ("expect", "100-continue"), ("x-internal", "secret")]);
    fields.extend([("x-request-id", "r1"), ("traceparent", "00-1-2-01"), ("accept", "a"), ("accept", "b")]);
    let settings = settings(&json!({ "strip": ["X-Internal"], "set": { "authorization": "Bearer lab" } }));
    let copy = copy(&head(&fields, false), &settings);
    let headers = copy.headers();
    let values = |name: &str| headers.get_all(name).iter().map(|it| it.to_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(values("authorization"), ["Bearer lab"], "its own, and not the client's");
    assert!(headers["authorization"].is_sensitive());
    assert!(headers.values().all(|value| !value.to_str().unwrap().contains("secret")), "{headers:?}");
    assert_eq!(ADDED.map(|name| headers[name].to_str().unwrap()), ["1", "00ff", "abcd"]);
    assert_eq!((values("x-request-id"), values("traceparent")), (vec!["r1"], vec!["00-1-2-01"]));
    assert_eq!(values("accept"), ["a", "b"]);
    assert!(!headers.contains_key("expect"));
    assert_eq!((copy.method(), copy.uri().to_string()), (&Method::POST, "/v1/retrieve?q=who&k=3".to_owned()));
    assert_eq!(copy.into_body().collect().await.unwrap().to_bytes(), "{}");
}

#[test]
fn a_copied_write_has_a_key_of_its_own_and_a_read_has_none() {
    let settings = settings(&json!({ "writes": true }));
    let key = |head: &CopyHead| copy(head, &settings).headers().get("idempotency-key").cloned();
    let fields = [("idempotency-key", "\"k1\"")];
    let (first, again) = (key(&head(&fields, true)).unwrap(), key(&head(&fields, true)).unwrap());
    assert!(first == again && first != "\"k1\"", "{first:?}: the same for the same, and another one");
    assert!(first.to_str().unwrap().starts_with("\"shadow-"));
    let other = key(&head(&[("idempotency-key", "\"k2\"")], true)).unwrap();
    assert_ne!(first, other);
    assert!(key(&head(&[], true)).is_some(), "also where the original has none");
    assert_eq!(key(&head(&fields, false)), None);
}

#[test]
fn a_length_is_that_of_the_copy() {
    let settings = settings(&json!({}));
    let chunked = copy(&head(&[("transfer-encoding", "chunked")], false), &settings);
    assert_eq!(chunked.headers()["content-length"], "2");
    assert!(!chunked.headers().contains_key("transfer-encoding"));
}

#[test]
fn what_is_shown_of_a_path_has_no_values() {
    assert_eq!(head(&[], false).shown_path(), "/v1/retrieve?q&k");
    let bare = CopyHead { uri: "/find?who%20am%20i&n=3".parse().unwrap(), ..head(&[], false) };
    assert_eq!(bare.shown_path(), "/find?n");
}

#[test]
fn the_digest_is_of_method_path_query_and_body() {
    let one = head(&[("x-request-id", "a")], false);
    let same = head(&[("x-request-id", "b")], false);
    assert_eq!(one.digest(b"{}"), same.digest(b"{}"));
    assert_ne!(one.digest(b"{}"), one.digest(b"{ }"));
    let elsewhere = CopyHead { uri: "/v1/retrieve?q=who&k=4".parse().unwrap(), ..head(&[], false) };
    assert_ne!(one.digest(b"{}"), elsewhere.digest(b"{}"));
    assert_eq!(one.digest(b"").len(), 32);
}
