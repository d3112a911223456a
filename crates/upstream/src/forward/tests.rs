use std::net::SocketAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Version};
use proptest::prelude::*;

use sluicegate_core::TrustedPeers;

use super::{clean_request, clean_response, set_forwarded};

fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    map
}

fn shown(map: &HeaderMap) -> Vec<String> {
    let mut lines: Vec<_> =
        map.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    lines.sort();
    lines
}

#[test]
fn a_plain_request_passes_untouched() {
    let mut map = headers(&[("host", "a"), ("accept", "*/*"), ("x-tenant-id", "acme")]);
    let before = map.clone();
    clean_request(&mut map, Version::HTTP_11);
    assert_eq!(map, before);
}

#[test]
fn fields_of_one_connection_end_there() {
    let mut map = headers(&[
        ("host", "a"),
        ("connection", "keep-alive, X-Secret"),
        ("connection", "Host, Content-Length"),
        ("x-secret", "1"),
        ("content-length", "5"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("transfer-encoding", "chunked"),
        ("te", "gzip;q=0.5, trailers"),
        ("upgrade", "h2c"),
        ("http2-settings", "AAMAAABk"),
        ("sluicegate-freeze", "off"),
        ("x-sluicegate-shadow", "1"),
    ]);
    clean_request(&mut map, Version::HTTP_11);
    assert_eq!(shown(&map), ["content-length: 5", "host: a", "te: trailers"]);
}

#[test]
fn a_client_may_ask_for_an_arm_and_an_upstream_may_not_tell_one() {
    let fields = [("x-sluicegate-arm", "candidate"), ("x-sluicegate-armed", "1"), ("x", "y")];
    let mut map = headers(&fields);
    clean_request(&mut map, Version::HTTP_11);
    assert_eq!(shown(&map), ["x-sluicegate-arm: candidate", "x: y"]);
    let mut map = headers(&fields);
    clean_response(&mut map, false);
    assert_eq!(shown(&map), ["x: y"]);
}

#[test]
fn only_a_proper_websocket_upgrade_stays() {
    let table: &[(&[(&str, &str)], bool)] = &[
        (&[("connection", "Upgrade"), ("upgrade", "WebSocket")], true),
        (&[("connection", "keep-alive, upgrade"), ("upgrade", "websocket")], true),
        (&[("upgrade", "websocket")], false),
        (&[("connection", "upgrade"), ("upgrade", "h2c")], false),
        (&[("connection", "upgrade"), ("upgrade", "websocket, h2c")], false),
        (&[("connection", "upgrade"), ("upgrade", "websocket"), ("upgrade", "h2c")], false),
    ];
    for (fields, stays) in table {
        let mut map = headers(fields);
        clean_request(&mut map, Version::HTTP_11);
        assert_eq!(map.contains_key("upgrade"), *stays, "{fields:?}");
        assert!(!map.contains_key("connection"));
    }
}

#[test]
fn an_upgrade_in_http_1_0_is_ignored() {
    let mut map = headers(&[("connection", "upgrade"), ("upgrade", "websocket")]);
    clean_request(&mut map, Version::HTTP_10);
    assert!(map.is_empty());
}

#[test]
fn a_cookie_that_http2_split_is_one_again() {
    let fields = [("cookie", "a=1"), ("cookie", "b=2"), ("x", "y")];
    let mut map = headers(&fields);
    clean_request(&mut map, Version::HTTP_2);
    assert_eq!(shown(&map), ["cookie: a=1; b=2", "x: y"]);
    let mut map = headers(&fields);
    clean_request(&mut map, Version::HTTP_11);
    assert_eq!(map.get_all("cookie").iter().count(), 2, "what HTTP/1.1 sends is not touched");
}

#[test]
fn a_response_keeps_one_framing_only() {
    let mut map = headers(&[
        ("transfer-encoding", "chunked"),
        ("content-length", "9"),
        ("connection", "close"),
        ("etag", "x"),
    ]);
    clean_response(&mut map, false);
    assert_eq!(shown(&map), ["etag: x"]);
    let mut map =
        headers(&[("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-accept", "x")]);
    clean_response(&mut map, true);
    assert_eq!(shown(&map), ["connection: upgrade", "sec-websocket-accept: x", "upgrade: websocket"]);
}

/// The peer, what came, the client, what goes on.
type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, &'a [&'a str]);

#[test]
fn forwarded_fields_count_only_from_trusted_peers() {
    let trusted = TrustedPeers::new(vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]);
    let table: &[Row<'_>] = &[
        (
            "203.0.113.7:99",
            &[
                ("host", "h"),
                ("x-forwarded-for", "1.1.1.1"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "evil"),
            ],
            "203.0.113.7",
            &["host: h", "x-forwarded-for: 203.0.113.7", "x-forwarded-host: h", "x-forwarded-proto: http"],
        ),
        (
            "10.1.1.1:99",
            &[
                ("host", "h"),
                ("x-forwarded-for", "1.1.1.1, 198.51.100.20"),
                ("x-forwarded-for", "10.9.9.9"),
                ("x-forwarded-proto", "https"),
            ],
            "198.51.100.20",
            &[
                "host: h",
                "x-forwarded-for: 1.1.1.1, 198.51.100.20, 10.9.9.9, 10.1.1.1",
                "x-forwarded-host: h",
                "x-forwarded-proto: https",
            ],
        ),
        (
            "10.1.1.1:99",
            &[("x-forwarded-for", "8.8.8.8, nonsense")],
            "10.1.1.1",
            &["x-forwarded-for: 8.8.8.8, nonsense, 10.1.1.1", "x-forwarded-proto: http"],
        ),
        (
            "10.1.1.1:99",
            &[("x-forwarded-for", "10.2.2.2")],
            "10.2.2.2",
            &["x-forwarded-for: 10.2.2.2, 10.1.1.1", "x-forwarded-proto: http"],
        ),
        (
            "[fd00::1]:99",
            &[("x-forwarded-for", "[2001:db8::5]:1234")],
            "2001:db8::5",
            &["x-forwarded-for: [2001:db8::5]:1234, fd00::1", "x-forwarded-proto: http"],
        ),
        (
            "[::ffff:10.1.1.1]:99",
            &[("x-forwarded-for", "5.5.5.5")],
            "5.5.5.5",
            &["x-forwarded-for: 5.5.5.5, 10.1.1.1", "x-forwarded-proto: http"],
        ),
    ];
    for (peer, came, client, goes) in table {
        let mut map = headers(came);
        let peer: SocketAddr = peer.parse().unwrap();
        assert_eq!(set_forwarded(&mut map, peer, false, &trusted).to_string(), *client, "{came:?}");
        assert_eq!(&shown(&map), goes, "{came:?}");
    }
}

proptest! {
    #[test]
    fn an_address_is_written_as_it_is_shown(octets: [u8; 4]) {
        let mut map = HeaderMap::new();
        let peer = SocketAddr::from((octets, 1));
        set_forwarded(&mut map, peer, true, &TrustedPeers::default());
        prop_assert_eq!(map["x-forwarded-for"].to_str().unwrap(), peer.ip().to_string());
        prop_assert_eq!(&map["x-forwarded-proto"], "https");
    }
}
