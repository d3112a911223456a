//! Clients that leave at any moment, and what is in the books when all is over.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use sluicegate_tests::{
    Gate, Gateway, Llm, Raw, eventually,
    llm::{Manner, TOKEN},
    repeat,
};
use tokio::task::JoinSet;

use crate::{Books, CHAT, MESSAGES, TENANTS, document, left, prompt, prompt_estimate, raw_post, start};

const BURST: u64 = 1_000_000;

/// Reads on until so many tokens have come, and returns them.
async fn read_tokens(raw: &mut Raw, tokens: u64) -> u64 {
    let mut text = Vec::new();
    let count = |text: &[u8]| String::from_utf8_lossy(text).matches(TOKEN).count() as u64;
    while count(&text) < tokens {
        let some = raw.some().await;
        if some.is_empty() {
            break;
        }
        text.extend_from_slice(&some);
    }
    count(&text)
}

/// Leaves in good order, or with a reset.
fn leave(raw: Raw, reset: bool) {
    if reset {
        raw.reset();
    }
}

/// At which moment a client leaves.
#[derive(Clone, Copy, Debug)]
enum Leaves {
    /// Before it has a head.
    BeforeHead,
    /// After so many tokens.
    After(u64),
    /// Not before the end.
    Never,
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_charged_is_told_token_for_token() {
    // Each stops where the test says, so that it is known exactly what the gateway had seen.
    let never = Gate::default();
    let closed = never.clone();
    let (llm, gateway) = start(&crate::budget(BURST), move |asked| {
        let stops = asked["stops"].as_u64();
        let head = asked["hangs"] == true;
        Manner {
            wants: 30,
            first: if head { Duration::from_secs(3600) } else { Duration::ZERO },
            pause: stops.map(|stops| (stops, closed.clone())),
            ..Manner::default()
        }
    })
    .await;
    let (mut by_usage, mut by_estimate) = ((0, 0), (0, 0));
    let mut number = 0;
    for path in [CHAT, MESSAGES] {
        for stream in [true, false] {
            for leaves in
                [Leaves::Never, Leaves::BeforeHead, Leaves::After(1), Leaves::After(7), Leaves::After(29)]
            {
                if !stream && matches!(leaves, Leaves::After(_)) {
                    continue;
                }
                number += 1;
                let mut body = prompt(10 + number, 40, stream);
                match leaves {
                    Leaves::BeforeHead => body["hangs"] = true.into(),
                    Leaves::After(tokens) => body["stops"] = tokens.into(),
                    Leaves::Never => {}
                }
                let body = body.to_string();
                let (prompt, estimate) = (10 + number as u64, prompt_estimate(&body));
                let mut raw = Raw::connect(gateway.address()).await;
                raw.send(raw_post(path, "acme", &body)).await;
                eventually("it has come", || llm.count() == number).await;
                match leaves {
                    Leaves::Never => {
                        assert_eq!(raw.answer().await.unwrap().status, 200);
                        by_usage = (by_usage.0 + 1, by_usage.1 + prompt + 30);
                    }
                    Leaves::BeforeHead => {
                        leave(raw, number % 2 == 0);
                        by_estimate = (by_estimate.0 + 1, by_estimate.1 + estimate + 40);
                    }
                    Leaves::After(tokens) => {
                        assert_eq!(read_tokens(&mut raw, tokens).await, tokens);
                        leave(raw, number % 2 == 0);
                        // Anthropic tells the prompt, and one token, in the first event.
                        let told = if path == MESSAGES { prompt + 1 } else { estimate };
                        by_estimate = (by_estimate.0 + 1, by_estimate.1 + told + tokens);
                    }
                }
                eventually("it is over", || llm.running() == 0).await;
                let books = Books::closed(&gateway).await;
                assert_eq!(
                    (books.by_usage, books.by_estimate),
                    (by_usage, by_estimate),
                    "{path} {stream} {leaves:?}"
                );
            }
        }
    }
    let charged = by_usage.1 + by_estimate.1;
    println!("{number} requests: {} tokens generated, {charged} charged", llm.tokens());
    assert!(llm.tokens() <= charged);
    assert_eq!(left(&gateway, "acme", BURST).await, BURST - charged);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_on_without_its_client_is_charged_whole() {
    // A write with a key is carried to its end, and its answer kept for whoever asks again: who
    // leaves after the first token has not paid for one token.
    let gate = Gate::default();
    let pause = gate.clone();
    let (llm, gateway) =
        keyed(move |_| Manner { wants: 30, pause: Some((5, pause.clone())), ..Manner::default() }).await;
    let mut charged = 0;
    for (number, path) in [CHAT, MESSAGES].into_iter().enumerate() {
        gate.close();
        let body = prompt(10, 40, true).to_string();
        let key = format!("\r\nIdempotency-Key: key-{number}\r\n");
        let request = raw_post(path, "acme", &body).replacen("\r\n", &key, 1);
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send(&request).await;
        assert_eq!(read_tokens(&mut raw, 5).await, 5);
        leave(raw, false);
        let held = async || Books::of(&gateway).await.held;
        assert_eq!(held().await, prompt_estimate(&body) + 40, "it is held while it runs");
        gate.open();
        eventually("it is over", || llm.running() == 0).await;
        assert_eq!(llm.calls()[number].generated, 30, "it went on");
        charged += prompt_estimate(&body) + 40;
        let books = Books::closed(&gateway).await;
        assert_eq!((books.by_usage, books.by_estimate), ((0, 0), (number as u64 + 1, charged)), "{path}");
        // Its answer costs nothing more.
        let again = Raw::connect(gateway.address()).await.ask(&request).await;
        assert_eq!(
            (again.status, again.fields.get("idempotency-replayed")),
            (200, Some("true")),
            "{again:?}"
        );
        assert_eq!((llm.count(), Books::closed(&gateway).await), (number + 1, books));
    }
}

/// A provider behind a route whose writes are fenced by their keys.
async fn keyed(choice: impl Fn(&Value) -> Manner + Send + Sync + 'static) -> (Llm, Gateway) {
    let llm = Llm::start(choice).await;
    let document = document(&llm.url(), &crate::budget(BURST), TENANTS);
    let fenced = document.replace("limits: {", "idempotency: { required: true }, limits: {");
    (llm, Gateway::start(&fenced))
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_storm_of_clients_that_leave_the_books_balance() {
    const CLIENTS: usize = 20;
    let times = repeat(8, 100);
    let (llm, gateway) = start(&crate::budget(BURST), |asked: &Value| Manner {
        wants: asked["wants"].as_u64().unwrap(),
        tells: asked["tells"] == true,
        first: Duration::from_millis(asked["first"].as_u64().unwrap()),
        each: Duration::from_millis(1),
        ..Manner::default()
    })
    .await;
    let (llm, gateway) = (Arc::new(llm), Arc::new(gateway));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let gateway = gateway.clone();
        clients.spawn(async move {
            let mut chance = fastrand::Rng::with_seed(number as u64);
            // What the provider must at least have been seen to work, and what was reserved.
            let (mut least, mut most, mut whole) = (0, 0, 0);
            for _ in 0..times {
                let words = chance.usize(1..60);
                let mut body = prompt(words, 100, chance.u8(..4) > 0);
                body["wants"] = chance.u64(1..100).into();
                body["first"] = chance.u64(0..20).into();
                body["tells"] = (chance.u8(..4) > 0).into();
                let body = body.to_string();
                let path = if chance.bool() { CHAT } else { MESSAGES };
                let mut raw = Raw::connect(gateway.address()).await;
                raw.send(raw_post(path, "acme", &body)).await;
                most += prompt_estimate(&body) + 100;
                if chance.u8(..4) == 0 {
                    assert_eq!(raw.answer().await.unwrap().status, 200);
                    whole += 1;
                    continue;
                }
                // At a moment by chance: from before the request has been read to after the end.
                let moment = Duration::from_micros(chance.u64(0..80_000));
                let mut seen = Vec::new();
                let _ = tokio::time::timeout(moment, async {
                    loop {
                        let some = raw.some().await;
                        if some.is_empty() {
                            break;
                        }
                        seen.extend_from_slice(&some);
                    }
                })
                .await;
                let tokens = String::from_utf8_lossy(&seen).matches(TOKEN).count() as u64;
                least += if tokens > 0 { words as u64 + tokens } else { 0 };
                leave(raw, chance.bool());
            }
            (least, most, whole)
        });
    }
    let counts = clients.join_all().await;
    let sum = |of: fn(&(u64, u64, u64)) -> u64| counts.iter().map(of).sum::<u64>();
    let (least, most, whole) = (sum(|it| it.0), sum(|it| it.1), sum(|it| it.2));
    eventually("the provider has noticed", || llm.running() == 0).await;
    let books = Books::closed(&gateway).await;
    let charged = books.charged();
    let requests = books.by_usage.0 + books.by_estimate.0 + books.unused;
    let offered = (CLIENTS * times) as u64;
    println!(
        "{offered} requests, {whole} read to the end: {} tokens generated, {charged} charged; {books:?}",
        llm.tokens()
    );
    // Exactly what the books say is missing from the budget.
    assert_eq!(left(&gateway, "acme", BURST).await, BURST - charged);
    // Each request that came to be judged is in them once; a client may have left before that.
    assert!(requests <= offered && requests >= llm.count() as u64, "{requests}");
    assert!(books.by_usage.0 > 0 && books.by_estimate.0 > 0);
    assert!(charged >= least && charged <= most, "{least} <= {charged} <= {most}");
}
