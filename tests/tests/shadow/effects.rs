//! What a copy carries and what it does not, and who pays for it.

use std::collections::HashSet;

use http::Request;
use sluicegate_tests::{
    Client, Gate, Gateway, Step, Upstream,
    client::{full, get},
    upstream::response,
};

use crate::{
    Rules, come_to,
    origin::{Asked, Origin},
};

/// What says who sent a request, or makes it happen once.
const PRIVATE: [(&str, &str); 8] = [
    ("authorization", "Bearer the-client"),
    ("cookie", "session=1"),
    ("cookie2", "$Version=1"),
    ("x-api-key", "key-1"),
    ("api-key", "key-2"),
    ("x-auth-token", "token"),
    ("x-internal", "i"),
    ("idempotency-key", "\"k\""),
];

/// What is nobody's secret.
const PUBLIC: [(&str, &str); 4] = [
    ("x-tenant-id", "acme"),
    ("accept-language", "de"),
    ("content-type", "application/json"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
];

async fn send(gateway: &Gateway, method: &str, path: &str, body: &'static str) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in PRIVATE.into_iter().chain(PUBLIC) {
        request = request.header(name, value);
    }
    // Nobody may pass a request off as a copy.
    let request = request.header("shadow-id", "forged").header("req-hash", "forged");
    let answer = Client::h1(gateway.address()).await.ask(request.body(full(body)).unwrap()).await;
    assert_eq!(answer.status, 200);
}

/// The one whose path is this.
fn find<'a>(seen: &'a [Asked], path: &str, copy: bool) -> &'a Asked {
    let mut found = seen.iter().filter(|asked| asked.path == path && asked.is_copy() == copy);
    let one = found.next().unwrap_or_else(|| panic!("no {path}"));
    assert!(found.next().is_none(), "{path} came twice");
    one
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_marked_carries_no_credential_and_is_else_as_the_primary_got_it() {
    let (main, lab) = (Origin::plain().await, Origin::plain().await);
    let shadow = "percent: 100, noise: 100, compare: {}, strip: [X-Internal], \
                  set: { authorization: Bearer test, x-env: lab }";
    let gateway = Rules::of(shadow).start(&main.url(), &lab.url());
    let requests = [
        ("GET", "/a?q=1", ""),
        ("GET", "/b", ""),
        ("POST", "/c?q=secret", "{\"query\":\"x\"}"),
        ("POST", "/d", "{}"),
    ];
    for (method, path, body) in requests {
        send(&gateway, method, path, body).await;
    }
    come_to(&gateway, &[("answered", 4)]).await;
    let (primary, shadow) = (main.seen(), lab.seen());
    assert_eq!((primary.len(), shadow.len()), (8, 4), "each once, and once more at the own upstream");
    let mut ids = HashSet::new();
    for (method, path, body) in requests {
        let original = find(&primary, path, false);
        for (name, value) in PRIVATE.into_iter().chain(PUBLIC) {
            assert_eq!(original.get(name), value, "the primary's {name}");
        }
        let copies = [find(&shadow, path, true), find(&primary, path, true)];
        for copy in copies {
            assert_eq!((copy.method.as_str(), &*copy.body), (method, body.as_bytes()), "{path}");
            for (name, _) in &PRIVATE[1..] {
                assert!(!copy.headers.contains_key(*name), "{path}: {name}: {:?}", copy.headers);
            }
            assert_eq!((copy.get("authorization"), copy.get("x-env")), ("Bearer test", "lab"));
            for (name, value) in PUBLIC {
                assert_eq!(copy.get(name), original.get(name), "{name}: {value}");
            }
            assert_eq!(copy.get("x-request-id"), original.get("x-request-id"));
            assert_eq!(copy.get("x-sluicegate-shadow"), "1");
            assert_eq!(copy.get("shadow-id").len(), 16, "{:?}", copy.headers);
            assert_eq!(copy.get("req-hash").len(), 32, "{:?}", copy.headers);
            for name in ["x-sluicegate-shadow", "shadow-id", "req-hash"] {
                assert_eq!(copy.headers.get_all(name).iter().count(), 1, "{name}");
            }
        }
        assert_eq!(copies[0].get("shadow-id"), copies[1].get("shadow-id"), "of one request");
        assert!(ids.insert(copies[0].get("shadow-id").to_owned()), "of another request");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_requests_have_equal_hashes_and_others_have_not() {
    let (main, lab) = (Origin::plain().await, Origin::plain().await);
    let gateway = Rules::default().start(&main.url(), &lab.url());
    for (method, path, body) in [
        ("POST", "/a", "1"),
        ("POST", "/a", "1"),
        ("POST", "/a", "2"),
        ("POST", "/b", "1"),
        ("PUT", "/a", "1"),
    ] {
        send(&gateway, method, path, body).await;
    }
    come_to(&gateway, &[("answered", 5)]).await;
    let seen = lab.seen();
    let hashes: HashSet<_> = seen.iter().map(|asked| asked.get("req-hash")).collect();
    let of_the_same: HashSet<_> = seen
        .iter()
        .filter(|asked| (asked.method.as_str(), &*asked.path, &*asked.body) == ("POST", "/a", b"1"))
        .map(|asked| asked.get("req-hash"))
        .collect();
    assert_eq!((of_the_same.len(), hashes.len()), (1, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_does_not_pay_for_copies() {
    const BURST: usize = 20;
    let (main, lab) = (Origin::plain().await, Origin::plain().await);
    let rules = Rules {
        route: "access: read, limits: { rps: 0.001, burst: 20, per: tenant }".to_owned(),
        extra: "tenants: { from: { header: x-tenant-id } }",
        ..Rules::of("percent: 100, noise: 100, compare: {}")
    };
    let gateway = rules.start(&main.url(), &lab.url());
    let mut client = Client::h1(gateway.address()).await;
    let mut statuses = Vec::new();
    for turn in 1..=2 * BURST {
        let request = Request::get("/x").header("x-tenant-id", "acme").body(full("")).unwrap();
        statuses.push(client.ask(request).await.status);
        // Each copy is through before the next request comes: if it were charged, this is where.
        come_to(&gateway, &[("answered", turn.min(BURST) as u64)]).await;
    }
    let (first, rest) = statuses.split_at(BURST);
    assert!(first.iter().all(|status| *status == 200), "{statuses:?}");
    assert!(rest.iter().all(|status| *status == 429), "{statuses:?}");
    assert_eq!((main.count(), lab.count()), (2 * BURST, BURST), "what is refused is not copied");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_takes_no_place_of_a_request() {
    let (main, lab, gate) = (Origin::plain().await, Upstream::start().await, Gate::default());
    lab.on("/x", [Step::Wait(gate.clone()), Step::Send(response("200 OK", "", "ok"))]);
    let rules = Rules {
        route: "access: read, limits: { concurrent: 1, queue: 0 }".to_owned(),
        ..Rules::of("percent: 100, timeout: 60s")
    };
    let gateway = rules.start(&main.url(), &lab.url());
    let mut client = Client::h1(gateway.address()).await;
    for _ in 0..10 {
        assert_eq!(client.ask(get("/x")).await.status, 200);
    }
    gate.open();
    come_to(&gateway, &[("answered", 10)]).await;
}
