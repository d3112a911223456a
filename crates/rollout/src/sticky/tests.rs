use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};
use sluicegate_core::{Chance, CookieName, Tenant};

use super::{KeySource, Known, Sticky};
use crate::{
    choice::{point, seed},
    cookie::Signer,
};

fn signer(epoch: u64) -> Signer {
    Signer::new(&[171; 32], "retriever", epoch)
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let pairs =
        pairs.iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()));
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(name, value);
    }
    headers
}

fn known(headers: &HeaderMap) -> Known<'_> {
    Known { headers, tenant: None, claims: None, client: None, secure: false }
}

/// The point by this key, and no cookie.
fn keyed(key: &[u8]) -> (u64, Option<HeaderValue>) {
    (point(key, seed("retriever")), None)
}

/// Asks twice with chances that differ; the answers are the same where there is a key.
fn ask(source: KeySource, known: Known<'_>) -> [(u64, Option<HeaderValue>); 2] {
    let sticky = Sticky::new(source, "retriever");
    [1, 2].map(|seed| sticky.point(known, &signer(7), &Chance::seeded(seed)))
}

/// What is drawn from those chances.
fn by_lot() -> [(u64, Option<HeaderValue>); 2] {
    [1, 2].map(|seed| (Chance::seeded(seed).bits(), None))
}

#[test]
fn a_header_keys_by_its_first_line() {
    let source = || KeySource::Header("x-user-id".parse().unwrap());
    let both = headers(&[("x-user-id", "alice"), ("x-user-id", "bob")]);
    assert_eq!(ask(source(), known(&both)), [keyed(b"alice"), keyed(b"alice")]);
    let opaque =
        HeaderMap::from_iter([("x-user-id".parse().unwrap(), HeaderValue::from_bytes(b"\xff").unwrap())]);
    assert_eq!(ask(source(), known(&opaque)), [keyed(b"\xff"), keyed(b"\xff")]);
    assert_eq!(ask(source(), known(&headers(&[("x-user-id", "")]))), by_lot());
    assert_eq!(ask(source(), known(&headers(&[("x-other", "alice")]))), by_lot());
}

#[test]
fn a_tenant_keys_by_its_name() {
    let none = HeaderMap::new();
    let acme = Tenant::from_header(&HeaderValue::from_static("acme")).unwrap();
    let known = Known { tenant: Some(&acme), ..known(&none) };
    assert_eq!(ask(KeySource::Tenant, known), [keyed(b"acme"), keyed(b"acme")]);
    assert_eq!(ask(KeySource::Tenant, Known { tenant: None, ..known }), by_lot());
}

#[test]
fn a_client_keys_by_its_address_in_its_shortest_form() {
    let none = HeaderMap::new();
    let of = |address: &str| Known { client: Some(address.parse::<IpAddr>().unwrap()), ..known(&none) };
    let four = keyed(&[192, 0, 2, 7]);
    assert_eq!(ask(KeySource::Client, of("192.0.2.7")), [four.clone(), four.clone()]);
    assert_eq!(ask(KeySource::Client, of("::ffff:192.0.2.7")), [four.clone(), four]);
    let six = "2001:db8::7".parse::<std::net::Ipv6Addr>().unwrap().octets();
    assert_eq!(ask(KeySource::Client, of("2001:db8::7")), [keyed(&six), keyed(&six)]);
    assert_eq!(ask(KeySource::Client, known(&none)), by_lot());
}

#[test]
fn without_a_source_each_request_is_drawn() {
    let user = headers(&[("x-user-id", "alice")]);
    assert_eq!(ask(KeySource::PerRequest, known(&user)), by_lot());
}

#[test]
fn a_cookie_is_set_once_and_keys_from_then_on() {
    let source = KeySource::Cookie(CookieName::new("sluicegate-arm").unwrap());
    let sticky = Sticky::new(source, "retriever");
    let chance = Chance::seeded(3);
    let ask = |cookie: Option<&str>, epoch| {
        let headers = cookie.map(|cookie| headers(&[("cookie", cookie)])).unwrap_or_default();
        sticky.point(known(&headers), &signer(epoch), &chance)
    };
    let (first, set) = ask(None, 7);
    let set = set.expect("a cookie is set").to_str().unwrap().to_owned();
    let brought = set.split(';').next().unwrap();
    assert_eq!(ask(Some(brought), 7), (first, None), "the drawn key decided already");
    let (other, anew) = ask(Some(brought), 8);
    assert!(anew.is_some() && other != first, "another epoch draws anew");
    let forged = brought.replace('=', "=A");
    assert!(ask(Some(&forged[..brought.len()]), 7).1.is_some());
    let (third, _) = ask(None, 7);
    assert_ne!(third, first, "no two browsers get the same key");
}
