//! Writes to a service that is not what it is pinned to.

use std::time::{Duration, Instant};

use sluicegate_tests::{Client, Gateway, comes_true};

use crate::{
    diff_of, document, mismatches, ms,
    rag::{Rag, delete, put, search},
    stands, upstream,
};

const TOLD: [&str; 3] = ["INDEX_HASH", "DOC_COUNT", "MODEL_VER"];

const ROUTES: [&str; 2] = [
    "name: retrieve, match: { path: /v1/retrieve, methods: [POST] }, access: read, upstream: main",
    "name: rest, match: { path: \"/{*rest}\" }, upstream: main",
];

async fn start(more: &str) -> (Rag, Gateway) {
    let rag = Rag::start().await;
    let pins = rag.pins(&TOLD).await;
    let more = format!(", on_mismatch: refuse{more}");
    let gateway = Gateway::start(&document(&[upstream("main", &[rag.url()], &pins, &more)], &ROUTES, ""));
    (rag, gateway)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_told_what_was_done_and_the_next_one_is_not_sent() {
    let (rag, gateway) = start("").await;
    let mut client = Client::h1(gateway.address()).await;
    assert_eq!(client.ask(search()).await.status, 200);
    // It changes the index itself. To hide its answer would undo nothing.
    let answer = client.ask(put("new")).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let now = rag.pins(&TOLD).await;
    assert!(answer.header("x-wfgy").contains(&format!("INDEX_HASH={}", now[0].1)), "{answer:?}");
    assert_eq!(mismatches(&gateway, "main", "DOC_COUNT", "answer").await, 1);
    assert!(stands(&gateway, &rag.url()).await);
    // From here on writes are refused before they are sent, and no read is answered.
    let written = rag.count("/v1/documents/{id}");
    for number in 0..20 {
        let diff = diff_of(&client.ask(put(&format!("n{number}"))).await, 503, "index_mismatch");
        assert_eq!(diff.as_array().map(Vec::len), Some(2), "{diff}");
        diff_of(&client.ask(search()).await, 503, "index_mismatch");
        diff_of(&client.ask(delete("new")).await, 503, "index_mismatch");
    }
    assert_eq!(rag.count("/v1/documents/{id}"), written, "a write was sent");
    assert_eq!(rag.pins(&TOLD).await, now, "the index was changed");
    // A read finds out that it has been put right; then writes pass, too.
    rag.remove("new").await;
    let begun = Instant::now();
    comes_true("reads pass again", async || client.ask(search()).await.status == 200).await;
    let healed = begun.elapsed();
    assert!(!stands(&gateway, &rag.url()).await);
    assert_eq!(client.ask(put("new")).await.status, 201);
    println!("pins writes: answered, then 40 refused and none of them sent; healed within {}", ms(healed));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_reads_a_manifest_lets_writes_pass_again() {
    let (rag, gateway) = start(", manifest: { path: /index/manifest, interval: 100ms }").await;
    let mut client = Client::h1(gateway.address()).await;
    rag.add("new").await;
    comes_true("writes are refused", async || {
        // One that gets through before it is noticed changes nothing that counts here.
        client.ask(put("new")).await.status == 503
    })
    .await;
    let written = rag.count("/v1/documents/{id}");
    for _ in 0..10 {
        diff_of(&client.ask(put("other")).await, 503, "index_mismatch");
    }
    assert_eq!(rag.count("/v1/documents/{id}"), written, "a write was sent");
    rag.remove("new").await;
    let begun = Instant::now();
    // A write that changes nothing: there is no such document.
    comes_true("writes pass again", async || client.ask(delete("absent")).await.status == 404).await;
    println!("pins writes: by manifest they pass again within {}", ms(begun.elapsed()));
    assert!(begun.elapsed() < Duration::from_secs(10));
}
