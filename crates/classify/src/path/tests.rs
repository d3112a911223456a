use std::borrow::Cow;

use http::{Method, StatusCode, Uri, uri::PathAndQuery};
use proptest::prelude::*;
use sluicegate_core::{Code, Refusal};

use super::{Flaw, canonical_target, clean_query, normalise};

#[test]
fn each_trick_is_refused_or_has_one_form() {
    let table: &[(&str, Result<&str, Flaw>)] = &[
        // Dot segments.
        ("/a/../b", Err(Flaw::DotSegment)),
        ("/a/./b", Err(Flaw::DotSegment)),
        ("/a/..", Err(Flaw::DotSegment)),
        ("/a/.", Err(Flaw::DotSegment)),
        ("/..", Err(Flaw::DotSegment)),
        ("/.", Err(Flaw::DotSegment)),
        ("/%2e%2e/", Err(Flaw::DotSegment)),
        ("/%2E", Err(Flaw::DotSegment)),
        ("/a/.%2e/b", Err(Flaw::DotSegment)),
        ("/a/%2E./b", Err(Flaw::DotSegment)),
        ("/a//..//b", Err(Flaw::DotSegment)),
        ("/a/..;/b", Err(Flaw::DotSegment)),
        ("/a/.;x=1/b", Err(Flaw::DotSegment)),
        ("/a/..%3bx/b", Err(Flaw::DotSegment)),
        ("/a/%2e%2E;", Err(Flaw::DotSegment)),
        // Dots that are none.
        ("/...", Ok("/...")),
        ("/.well-known/x", Ok("/.well-known/x")),
        ("/..a", Ok("/..a")),
        ("/a..", Ok("/a..")),
        ("/a.;x", Ok("/a.;x")),
        ("/a%2e", Ok("/a.")),
        ("/%2e%2e%2e", Ok("/...")),
        ("/%2ehidden", Ok("/.hidden")),
        ("/%252e%252e/", Ok("/%252e%252e/")),
        // Slashes, backslashes, NUL.
        ("/a%2fb", Err(Flaw::EncodedSlash)),
        ("/a%2Fb", Err(Flaw::EncodedSlash)),
        ("/%2f", Err(Flaw::EncodedSlash)),
        ("/a%5cb", Err(Flaw::Backslash)),
        ("/a%5Cb", Err(Flaw::Backslash)),
        ("/a\\b", Err(Flaw::Backslash)),
        ("/..\\b", Err(Flaw::Backslash)),
        ("/%00", Err(Flaw::Nul)),
        ("/a%00.png", Err(Flaw::Nul)),
        ("/a\0", Err(Flaw::Nul)),
        ("//a///b", Ok("/a/b")),
        ("//", Ok("/")),
        ("/a//", Ok("/a/")),
        ("///a", Ok("/a")),
        ("//evil.test/a", Ok("/evil.test/a")),
        // Escapes.
        ("/%7Euser", Ok("/~user")),
        ("/%41", Ok("/A")),
        ("/%2d%5F%7a%39", Ok("/-_z9")),
        ("/a%20b", Ok("/a%20b")),
        ("/%e9", Ok("/%E9")),
        ("/%E9", Ok("/%E9")),
        ("/caf%c3%a9", Ok("/caf%C3%A9")),
        ("/%3f%23%3b", Ok("/%3F%23%3B")),
        ("/%25", Ok("/%25")),
        ("/%2541", Ok("/%2541")),
        ("/%0d%0a", Ok("/%0D%0A")),
        ("/%zz", Err(Flaw::BadEscape)),
        ("/%4", Err(Flaw::BadEscape)),
        ("/%", Err(Flaw::BadEscape)),
        ("/%%41", Err(Flaw::BadEscape)),
        ("/%u002e", Err(Flaw::BadEscape)),
        ("/%+1", Err(Flaw::BadEscape)),
        ("/%4é", Err(Flaw::BadEscape)),
        ("/%c0%ae%c0%ae/", Err(Flaw::Overlong)),
        ("/%c0%af", Err(Flaw::Overlong)),
        ("/%C1%9C", Err(Flaw::Overlong)),
        ("/%e0%80%af", Err(Flaw::Overlong)),
        ("/%f0%80%80%af", Err(Flaw::Overlong)),
        ("/%C0", Ok("/%C0")),
        ("/%C0a%AE", Ok("/%C0a%AE")),
        // What may not stand raw.
        ("/caf\u{e9}", Ok("/caf%C3%A9")),
        ("/\u{1f355}", Ok("/%F0%9F%8D%95")),
        ("/\"<>^`{|}[] ", Ok("/%22%3C%3E%5E%60%7B%7C%7D%5B%5D%20")),
        ("/a\u{7f}\u{1}", Ok("/a%7F%01")),
        // What may.
        ("/", Ok("/")),
        ("/a;x=1/b", Ok("/a;x=1/b")),
        ("/a-._~!$&'()*+,;=:@", Ok("/a-._~!$&'()*+,;=:@")),
        ("/pkg.Service/Method", Ok("/pkg.Service/Method")),
        // Not a path.
        ("", Err(Flaw::NoPath)),
        ("a/b", Err(Flaw::NoPath)),
    ];
    for (path, expected) in table {
        let got = normalise(path);
        assert_eq!(got.as_deref(), expected.as_ref().map(|s| &**s), "{path:?}");
        if let Ok(got) = got {
            assert_eq!(matches!(got, Cow::Borrowed(_)), got == *path, "{path:?} is copied only when changed");
        }
    }
}

