use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Ask, may_change_body};
use crate::budget::{Dialect, Estimate, MEDIA_TOKENS};

const DEFAULT: u64 = 500;

fn output(dialect: Dialect, body: &Value) -> u64 {
    Ask::read(dialect, body.to_string().as_bytes(), DEFAULT).estimate().output
}

#[test]
fn the_largest_maximum_counts() {
    assert_eq!(output(Dialect::Chat, &json!({"messages": []})), DEFAULT);
    assert_eq!(output(Dialect::Chat, &json!({"max_tokens": 10, "max_completion_tokens": 20})), 20);
    assert_eq!(output(Dialect::Chat, &json!({"max_tokens": 10, "n": 3})), 30);
    assert_eq!(output(Dialect::Completions, &json!({"max_tokens": 10, "n": 2, "best_of": 5})), 50);
    assert_eq!(output(Dialect::Responses, &json!({"max_output_tokens": 7})), 7);
    assert_eq!(output(Dialect::Messages, &json!({"max_tokens": 1024})), 1024);
    assert_eq!(output(Dialect::Embeddings, &json!({"input": "x"})), 0);
    assert_eq!(output(Dialect::Other, &json!({"max_tokens": null, "n": "x"})), DEFAULT);
    assert_eq!(output(Dialect::Chat, &json!({"max_tokens": -4, "n": -1})), 0);
    assert_eq!(output(Dialect::Chat, &json!({"max_tokens": 1e300, "n": 9})), u64::MAX);
    let twice = br#"{"max_tokens":1000,"max_tokens":1}"#;
    assert_eq!(Ask::read(Dialect::Chat, twice, DEFAULT).estimate().output, 1000);
}

#[test]
fn a_picture_counts_as_one_and_not_by_its_bytes() {
    let picture = "iVBORw0KGgo".repeat(100_000);
    let body = json!({"messages": [{"content": [
        {"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{picture}")}},
        {"type": "image", "source": {"type": "base64", "data": picture}},
        {"type": "text", "text": "a".repeat(999)},
        {"type": "text", "text": "long text of words ".repeat(100)},
    ]}]});
    let prompt = Ask::read(Dialect::Chat, body.to_string().as_bytes(), DEFAULT).estimate().prompt;
    let text = (999 + 1900) / 4;
    assert!((2 * MEDIA_TOKENS + text..2 * MEDIA_TOKENS + text + 100).contains(&prompt), "{prompt}");
}

#[test]
fn what_cannot_be_read_is_estimated_by_its_length() {
    let expected = Estimate { prompt: 3, output: DEFAULT, limited: true };
    for body in ["[1,2,3,4,5]", "{\"stream\":1", "\u{1f}\u{8b}aaaaaaaaa", "{\"a\":1}{\"b"] {
        let ask = Ask::read(Dialect::Chat, body.as_bytes(), DEFAULT);
        assert!(!ask.must_ask_for_usage() && !ask.streams());
        assert_eq!(ask.estimate().output, expected.output, "{body}");
        assert_eq!(ask.estimate().prompt, (body.len() as u64).div_ceil(4));
    }
}

fn asking(dialect: Dialect, body: &str) -> String {
    let body = Bytes::copy_from_slice(body.as_bytes());
    let ask = Ask::read(dialect, &body, DEFAULT);
    let asking = ask.asking_for_usage(&body);
    assert_eq!(ask.must_ask_for_usage(), asking != body);
    String::from_utf8(asking.to_vec()).unwrap()
}

#[test]
fn usage_is_asked_for_in_one_place() {
    for (body, expected) in [
        (r#" { "stream" : true }"#, r#" {"stream_options":{"include_usage":true}, "stream" : true }"#),
        (
            r#"{"stream":true,"stream_options":null}"#,
            r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (
            r#"{"stream":true,"stream_options":{ }}"#,
            r#"{"stream":true,"stream_options":{"include_usage":true }}"#,
        ),
        (
            r#"{"stream_options": {"include_obfuscation":false},"stream":true}"#,
            r#"{"stream_options": {"include_usage":true,"include_obfuscation":false},"stream":true}"#,
        ),
        (
            r#"{"stream_options":{"include_usage": false,"x":1},"stream":true}"#,
            r#"{"stream_options":{"include_usage": true,"x":1},"stream":true}"#,
        ),
        (
            r#"{"stream_options":{"include_usage":true},"stream_options":{},"stream":true}"#,
            r#"{"stream_options":{"include_usage":true},"stream_options":{"include_usage":true},"stream":true}"#,
        ),
    ] {
        assert_eq!(asking(Dialect::Chat, body), expected);
        assert_eq!(asking(Dialect::Completions, body), expected);
        for other in [Dialect::Responses, Dialect::Messages, Dialect::Embeddings, Dialect::Other] {
            assert_eq!(asking(other, body), body);
        }
    }
    for body in [
        r#"{"stream":false}"#,
        r#"{"stream":"true"}"#,
        r#"{"messages":[{"stream":true}]}"#,
        r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
        r#"{"stream":true,"stream_options":"usage"}"#,
        r#"{"stream":true,"stream":false}"#,
    ] {
        assert_eq!(asking(Dialect::Chat, body), body);
    }
}

proptest! {
    #[test]
    fn nothing_else_of_the_body_changes(
        before in prop::collection::vec(("[a-z\"\\\\{}é]{0,8}", any::<Option<i64>>()), 0..5),
        options in prop_oneof![
            Just(None), Just(Some(json!(null))), Just(Some(json!({}))), Just(Some(json!({"a": [1, {"include_usage": 1}]}))),
            Just(Some(json!({"b": 1, "include_usage": false}))), Just(Some(json!({"include_usage": null}))),
        ],
        pretty in any::<bool>(),
    ) {
        let mut body: serde_json::Map<_, _> = before.into_iter().map(|(name, value)| (name, json!(value))).collect();
        body.insert("stream".to_owned(), json!(true));
        if let Some(options) = &options {
            body.insert("stream_options".to_owned(), options.clone());
        }
        let text = if pretty { serde_json::to_string_pretty(&body) } else { serde_json::to_string(&body) }.unwrap();
        let changed = asking(Dialect::Chat, &text);
        let mut expected = body;
        let mut wanted = options.filter(Value::is_object).unwrap_or_else(|| json!({}));
        wanted["include_usage"] = json!(true);
        expected.insert("stream_options".to_owned(), wanted);
        prop_assert_eq!(serde_json::from_str::<Value>(&changed).unwrap(), Value::from(expected));
        let same_before = text.bytes().zip(changed.bytes()).take_while(|(a, b)| a == b).count();
        let same_after = text.bytes().rev().zip(changed.bytes().rev()).take_while(|(a, b)| a == b).count();
        let replaced = text.len().saturating_sub(same_before + same_after);
        prop_assert!(replaced <= "false".len(), "{} -> {}", text, changed);
    }

    #[test]
    fn anything_may_be_read(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let body = Bytes::from(body);
        let ask = Ask::read(Dialect::Chat, &body, DEFAULT);
        prop_assert!(ask.asking_for_usage(&body).len() >= body.len());
    }
}

#[test]
fn a_body_that_is_vouched_for_is_not_changed() {
    let mut headers = http::HeaderMap::new();
    headers.insert("content-type", http::HeaderValue::from_static("application/json"));
    assert!(may_change_body(&headers));
    for (name, value) in [("content-digest", "sha-256=:x:"), ("idempotency-key", "\"k\"")] {
        let mut headers = headers.clone();
        headers.insert(name, http::HeaderValue::from_static(value));
        assert!(!may_change_body(&headers), "{name}");
    }
}
