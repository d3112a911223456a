//! Answers that are streamed by two real services: they are compared by what they say, and not by
//! how they are cut.

use sluicegate_demo_rag::embedded;
use sluicegate_tests::{Client, Gateway, client::get};

use crate::{
    compared::{QUERIES, all, found, pass, rag, rules, settle, url},
    origin::{Origin, Reply},
};

/// Where an answer says what it found, and what it says.
const ANSWERED: &str =
    "access: read, answers: { ids: /citations/*/id, scores: /citations/*/score, texts: /text }";

/// Asks everything as a question.
async fn question(gateway: &Gateway) {
    let mut client = Client::h1(gateway.address()).await;
    for query in QUERIES {
        let answer = client.ask(get(&format!("/v1/answer?q={}", query.replace(' ', "+")))).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "text/event-stream"));
    }
    settle(gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_compared_by_their_text_however_they_are_cut() {
    let (main, lab) = (rag(None).await, rag(None).await);
    lab.switches().update(|switches| switches.slow_tokens_ms = 1).unwrap();
    let gateway = rules("", ANSWERED).start(&url(&main), &url(&lab));
    question(&gateway).await;
    assert_eq!(found(&gateway).await, all(&[]));
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_say_something_else() {
    // What is changed in all answers, and what it is told as.
    let changes: [(&str, &str, &str, &[&str]); 3] = [
        // Another word in the text.
        (r#""text":"The "#, r#""text":"Every "#, "similarity: 1.0", &["text"]),
        // One that is near enough.
        (r#""text":"The "#, r#""text":"Every "#, "similarity: 0.5", &[]),
        // What is no part of the answer.
        (r#""finish_reason":"stop""#, r#""finish_reason":"other""#, "", &[]),
    ];
    for (from, to, compare, told) in changes {
        let main = rag(None).await;
        let address = main.address();
        let lab = Origin::start(move |asked| async move {
            let answer = pass(address, &asked).await;
            let text = String::from_utf8(answer.body.to_vec()).unwrap().replace(from, to);
            let mut response = Reply::new(text.into());
            response.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
            response
        })
        .await;
        let gateway = rules(compare, ANSWERED).start(&url(&main), &lab.url());
        question(&gateway).await;
        let found = found(&gateway).await;
        let names: Vec<_> = found.keys().map(String::as_str).collect();
        assert_eq!(names, told, "{from} to {to}, {compare}: {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_with_other_sources() {
    let mut documents = embedded().unwrap();
    documents.retain(|document| document.id != "bm25-basics");
    let (main, lab) = (rag(None).await, rag(Some(documents)).await);
    let gateway = rules("", ANSWERED).start(&url(&main), &url(&lab));
    question(&gateway).await;
    let found = found(&gateway).await;
    assert!(found.contains_key("ids") && found.contains_key("text"), "{found:?}");
}
