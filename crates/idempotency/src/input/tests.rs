use std::time::Duration;

use http::{HeaderName, StatusCode};
use serde_json::json;
use sluicegate_core::units::Span;
use sluicegate_store::fence::OnUnknown;

use super::{
    FencesInput, FencesSettings, IdempotencyInput, IdempotencySettings, KeyPart, KeyPartInput, ScopePart,
    WhenLost,
};

fn faults(input: &serde_json::Value) -> Vec<(String, String)> {
    serde_json::from_value::<IdempotencyInput>(input.clone()).unwrap().check().unwrap_err()
}

#[test]
fn a_whole_section_is_read() {
    let input: IdempotencyInput = serde_json::from_value(json!({
        "required": true, "ttl": "14d", "wait": "1s", "on_unknown": "retry",
        "key_from": [{ "header": "X-Delivery-Id" }, { "json": "/event/id" }],
        "scope": [{ "header": "x-shop" }], "ignore": ["/trace", "/items/*/at"],
        "conflict_status": 409, "when_lost": "open", "max_body": "2MiB", "max_answer": "64KiB",
        "detached_limit": "5m",
    }))
    .unwrap();
    let settings = input.check().unwrap();
    assert_eq!(settings.ttl, Duration::from_secs(14 * 24 * 3600));
    assert_eq!(settings.on_unknown, Some(OnUnknown::Retry));
    let header = KeyPart::Header(HeaderName::from_static("x-delivery-id"));
    assert_eq!(settings.key_from, [header, KeyPart::Json("/event/id".into())]);
    assert_eq!(settings.scope, [ScopePart::Header(HeaderName::from_static("x-shop"))]);
    assert_eq!(settings.rules.ignore.len(), 2);
    assert_eq!(settings.conflict_status, StatusCode::CONFLICT);
    assert_eq!((settings.max_body, settings.max_answer), (2 << 20, 64 << 10));
    assert_eq!(settings.when_lost, WhenLost::Open);
    assert_eq!(settings.detached_limit, Some(Duration::from_secs(300)));
    // What is written back says the same.
    let written = serde_json::to_value(&input).unwrap();
    assert_eq!(serde_json::from_value::<IdempotencyInput>(written).unwrap(), input);
}

#[test]
fn an_empty_section_is_the_defaults() {
    assert_eq!(IdempotencyInput::default().check().unwrap(), IdempotencySettings::default());
    assert_eq!(FencesInput::default().check().unwrap(), FencesSettings::default());
    assert!(serde_json::from_value::<IdempotencyInput>(json!({ "requird": true })).is_err());
    assert!(serde_json::from_value::<FencesInput>(json!({ "max_key": 1 })).is_err());
}

#[test]
fn a_lost_store_closes_routes_that_require_a_key_and_no_others() {
    let when_lost = |required: bool, when_lost: Option<WhenLost>| {
        IdempotencyInput { required, when_lost, ..IdempotencyInput::default() }.check().unwrap().when_lost
    };
    assert_eq!(when_lost(true, None), WhenLost::Closed);
    assert_eq!(when_lost(false, None), WhenLost::Open);
    assert_eq!(when_lost(true, Some(WhenLost::Open)), WhenLost::Open);
    assert_eq!(when_lost(false, Some(WhenLost::Closed)), WhenLost::Closed);
}

#[test]
fn each_mistake_is_told_with_its_place_and_all_at_once() {
    for (input, path, says) in [
        (json!({ "ttl": "0s" }), "ttl", "0s is not long enough"),
        (json!({ "ttl": "1000d" }), "ttl", "longer than 366d"),
        (json!({ "ttl": "1s" }), "ttl", "shorter than `wait`"),
        (json!({ "wait": "400d", "ttl": "366d" }), "wait", "longer than 366d"),
        (json!({ "detached_limit": "0s" }), "detached_limit", "0s is not long enough"),
        (json!({ "conflict_status": 400 }), "conflict_status", "write 422 or 409"),
        (json!({ "ignore": ["/a", "b"] }), "ignore[1]", "`b` is not a JSON pointer"),
        (json!({ "ignore": ["/a~2"] }), "ignore[0]", "`/a~2` is not a JSON pointer"),
        (json!({ "ignore": ["/a~"] }), "ignore[0]", "is not a JSON pointer"),
        (json!({ "key_from": [{ "json": "id" }] }), "key_from[0].json", "is not a JSON pointer"),
        (json!({ "key_from": [{ "header": "a b" }] }), "key_from[0].header", "`a b` is not a header name"),
        (json!({ "scope": [{ "claim": "" }] }), "scope[0].claim", "names no claim"),
        (json!({ "scope": [{ "header": "" }] }), "scope[0].header", "is not a header name"),
    ] {
        let faults = faults(&input);
        assert!(
            faults.iter().any(|(at, message)| at == path && message.contains(says)),
            "{input}: {faults:?}"
        );
    }
    let both = IdempotencyInput {
        ttl: Span::secs(0),
        wait: Span::secs(0),
        conflict_status: 1,
        key_from: vec![KeyPartInput::Json("x".into())],
        ..IdempotencyInput::default()
    };
    assert_eq!(both.check().unwrap_err().len(), 3);
}

#[test]
fn bounds_that_would_refuse_everything_are_mistakes() {
    for (input, path) in [
        (json!({ "max_keys": 0 }), "max_keys"),
        (json!({ "max_bytes": "0B" }), "max_bytes"),
        (json!({ "tenant_share": 0.0 }), "tenant_share"),
        (json!({ "tenant_share": 1.5 }), "tenant_share"),
        (json!({ "detached_limit": "0s" }), "detached_limit"),
    ] {
        let faults = serde_json::from_value::<FencesInput>(input).unwrap().check().unwrap_err();
        assert_eq!(faults.iter().map(|(at, _)| at.as_str()).collect::<Vec<_>>(), [path]);
    }
    let settings: FencesInput =
        serde_json::from_value(json!({ "max_waiters": 0, "max_detached": 0 })).unwrap();
    assert!(settings.check().is_ok(), "nobody waits and nothing goes on alone: a choice");
}
