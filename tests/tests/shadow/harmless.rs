//! Shadows that misbehave in every way there is: the requests that they are made of are answered
//! as those without a shadow, each copy is counted as what it came to, and nothing is held.

use std::{collections::HashSet, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request};
use sluicegate_tests::{
    Client, Gateway, Step, Upstream,
    client::{Body, full, get},
    upstream::response,
};

use crate::{Nobody, Rules, classes, come_to, judged};

/// Copies of one test: fewer than may be on their way at one time.
const COUNT: u64 = 60;

/// The gateway's resident memory stays below this: what it is without any shadow, the quarter of
/// all held bodies that copies may take, and what is read ahead on their connections.
const MEMORY: u64 = 96 << 20;

const GIBIBYTE: u64 = 1 << 30;

/// What the primary answers.
fn answer() -> Bytes {
    let lines = "Content-Type: application/json\r\nX-Version: 7\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n";
    response("200 OK", lines, r#"{"hits":[1,2,3]}"#)
}

async fn primary() -> Upstream {
    let main = Upstream::start().await;
    main.answer("/x", answer()).answer("/plain/x", answer());
    main
}

/// What a client can tell answers apart by.
fn seen(headers: &HeaderMap) -> Vec<(String, Bytes)> {
    let own = ["date", "x-request-id"];
    let kept = headers.iter().filter(|(name, _)| !own.contains(&name.as_str()));
    kept.map(|(name, value)| (name.to_string(), Bytes::copy_from_slice(value.as_bytes()))).collect()
}

fn post(path: &str) -> Request<Body> {
    Request::post(path).body(full(vec![b'q'; 4096])).unwrap()
}

/// Asks so often, over both protocols, and compares each answer with one of the route that has no
/// shadow.
async fn ask(gateway: &Gateway) {
    let mut clients = Vec::new();
    for number in 0..4 {
        let address = gateway.address();
        clients.push(tokio::spawn(async move {
            let mut client =
                if number % 2 == 0 { Client::h1(address).await } else { Client::h2c(address).await };
            let plain = client.ask(get("/plain/x")).await;
            assert_eq!(plain.status, 200);
            for turn in 0..COUNT / 4 {
                let request = if turn % 2 == 0 { get("/x") } else { post("/x") };
                let answer = client.ask(request).await;
                assert_eq!((answer.status, &answer.body), (200, &plain.body), "of request {turn}");
                assert_eq!(seen(&answer.headers), seen(&plain.headers), "of request {turn}");
            }
        }));
    }
    for client in clients {
        client.await.unwrap();
    }
}

/// Asks with a shadow at this URL whose copies all come to this, first without a comparison and
/// then with one.
async fn harmless(lab: &str, outcome: &str) {
    // A busy machine is no reason for another outcome.
    let timeout = if outcome == "timeout" { "400ms" } else { "60s" };
    for compare in ["", ", noise: 0, compare: { max_answer: 128KiB }"] {
        let main = primary().await;
        let gateway = Rules::of(format!("percent: 100, timeout: {timeout}{compare}")).start(&main.url(), lab);
        ask(&gateway).await;
        come_to(&gateway, &[(outcome, COUNT)]).await;
        assert_eq!(main.count("/x") as u64, COUNT, "the primary gets each request once");
        assert_eq!(main.violations(), Vec::<String>::new());
        if !compare.is_empty() {
            assert_eq!(judged(&gateway, "shadow", COUNT).await, COUNT);
            assert_eq!(classes(&gateway, "shadow").await, [("answer".to_owned(), COUNT)].into());
        }
        let peak = gateway.peak_memory();
        println!("{outcome:>16} {:>2} MiB resident at most{compare}", peak >> 20);
        assert!(peak < MEMORY, "the gateway had {} MiB resident", peak >> 20);
    }
}

/// The same, with a shadow that does this with each copy.
async fn scripted(script: Vec<Step>, outcome: &str) {
    let lab = Upstream::start().await;
    lab.on("/x", script);
    harmless(&lab.url(), outcome).await;
    // Those of both rounds, if their time was not over before they had left.
    let copies = lab.seen_at("/x");
    let ids: HashSet<_> = copies.iter().map(|copy| copy.get("shadow-id").expect("an id")).collect();
    assert_eq!(ids.len(), copies.len(), "each copy is sent once");
    assert!(outcome == "timeout" || copies.len() as u64 == 2 * COUNT, "{} copies", copies.len());
    assert_eq!(lab.violations(), Vec::<String>::new());
}

fn head(length: u64) -> Step {
    Step::Send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_that_hangs() {
    scripted(vec![Step::Read, Step::Hang], "timeout").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_that_hangs_in_the_middle_of_its_answer() {
    scripted(vec![Step::Read, head(100), Step::Send("half".into()), Step::Hang], "timeout").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_that_refuses() {
    harmless(&Nobody::new().url(), "unreachable").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_that_is_missing_from_dns() {
    harmless("http://no-such-host.invalid:8080", "unreachable").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_that_resets() {
    scripted(vec![Step::Read, Step::Reset], "reset").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_that_resets_in_the_middle_of_its_answer() {
    scripted(vec![Step::Read, head(100), Step::Send("half".into()), Step::Reset], "reset").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_that_closes_in_the_middle_of_its_answer() {
    scripted(vec![Step::Read, head(100), Step::Send("half".into()), Step::Close], "reset").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_that_talks_nonsense() {
    scripted(vec![Step::Read, Step::Send("no answer at all\r\n\r\n".into()), Step::Close], "reset").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_that_trickles() {
    let mut script = vec![Step::Read, head(1000)];
    // Longer than a copy may take, and never a pause that is worth mentioning.
    for _ in 0..1000 {
        script.extend([Step::Pause(Duration::from_millis(20)), Step::Send("x".into())]);
    }
    scripted(script, "timeout").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_that_answers_a_gibibyte() {
    scripted(vec![Step::Read, head(GIBIBYTE), Step::Pattern(GIBIBYTE)], "answer_too_large").await;
}
