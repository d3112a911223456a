use http::Request;
use sluicegate_tests::{
    Client, Folder, Gateway, Upstream,
    client::{full, get, post},
    upstream::response,
};

use super::{document, main_at};

/// Header fields by their names.
type Fields<'a> = &'a [(&'a str, &'a str)];

/// A request to a host, over whichever protocol.
fn to(host: &str, path: &str, fields: Fields<'_>) -> Request<sluicegate_tests::client::Body> {
    let mut request = Request::get(path).header("host", host);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(full("")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_is_chosen_by_host_and_header_fields() {
    let names = ["beta", "api", "below", "text", "plain", "rest"];
    let mut upstreams = Vec::new();
    for _ in names {
        upstreams.push(Upstream::start().await);
    }
    let all: Vec<_> = names
        .iter()
        .zip(&upstreams)
        .map(|(name, upstream)| format!("{name}: {{ endpoints: [\"{}\"] }}", upstream.url()))
        .collect();
    let routes = r#"  - { name: beta, upstream: beta, match: { path: "/{*rest}", hosts: [api.example.org], headers: { x-env: beta } } }
  - { name: api, upstream: api, match: { path: "/{*rest}", hosts: [api.example.org] } }
  - { name: below, upstream: below, match: { path: "/{*rest}", hosts: ["*.example.org"] } }
  - { name: text, upstream: text, match: { path: "/{*rest}", headers: { accept: { prefix: text/ }, x-old: { present: false } } } }
  - { name: plain, upstream: plain, match: { path: "/{*rest}", methods: [GET], headers: { x-trace: { present: true } } } }
  - { name: rest, upstream: rest, match: { path: "/{*rest}" } }"#;
    let gateway = Gateway::start(&document(&all.join(", "), routes, ""));
    let table: &[(&str, Fields<'_>, &str)] = &[
        ("api.example.org", &[("x-env", "beta")], "beta"),
        ("API.Example.ORG:8080", &[("X-Env", "beta")], "beta"),
        ("api.example.org", &[("x-env", "Beta")], "api"),
        ("api.example.org", &[("x-env", "beta"), ("x-env", "beta")], "api"),
        ("eu.api.example.org", &[], "below"),
        ("example.org", &[], "rest"),
        ("api.example.org.evil", &[], "rest"),
        ("localhost", &[("accept", "text/html")], "text"),
        ("localhost", &[("accept", "text/html"), ("x-old", "")], "rest"),
        ("localhost", &[("x-trace", "")], "plain"),
        ("localhost", &[], "rest"),
    ];
    let (mut one, mut two) = (Client::h1(gateway.address()).await, Client::h2c(gateway.address()).await);
    for (host, fields, expected) in table {
        for (client, over) in [(&mut one, "1"), (&mut two, "2")] {
            for upstream in &upstreams {
                upstream.forget();
            }
            let mut request = to(host, "/x", fields);
            if over == "2" {
                *request.uri_mut() = format!("http://{host}/x").parse().unwrap();
                request.headers_mut().remove("host");
            }
            assert_eq!(client.ask(request).await.status, 200, "{host} {fields:?} over HTTP/{over}");
            let took: Vec<_> = names
                .iter()
                .zip(&upstreams)
                .filter(|(_, it)| !it.seen().is_empty())
                .map(|(name, _)| *name)
                .collect();
            assert_eq!(took, [*expected], "{host} {fields:?} over HTTP/{over}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forwarded_is_what_was_matched_minus_the_prefix() {
    let upstream = Upstream::start().await;
    let routes = r#"  - { name: all, upstream: main, strip_prefix: /api/v1, match: { path: "/api/v1/{*rest}" } }
  - { name: root, upstream: main, strip_prefix: /root, match: { path: /root } }
  - { name: kept, upstream: main, match: { path: "/{*rest}" } }"#;
    let gateway =
        Gateway::start(&document(&main_at(&upstream.url()), routes, "retries: { tries: 3, base: 1ms }"));
    let mut client = Client::h1(gateway.address()).await;
    for (asked, expected) in [
        ("/api/v1/docs/7?q=/api/v1", "/docs/7?q=/api/v1"),
        ("/api/v1/", "/"),
        ("//api///v1//%64ocs", "/docs"),
        ("/api/v1/api/v1/x", "/api/v1/x"),
        ("/root?a", "/?a"),
        ("/api/v12/x", "/api/v12/x"),
    ] {
        upstream.forget();
        assert_eq!(client.ask(get(asked)).await.status, 200, "{asked}");
        assert_eq!(upstream.seen()[0].target, expected, "{asked}");
    }
    for trick in ["/api/v1/..%2fadmin", "/api/v1/../admin", "/api/v1/%2e%2e/admin", "/api/v1/..;/admin"] {
        upstream.forget();
        assert_eq!(client.ask(get(trick)).await.status, 400, "{trick}");
        assert!(upstream.seen().is_empty(), "{trick}");
    }
    // A try that fails is followed by one to the same path; and addresses in answers stay.
    upstream.forget();
    upstream.answer("/again", response("503 Busy", "Location: /again\r\n", ""));
    let answer = client.ask(get("/api/v1/again")).await;
    assert_eq!((answer.status, answer.header("location")), (503, "/again"));
    let targets: Vec<_> = upstream.seen().iter().map(|seen| seen.target.clone()).collect();
    assert_eq!(targets, ["/again"; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_are_set_and_removed_both_ways_after_the_guards_have_read_them() {
    let upstream = Upstream::start().await;
    let routes = r#"  - name: all
    match: { path: "/{*rest}" }
    upstream: main
    host: internal.example:8443
    request: { set: { X-From: gateway, authorization: Bearer of-the-gateway }, remove: [x-tenant-id, cookie] }
    response: { set: { X-Frame-Options: DENY }, remove: [server, x-powered-by] }"#;
    let extra = "tenants: { from: { header: x-tenant-id } }\nlimits: { rps: 0.001, burst: 1, per: tenant }";
    let gateway = Gateway::start(&document(&main_at(&upstream.url()), routes, extra));
    let lines =
        "Server: old\r\nX-Powered-By: a\r\nX-Powered-By: b\r\nX-Frame-Options: ALLOW\r\nX-Kept: yes\r\n";
    upstream.answer("/", response("200 OK", lines, "ok"));
    let ask = |tenant: &str| {
        let fields = [
            ("x-tenant-id", tenant),
            ("cookie", "a=1"),
            ("x-from", "client"),
            ("authorization", "Basic eA=="),
        ];
        to("api.example.org", "/", &fields)
    };
    let mut client = Client::h1(gateway.address()).await;
    let answer = client.ask(ask("acme")).await;
    assert_eq!(
        (answer.status, answer.header("x-frame-options"), answer.header("x-kept")),
        (200, "DENY", "yes")
    );
    assert!(answer.headers.get("server").is_none() && answer.headers.get("x-powered-by").is_none());
    let seen = &upstream.seen()[0];
    assert_eq!(seen.get("host"), Some("internal.example:8443"));
    assert_eq!(seen.get("x-from"), Some("gateway"));
    assert_eq!(seen.get("authorization"), Some("Bearer of-the-gateway"));
    assert_eq!((seen.get("x-tenant-id"), seen.get("cookie")), (None, None));
    assert_eq!(seen.get("x-forwarded-host"), Some("api.example.org"), "what the client asked for is told");
    // The tenant was read before it was taken off; the gateway's own answer is not changed.
    let refused = client.ask(ask("acme")).await;
    assert_eq!((refused.status, refused.header("x-frame-options")), (429, ""));
    assert_eq!(client.ask(ask("other")).await.status, 200);
    let shown = gateway.admin_get("/config").await.to_string();
    assert!(!shown.contains("of-the-gateway") && shown.contains("[redacted]"), "{shown}");
    assert_eq!(upstream.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_gets_the_path_of_its_route_and_none_of_its_credentials() {
    let (main, lab) = (Upstream::start().await, Upstream::start().await);
    let upstreams = format!("{}, lab: {{ endpoints: [\"{}\"] }}", main_at(&main.url()), lab.url());
    let routes = r#"  - name: all
    match: { path: "/api/{*rest}" }
    access: read
    upstream: main
    strip_prefix: /api
    request:
      set: { authorization: Bearer of-main, x-both: "1", x-mine: main }
      set_file: { x-service-key: key }
      remove: [x-gone]
    shadow: { to: lab, percent: 100, noise: 100, compare: {}, set: { x-mine: lab } }"#;
    let folder = Folder::default();
    folder.write("key", "hush");
    let gateway = folder.start(&document(&upstreams, routes, ""));
    let mut client = Client::h1(gateway.address()).await;
    let mut request = post("/api/ask", "q");
    request.headers_mut().insert("x-gone", "1".parse().unwrap());
    assert_eq!(client.ask(request).await.status, 200);
    let came = || (main.count("/ask"), lab.count("/ask")) == (2, 1);
    sluicegate_tests::eventually("the copies came, one to the own upstream", came).await;
    let (all, copy) = (main.seen_at("/ask"), &lab.seen_at("/ask")[0]);
    let (mut copies, mut requests): (Vec<_>, Vec<_>) =
        all.iter().partition(|seen| seen.get("x-sluicegate-shadow").is_some());
    let (own, seen) = (copies.pop().unwrap(), requests.pop().unwrap());
    let of_main = (Some("Bearer of-main"), Some("hush"), Some("main"));
    for (at_main, what) in [(seen, "the request"), (own, "its copy at the own upstream")] {
        let got = (at_main.get("authorization"), at_main.get("x-service-key"), at_main.get("x-mine"));
        assert_eq!(got, of_main, "{what}");
    }
    let got = (copy.get("authorization"), copy.get("x-service-key"), copy.get("x-mine"));
    assert_eq!(got, (None, None, Some("lab")));
    for (both, what) in [(seen, "the request"), (own, "its copy"), (copy, "the shadow's")] {
        assert_eq!((both.get("x-both"), both.get("x-gone")), (Some("1"), None), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_with_its_place() {
    let upstreams = main_at("http://127.0.0.1:1");
    for (route, expected) in [
        ("strip_prefix: /other", "routes[0].strip_prefix: `/other` is not what `/api/{*rest}` begins with"),
        ("strip_prefix: /api/", "routes[0].strip_prefix: "),
        ("strip_prefix: /ap", "routes[0].strip_prefix: "),
        ("host: \"a b\"", "routes[0].host: `a b` is not a host"),
        ("host: a, preserve_host: false", "routes[0].host: "),
        ("request: { remove: [Connection] }", "routes[0].request.remove[0]: "),
        ("response: { set: { content-length: \"1\" } }", "routes[0].response.set.content-length: "),
        (
            "idempotency: {}, request: { remove: [idempotency-key] }",
            "routes[0].request.remove[0]: the upstream must see",
        ),
    ] {
        let routes =
            format!("  - {{ name: all, match: {{ path: \"/api/{{*rest}}\" }}, upstream: main, {route} }}");
        let output = Folder::default().refused(&document(&upstreams, &routes, ""));
        assert!(output.code != 0 && output.stderr.contains(expected), "{route}: {}", output.stderr);
    }
    for (asked, expected) in [
        ("hosts: [\"a:80\"]", "routes[0].match.hosts[0]: `a:80` is not a host"),
        ("hosts: [a.b, \"*.b\", c.b]", "routes[0].match.hosts[2]: `c.b` is one of `*.b` already"),
        ("headers: { \"a b\": c }", "routes[0].match.headers.a b: "),
        ("headers: { host: c }", "routes[0].match.headers.host: "),
        ("headers: { a: { prefix: b, present: true } }", "routes[0].match.headers.a: "),
    ] {
        let routes = format!("  - {{ name: all, match: {{ path: /, {asked} }}, upstream: main }}");
        let output = Folder::default().refused(&document(&upstreams, &routes, ""));
        assert!(output.code != 0 && output.stderr.contains(expected), "{asked}: {}", output.stderr);
    }
    // A route that an earlier one leaves nothing to.
    let routes = r#"  - { name: wide, match: { path: "/{*rest}", hosts: ["*.b"] }, upstream: main }
  - { name: narrow, match: { path: /a, hosts: [a.b], headers: { x: y } }, upstream: main }"#;
    let output = Folder::default().refused(&document(&upstreams, routes, ""));
    assert!(output.stderr.contains("route `narrow` can never match"), "{}", output.stderr);
}
