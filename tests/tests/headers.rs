//! What a hop may say to its neighbour stays there; who asked, and under which id, goes on.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, HeaderValue, Request, header};
use hyper::body::Frame;
use serde_json::json;
use sluicegate_tests::{
    Client, Gateway, Raw, Seen, Upstream,
    client::{frames, full, get, post},
    config,
    h2_upstream::H2Upstream,
    upstream::response,
};

async fn start(extra: &str) -> (Upstream, Gateway) {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&config(&upstream.url(), extra));
    (upstream, gateway)
}

/// Sends `GET /` with these field lines, and returns what the upstream saw.
async fn seen(upstream: &Upstream, gateway: &Gateway, lines: &str) -> Seen {
    let before = upstream.seen().len();
    let request = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n");
    let answer = Raw::connect(gateway.address()).await.ask(request).await;
    assert_eq!(answer.status, 200, "{lines}: {answer:?}");
    upstream.seen()[before].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_one_hop_are_removed_both_ways() {
    let (upstream, gateway) = start("").await;
    let hop = "Connection: X-Named\r\nX-Named: x-named-value\r\nKeep-Alive: timeout=7\r\nProxy-Connection: x-pc\r\n\
               X-Kept: yes\r\n";
    upstream.answer("/", response("200 OK", hop, "ok"));
    let mut raw = Raw::connect(gateway.address()).await;
    let answer = raw.ask(format!("GET / HTTP/1.1\r\nHost: localhost\r\n{hop}TE: gzip\r\n\r\n")).await;
    let there = upstream.seen()[0].head.to_lowercase();
    let back = format!("{:?}", answer.fields).to_lowercase();
    for (side, fields) in [("to the upstream", &there), ("to the client", &back)] {
        assert!(fields.contains("x-kept"), "{side}: {fields}");
        for gone in ["x-named", "timeout=7", "x-pc"] {
            assert!(!fields.contains(gone), "{gone} {side}: {fields}");
        }
    }
    assert!(!there.contains("gzip"), "{there}");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_the_gateways_own_are_not_taken_from_outside() {
    let (upstream, gateway) = start("").await;
    let lines = "Sluicegate-Freeze: id=x\r\nX-Sluicegate-Arm: candidate\r\nx-sluicegate-shadow: 1\r\n\
                 SLUICEGATE-ANYTHING: x\r\nX-Other: yes\r\n";
    upstream.answer("/", response("200 OK", lines, "ok"));
    let mut raw = Raw::connect(gateway.address()).await;
    let answer = raw.ask(format!("GET / HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n")).await;
    let there = upstream.seen()[0].head.to_lowercase();
    assert!(there.contains("x-other") && !there.contains("sluicegate-"), "{there}");
    assert_eq!(answer.fields.get("x-other"), Some("yes"));
    assert_eq!(answer.fields.get("sluicegate-freeze"), None, "an upstream cannot raise the banner");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_untrusted_client_cannot_say_where_it_comes_from() {
    let (upstream, gateway) = start("trusted_peers: [192.0.2.0/24]").await;
    let lines = "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: elsewhere\r\n";
    let seen = seen(&upstream, &gateway, lines).await;
    assert_eq!(seen.get("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.get("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.get("x-forwarded-host"), Some("localhost"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_trusted_peer_says_counts_and_is_added_to() {
    let (upstream, gateway) = start("trusted_peers: [127.0.0.0/8]").await;
    let lines = "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: elsewhere\r\n";
    let seen = seen(&upstream, &gateway, lines).await;
    assert_eq!(seen.get("x-forwarded-for"), Some("203.0.113.9, 127.0.0.1"));
    assert_eq!(seen.get("x-forwarded-proto"), Some("https"));
    assert!(seen.get("x-forwarded-host").unwrap().starts_with("elsewhere"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_is_kept_or_made_and_goes_back_to_the_client() {
    let (upstream, gateway) = start("").await;
    let mut raw = Raw::connect(gateway.address()).await;
    let long = "x".repeat(128);
    for kept in ["a", "01J-abc_~!", long.as_str()] {
        let answer =
            raw.ask(format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: {kept}\r\n\r\n")).await;
        assert_eq!(answer.fields.get("x-request-id"), Some(kept));
        assert_eq!(upstream.seen().last().unwrap().get("x-request-id"), Some(kept));
    }
    let too_long = "x".repeat(129);
    let mut made = Vec::new();
    for replaced in ["", "two words", "caf\u{e9}", too_long.as_str()] {
        let mut request = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: ".to_vec();
        request.extend(replaced.chars().map(|c| u8::try_from(u32::from(c)).unwrap()));
        request.extend_from_slice(b"\r\n\r\n");
        let answer = raw.ask(request).await;
        let id = answer.fields.get("x-request-id").expect("an id").to_owned();
        assert!(id != replaced && !id.is_empty() && id.len() <= 128, "{replaced:?} became {id:?}");
        assert!(id.bytes().all(|b| b.is_ascii_graphic()), "{id:?}");
        assert_eq!(upstream.seen().last().unwrap().get("x-request-id"), Some(id.as_str()));
        made.push(id);
    }
    let answer = raw.ask("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    made.push(answer.fields.get("x-request-id").expect("an id").to_owned());
    made.sort();
    made.dedup();
    assert_eq!(made.len(), 5, "made ids differ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_is_kept_or_begun() {
    let (upstream, gateway) = start("").await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let lines = format!("traceparent: 00-{trace}-00f067aa0ba902b7-01\r\ntracestate: a=1,b=2\r\n");
    let kept = seen(&upstream, &gateway, &lines).await;
    let parent = kept.get("traceparent").expect("a trace");
    assert!(parent.starts_with(&format!("00-{trace}-")) && parent.ends_with("-01"), "{parent}");
    assert_eq!(kept.get("tracestate"), Some("a=1,b=2"));

    let zeros = "0".repeat(32);
    let wrong = [
        "nonsense".to_owned(),
        format!("00-{zeros}-00f067aa0ba902b7-01"),
        format!("ff-{trace}-00f067aa0ba902b7-01"),
    ];
    for lines in
        [String::new()].into_iter().chain(wrong.iter().map(|wrong| format!("traceparent: {wrong}\r\n")))
    {
        let begun = seen(&upstream, &gateway, &lines).await;
        let parent = begun.get("traceparent").expect("a trace").to_owned();
        let parts: Vec<&str> = parent.split('-').collect();
        let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
        assert_eq!(lengths, [2, 32, 16, 2], "{parent}");
        assert!(
            parent.bytes().all(|b| b == b'-' || b.is_ascii_digit() || (b'a'..=b'f').contains(&b)),
            "{parent}"
        );
        assert!(parts[0] == "00" && parts[1] != zeros && parts[1] != trace, "{lines:?} became {parent}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_content_keep_their_fields_and_the_connection() {
    let (upstream, gateway) = start("").await;
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nETag: \"x\"\r\n\r\n";
    upstream.answer("/head", head).answer("/204", "HTTP/1.1 204 No Content\r\nX-Kept: yes\r\n\r\n");
    upstream.answer("/304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 1234\r\nETag: \"x\"\r\n\r\n");
    let mut raw = Raw::connect(gateway.address()).await;
    for _ in 0..3 {
        let answer = raw.ask("HEAD /head HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert_eq!((answer.status, answer.fields.get("content-length")), (200, Some("1234")));
        assert_eq!(answer.fields.get("etag"), Some("\"x\""));
        let answer = raw.ask("GET /204 HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert_eq!((answer.status, answer.fields.get("x-kept")), (204, Some("yes")));
        assert_eq!(answer.fields.get("content-length"), None);
        assert_eq!(answer.fields.get("transfer-encoding"), None);
        let answer = raw.ask("GET /304 HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert_eq!((answer.status, answer.fields.get("etag")), (304, Some("\"x\"")));
        assert_eq!(answer.fields.get("transfer-encoding"), None);
    }
    assert_eq!(upstream.connections(), 1);
    let mut h2 = Client::h2c(gateway.address()).await;
    let answer = h2.ask(Request::head("/head").body(full("")).unwrap()).await;
    assert_eq!((answer.status, answer.header("content-length"), answer.body.len()), (200, "1234", 0));
    assert_eq!(h2.ask(get("/304")).await.status, 304);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_passed_on_as_it_is() {
    let (upstream, gateway) = start("").await;
    let lines = "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Encoding: br\r\nContent-Type: text/x\r\n\
                 Cache-Control: max-age=5\r\nX-Odd: \u{e9}\r\n";
    upstream.answer("/", response("207 Multi-Status", lines, "\u{1}\u{2}not really br"));
    let answer = Raw::connect(gateway.address()).await.ask("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(answer.status, 207);
    assert_eq!(answer.fields.all("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(answer.fields.get("content-encoding"), Some("br"));
    assert_eq!(answer.fields.get("content-type"), Some("text/x"));
    assert_eq!(answer.fields.get("cache-control"), Some("max-age=5"));
    assert!(answer.fields.get("x-odd").is_some());
    assert_eq!(answer.text(), "\u{1}\u{2}not really br");
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_fields_become_http1_fields() {
    let (upstream, gateway) = start("").await;
    let mut request = get("/x?y=z");
    for crumb in ["a=1", "b=2", "c=3"] {
        request.headers_mut().append(header::COOKIE, HeaderValue::from_static(crumb));
    }
    let mut client = Client::h2c(gateway.address()).await;
    assert_eq!(client.ask(request).await.status, 200);
    let seen = &upstream.seen()[0];
    assert_eq!(seen.line(), "GET /x?y=z");
    assert_eq!(seen.get("host"), Some(gateway.address().to_string().as_str()));
    assert_eq!(seen.get("cookie"), Some("a=1; b=2; c=3"), "RFC 9113 8.2.3");
    assert_eq!(upstream.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_pass_over_http2_both_ways() {
    let upstream = H2Upstream::start().await;
    let gateway = Gateway::start(&format!(
        r#"
listen: [{{ address: "127.0.0.1:0" }}]
admin: {{ address: "127.0.0.1:0" }}
upstreams: {{ main: {{ endpoints: ["{}"], protocol: http2 }} }}
routes: [{{ name: all, match: {{ path: "/{{*rest}}" }}, upstream: main }}]
"#,
        upstream.url()
    ));
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("42"));
    let body = [Frame::data(Bytes::from("hello")), Frame::trailers(trailers)];
    let request = Request::post("/").body(frames(stream::iter(body))).unwrap();
    let answer = Client::h2c(gateway.address()).await.ask(request).await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"hello"[..]));
    let back = answer.trailers.expect("trailers");
    assert_eq!((back["x-sum"].as_bytes(), back["x-answered"].as_bytes()), (&b"42"[..], &b"yes"[..]));
    let seen = upstream.seen();
    assert_eq!((seen[0].line.as_str(), &seen[0].body[..]), ("POST /", &b"hello"[..]));
    assert_eq!(seen[0].trailers["x-sum"], "42");
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_pass_over_http1_where_they_are_declared_and_accepted() {
    let (upstream, gateway) = start("").await;
    let answer = "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
                  5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n";
    upstream.answer("/", answer);
    let mut raw = Raw::connect(gateway.address()).await;
    let accepted =
        raw.ask("GET / HTTP/1.1\r\nHost: localhost\r\nTE: trailers\r\nConnection: TE\r\n\r\n").await;
    assert_eq!((accepted.text().as_str(), accepted.trailers.get("x-sum")), ("hello", Some("42")));
    let not_asked = raw.ask("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!((not_asked.text().as_str(), not_asked.trailers.0.len()), ("hello", 0));
    let h2 = Client::h2c(gateway.address()).await.ask(get("/")).await;
    assert_eq!(h2.trailers.expect("trailers")["x-sum"], "42");

    let request = "POST /up HTTP/1.1\r\nHost: localhost\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
                   5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n";
    assert_eq!(raw.ask(request).await.status, 200);
    assert_eq!(upstream.seen_at("/up")[0].trailers.get("x-sum"), Some("42"));
    assert_eq!(upstream.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_on_the_request_are_refusals() {
    let (upstream, gateway) = start("limits: { max_body: 10KiB, max_headers: 16KiB }").await;
    let mut client = Client::h1(gateway.address()).await;
    let answer = client.ask(post("/", vec![b'x'; 10 << 10])).await;
    assert_eq!(answer.status, 200);
    let answer = Client::h1(gateway.address()).await.ask(post("/", vec![b'x'; (10 << 10) + 1])).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_large"));
    assert_eq!(upstream.seen().len(), 1, "a length that is too large is refused before anything is sent");
    // In chunks it shows on the way.
    let chunk = format!("2000\r\n{}\r\n", "x".repeat(0x2000));
    let request = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n"
    );
    let answer = Raw::connect(gateway.address()).await.ask(request).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_large"));
    assert!(upstream.seen().iter().filter(|seen| seen.complete).all(|seen| seen.length <= 10 << 10));

    // The parser answers by itself, as docs/refusals.md says.
    let large = || {
        let mut request = get("/");
        request.headers_mut().insert("x-large", HeaderValue::try_from("x".repeat(20 << 10)).unwrap());
        request
    };
    let answer = Client::h1(gateway.address()).await.ask(large()).await;
    assert_eq!((answer.status, answer.body.len()), (431, 0));
    assert_eq!(gateway.count("sluicegate_connection_errors_total", "reason=\"too_large\"").await, 1);
    let mut client = Client::h2c(gateway.address()).await;
    let answer = client.ask(large()).await;
    assert_eq!((answer.status, answer.body.len()), (431, 0));
    assert_eq!(client.ask(get("/")).await.status, 200, "the connection goes on");
    assert_eq!(gateway.count("sluicegate_connection_errors_total", "reason=\"too_large\"").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_no_route_takes_is_a_problem() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&format!(
        r#"
listen: [{{ address: "127.0.0.1:0" }}]
admin: {{ address: "127.0.0.1:0" }}
upstreams: {{ main: {{ endpoints: ["{}"] }} }}
routes: [{{ name: one, match: {{ path: /one, methods: [GET] }}, upstream: main }}]
"#,
        upstream.url()
    ));
    let mut client = Client::h1(gateway.address()).await;
    assert_eq!(client.ask(get("/one?two")).await.status, 200);
    for request in [get("/two"), get("/one/"), post("/one", "")] {
        let answer = client.ask(request).await;
        assert_eq!(answer.status, 404);
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let problem = answer.json();
        assert_eq!((&problem["code"], &problem["status"]), (&json!("no_route"), &json!(404)));
        for member in ["type", "title", "detail", "request_id"] {
            assert!(problem[member].is_string(), "{member}: {problem}");
        }
    }
    assert_eq!(upstream.seen().len(), 1);
}
