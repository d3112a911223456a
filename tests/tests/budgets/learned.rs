//! What answers show of their requests' estimates is reserved for those after them.

use std::sync::Arc;

use sluicegate_tests::{Gate, Gateway, comes_true, eventually, llm::Manner};
use tokio::task::JoinSet;

use crate::{Books, CHAT, TENANTS, budget, document, left, prompt, prompt_estimate, send, start};

const CLIENTS: u64 = 50;
const BURST: u64 = 10_000;
const MAX: u64 = 100;

/// What the estimates of prompts are multiplied by.
async fn factor(gateway: &Gateway) -> f64 {
    let factors = gateway.metric("sluicegate_budget_estimate_factor").await;
    factors.iter().find(|(labels, _)| labels.contains("of=\"prompt\"")).expect("a factor").1
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_streams_whose_prompts_are_told_late_never_pass_the_budget_once_one_has_told() {
    let body = prompt(100, MAX, true);
    // Twice what its bytes say, as where a text is in a script that tokenizers know little of.
    // It is told in the last event.
    let estimate = prompt_estimate(&body.to_string());
    let real = 2 * estimate;
    let gate = Gate::default();
    let pause = gate.clone();
    let (llm, gateway) = start(&budget(BURST), move |asked| Manner {
        prompt: Some(real),
        wants: MAX,
        pause: (asked["waits"] == true).then(|| (1, pause.clone())),
        ..Manner::default()
    })
    .await;
    let (llm, gateway) = (Arc::new(llm), Arc::new(gateway));
    assert_eq!(factor(&gateway).await.to_string(), "1");
    assert_eq!(send(&gateway, CHAT, "acme", &body).await.status, 200);
    Books::closed(&gateway).await;
    assert_eq!(factor(&gateway).await.to_string(), "2");

    let mut waiting = body.clone();
    waiting["waits"] = true.into();
    // A few bytes more than those that were told; the estimate is as much larger.
    let more = prompt_estimate(&waiting.to_string()) - estimate;
    let each = 2 * (estimate + more) + MAX;
    let fit = (BURST - real - MAX) / each;
    assert!(fit < CLIENTS && (fit + 1) * (estimate + MAX) < BURST, "more would fit as they were estimated");
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (gateway, body) = (gateway.clone(), waiting.clone());
        clients.spawn(async move { send(&gateway, CHAT, "acme", &body).await.status });
    }
    let refused = async || gateway.count("sluicegate_budget_refused_total", "").await;
    comes_true("all have been judged", async || refused().await + llm.running() as u64 == CLIENTS).await;
    gate.open();
    let statuses = clients.join_all().await;
    let served = statuses.iter().filter(|status| **status == 200).count() as u64;
    let (books, used) = (Books::closed(&gateway).await, llm.tokens());
    println!(
        "{served} of {CLIENTS} at once, each {estimate} past its estimate: {used} of {BURST}; {books:?}"
    );
    assert!(served.abs_diff(fit) <= 1, "{served} {fit}");
    assert!(used <= BURST, "{used}");
    assert_eq!((books.by_usage, books.by_estimate), ((served + 1, used), (0, 0)));
    assert_eq!(left(&gateway, "acme", BURST).await, BURST - used);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_learned_outlives_a_reload() {
    let body = prompt(100, MAX, true);
    let estimate = prompt_estimate(&body.to_string());
    let gate = Gate::default();
    let pause = gate.clone();
    let (llm, gateway) = start(&budget(BURST), move |asked| Manner {
        prompt: Some(2 * estimate),
        wants: MAX,
        pause: (asked["seed"] == 1).then(|| (1, pause.clone())),
        ..Manner::default()
    })
    .await;
    assert_eq!(send(&gateway, CHAT, "acme", &body).await.status, 200);
    Books::closed(&gateway).await;
    let reloaded = document(&llm.url(), &budget(2 * BURST), TENANTS);
    let answer = gateway.put_config("", &reloaded).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(factor(&gateway).await.to_string(), "2");
    let gateway = Arc::new(gateway);
    let mut waiting = body;
    waiting["seed"] = 1.into();
    let asks = prompt_estimate(&waiting.to_string());
    let asking = tokio::spawn({
        let gateway = gateway.clone();
        async move { send(&gateway, CHAT, "acme", &waiting).await.status }
    });
    eventually("it runs", || llm.running() == 1).await;
    assert_eq!(Books::of(&gateway).await.held, 2 * asks + MAX);
    gate.open();
    assert_eq!(asking.await.unwrap(), 200);
}
