//! A freeze of some routes, tenants or upstreams leaves the others alone.

use serde_json::json;
use sluicegate_tests::{Gateway, Raw, Upstream, comes_true};

use crate::{assert_frozen, read, write};

async fn start() -> (Upstream, Gateway, Raw) {
    let upstream = Upstream::start().await;
    let url = upstream.url();
    let gateway = Gateway::start(&format!(
        r#"
listen: [{{ address: "127.0.0.1:0" }}]
admin: {{ address: "127.0.0.1:0" }}
store: {{ memory: {{}} }}
upstreams: {{ left: {{ endpoints: ["{url}"] }}, right: {{ endpoints: ["{url}"] }} }}
tenants: {{ from: {{ header: x-tenant-id }} }}
routes:
  - {{ name: query, match: {{ path: /query, methods: [POST] }}, access: read, upstream: left }}
  - {{ name: touch, match: {{ path: /touch }}, access: write, upstream: left }}
  - {{ name: one, match: {{ path: /one }}, upstream: left }}
  - {{ name: two, match: {{ path: /two }}, upstream: right }}
"#
    ));
    let raw = Raw::connect(gateway.address()).await;
    (upstream, gateway, raw)
}

/// Which of these pass: a write to each of `/one`, `/two`, and to `/one` as tenant `acme`.
async fn passing(raw: &mut Raw) -> [bool; 3] {
    let mut passing = [false; 3];
    for (n, (path, lines)) in
        [("/one", ""), ("/two", "x-tenant-id: other\r\n"), ("/one", "x-tenant-id: acme\r\n")]
            .into_iter()
            .enumerate()
    {
        let answer = write(raw, path, lines).await;
        if answer.status != 200 {
            assert_frozen(&answer, 423);
        }
        passing[n] = answer.status == 200;
    }
    passing
}

#[tokio::test(flavor = "multi_thread")]
async fn access_decides_and_not_the_method() {
    let (_upstream, gateway, mut raw) = start().await;
    gateway.freeze("all", &json!({})).await;
    assert_eq!(write(&mut raw, "/query", "").await.status, 200, "a query is a read though it is posted");
    assert_eq!(read(&mut raw, "/touch").await.status, 423, "a GET that changes something is a write");
    assert_eq!(read(&mut raw, "/one").await.status, 200);
    for method in ["HEAD", "OPTIONS"] {
        let answer = raw.ask(format!("{method} /one HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        assert_eq!(answer.status, 200, "{method}");
    }
    for method in ["PUT", "PATCH", "DELETE", "PROPFIND"] {
        let answer = raw.ask(format!("{method} /one HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        assert_frozen(&answer, 423);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_that_a_freeze_covers_are_timed_by_themselves() {
    let (_upstream, gateway, mut raw) = start().await;
    let timed = async |path: &str| gateway.count("sluicegate_freeze_read_seconds_count", path).await;
    read(&mut raw, "/one").await;
    gateway.freeze("part", &json!({ "scope": { "routes": ["one", "query"] } })).await;
    read(&mut raw, "/one").await;
    write(&mut raw, "/query", "").await;
    write(&mut raw, "/one", "").await;
    read(&mut raw, "/two").await;
    gateway.thaw("part").await;
    read(&mut raw, "/one").await;
    comes_true("each request has ended", async || gateway.count("rag_request_count_total", "").await == 6)
        .await;
    assert_eq!((timed("route=\"one\"").await, timed("route=\"query\"").await, timed("").await), (1, 1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_covers_what_it_names() {
    let (_upstream, gateway, mut raw) = start().await;
    for (scope, expected) in [
        (json!({}), [false, false, false]),
        (json!({ "routes": ["one"] }), [false, true, false]),
        (json!({ "routes": ["two"] }), [true, false, true]),
        (json!({ "routes": ["one", "two"] }), [false, false, false]),
        (json!({ "tenants": ["acme"] }), [true, true, false]),
        (json!({ "upstreams": ["right"] }), [true, false, true]),
        (json!({ "upstreams": ["left"] }), [false, true, false]),
    ] {
        let body = if scope == json!({}) { json!({}) } else { json!({ "scope": scope }) };
        gateway.freeze("scoped", &body).await;
        assert_eq!(passing(&mut raw).await, expected, "{scope}");
        gateway.thaw("scoped").await;
        assert_eq!(passing(&mut raw).await, [true; 3]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_scopes_add_up_and_are_lifted_one_by_one() {
    let (_upstream, gateway, mut raw) = start().await;
    assert_eq!(gateway.cli(&["freeze", "--id", "a", "--route", "two"]).await.code, 0);
    gateway.freeze("b", &json!({ "scope": { "tenants": ["acme"] } })).await;
    assert_eq!(passing(&mut raw).await, [true, false, false]);
    assert_eq!(gateway.cli(&["thaw", "--id", "a"]).await.code, 0);
    assert_eq!(passing(&mut raw).await, [true, true, false]);
    gateway.thaw("b").await;
    assert_eq!(passing(&mut raw).await, [true; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_that_names_nothing_there_is_refused() {
    let (_upstream, gateway, mut raw) = start().await;
    let output = gateway.cli(&["freeze", "--route", "three"]).await;
    assert!(output.code != 0 && output.stderr.contains("three"), "{output:?}");
    assert_eq!(passing(&mut raw).await, [true; 3]);
}