#[test]
fn a_query_is_kept_but_for_illegal_bytes() {
    for (query, expected) in [
        ("", ""),
        ("a=1&b=%zz%2f..//?\\", "a=1&b=%zz%2f..//?%5C"),
        ("q=caf\u{e9}", "q=caf%C3%A9"),
        ("f[x]={1}|^`", "f%5Bx%5D=%7B1%7D%7C%5E%60"),
        ("a=b;c=/?:@!$'()*+,-._~", "a=b;c=/?:@!$'()*+,-._~"),
    ] {
        assert_eq!(clean_query(query), expected);
    }
}

fn target(method: &Method, uri: &str) -> Result<Option<String>, Flaw> {
    let uri: Uri = uri.parse().unwrap();
    canonical_target(method, &uri).map(|changed| changed.map(|target| target.to_string()))
}

#[test]
fn the_target_is_rewritten_only_where_it_must_be() {
    let some = |text: &str| Ok(Some(text.to_owned()));
    assert_eq!(target(&Method::GET, "/a/b?c=%2e"), Ok(None));
    assert_eq!(target(&Method::GET, "/a?"), Ok(None));
    assert_eq!(target(&Method::GET, "/a//b?c"), some("/a/b?c"));
    assert_eq!(target(&Method::GET, "/a?b={}"), some("/a?b=%7B%7D"));
    assert_eq!(target(&Method::GET, "//?"), some("/?"));
    assert_eq!(target(&Method::GET, "http://h.test/a/%62"), some("/a/b"));
    assert_eq!(target(&Method::GET, "http://h.test"), Ok(None));
    assert_eq!(target(&Method::GET, "http://h.test?a=1"), some("/?a=1"));
    assert_eq!(target(&Method::OPTIONS, "*"), Ok(None));
    assert_eq!(target(&Method::GET, "*"), Err(Flaw::Asterisk));
    assert_eq!(target(&Method::CONNECT, "h.test:443"), Err(Flaw::Connect));
    assert_eq!(target(&Method::CONNECT, "/a"), Err(Flaw::Connect));
    assert_eq!(target(&Method::GET, "h.test:443"), Err(Flaw::NoPath));
    let long = format!("/{}", "\u{e9}".repeat(20_000));
    assert_eq!(target(&Method::GET, &long), Err(Flaw::TooLong));
}

#[test]
fn a_flaw_is_a_bad_request_that_says_what_to_do() {
    let refusal = Refusal::from(Flaw::EncodedSlash);
    assert_eq!(refusal.code(), Code::BadRequest);
    assert!(refusal.to_string().contains("%2f") && refusal.to_string().contains("send"), "{refusal}");
    let facts = sluicegate_core::Facts::new(
        http::HeaderValue::from_static("a"),
        None,
        tokio::time::Instant::now(),
        false,
    );
    assert_eq!(Refusal::from(Flaw::TooLong).into_response(&facts).status(), StatusCode::URI_TOO_LONG);
}

/// A slow decoder that knows nothing of the fast one; `None` where an escape is none.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(if byte == b'%' {
            let pair = [bytes.next()?, bytes.next()?];
            if !pair.iter().all(u8::is_ascii_hexdigit) {
                return None;
            }
            u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?
        } else {
            byte
        });
    }
    Some(out)
}

fn merged(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.dedup_by(|a, b| *a == b'/' && *b == b'/');
    bytes
}

/// Whether a path without overlong UTF-8 must be refused, segment by segment.
fn must_refuse(path: &str) -> bool {
    path.split('/').any(|segment| {
        let Some(decoded) = decode(segment) else { return true };
        let name = decoded.split(|b| *b == b';').next().unwrap_or_default();
        name == b"." || name == b".." || decoded.iter().any(|b| matches!(b, 0 | b'/' | b'\\'))
    })
}

fn check(path: &str) {
    let Ok(canonical) = normalise(path) else {
        return;
    };
    assert_eq!(normalise(&canonical).as_deref(), Ok(&*canonical), "idempotent");
    assert!(matches!(normalise(&canonical), Ok(Cow::Borrowed(_))), "canonical is borrowed");
    assert!(canonical.bytes().all(|b| b.is_ascii_graphic()), "{canonical}");
    assert!(!canonical.contains("//") && !canonical.contains('\\'), "{canonical}");
    assert!(!["%2F", "%2f", "%5C", "%5c", "%00", "%2E", "%2e"].iter().any(|bad| canonical.contains(bad)));
    assert!(!canonical.split('/').any(|segment| matches!(segment, "." | "..")), "{canonical}");
    assert_eq!(decode(&canonical), decode(path).map(merged), "{path} is {canonical}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn tricky_paths_keep_their_meaning(
        pieces in proptest::collection::vec(prop::sample::select(vec![
            "/", "//", ".", "..", "%2e", "%2E", "%2f", "%5C", "%00", "%7e", "%41", "%c3%a9", "%E9", "%",
            "%4", "%zz", "%3b", ";", "a", "Z", "\u{e9}", "{", "|", "%25", "2", "e", "\\", "*", " ",
        ]), 0..12),
    ) {
        let path = format!("/{}", pieces.concat());
        check(&path);
        prop_assert_eq!(normalise(&path).is_err(), must_refuse(&path), "{}", path);
    }

    #[test]
    fn no_text_panics(path in "/\\PC{0,40}") {
        check(&path);
    }

    #[test]
    fn whatever_a_uri_takes_is_judged(tail in proptest::collection::vec(any::<u8>(), 0..40)) {
        let raw = [b"/".as_slice(), &tail].concat();
        if let Ok(target) = PathAndQuery::try_from(raw.as_slice()) {
            check(target.path());
            let uri = Uri::from(target);
            if let Ok(Some(changed)) = canonical_target(&Method::GET, &uri) {
                let again = Uri::from(changed);
                prop_assert_eq!(canonical_target(&Method::GET, &again), Ok(None));
            }
        }
    }
}
