use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Uri, header};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Difference, Fingerprint, FingerprintRules, MOST_LEAVES, has_content_digest};

fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
    fields
        .iter()
        .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::try_from(*value).unwrap()))
        .collect()
}

fn json_headers() -> HeaderMap {
    headers(&[("content-type", "application/json; charset=utf-8")])
}

fn ignoring(pointers: &[&str]) -> FingerprintRules {
    FingerprintRules { ignore: pointers.iter().map(|&pointer| pointer.into()).collect() }
}

fn print_under(body: &str, rules: &FingerprintRules) -> Fingerprint {
    let uri = Uri::from_static("/v1/documents/7?wait=true");
    Fingerprint::of(&Method::POST, &uri, &json_headers(), Some(&Bytes::from(body.to_owned())), rules)
}

fn print(body: &str) -> Fingerprint {
    print_under(body, &FingerprintRules::default())
}

fn differences(one: &str, other: &str) -> Vec<Box<str>> {
    print(one).differences(&print(other))
}

#[test]
fn what_json_says_counts_and_not_how_it_is_spelled() {
    for (one, other) in [
        (r#"{"a":1,"b":[1,2]}"#, "{ \"b\": [1, 2],\n \"a\": 1 }"),
        (r#"{"a":{"x":1,"y":2}}"#, r#"{"a":{"y":2,"x":1}}"#),
        (r#"{"a":1}"#, r#"{"a":1.0}"#),
        (r#"{"a":100}"#, r#"{"a":1e2}"#),
        (r#"{"a":0.5}"#, r#"{"a":5e-1}"#),
        (r#"{"a":0}"#, r#"{"a":-0.0}"#),
        (r#"{"caf\u00e9":"\u0041\/"}"#, r#"{"café":"A/"}"#),
    ] {
        assert_eq!(differences(one, other), [] as [Difference; 0], "{one} and {other}");
    }
}

#[test]
fn what_differs_is_named_by_its_pointer_and_never_by_its_value() {
    let table: [(&str, &str, &[&str]); 10] = [
        (r#"{"a":1,"b":2}"#, r#"{"a":1,"b":3}"#, &["/b"]),
        (r#"{"a":1}"#, r#"{"a":"1"}"#, &["/a"]),
        (r#"{"a":null}"#, "{}", &["body"]),
        (r#"{"a":null,"c":1}"#, r#"{"c":1}"#, &["/a"]),
        (r#"{"a":[1,2,3]}"#, r#"{"a":[1,3,2]}"#, &["/a/1", "/a/2"]),
        (r#"{"m":{"x/y":1,"~":2}}"#, r#"{"m":{"x/y":2,"~":3}}"#, &["/m/x~1y", "/m/~0"]),
        (r#"{"a":{"b":1}}"#, r#"{"a":[1]}"#, &["/a/0", "/a/b"]),
        (r#"{"a":{}}"#, r#"{"a":[]}"#, &["/a"]),
        (r#""one""#, r#""two""#, &["body"]),
        ("[[1],[2]]", "[[1,2],[]]", &["/0/1", "/1"]),
    ];
    for (one, other, expected) in table {
        let mut both = [differences(one, other), differences(other, one)];
        both[1].sort();
        assert_eq!(both[0].iter().map(|pointer| &**pointer).collect::<Vec<_>>(), expected, "{one} {other}");
        assert_eq!(both[0], both[1], "it is the same the other way round");
    }
}

#[test]
fn neighbouring_64_bit_ids_are_two_requests() {
    assert_eq!(
        differences(r#"{"id":9007199254740992}"#, r#"{"id":9007199254740993}"#),
        [Box::<str>::from("/id")]
    );
    assert_eq!(
        differences(r#"{"id":18446744073709551614}"#, r#"{"id":18446744073709551615}"#),
        [Box::<str>::from("/id")]
    );
    let (one, other) = (r#"{"id":36893488147419103232}"#, r#"{"id":36893488147419103233}"#);
    assert_eq!(differences(one, other), [Box::<str>::from("body")]);
    assert_eq!(
        differences(r#"{"n":9007199254740993.0}"#, r#"{"n":9007199254740992}"#),
        [Box::<str>::from("body")]
    );
}

#[test]
fn two_members_of_one_name_count_by_their_bytes() {
    assert_eq!(differences(r#"{"a":1,"a":2}"#, r#"{"a":2}"#), [Box::<str>::from("body")]);
    assert_eq!(differences(r#"{"a":1,"a":2}"#, r#"{"a": 1,"a":2}"#), [Box::<str>::from("body")]);
    assert!(differences(r#"{"a":1,"a":2}"#, r#"{"a":1,"a":2}"#).is_empty());
}

#[test]
fn method_path_and_query_count() {
    let body = Bytes::from_static(b"{}");
    let of = |method: &Method, uri: &str| {
        let uri: Uri = uri.parse().unwrap();
        Fingerprint::of(method, &uri, &json_headers(), Some(&body), &FingerprintRules::default())
    };
    let first = of(&Method::POST, "/a?x=1");
    assert_eq!(
        first.differences(&of(&Method::PUT, "/b?x=2")),
        ["method", "path", "query"].map(Box::<str>::from)
    );
    assert_eq!(first.differences(&of(&Method::POST, "/a")), [Box::<str>::from("query")]);
    assert!(of(&Method::POST, "/a").differences(&of(&Method::POST, "/a?")).is_empty());
    assert!(of(&Method::POST, "http://host/a").differences(&of(&Method::POST, "/a")).is_empty());
}

#[test]
fn ignored_fields_do_not_count() {
    let rules = ignoring(&["/trace/id", "/items/*/at", "/tags/0", "/by~1whom", "/nowhere/at/all", "/maps/*"]);
    let body = |trace: u32, at: u32, tag: &str, whom: &str, maps: &str| {
        format!(
            r#"{{"trace":{{"id":{trace},"kept":1}},"items":[{{"at":{at}}},{{"at":1,"x":2}}],
                "tags":["{tag}","b"],"by/whom":"{whom}","maps":{maps}}}"#
        )
    };
    let one = print_under(&body(1, 2, "a", "me", r#"{"a":1}"#), &rules);
    let other = print_under(&body(9, 8, "z", "you", r#"{"b":[2]}"#), &rules);
    assert!(one.differences(&other).is_empty());
    let kept = body(1, 2, "a", "me", "{}").replace(r#""kept":1"#, r#""kept":2"#);
    assert_eq!(one.differences(&print_under(&kept, &rules)), [Box::<str>::from("/trace/kept")]);
    let tags = body(1, 2, "a", "me", "{}").replace(r#""b"]"#, r#""c"]"#);
    assert_eq!(
        one.differences(&print_under(&tags, &rules)),
        [Box::<str>::from("/tags/1")],
        "its place stays its place"
    );
    assert!(print_under("1", &ignoring(&[""])).differences(&print_under("2", &ignoring(&[""]))).is_empty());
}

#[test]
fn a_body_of_another_kind_counts_by_its_bytes() {
    let spelled = |fields: &[(&'static str, &str)], body: &'static [u8]| {
        let uri = Uri::from_static("/");
        Fingerprint::of(
            &Method::POST,
            &uri,
            &headers(fields),
            Some(&Bytes::from_static(body)),
            &FingerprintRules::default(),
        )
    };
    let same = |fields: &[(&'static str, &str)]| {
        spelled(fields, br#"{"a":1}"#).differences(&spelled(fields, br#"{ "a":1}"#)).is_empty()
    };
    assert!(same(&[("content-type", "application/vnd.api+json")]));
    assert!(same(&[("content-type", "Text/JSON")]));
    assert!(same(&[]), "without a type it may be JSON");
    assert!(same(&[("content-encoding", "identity")]));
    assert!(!same(&[("content-type", "text/plain")]));
    assert!(!same(&[("content-type", "application/grpc")]));
    assert!(!same(&[("content-encoding", "gzip")]));
    let text = [("content-type", "text/plain")];
    assert!(spelled(&text, b"abc").differences(&spelled(&text, b"abc")).is_empty());
    assert!(spelled(&[], b"{broken").differences(&spelled(&[], b"{broken")).is_empty());
    assert_eq!(spelled(&[], b"{broken").differences(&spelled(&[], b"{ broken")), [Box::<str>::from("body")]);
}

#[test]
fn too_deep_is_bytes_and_wide_is_named_as_far_as_there_is_room() {
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(differences(&deep(100), &format!(" {}", deep(100))), [] as [Difference; 0]);
    assert_eq!(differences(&deep(200), &format!(" {}", deep(200))), [Box::<str>::from("body")]);

    let wide = |changed: usize| {
        let vector: Vec<usize> = (0..1536).map(|at| at + usize::from(at == changed)).collect();
        json!({ "id": 1, "vector": vector, "meta": { "a": changed } }).to_string()
    };
    assert_eq!(differences(&wide(7), &wide(8)), ["/meta/a", "/vector"].map(Box::<str>::from));
    let members: serde_json::Map<String, Value> = (0..100).map(|at| (at.to_string(), at.into())).collect();
    let mut changed = members.clone();
    changed.insert("50".into(), "x".into());
    let both = (Value::Object(members).to_string(), Value::Object(changed).to_string());
    assert_eq!(differences(&both.0, &both.1), [Box::<str>::from("body")]);
}

#[test]
fn a_list_that_grew_past_the_cap_is_named_once() {
    let list = |len: usize| json!({ "a": 1, "list": vec![0; len] }).to_string();
    assert_eq!(differences(&list(3), &list(500)), [Box::<str>::from("/list")]);
    assert_eq!(differences(&list(3), &list(4)), [Box::<str>::from("/list/3")]);
}

/// sha-256 of `hello`, in hexadecimal 2cf24dba...938b9824.
const HELLO: &str = "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:";

#[test]
fn a_content_digest_stands_for_a_body_that_was_not_gathered() {
    let of = |digest: &str, body: Option<&'static [u8]>| {
        let fields = headers(&[("content-type", "text/plain"), ("content-digest", digest)]);
        let body = body.map(Bytes::from_static);
        Fingerprint::of(
            &Method::POST,
            &Uri::from_static("/"),
            &fields,
            body.as_ref(),
            &FingerprintRules::default(),
        )
    };
    let unread = of(HELLO, None);
    assert!(unread.differences(&of(HELLO, Some(b"hello"))).is_empty());
    assert_eq!(unread.differences(&of(HELLO, Some(b"hullo"))), [Box::<str>::from("body")]);
    let both = format!("sha-512=:{}:, {HELLO}", "A".repeat(86) + "==");
    assert!(unread.differences(&of(&both, None)).is_empty(), "sha-256 goes first");

    let longer = |letter: &str| format!("sha-512=:{}:", letter.repeat(85) + "A==");
    assert!(of(&longer("A"), None).differences(&of(&longer("A"), None)).is_empty());
    assert_eq!(of(&longer("A"), None).differences(&of(&longer("B"), None)), [Box::<str>::from("body")]);

    for (digest, understood) in [
        (HELLO, true),
        ("md5=:1B2M2Y8AsgTpgAmY7PhCfg==:", false),
        ("sha-256=LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=", false),
        ("sha-256=:AAAA:", false),
        ("sha-256=:!!!!:", false),
        ("", false),
    ] {
        assert_eq!(has_content_digest(&headers(&[("content-digest", digest)])), understood, "{digest}");
    }
    assert!(!has_content_digest(&HeaderMap::new()));
    let mut twice = headers(&[("content-digest", "md5=:1B2M2Y8AsgTpgAmY7PhCfg==:")]);
    twice.append(header::HeaderName::from_static("content-digest"), HeaderValue::from_static(HELLO));
    assert!(has_content_digest(&twice));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1000i32..1000).prop_map(|eighths| Value::from(f64::from(eighths) / 8.0)),
        "[a-z/~*\u{e9}]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[a-z/~*]{0,3}", inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// The same value with the members of every object the other way round.
fn reversed(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(reversed).collect::<Vec<_>>().join(" ,")),
        Value::Object(members) => {
            let members = members
                .iter()
                .rev()
                .map(|(name, member)| format!("{} : {}", Value::from(&**name), reversed(member)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(" ,"))
        }
        scalar => scalar.to_string(),
    }
}

proptest! {
    #[test]
    fn requests_are_the_same_exactly_where_their_bodies_say_the_same(one in any_json(), other in any_json()) {
        prop_assert!(differences(&one.to_string(), &reversed(&one)).is_empty());
        // 1 and 1.0 say the same.
        let numbers = |value: &Value| value.to_string().replace(".0", "");
        let same = numbers(&one) == numbers(&other);
        prop_assert_eq!(differences(&one.to_string(), &other.to_string()).is_empty(), same);
    }

    /// Each pointer that is told leads to something in one of the bodies that is not in the
    /// other.
    #[test]
    fn what_is_told_to_differ_differs(one in any_json(), other in any_json()) {
        for pointer in differences(&one.to_string(), &other.to_string()) {
            if &*pointer != "body" {
                let (mine, yours) = (one.pointer(&pointer), other.pointer(&pointer));
                prop_assert!(mine.is_some() || yours.is_some(), "{pointer} leads nowhere");
                prop_assert_ne!(mine, yours, "{}", pointer);
            }
        }
    }

    #[test]
    fn no_body_panics_and_the_print_is_small(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let body = Bytes::from(body);
        let uri = Uri::from_static("/");
        let rules = ignoring(&["/*/*", "a", "/0/~", ""]);
        let print = Fingerprint::of(&Method::POST, &uri, &json_headers(), Some(&body), &rules);
        prop_assert!(print.leaves.len() <= MOST_LEAVES);
        prop_assert!(print.differences(&print).is_empty());
    }

    #[test]
    fn long_names_are_not_kept(length in 0usize..3000, count in 0usize..80) {
        let body: serde_json::Map<String, Value> =
            (0..count).map(|at| (format!("{at}{}", "n".repeat(length)), Value::from(at))).collect();
        let print = print(&Value::Object(body).to_string());
        let bytes: usize = print.leaves.iter().map(|(pointer, _)| pointer.len()).sum();
        prop_assert!(bytes <= 4096 && print.leaves.len() <= MOST_LEAVES, "{bytes} bytes");
    }
}
