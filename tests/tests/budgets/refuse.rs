//! Who is refused, and what he is told.

use std::time::{Duration, Instant};

use serde_json::Value;
use sluicegate_tests::{Client, Gate, Gateway, Llm, Raw, eventually, llm::Manner};

use crate::{Books, CHAT, budget, document, left, post, prompt, prompt_estimate, raw_post, send, start};

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_budget_tells_when_to_come_back_and_tells_the_truth() {
    // A thousand tokens in a second, and two thousand at once.
    let rule = "{ tokens: 1000, per: 1s, burst: 2000 }";
    let (llm, gateway) =
        start(rule, |asked| Manner { wants: asked["wants"].as_u64().unwrap(), ..Manner::default() }).await;
    let mut client = Client::h1(gateway.address()).await;
    let ask = |wants: u64| {
        let mut body = prompt(2, 1900, false);
        body["wants"] = wants.into();
        body
    };
    for round in 0..3 {
        // It takes nearly all of it, and what the next one asks for is not there.
        let body = ask(1800);
        assert_eq!(client.ask(post(CHAT, "acme", &body)).await.status, 200, "round {round}");
        let answer = client.ask(post(CHAT, "acme", &body)).await;
        assert_eq!((answer.status, answer.code().as_str()), (429, "rate_limited"), "{answer:?}");
        let wait = answer.json()["retry_after_ms"].as_u64().unwrap();
        assert_eq!(answer.header("retry-after"), wait.div_ceil(1000).to_string());
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        let numbers: Vec<u64> =
            detail.split(|c: char| !c.is_ascii_digit()).filter_map(|it| it.parse().ok()).collect();
        let [available, asked] = numbers[..] else { panic!("{detail}") };
        assert_eq!(asked, prompt_estimate(&body.to_string()) + 1900);
        // No longer than it takes for what is missing to come back, but for a token's part.
        assert!(wait.abs_diff(asked - available) <= 2, "{wait} ms for {asked} - {available}");
        let before = llm.count();
        tokio::time::sleep(Duration::from_millis(wait)).await;
        assert_eq!(client.ask(post(CHAT, "acme", &ask(1))).await.status, 200, "round {round}: {wait} ms");
        assert_eq!(llm.count(), before + 1);
        // Full again for the next round.
        let end = Instant::now() + Duration::from_secs(20);
        while client.ask(post(CHAT, "acme", &ask(0))).await.status != 200 {
            assert!(Instant::now() < end);
        }
    }
}

/// A request that may take exactly so many tokens, its prompt included.
fn exact(asked: u64) -> Value {
    let mut body = prompt(1, asked, false);
    let rest = asked - prompt_estimate(&body.to_string());
    assert_eq!(rest.to_string().len(), asked.to_string().len(), "the body is as long as before");
    body["max_tokens"] = rest.into();
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_fits_is_too_large() {
    let (llm, gateway) = start(&budget(500), |_| Manner::default()).await;
    let answer = send(&gateway, CHAT, "acme", &exact(501)).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_large"), "{answer:?}");
    assert_eq!(answer.header("retry-after"), "", "waiting does not help");
    assert!(answer.json()["detail"].as_str().unwrap().contains("501"), "{answer:?}");
    assert_eq!((llm.count(), Books::of(&gateway).await), (0, Books::default()));
    assert_eq!(send(&gateway, CHAT, "acme", &exact(500)).await.status, 200);
    // By its prompt alone, and by many answers at once.
    assert_eq!(send(&gateway, CHAT, "acme", &prompt(400, 1, false)).await.status, 413);
    let mut body = prompt(1, 100, false);
    body["n"] = 5.into();
    assert_eq!(send(&gateway, CHAT, "acme", &body).await.status, 413);
    assert_eq!(llm.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_have_budgets_of_their_own_and_classes_multiply_them() {
    let llm = Llm::start(|_| Manner::default()).await;
    let classes = "tenants: { from: { header: x-tenant-id }, classes: { \
                   premium: { multiplier: 2.0, members: [acme] }, free: { multiplier: 0.5, members: [poor] } } }";
    let gateway = Gateway::start(&document(&llm.url(), &budget(1500), classes));
    for (tenant, burst) in [("acme", 3000), ("poor", 750), ("some", 1500), ("other", 1500)] {
        assert_eq!(send(&gateway, CHAT, tenant, &exact(burst + 1)).await.status, 413, "{tenant}");
        assert_eq!(send(&gateway, CHAT, tenant, &exact(burst)).await.status, 200, "{tenant}");
        assert_eq!(left(&gateway, tenant, burst).await, burst - 21, "{tenant}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_by_others_is_not_there_and_comes_back_with_them() {
    let gate = Gate::default();
    let pause = gate.clone();
    let (llm, gateway) =
        start(&budget(1000), move |_| Manner { pause: Some((1, pause.clone())), ..Manner::default() }).await;
    let body = prompt(1, 700, true);
    let mut first = Raw::connect(gateway.address()).await;
    first.send(raw_post(CHAT, "acme", &body.to_string())).await;
    eventually("it runs", || llm.running() == 1).await;
    assert_eq!(send(&gateway, CHAT, "acme", &body).await.status, 429, "two do not fit");
    gate.open();
    assert_eq!(first.answer().await.unwrap().status, 200);
    Books::closed(&gateway).await;
    assert_eq!(send(&gateway, CHAT, "acme", &body).await.status, 200, "one did not need it all");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_is_not_enforced_counts_what_it_would_have_refused() {
    let llm = Llm::start(|_| Manner::default()).await;
    let document = document(&llm.url(), &budget(300), crate::TENANTS);
    let document = document.replace("limits: { budget", "limits: { enforce: false, budget");
    let gateway = Gateway::start(&document);
    // The first takes 21 of 300; the second may take nearly all, the third more than there ever is.
    for max in [265, 265, 900] {
        assert_eq!(send(&gateway, CHAT, "acme", &prompt(1, max, false)).await.status, 200);
        Books::closed(&gateway).await;
    }
    let refused: Vec<_> = gateway
        .counts("sluicegate_budget_refused_total")
        .await
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .collect();
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert!(refused.iter().all(|(labels, count)| labels.contains("enforced=\"false\"") && *count == 1));
    assert_eq!(Books::closed(&gateway).await.by_usage.0, 3);
}
