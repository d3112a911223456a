//! A duplicate that comes after the first one has ended.

use sluicegate_tests::{Fenced, Step, raw::RawAnswer, repeat, upstream::response};

use crate::{answers, replayed, start, write};

/// What of an answer must be the same each time.
fn essence(answer: &RawAnswer) -> (u16, Vec<(String, String)>, Vec<u8>) {
    let own =
        ["date", "connection", "x-request-id", "idempotency-replayed", "transfer-encoding", "content-length"];
    let fields = answer.fields.0.iter().map(|(name, value)| (name.to_lowercase(), value.clone()));
    let mut fields: Vec<_> = fields.filter(|(name, _)| !own.contains(&name.as_str())).collect();
    fields.sort();
    (answer.status, fields, answer.body.clone())
}

async fn assert_replayed(fenced: &Fenced, steps: &[Step]) -> (RawAnswer, RawAnswer) {
    let (upstream, gateway) = start(fenced).await;
    upstream.on("/", steps);
    let first = write(&gateway, "/", "k", "{}").await;
    assert!(!replayed(&first), "{first:?}");
    let mut again = None;
    for _ in 0..2 {
        let answer = write(&gateway, "/", "k", "{}").await;
        assert!(replayed(&answer) && answer.complete, "{answer:?}");
        again = Some(answer);
    }
    assert_eq!(upstream.count("/"), 1);
    (first, again.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn status_fields_and_content_come_again() {
    let lines = "Content-Type: application/json\r\nX-Two: a\r\nX-Two: b\r\nETag: \"v1\"\r\nLocation: /documents/7\r\n";
    for status in
        ["201 Created", "202 Accepted", "303 See Other", "400 Bad Request", "404 Not Found", "409 Conflict"]
    {
        let steps = answers(status, lines, "{\"id\":7}");
        let (first, again) = assert_replayed(&Fenced::default(), &steps).await;
        assert_eq!(essence(&first), essence(&again), "{status}");
        assert_eq!(again.fields.all("x-two"), ["a", "b"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_content_comes_again() {
    let steps = [Step::Read, Step::Send("HTTP/1.1 204 No Content\r\nX-Done: yes\r\n\r\n".into())];
    let (first, again) = assert_replayed(&Fenced::default(), &steps).await;
    assert_eq!(essence(&first), essence(&again));
    assert_eq!((again.status, again.fields.get("x-done")), (204, Some("yes")));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_answer_has_its_own_request_id() {
    let steps = answers("200 OK", "", "ok");
    let (first, again) = assert_replayed(&Fenced::default(), &steps).await;
    let id = |answer: &RawAnswer| answer.fields.get("x-request-id").expect("a request id").to_owned();
    assert_ne!(id(&first), id(&again));
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_one_connection_are_not_kept() {
    let lines = "Connection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\n";
    let (_, again) = assert_replayed(&Fenced::default(), &answers("200 OK", lines, "ok")).await;
    assert_eq!((again.fields.get("x-hop"), again.fields.get("keep-alive")), (None, None), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streamed_answer_comes_again_whole() {
    let events = [Step::Read, Step::Events(20, std::time::Duration::from_millis(5))];
    let (first, again) = assert_replayed(&Fenced::default(), &events).await;
    assert_eq!(essence(&first), essence(&again));
    assert_eq!(again.text().matches("data: ").count(), 20);
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunked = [Step::Read, Step::Send(format!("{head}3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n").into())];
    let (first, again) = assert_replayed(&Fenced::default(), &chunked).await;
    assert_eq!((first.text().as_str(), again.text().as_str()), ("abcdefg", "abcdefg"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_past_the_cap_is_sealed_without_its_content_and_says_so() {
    let fenced = Fenced { idempotency: "required: true, max_answer: 64KiB".to_owned(), ..Fenced::default() };
    let (upstream, gateway) = start(&fenced).await;
    let length = 64 * 1024 + 1;
    let head = format!("HTTP/1.1 201 Created\r\nX-Made: here\r\nContent-Length: {length}\r\n\r\n");
    upstream.on("/", [Step::Read, Step::Send(head.into()), Step::Pattern(length)]);
    let first = write(&gateway, "/", "k", "{}").await;
    assert_eq!((first.status, first.body.len() as u64, first.complete), (201, length, true));
    let again = write(&gateway, "/", "k", "{}").await;
    assert!(replayed(&again), "{again:?}");
    assert_eq!((again.status, again.fields.get("x-made")), (201, Some("here")));
    assert!(again.body.is_empty(), "{} bytes", again.body.len());
    assert_eq!(again.fields.get("sluicegate-replay"), Some("without-body"), "{again:?}");
    assert_eq!(upstream.count("/"), 1);
    // One byte less is kept.
    let length = length - 1;
    let head = format!("HTTP/1.1 201 Created\r\nContent-Length: {length}\r\n\r\n");
    upstream.on("/fits", [Step::Read, Step::Send(head.into()), Step::Pattern(length)]);
    let first = write(&gateway, "/fits", "k2", "{}").await;
    let again = write(&gateway, "/fits", "k2", "{}").await;
    assert!(replayed(&again) && again.body == first.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_a_whole_answer_gets_it_again_at_once() {
    let (upstream, gateway) = start(&Fenced::embedded()).await;
    let rounds = repeat(200, 5000);
    for round in 0..rounds {
        let (path, key) = (format!("/{}", round % 7), format!("k{round}"));
        upstream.on(&path, [Step::Read, Step::Send(response("200 OK", "", &format!("answer {round}")))]);
        let first = write(&gateway, &path, &key, "{}").await;
        let again = write(&gateway, &path, &key, "{}").await;
        assert!(!replayed(&first) && replayed(&again), "round {round}: {again:?} {}", again.text());
        assert_eq!(first.body, again.body, "round {round}");
    }
    assert_eq!(upstream.seen().len(), rounds);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_forgotten_when_its_life_is_over() {
    let fenced =
        Fenced { idempotency: "required: true, ttl: 1s, wait: 500ms".to_owned(), ..Fenced::default() };
    let (upstream, gateway) = start(&fenced).await;
    assert!(!replayed(&write(&gateway, "/", "k", "{}").await));
    assert!(replayed(&write(&gateway, "/", "k", "{}").await));
    let forgotten = async || !replayed(&write(&gateway, "/", "k", "{}").await);
    sluicegate_tests::comes_true("it runs anew", forgotten).await;
    assert_eq!(upstream.count("/"), 2);
}
