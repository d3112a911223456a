//! How an attempt ended, and what its key is worth afterwards.

use sluicegate_tests::{Fenced, Gateway, Step, Upstream};

use crate::{answers, assert_refused, replayed, start, write};

/// What each of two sends of one write was answered, and how often the upstream saw it.
async fn twice(fenced: &Fenced, steps: &[Step]) -> ((u16, String), (u16, String, bool), usize) {
    let (upstream, gateway) = start(fenced).await;
    upstream.on("/", steps);
    let first = write(&gateway, "/", "k", "{}").await;
    let again = write(&gateway, "/", "k", "{}").await;
    let again = (again.status, again.code(), replayed(&again));
    ((first.status, first.code()), again, upstream.count("/"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_applied_runs_again() {
    for status in [401, 403, 408, 421, 423, 425, 429] {
        let steps = answers(&format!("{status} Not Now"), "", "");
        let (first, again, count) = twice(&Fenced::default(), &steps).await;
        assert_eq!((first.0, again.0, again.2, count), (status, status, false, 2), "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_503_counts_as_not_applied_only_where_it_is_listed() {
    let steps = answers("503 Service Unavailable", "Retry-After: 1\r\n", "");
    let (first, again, count) = twice(&Fenced::default(), &steps).await;
    assert_eq!((first.0, again.0, again.1.as_str(), count), (503, 409, "idempotency_outcome_unknown", 1));
    let listed = Fenced { upstream: "not_applied: [429, 503]".to_owned(), ..Fenced::default() };
    let (first, again, count) = twice(&listed, &steps).await;
    assert_eq!((first.0, again.0, again.2, count), (503, 503, false, 2));
    // The list is the whole list.
    let (_, again, count) = twice(&listed, &answers("403 Forbidden", "", "")).await;
    assert_eq!((again.0, again.2, count), (403, true, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_applied_never_runs_again() {
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
    let cases: [(&str, Vec<Step>); 5] = [
        ("500", answers("500 Internal Server Error", "", "").into()),
        ("502", answers("502 Bad Gateway", "", "").into()),
        ("reset", vec![Step::Read, Step::Reset]),
        ("closed", vec![Step::Read, Step::Close]),
        ("half an answer", vec![Step::Read, Step::Send(half.into()), Step::Reset]),
    ];
    for (what, steps) in cases {
        let (upstream, gateway) = start(&Fenced::default()).await;
        upstream.on("/", steps);
        let mut raw = sluicegate_tests::Raw::connect(gateway.address()).await;
        raw.send(crate::request("/", "Idempotency-Key: k\r\n", "{}")).await;
        let first = raw.answer().await;
        assert!(!first.is_ok_and(|first| first.status == 200 && first.complete), "{what}");
        upstream.on("/", answers("200 OK", "", "ok"));
        for _ in 0..2 {
            let again = write(&gateway, "/", "k", "{}").await;
            assert_refused(&again, 409, "idempotency_outcome_unknown");
        }
        assert_refused(&write(&gateway, "/", "k", "{\"a\":1}").await, 422, "idempotency_conflict");
        assert_eq!(upstream.count("/"), 1, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_does_not_answer_in_time_leaves_it_unknown() {
    let fenced = Fenced { extra: "timeouts: { per_try: 300ms }".to_owned(), ..Fenced::default() };
    let (first, again, count) = twice(&fenced, &[Step::Read, Step::Hang]).await;
    assert_eq!((first.0, first.1.as_str()), (504, "upstream_timeout"));
    assert_eq!((again.0, again.1.as_str(), count), (409, "idempotency_outcome_unknown", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_operator_says_so_it_runs_again() {
    let steps = answers("500 Internal Server Error", "", "");
    let retry = Fenced { idempotency: "required: true, on_unknown: retry".to_owned(), ..Fenced::default() };
    let (first, again, count) = twice(&retry, &steps).await;
    assert_eq!((first.0, again.0, again.2, count), (500, 500, false, 2));
    // An upstream that honours keys may be asked again without being told to.
    let honouring = Fenced {
        upstream: "honours_keys: true".to_owned(),
        idempotency: "required: true".to_owned(),
        ..Fenced::default()
    };
    let (_, again, count) = twice(&honouring, &steps).await;
    assert_eq!((again.0, again.2, count), (500, false, 2));
    let refusing = Fenced { idempotency: "required: true, on_unknown: refuse".to_owned(), ..honouring };
    let (_, again, count) = twice(&refusing, &steps).await;
    assert_eq!((again.0, again.1.as_str(), count), (409, "idempotency_outcome_unknown", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_was_not_reached_costs_no_key() {
    let upstream = Upstream::start().await;
    let address = upstream.address();
    let gateway = Gateway::start(&Fenced::default().document(&upstream.url()));
    upstream.stop().await;
    for _ in 0..3 {
        let answer = write(&gateway, "/", "k", "{}").await;
        assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_unreachable"), "{answer:?}");
    }
    let upstream = Upstream::start_at(address, None).await;
    let up = async || write(&gateway, "/", "k", "{}").await.status == 200;
    sluicegate_tests::comes_true("it is reached again", up).await;
    assert!(replayed(&write(&gateway, "/", "k", "{}").await));
    assert_eq!(upstream.count("/"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_the_gateway_costs_no_key() {
    let (upstream, gateway) = start(&Fenced::default()).await;
    gateway.freeze("f", &serde_json::json!({})).await;
    assert_eq!(write(&gateway, "/", "k", "{}").await.status, 423);
    gateway.thaw("f").await;
    let answer = write(&gateway, "/", "k", "{}").await;
    assert_eq!((answer.status, replayed(&answer)), (200, false));
    assert_eq!(upstream.count("/"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_does_not_come_whole_costs_no_key() {
    let (upstream, gateway) = start(&Fenced::default()).await;
    for _ in 0..3 {
        let mut raw = sluicegate_tests::Raw::connect(gateway.address()).await;
        let request = crate::request("/", "Idempotency-Key: k\r\n", "{\"a\":1}");
        raw.send(&request[..request.len() - 3]).await;
        raw.reset();
    }
    let answer = write(&gateway, "/", "k", "{}").await;
    assert_eq!((answer.status, replayed(&answer)), (200, false), "{answer:?}");
    assert_eq!(upstream.seen().len(), 1, "nothing is sent before the request is known whole");
}
