use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::prelude::*;
use sluicegate_core::{ClaimName, Claims};

use super::{IDEMPOTENCY_KEY, Key, KeyFault, MAX_KEY, derived, sent};
use crate::input::{KeyPart, ScopePart};

fn headers(values: &[&[u8]]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(&IDEMPOTENCY_KEY, HeaderValue::from_bytes(value).unwrap());
    }
    headers
}

fn text(value: &[u8]) -> Result<String, KeyFault> {
    sent(&headers(&[value])).map(|key| key.unwrap().text.into())
}

#[test]
fn quoted_and_bare_keys_are_the_same_key() {
    for (value, key) in [
        (&b"\"8e03978e-40d5-43dd-bc93-6894a57f9324\""[..], "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        (b"8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        (b"  \"k\" ", "k"),
        (b"a:b/c=d+e~", "a:b/c=d+e~"),
        (br#""say \"hi\" \\ bye, now; then""#, r#"say "hi" \ bye, now; then"#),
    ] {
        assert_eq!(text(value).as_deref(), Ok(key));
    }
    assert_eq!(sent(&HeaderMap::new()), Ok(None));
}

#[test]
fn the_longest_key_has_255_characters() {
    let long = |len: usize| "k".repeat(len);
    assert_eq!(text(long(MAX_KEY).as_bytes()), Ok(long(255)));
    assert_eq!(text(long(256).as_bytes()), Err(KeyFault::TooLong(256)));
    let quoted = |len: usize| format!("\"{}\"", long(len));
    assert_eq!(text(quoted(255).as_bytes()), Ok(long(255)));
    assert_eq!(text(quoted(256).as_bytes()), Err(KeyFault::TooLong(256)));
    // Escapes count as what they stand for.
    assert_eq!(text(format!("\"{}\"", "\\\\".repeat(255)).as_bytes()), Ok("\\".repeat(255)));
}

#[test]
fn what_is_no_key_is_told_why() {
    for (value, fault) in [
        (&b""[..], KeyFault::Empty),
        (b"  ", KeyFault::Empty),
        (b"\"\"", KeyFault::Empty),
        (b"\"abc", KeyFault::Unclosed),
        (b"\"", KeyFault::Unclosed),
        (b"\"abc\\", KeyFault::Unclosed),
        (b"\"abc\\d\"", KeyFault::BadByte(6)),
        (b"\"abc\";x=1", KeyFault::BadByte(6)),
        (b"abc, def", KeyFault::BadByte(4)),
        (b"abc def", KeyFault::BadByte(4)),
        (b"abc\"", KeyFault::BadByte(4)),
        (b"caf\xc3\xa9", KeyFault::BadByte(4)),
        (b"\"caf\xe9\"", KeyFault::BadByte(5)),
        (b"\"a\tb\"", KeyFault::BadByte(3)),
    ] {
        assert_eq!(text(value), Err(fault), "{}", value.escape_ascii());
    }
    assert_eq!(sent(&headers(&[b"a", b"a"])), Err(KeyFault::Several));
}

const ID: HeaderName = HeaderName::from_static("x-delivery-id");

fn derived_from(parts: &[KeyPart], id: Option<&str>, body: &str) -> Option<Box<str>> {
    let mut headers = HeaderMap::new();
    if let Some(id) = id {
        headers.insert(ID, HeaderValue::try_from(id).unwrap());
    }
    derived(parts, &headers, Some(body.as_bytes())).map(|key| key.text)
}

#[test]
fn a_key_is_derived_from_all_of_its_parts_or_not_at_all() {
    let parts = [KeyPart::Header(ID), KeyPart::Json("/event/id".into())];
    let key = derived_from(&parts, Some("d-1"), r#"{"event":{"id":7}}"#).unwrap();
    assert_eq!(key.len(), 64);
    assert_eq!(derived_from(&parts, Some("d-1"), r#"{"x":1,"event":{"id":7}}"#), Some(key.clone()));
    for (id, body) in [("d-2", r#"{"event":{"id":7}}"#), ("d-1", r#"{"event":{"id":"7"}}"#)] {
        let other = derived_from(&parts, Some(id), body).unwrap();
        assert_ne!(other, key);
    }
    for (id, body) in [
        (None, r#"{"event":{"id":7}}"#),
        (Some("d-1"), r#"{"event":{}}"#),
        (Some("d-1"), r#"{"event":{"id":null}}"#),
        (Some("d-1"), r#"{"event":{"id":[7]}}"#),
        (Some("d-1"), "not json"),
        (Some("d-1"), ""),
    ] {
        assert_eq!(derived_from(&parts, id, body), None, "{id:?} {body}");
    }
    assert_eq!(derived_from(&[], Some("d-1"), "{}"), None);
}

#[test]
fn where_one_part_ends_counts() {
    let (a, b) = (HeaderName::from_static("a"), HeaderName::from_static("b"));
    let key = |x: &'static str, y: &'static str| {
        let headers = HeaderMap::from_iter([
            (a.clone(), HeaderValue::from_static(x)),
            (b.clone(), HeaderValue::from_static(y)),
        ]);
        derived(&[KeyPart::Header(a.clone()), KeyPart::Header(b.clone())], &headers, None).unwrap()
    };
    assert_ne!(key("12", "3"), key("1", "23"));
}

#[test]
fn each_part_of_the_scope_gives_a_key_a_place_of_its_own() {
    let key = |derived: bool| Key { text: "k".into(), derived };
    let field = HeaderName::from_static("x-shop");
    let scope = [ScopePart::Header(field.clone())];
    let shop = |name: &'static str| HeaderMap::from_iter([(field.clone(), HeaderValue::from_static(name))]);
    let none = HeaderMap::new();
    let places = [
        key(false).place(None, &Method::POST, "ingest", &[], (&none, None)),
        key(true).place(None, &Method::POST, "ingest", &[], (&none, None)),
        key(false).place(Some(""), &Method::POST, "ingest", &[], (&none, None)),
        key(false).place(Some("acme"), &Method::POST, "ingest", &[], (&none, None)),
        key(false).place(None, &Method::PATCH, "ingest", &[], (&none, None)),
        key(false).place(None, &Method::POST, "ingestk", &[], (&none, None)),
        Key { text: "kk".into(), derived: false }.place(None, &Method::POST, "ingest", &[], (&none, None)),
        key(false).place(None, &Method::POST, "ingest", &scope, (&none, None)),
        key(false).place(None, &Method::POST, "ingest", &scope, (&shop(""), None)),
        key(false).place(None, &Method::POST, "ingest", &scope, (&shop("a"), None)),
    ];
    let by_claim = [ScopePart::Claim(ClaimName::new("sub").unwrap())];
    let claimed =
        |claims: &Claims| key(false).place(None, &Method::POST, "ingest", &by_claim, (&none, Some(claims)));
    let of =
        |name: &str, value: &str| Claims::verified([(name.to_owned(), value.into())].into_iter().collect());
    let places: Vec<_> = places
        .into_iter()
        .chain([
            claimed(&of("sub", "a")),
            claimed(&of("sub", "b")),
            claimed(&of("sub", "")),
            claimed(&of("x", "a")),
        ])
        .collect();
    for (at, place) in places.iter().enumerate() {
        assert!(!places[..at].contains(place), "place {at} is not its own");
    }
    let again = key(false).place(None, &Method::POST, "ingest", &scope, (&shop("a"), None));
    assert_eq!(again, places[9], "the same scope is the same place");
}

proptest! {
    #[test]
    fn no_bytes_panic_and_what_is_taken_is_short_and_printable(value in prop::collection::vec(any::<u8>(), 0..300)) {
        let Ok(value) = HeaderValue::from_bytes(&value) else { return Ok(()) };
        if let Ok(Some(key)) = sent(&HeaderMap::from_iter([(IDEMPOTENCY_KEY.clone(), value)])) {
            prop_assert!((1..=MAX_KEY).contains(&key.text.len()));
            prop_assert!(key.text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        }
    }

    /// Whatever a key says, quoting it leads back to it.
    #[test]
    fn a_quoted_key_says_what_was_quoted(key in "[ -~]{1,255}") {
        let quoted = format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""));
        prop_assert_eq!(text(quoted.as_bytes()), Ok(key));
    }
}
