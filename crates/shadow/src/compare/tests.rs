use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::{AnswersInput, CompareInput, Comparer};
use crate::{
    Kind,
    comparison::{Answer, Comparison, Shown},
};

fn comparer(section: Value, answers: Value) -> Comparer {
    let section: CompareInput = serde_json::from_value(section).unwrap();
    section.check(&serde_json::from_value::<AnswersInput>(answers).unwrap()).unwrap()
}

fn answer(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let headers = headers
        .iter()
        .map(|(name, value)| (HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap()));
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(name, value);
    }
    Answer { status: StatusCode::from_u16(status).unwrap(), headers: map, body: Bytes::copy_from_slice(body) }
}

fn json_answer(body: &str) -> Answer {
    answer(200, &[("content-type", "application/json")], body.as_bytes())
}

fn told(comparison: &Comparison) -> Vec<(&str, Kind)> {
    comparison.differences.iter().map(|it| (&*it.class, it.kind)).collect()
}

#[test]
fn one_comparer_serves_many_threads() {
    fn shared<T: Send + Sync + Clone>() {}
    shared::<Comparer>();
}

#[test]
fn another_status_is_told_and_an_error_is_not_compared_further() {
    let it = comparer(json!({}), json!({ "ids": "/ids/*" }));
    let a = answer(200, &[], br#"{"ids":[1]}"#);
    let b = answer(201, &[], br#"{"ids":[2]}"#);
    assert_eq!(told(&it.compare(&a, &b)), [("status", Kind::Status), ("ids", Kind::Value)]);
    let error = answer(500, &[("content-type", "text/html")], b"<h1>no");
    let found = it.compare(&a, &error);
    assert_eq!(told(&found), [("status", Kind::Status)]);
    assert!(found.ids.is_none());
    assert_eq!(found.differences[0].shadow.as_ref().unwrap().value, Shown::Value(json!(500)));
}

#[test]
fn headers_of_interest_are_compared() {
    let section = json!({ "headers": ["content-type", "X-Model", "x-new", "x-list"] });
    let it = comparer(section, json!({}));
    let a = answer(
        200,
        &[
            ("content-type", "text/plain; charset=utf-8"),
            ("x-model", "secret a"),
            ("x-other", "1"),
            ("x-list", "1"),
            ("x-list", "2"),
        ],
        b"",
    );
    let b = answer(
        200,
        &[
            ("content-type", "Text/Plain;charset=UTF-8"),
            ("x-model", "secret b"),
            ("x-new", "1"),
            ("x-list", "1, 2"),
        ],
        b"",
    );
    let found = it.compare(&a, &b);
    assert_eq!(told(&found), [("header/x-model", Kind::Header), ("header/x-new", Kind::Header)]);
    assert!(found.differences[1].primary.is_none());
    assert!(!serde_json::to_string(&found).unwrap().contains("secret"));
    let typed = comparer(json!({}), json!({})).compare(
        &answer(200, &[("content-type", "text/plain")], b""),
        &answer(200, &[("content-type", "text/html")], b""),
    );
    assert_eq!(typed.differences[0].primary.as_ref().unwrap().value, Shown::Value(json!("text/plain")));
}

#[test]
fn json_against_none_is_another_format() {
    let it = comparer(json!({ "headers": [] }), json!({}));
    let found = it.compare(&json_answer("{}"), &json_answer("{"));
    assert_eq!(told(&found), [("format", Kind::Format)]);
    let stream = answer(200, &[("content-type", "text/event-stream")], b"data: {}\n\n");
    assert_eq!(told(&it.compare(&json_answer("{}"), &stream)), [("format", Kind::Format)]);
}

#[test]
fn bodies_that_are_no_json_are_compared_as_bytes() {
    let it = comparer(json!({}), json!({}));
    let a = answer(200, &[], b"\xff\x00");
    assert_eq!(told(&it.compare(&a, &a)), []);
    assert_eq!(told(&it.compare(&a, &answer(200, &[], b"\xff\x01"))), [("body", Kind::Body)]);
    assert_eq!(told(&it.compare(&json_answer("{a"), &json_answer("{b"))), [("body", Kind::Body)]);
}

#[test]
fn a_plain_text_may_be_the_answer() {
    let it = comparer(json!({ "similarity": 0.7 }), json!({ "texts": "" }));
    let a = answer(200, &[], b"one two three four");
    let near = it.compare(&a, &answer(200, &[], b"one two three 4"));
    assert_eq!((told(&near), near.texts), (vec![], Some(0.75)));
    assert_eq!(told(&it.compare(&a, &answer(200, &[], b"1 2 three 4"))), [("text", Kind::Text)]);
}

#[test]
fn encoded_answers_are_compared_decoded() {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(br#"{"a": 1}"#).unwrap();
    let zipped = answer(200, &[("content-encoding", "gzip")], &encoder.finish().unwrap());
    let it = comparer(json!({}), json!({}));
    assert_eq!(told(&it.compare(&answer(200, &[], br#"{"a":1}"#), &zipped)), []);
    assert_eq!(told(&it.compare(&zipped, &answer(200, &[], br#"{"a":2}"#))), [("/a", Kind::Value)]);
    let broken = answer(200, &[("content-encoding", "gzip")], b"no");
    assert_eq!(told(&it.compare(&zipped, &broken)), [("format", Kind::Format)]);
    assert_eq!(told(&it.compare(&broken, &broken)), []);
}

#[test]
fn an_answer_past_the_cap_is_not_compared() {
    let it = comparer(json!({ "max_answer": "16B" }), json!({}));
    let (small, large) = (json_answer(r#"{"a":1}"#), json_answer(r#"{"a":1,"b":12345}"#));
    let found = it.compare(&small, &large);
    assert_eq!(told(&found), [("format", Kind::Format)]);
    assert_eq!(
        found.differences[0].shadow.as_ref().unwrap().value,
        Shown::Value(json!("larger than max_answer"))
    );
    let other = json_answer(r#"{"a":1,"b":99999}"#);
    assert_eq!(told(&it.compare(&large, &other)), [("format", Kind::Format)]);
}

#[test]
fn figures_are_there_for_answers_that_are_the_same() {
    let it = comparer(json!({}), json!({ "ids": "/ids/*", "texts": "/text" }));
    let a = json_answer(r#"{"ids":[1,2],"text":"x"}"#);
    let found = it.compare(&a, &a);
    assert_eq!((found.differences.len(), found.texts), (0, Some(1.0)));
    let ids = found.ids.unwrap();
    assert_eq!((ids.k, ids.missing.len()), (2, 0));
    assert!((ids.overlap - 1.0).abs() < f64::EPSILON && ids.rank_distance.abs() < f64::EPSILON);
}

/// Each would take minutes if anything took the square of it.
#[test]
fn large_answers_of_any_shape_are_compared_under_the_caps() {
    let it = comparer(
        json!({ "arrays": { "/keyed": "k" }, "max_answer": "4MiB" }),
        json!({ "ids": "/ids/*", "scores": "/scores/*", "texts": "/text" }),
    );
    let many = 8_000;
    let keyed = |at: usize| json!({ "k": at, "v": at % 7 });
    let long = "n".repeat(200_000);
    let deep = |leaf: Value| {
        (0..120).fold(leaf, |below, at| if at % 2 == 0 { json!([below]) } else { json!({ "d": below }) })
    };
    let words = |offset: usize| (0..many).map(|at| format!("w{}", at + offset)).collect::<Vec<_>>().join(" ");
    let members = |value: usize| (0..many).map(|at| (format!("m{at}"), json!(value))).collect::<Value>();
    let shapes: [(Value, Value); 7] = [
        (
            json!({ "keyed": (0..many).map(keyed).collect::<Vec<_>>() }),
            json!({ "keyed": (1..=many).rev().map(keyed).collect::<Vec<_>>() }),
        ),
        (
            json!({ "ids": (0..many).collect::<Vec<_>>() }),
            json!({ "ids": (9..many + 9).rev().collect::<Vec<_>>() }),
        ),
        (
            json!({ "ids": (0..many).collect::<Vec<_>>(), "scores": vec![1; many] }),
            json!({ "ids": (0..many).collect::<Vec<_>>(), "scores": vec![2; many] }),
        ),
        (json!({ &long: vec![1; many] }), json!({ &long: vec![2; many] })),
        (deep(members(1)), deep(members(2))),
        (json!({ "text": words(0) }), json!({ "text": words(many / 2) })),
        (json!({ "text": "a b ".repeat(many) }), json!({ "text": "b a c ".repeat(many) })),
    ];
    for (a, b) in shapes {
        let found = it.compare(&json_answer(&a.to_string()), &json_answer(&b.to_string()));
        assert!(!found.differences.is_empty());
        assert!(found.differences.len() <= 100);
        assert!(serde_json::to_string(&found).unwrap().len() < 200_000);
    }
}
