//! `overrun: cut`: a stream that has used what was reserved ends when its tenant's budget does.

use std::{sync::Arc, time::Duration};

use http_body_util::BodyExt;
use serde_json::Value;
use sluicegate_tests::{
    Client, Gate, Gateway, LIMIT, Llm, Raw, comes_true, eventually,
    llm::{Manner, TOKEN},
    raw::RawAnswer,
};
use tokio::task::JoinSet;

use crate::{Books, CHAT, MESSAGES, TENANTS, document, left, post, prompt, prompt_estimate, raw_post, start};

fn cutting(burst: u64) -> String {
    crate::budget(burst).replace(" }", ", overrun: cut }")
}

/// It would say this much more than anybody asks for.
const ENDLESS: u64 = 100_000;

async fn cuts(gateway: &Gateway) -> u64 {
    gateway.count("sluicegate_budget_cut_total", "").await
}

/// The tokens in a stream, and its last event: its name, if it has one, and its data.
fn told(text: &str) -> (usize, Option<String>, Value) {
    let last = text.trim_end().rsplit("\n\n").next().unwrap();
    let field = |name: &str| last.lines().find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()));
    let data = field("data:").and_then(|data| serde_json::from_str(&data).ok()).unwrap_or_default();
    (text.matches(TOKEN).count(), field("event:"), data)
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_streams_that_ignore_their_maximum_pass_the_budget_by_less_than_one_error() {
    const CLIENTS: u64 = 50;
    const WANTS: u64 = 1000;
    const MAX: u64 = 100;
    let body = prompt(5, MAX, true);
    // The prompt takes what its bytes say, so that all there is to see is the answer.
    let of_prompt = prompt_estimate(&body.to_string());
    let estimate = of_prompt + MAX;
    let burst = CLIENTS * estimate + 70;
    let gate = Gate::default();
    let pause = gate.clone();
    let (llm, gateway) = start(&cutting(burst), move |_| Manner {
        prompt: Some(of_prompt),
        wants: WANTS,
        obeys: false,
        pause: Some((1, pause.clone())),
        each: Duration::from_millis(10),
        ..Manner::default()
    })
    .await;
    let (llm, gateway) = (Arc::new(llm), Arc::new(gateway));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let (gateway, body) = (gateway.clone(), body.to_string());
        clients.spawn(async move {
            let path = if number % 2 == 0 { CHAT } else { MESSAGES };
            let mut raw = Raw::connect(gateway.address()).await;
            raw.send(raw_post(path, "acme", &body)).await;
            raw.answer().await.unwrap()
        });
    }
    eventually("all run at once", || llm.running() as u64 == CLIENTS).await;
    gate.open();
    let answers: Vec<RawAnswer> = clients.join_all().await;
    eventually("the provider has stopped", || llm.running() == 0).await;
    let (books, used, error) = (Books::closed(&gateway).await, llm.tokens(), of_prompt + WANTS - estimate);
    let (past, charged) = (used.saturating_sub(burst), books.charged().saturating_sub(burst));
    println!(
        "{CLIENTS} at once, each would pass its estimate of {estimate} by {error}: {past} generated past the budget of {burst}, {charged} charged past it; {books:?}"
    );
    assert!(used > burst - CLIENTS, "the budget is used");
    assert!(past <= error, "{past} past the budget, {error} is one error");
    // One event each, and the token that Anthropic tells beside the first.
    assert!(charged <= 2 * CLIENTS, "{charged}");
    assert_eq!((books.by_estimate.0, books.by_usage.0, cuts(&gateway).await), (CLIENTS, 0, CLIENTS));
    for answer in answers {
        let (tokens, _, data) = told(&answer.text());
        assert!(answer.status == 200 && !answer.complete, "a client that takes it for whole: {answer:?}");
        assert!(tokens as u64 > MAX && data["error"].is_object(), "{tokens} {data}");
    }
    assert!(llm.calls().iter().all(|call| !call.whole));
    assert_eq!(left(&gateway, "acme", burst).await, 0);
    // The next ones have what was shown reserved for them.
    let factor = gateway.metric("sluicegate_budget_estimate_factor").await;
    let answers = factor.iter().find(|(labels, _)| labels.contains("of=\"max_tokens\"")).unwrap().1;
    assert!(answers > 1.0, "{factor:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_cut_says_so_in_its_own_words_and_stops_the_provider() {
    let (llm, gateway) = start(&cutting(200), |_| Manner {
        wants: ENDLESS,
        obeys: false,
        each: Duration::from_millis(1),
        ..Manner::default()
    })
    .await;
    let body = prompt(5, 50, true);
    let mut count = 0;
    for path in [CHAT, MESSAGES] {
        for h2 in [false, true] {
            count += 1;
            let tenant = format!("tenant-{count}");
            let text = if h2 {
                let mut client = Client::h2c(gateway.address()).await;
                let mut stream = client.open(post(path, &tenant, &body)).await.unwrap().into_body();
                let mut text = Vec::new();
                let error = loop {
                    match tokio::time::timeout(LIMIT, stream.frame()).await.expect("an end in time") {
                        Some(Ok(frame)) => text.extend_from_slice(&frame.into_data().unwrap()),
                        Some(Err(error)) => break error,
                        None => panic!("a client that takes it for whole"),
                    }
                };
                assert!(format!("{error:?}").contains("Reset"), "{error:?}");
                String::from_utf8(text).unwrap()
            } else {
                let mut raw = Raw::connect(gateway.address()).await;
                let answer = raw.ask(raw_post(path, &tenant, &body.to_string())).await;
                assert!(answer.status == 200 && !answer.complete, "{answer:?}");
                answer.text()
            };
            let (tokens, name, data) = told(&text);
            assert!(tokens > 150 && tokens < 200, "{tokens}");
            let detail = data["error"]["message"].as_str().unwrap_or_default();
            assert!(detail.contains("budget of LLM tokens is used up"), "{path}, HTTP/2: {h2}: {text}");
            if path == CHAT {
                assert_eq!((name, &data["error"]["code"]), (None, &"rate_limit_exceeded".into()));
            } else {
                assert_eq!(name.as_deref(), Some("error"));
                assert_eq!(
                    (&data["type"], &data["error"]["type"]),
                    (&"error".into(), &"rate_limit_error".into())
                );
            }
            eventually("the provider has stopped", || llm.running() == 0).await;
            let books = Books::closed(&gateway).await;
            assert_eq!((books.by_estimate.0, cuts(&gateway).await), (count, count));
            assert_eq!(left(&gateway, &tenant, 200).await, 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_past_its_reservation_goes_on_while_the_budget_lasts() {
    let (llm, gateway) =
        start(&cutting(2000), |_| Manner { wants: 900, obeys: false, ..Manner::default() }).await;
    let body = prompt(5, 50, true).to_string();
    for (number, path) in [CHAT, MESSAGES].into_iter().enumerate() {
        let answer = Raw::connect(gateway.address()).await.ask(raw_post(path, "acme", &body)).await;
        assert!(answer.status == 200 && answer.complete, "{answer:?}");
        assert_eq!(answer.text().matches(TOKEN).count(), 900);
        let books = Books::closed(&gateway).await;
        assert_eq!((books.by_usage, cuts(&gateway).await), ((number as u64 + 1, llm.tokens()), 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_cut_where_the_budget_is_not_enforced_or_lets_finish() {
    let document_of = |llm: &Llm, budget: &str| document(&llm.url(), budget, TENANTS);
    for (budget, enforce) in [(cutting(200), "enforce: false, "), (crate::budget(200), "")] {
        let llm = Llm::start(|_| Manner { wants: 900, obeys: false, ..Manner::default() }).await;
        let document = document_of(&llm, &budget);
        let gateway = Gateway::start(&document.replace("{ budget", &format!("{{ {enforce}budget")));
        let body = prompt(5, 50, true).to_string();
        let answer = Raw::connect(gateway.address()).await.ask(raw_post(CHAT, "acme", &body)).await;
        assert!(answer.status == 200 && answer.complete, "{answer:?}");
        assert_eq!((Books::closed(&gateway).await.by_usage, cuts(&gateway).await), ((1, 905), 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyed_write_that_is_cut_does_not_go_on_without_its_client() {
    let llm = Llm::start(|_| Manner {
        wants: ENDLESS,
        obeys: false,
        each: Duration::from_millis(1),
        ..Manner::default()
    })
    .await;
    let document = document(&llm.url(), &cutting(200), TENANTS);
    let gateway =
        Gateway::start(&document.replace("limits: {", "idempotency: { required: true }, limits: {"));
    let body = prompt(5, 50, true).to_string();
    let request = raw_post(CHAT, "acme", &body).replacen("\r\n", "\r\nIdempotency-Key: k\r\n", 1);
    let answer = Raw::connect(gateway.address()).await.ask(&request).await;
    assert!(answer.status == 200 && !answer.complete, "{answer:?}");
    assert!(told(&answer.text()).2["error"].is_object(), "{answer:?}");
    eventually("the provider has stopped", || llm.running() == 0).await;
    assert_eq!((Books::closed(&gateway).await.by_estimate.0, cuts(&gateway).await), (1, 1));
    // Nobody knows what it did, so it is not done again.
    comes_true("its outcome is unknown", async || {
        let again = Raw::connect(gateway.address()).await.ask(&request).await;
        again.code() == "idempotency_outcome_unknown"
    })
    .await;
    assert_eq!(llm.count(), 1);
}
