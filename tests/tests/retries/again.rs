//! What is sent again.

use sluicegate_tests::{
    Step, Upstream,
    client::{get, post},
    comes_true,
};

use crate::{
    FREELY, NO_BREAKER, answers, by_label, earn, first_then, once, retries, start, start_with, withheld,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_was_answered_by_a_failure_that_may_pass() {
    for status in ["408", "429", "500", "502", "503", "504"] {
        let (upstream, gateway, mut client) = start(", access: read").await;
        let failure = answers(&format!("{status} Not Now"), "", "no");
        let good = answers("200 OK", "", "yes");
        let asking = client.ask(post("/x", "hello"));
        let answer = first_then(&upstream, "/x", (&failure, &good), asking).await;
        assert_eq!((answer.status, &answer.body[..]), (200, &b"yes"[..]), "{status}");
        assert_eq!(retries(&gateway).await, once(status, 1));
        let seen = upstream.seen_at("/x");
        assert_eq!(seen.len(), 2, "{status}");
        assert!(seen.iter().all(|seen| seen.complete && seen.body == b"hello"), "{seen:?}");
        assert_eq!(seen[0].get("x-request-id"), seen[1].get("x-request-id"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn so_often_and_no_oftener_and_the_last_answer_is_the_clients() {
    let (upstream, gateway, mut client) = start("").await;
    earn(&mut client, 10).await;
    upstream.on("/x", answers("503 Away", "X-From: upstream\r\n", "away"));
    let answer = client.ask(get("/x")).await;
    assert_eq!((answer.status, answer.header("x-from"), &answer.body[..]), (503, "upstream", &b"away"[..]));
    assert_eq!(upstream.count("/x"), 3, "`tries`");
    assert_eq!((retries(&gateway).await, withheld(&gateway).await), (once("503", 2), vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_whose_connection_ended_before_a_byte_was_answered() {
    for first in [vec![Step::Reset], vec![Step::Close]] {
        let (upstream, gateway, mut client) = start("").await;
        let good = answers("200 OK", "", "yes");
        let answer = first_then(&upstream, "/x", (&first, &good), client.ask(get("/x"))).await;
        assert_eq!((answer.status, upstream.count("/x")), (200, 2), "{first:?}");
        assert_eq!(retries(&gateway).await, once("reset", 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_was_not_answered_within_the_limit_of_one_try() {
    let extra = format!("timeouts: {{ per_try: 400ms }}\n{FREELY}");
    let (upstream, gateway, mut client) = start_with(NO_BREAKER, "", &extra).await;
    let good = answers("200 OK", "", "yes");
    let answer = first_then(&upstream, "/x", (&[Step::Hang], &good), client.ask(get("/x"))).await;
    assert_eq!((answer.status, upstream.count("/x")), (200, 2));
    assert_eq!(retries(&gateway).await, once("timeout", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn anything_that_found_nobody_even_a_write_without_a_key() {
    for write in [false, true] {
        let many = "retries: { tries: 10, base: 100ms, budget: 1 }";
        let (upstream, gateway, mut client) = start_with(NO_BREAKER, "", many).await;
        earn(&mut client, 20).await;
        let address = upstream.address();
        upstream.stop().await;
        let request = if write { post("/x", "hello") } else { get("/x") };
        let comes_back = async {
            let failed = async || by_label(&gateway, "sluicegate_upstream_failures_total", "reason").await;
            let unreachable = async || failed().await.iter().any(|(reason, _)| reason == "unreachable");
            comes_true("the first try has found nobody", unreachable).await;
            Upstream::start_at(address, None).await
        };
        let (answer, upstream) = tokio::join!(client.ask(request), comes_back);
        assert_eq!(answer.status, 200, "{answer:?}");
        let again = retries(&gateway).await;
        assert!(again.len() == 1 && again[0].0 == "connect", "{again:?}");
        let seen = upstream.seen_at("/x");
        assert_eq!(seen.len(), 1);
        assert!(!write || seen[0].body == b"hello");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reads_body_up_to_64_kib() {
    const KEPT: usize = 64 * 1024;
    let (upstream, gateway, mut client) = start(", access: read").await;
    let (failure, good) = (answers("503 Away", "", "no"), answers("200 OK", "", "yes"));
    let body: Vec<u8> = (0..KEPT).map(|at| b'a' + u8::try_from(at % 25).unwrap()).collect();
    let asking = client.ask(post("/x", body.clone()));
    let answer = first_then(&upstream, "/x", (&failure, &good), asking).await;
    assert_eq!(answer.status, 200);
    let seen = upstream.seen_at("/x");
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|seen| seen.complete && seen.length == KEPT as u64));
    assert_eq!(seen[0].digest, seen[1].digest);

    let longer = [body, vec![b'!']].concat();
    let asking = client.ask(post("/x", longer));
    let answer = first_then(&upstream, "/x", (&failure, &good), asking).await;
    assert_eq!((answer.status, &answer.body[..]), (503, &b"no"[..]));
    assert_eq!(upstream.count("/x"), 3, "one byte more is not kept");
    assert_eq!((retries(&gateway).await, withheld(&gateway).await), (once("503", 1), once("body", 1)));
    assert_eq!(upstream.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_setting_nothing_but_what_found_nobody() {
    let (upstream, gateway, mut client) = start_with(NO_BREAKER, "", "").await;
    upstream.on("/x", answers("503 Away", "", ""));
    assert_eq!(client.ask(get("/x")).await.status, 503);
    assert_eq!((upstream.count("/x"), retries(&gateway).await), (1, vec![]));
}
