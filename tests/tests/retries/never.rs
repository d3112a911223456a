//! What is never sent again, whatever the settings allow.

use http::Request;
use sluicegate_tests::{
    Client, Gateway, Raw, Step, Upstream,
    client::{Body, full, get, post},
};

use crate::{FREELY, NO_BREAKER, answers, document, earn, retries, start, start_with};

/// Statuses for which a request is never sent again.
const FINAL: [u16; 6] = [400, 401, 403, 404, 409, 423];

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_must_look_at_or_will_be_answered_alike() {
    // The upstream may promise what it likes, and the key carry as far as it can.
    let promises = ", not_applied: [400, 401, 403, 404, 409, 423], honours_keys: true, \
                    breaker: { consecutive: 0 }";
    let keyed = ", idempotency: { on_unknown: retry }";
    let (upstream, gateway, mut client) = start_with(promises, keyed, FREELY).await;
    earn(&mut client, 40).await;
    for status in FINAL.into_iter().chain([402, 405, 410, 418, 422, 451, 501, 505]) {
        upstream.on("/x", answers(&format!("{status} No"), "", "no"));
        let key = format!("key-{status}");
        let write = Request::post("/x").header("idempotency-key", key).body(full("{}")).unwrap();
        for (what, request) in [("read", get("/x")), ("write", post("/x", "{}")), ("keyed", write)] {
            let before = upstream.count("/x");
            let answer = client.ask(request).await;
            assert_eq!((answer.status, upstream.count("/x") - before), (status, 1), "{status} to a {what}");
        }
    }
    assert_eq!(retries(&gateway).await, []);
}

/// A write as clients send it that mean no harm: the second has a key of which the route knows
/// nothing.
fn writes() -> [Request<Body>; 2] {
    let keyed = Request::put("/x").header("idempotency-key", "k").body(full("hello")).unwrap();
    [post("/x", "hello"), keyed]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_without_a_key_that_may_have_reached_somebody() {
    let (upstream, gateway, mut client) = start("").await;
    earn(&mut client, 60).await;
    for status in [408, 421, 423, 425, 429, 500, 502, 503, 504] {
        upstream.on("/x", answers(&format!("{status} No"), "Retry-After: 0\r\n", "no"));
        for request in writes() {
            let before = upstream.count("/x");
            let answer = client.ask(request).await;
            assert_eq!((answer.status, upstream.count("/x") - before), (status, 1), "{status}");
        }
    }
    for ending in [vec![Step::Reset], vec![Step::Read, Step::Reset], vec![Step::Read, Step::Close]] {
        upstream.on("/x", ending.clone());
        for request in writes() {
            let before = upstream.count("/x");
            let answer = client.ask(request).await;
            assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_reset"), "{ending:?}");
            assert_eq!(upstream.count("/x") - before, 1, "{ending:?}");
        }
    }
    assert_eq!(retries(&gateway).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_has_begun() {
    let (upstream, gateway, _) = start("").await;
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let begins = [
        ("half a head", "HTTP/1.1 200 OK\r\nConte".to_owned()),
        ("a head", head.to_owned()),
        ("some of the body", format!("{head}5\r\nhello\r\n")),
        ("half a chunk", format!("{head}5\r\nhel")),
    ];
    for (what, begin) in begins {
        for end in [Step::Close, Step::Reset] {
            // On a connection of its own: no pooled one that may have died.
            let upstream = Upstream::start().await;
            let gateway = Gateway::start(&document(&[upstream.url()], NO_BREAKER, "", FREELY));
            upstream.on("/x", [Step::Read, Step::Send(begin.clone().into()), end]);
            let mut raw = Raw::connect(gateway.address()).await;
            raw.send("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
            let answer = raw.answer().await;
            let whole = answer.as_ref().is_ok_and(|answer| answer.status == 200 && answer.complete);
            assert!(!whole, "{what}: {answer:?}");
            assert_eq!((upstream.count("/x"), retries(&gateway).await), (1, vec![]), "{what}");
        }
    }
    // An event stream that breaks in the middle is the client's to resume.
    upstream.on("/x", [Step::Read, Step::Send(format!("{head}9\r\ndata: 1\n\n\r\n").into()), Step::Reset]);
    let mut client = Client::h1(gateway.address()).await;
    assert!(client.send(get("/x")).await.is_err());
    assert_eq!((upstream.count("/x"), retries(&gateway).await), (1, vec![]));
}
