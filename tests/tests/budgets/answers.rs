//! What an answer is settled by.

use bytes::Bytes;
use sluicegate_tests::{
    Gateway, Raw, Upstream,
    llm::{Fixed, Manner},
};

use crate::{
    Books, CHAT, MESSAGES, TENANTS, budget, document, prompt, prompt_estimate, raw_post, send, start,
};

#[tokio::test(flavor = "multi_thread")]
async fn by_the_usage_that_it_tells_in_each_shape() {
    let (llm, gateway) = start(&budget(100_000), |_| Manner { wants: 33, ..Manner::default() }).await;
    let mut told = 0;
    for path in [CHAT, MESSAGES] {
        for stream in [false, true] {
            assert_eq!(send(&gateway, path, "acme", &prompt(12, 1000, stream)).await.status, 200);
            told += 12 + 33;
            let books = Books::closed(&gateway).await;
            assert_eq!((books.by_usage.1, books.by_estimate.0), (told, 0), "{path}, stream: {stream}");
        }
    }
    assert_eq!(llm.tokens(), told);
}

#[tokio::test(flavor = "multi_thread")]
async fn by_estimate_where_it_tells_none() {
    let (_llm, gateway) =
        start(&budget(100_000), |_| Manner { wants: 33, tells: false, ..Manner::default() }).await;
    let mut charged = 0;
    for (number, path) in [CHAT, MESSAGES].into_iter().enumerate() {
        for stream in [false, true] {
            let body = prompt(12, 1000, stream);
            assert_eq!(send(&gateway, path, "acme", &body).await.status, 200);
            // A stream by its events, an answer that came whole by all that was reserved.
            charged += prompt_estimate(&body.to_string()) + if stream { 33 } else { 1000 };
        }
        let books = Books::closed(&gateway).await;
        assert_eq!(books.by_estimate, ((number as u64 + 1) * 2, charged), "{path}");
    }
}

/// `{"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`, by gzip.
const GZIPPED: &[u8] = &[
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0xab, 0x56, 0x2a, 0x2d, 0x4e, 0x4c, 0x4f,
    0x55, 0xb2, 0xaa, 0x56, 0x2a, 0x28, 0xca, 0xcf, 0x2d, 0x28, 0x89, 0x2f, 0xc9, 0xcf, 0x4e, 0xcd, 0x2b,
    0x56, 0xb2, 0x32, 0xd4, 0x51, 0x4a, 0x06, 0x0a, 0xe4, 0xa4, 0x96, 0x64, 0xe6, 0xe7, 0x21, 0x8b, 0x96,
    0xe4, 0x97, 0x24, 0xe6, 0xc0, 0x05, 0x8c, 0x6a, 0x6b, 0x01, 0x24, 0xdd, 0xe8, 0x91, 0x44, 0x00, 0x00,
    0x00,
];

#[tokio::test(flavor = "multi_thread")]
async fn by_estimate_where_it_is_encoded_all_the_same() {
    let headers = &[("content-type", "application/json"), ("content-encoding", "gzip")];
    let (_llm, gateway) = start(&budget(100_000), move |_| Manner {
        instead: Some(Fixed { status: 200, headers, content: Bytes::from_static(GZIPPED) }),
        ..Manner::default()
    })
    .await;
    let mut charged = 0;
    for stream in [false, true] {
        let body = prompt(12, 1000, stream);
        let answer = send(&gateway, CHAT, "acme", &body).await;
        assert_eq!(
            (answer.status, answer.header("content-encoding"), &answer.body[..]),
            (200, "gzip", GZIPPED)
        );
        assert_eq!(answer.header("content-length"), GZIPPED.len().to_string());
        charged += prompt_estimate(&body.to_string()) + 1000;
    }
    assert_eq!(Books::closed(&gateway).await.by_estimate, (2, charged));
}

#[tokio::test(flavor = "multi_thread")]
async fn by_nothing_where_no_model_worked() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&document(&upstream.url(), &budget(1000), TENANTS));
    // A provider's error: not charged, unless it tells that it was.
    let json = "Content-Type: application/json\r\n";
    let error = r#"{"error":{"type":"rate_limit_exceeded"}}"#;
    for status in ["400 Bad Request", "429 Slow", "500 Broken", "529 Overloaded"] {
        upstream.answer(CHAT, sluicegate_tests::upstream::response(status, json, error));
        let answer = send(&gateway, CHAT, "acme", &prompt(1, 900, false)).await;
        assert_eq!((answer.status.to_string().as_str(), &answer.body[..]), (&status[..3], error.as_bytes()));
    }
    let books = Books::closed(&gateway).await;
    assert_eq!((books.unused, books.charged()), (4, 0));
    let told = r#"{"error":{},"usage":{"prompt_tokens":7,"completion_tokens":1,"total_tokens":8}}"#;
    upstream.answer(CHAT, sluicegate_tests::upstream::response("500 Broken", json, told));
    assert_eq!(send(&gateway, CHAT, "acme", &prompt(1, 900, false)).await.status, 500);
    assert_eq!(Books::closed(&gateway).await.by_usage, (1, 8));
    // Nobody was there.
    upstream.stop().await;
    assert_eq!(send(&gateway, CHAT, "acme", &prompt(1, 900, false)).await.status, 502);
    let books = Books::closed(&gateway).await;
    assert_eq!((books.unused, books.charged()), (5, 8));
}

#[tokio::test(flavor = "multi_thread")]
async fn by_estimate_where_it_broke_off() {
    use sluicegate_tests::Step;

    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&document(&upstream.url(), &budget(100_000), TENANTS));
    let event = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"tok \"}}]}\n\n";
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    let half = &event[..event.len() / 2];
    let bytes = format!("{head}{}{}{}", chunk(event), chunk(event), chunk(half));
    let (body, mut charged) = (prompt(9, 500, true).to_string(), 0);
    for (number, end) in [Step::Close, Step::Reset].into_iter().enumerate() {
        upstream.on(
            CHAT,
            [
                Step::Read,
                Step::Send(bytes.clone().into()),
                Step::Pause(std::time::Duration::from_millis(50)),
                end,
            ],
        );
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send(raw_post(CHAT, "acme", &body)).await;
        let answer = raw.answer().await.unwrap();
        assert!(answer.status == 200 && !answer.complete, "{answer:?}");
        charged += prompt_estimate(&body) + 2;
        assert_eq!(Books::closed(&gateway).await.by_estimate, (number as u64 + 1, charged));
    }
    // Reset before a head: it may have worked, and nobody knows how much.
    upstream.on(CHAT, [Step::Read, Step::Reset]);
    let body = prompt(9, 500, true);
    assert_eq!(send(&gateway, CHAT, "acme", &body).await.status, 502);
    charged += prompt_estimate(&body.to_string()) + 500;
    assert_eq!(Books::closed(&gateway).await.by_estimate, (3, charged));
}
