//! Many streams at once and one budget: how far past it they can get.
//!
//! What is reserved is an estimate, so what holds depends on it. Where the prompt has no more
//! tokens than its bytes say, and the answer ends at its maximum, no request takes more than was
//! reserved for it, and all together never pass the budget by a single token, however many run at
//! once. Where requests take more, each of those that run at the same time passes by its own
//! error, and no other is let in before the debt is paid; unless one has shown before how much that
//! is ([`learned`](crate::learned)), or streams are [cut](crate::cut).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use sluicegate_tests::{Client, Gate, Llm, comes_true, eventually, llm::Manner, repeat};
use tokio::task::JoinSet;

use crate::{Books, CHAT, MESSAGES, left, post, prompt, prompt_estimate, send, start};

const CLIENTS: usize = 50;

/// The most requests that the provider worked for at once, watched until all is over.
fn watch(llm: &Arc<Llm>) -> (Arc<AtomicBool>, tokio::task::JoinHandle<usize>) {
    let (over, llm) = (Arc::new(AtomicBool::new(false)), llm.clone());
    let stop = over.clone();
    let watching = tokio::spawn(async move {
        let mut most = 0;
        while !stop.load(Ordering::SeqCst) {
            most = most.max(llm.running());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        most
    });
    (over, watching)
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_streams_of_a_tenant_never_pass_the_budget_where_estimates_hold() {
    let burst = repeat(30_000, 300_000) as u64;
    let (llm, gateway) = start(&crate::budget(burst), |asked| Manner {
        // Some say less than they may, others would say more.
        wants: asked["seed"].as_u64().unwrap(),
        each: Duration::from_micros(500),
        ..Manner::default()
    })
    .await;
    let (llm, gateway) = (Arc::new(llm), Arc::new(gateway));
    let (over, watching) = watch(&llm);
    let (under_way, spent) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let (gateway, under_way, spent) = (gateway.clone(), under_way.clone(), spent.clone());
        clients.spawn(async move {
            let mut chance = fastrand::Rng::with_seed(number as u64);
            let mut client = Client::h1(gateway.address()).await;
            let (mut served, mut refused) = (0, 0);
            while !spent.load(Ordering::SeqCst) {
                let mut body = prompt(chance.usize(5..40), chance.u64(50..400), true);
                body["seed"] = chance.u64(10..500).into();
                let path = if chance.bool() { CHAT } else { MESSAGES };
                under_way.fetch_add(1, Ordering::SeqCst);
                let answer = client.ask(post(path, "acme", &body)).await;
                let others = under_way.fetch_sub(1, Ordering::SeqCst) - 1;
                match answer.status {
                    200 => served += 1,
                    429 => {
                        refused += 1;
                        // Nobody will give anything back any more, and the smallest does not fit.
                        if others == 0 && left(&gateway, "acme", burst).await < 100 {
                            spent.store(true, Ordering::SeqCst);
                        }
                        tokio::time::sleep(Duration::from_millis(chance.u64(1..10))).await;
                    }
                    _ => panic!("{answer:?}"),
                }
            }
            (served, refused)
        });
    }
    let counts = clients.join_all().await;
    over.store(true, Ordering::SeqCst);
    let served: usize = counts.iter().map(|(served, _)| served).sum();
    let refused: usize = counts.iter().map(|(_, refused)| refused).sum();
    let (books, used, most) = (Books::closed(&gateway).await, llm.tokens(), watching.await.unwrap());
    println!("{served} served, {refused} refused, {most} at once: {used} of {burst} tokens; {books:?}");
    assert!(used <= burst, "{used} of {burst}");
    assert!(most > 20, "only {most} ran at once");
    assert_eq!(books.by_usage, (served as u64, used));
    assert_eq!(books.by_estimate, (0, 0));
    assert_eq!(left(&gateway, "acme", burst).await, burst - used);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_they_do_not_hold_each_of_those_at_once_passes_by_its_own_error() {
    const TAKES: u64 = 700;
    let gate = Gate::default();
    let pause = gate.clone();
    // The prompt is four times what its bytes say, and the maximum is not looked at.
    let (llm, gateway) = start(&crate::budget(10_000), move |_| Manner {
        prompt: Some(200),
        wants: TAKES - 200,
        obeys: false,
        pause: Some((1, pause.clone())),
        ..Manner::default()
    })
    .await;
    let (llm, gateway) = (Arc::new(llm), Arc::new(gateway));
    let body = prompt(5, 350, true);
    let estimate = prompt_estimate(&body.to_string()) + 350;
    let fit = 10_000 / estimate;
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (gateway, body) = (gateway.clone(), body.clone());
        clients.spawn(async move { send(&gateway, CHAT, "acme", &body).await.status });
    }
    // All that fit are let in before one of them has ended.
    let refused = async || gateway.count("sluicegate_budget_refused_total", "").await;
    comes_true("all have been judged", async || refused().await + fit == CLIENTS as u64).await;
    eventually("they run", || llm.running() as u64 == fit).await;
    gate.open();
    let statuses = clients.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count() as u64, fit);
    let (books, used) = (Books::closed(&gateway).await, llm.tokens());
    let (past, error) = (used - 10_000, TAKES - estimate);
    println!("{fit} at once, each {error} past its estimate of {estimate}: {past} past the budget");
    assert_eq!((books.by_usage, books.by_estimate), ((fit, used), (0, 0)));
    assert!(past <= fit * error, "{past}");
    // What was used too much is owed: nobody is let in.
    assert_eq!(left(&gateway, "acme", 10_000).await, 0);
    assert_eq!(send(&gateway, CHAT, "acme", &prompt(1, 1, true)).await.status, 429);
    assert_eq!(
        send(&gateway, CHAT, "other", &prompt(1, 1, true)).await.status,
        200,
        "another tenant's is full"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_that_turns_out_larger_is_taken_before_the_answer_has_ended() {
    let gate = Gate::default();
    let pause = gate.clone();
    let (llm, gateway) = start(&crate::budget(2000), move |asked| Manner {
        prompt: asked["real"].as_u64(),
        pause: Some((1, pause.clone())),
        ..Manner::default()
    })
    .await;
    // It is told 1500 in the first event of the stream, and reserved for 100 or so.
    let mut body = prompt(5, 100, true);
    body["real"] = 1500.into();
    let gateway = Arc::new(gateway);
    let (behind, first) = (gateway.clone(), body.clone());
    let asking = tokio::spawn(async move { send(&behind, MESSAGES, "acme", &first).await.status });
    eventually("it runs", || llm.running() == 1).await;
    comes_true("it is taken", async || Books::of(&gateway).await.held == 1600).await;
    body["max_tokens"] = 400.into();
    assert_eq!(send(&gateway, MESSAGES, "acme", &body).await.status, 429);
    assert_eq!(llm.count(), 1);
    gate.open();
    assert_eq!(asking.await.unwrap(), 200);
    assert_eq!(Books::closed(&gateway).await.by_usage, (1, llm.tokens()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_streams_past_its_estimate_is_taken_as_it_comes() {
    let gate = Gate::default();
    let pause = gate.clone();
    let (llm, gateway) = start(&crate::budget(1000), move |_| Manner {
        wants: 900,
        pause: Some((800, pause.clone())),
        ..Manner::default()
    })
    .await;
    // It names no maximum, so 50 are reserved for its answer; its usage comes at the end.
    let mut body = prompt(5, 0, true);
    body.as_object_mut().unwrap().remove("max_tokens");
    let estimate = prompt_estimate(&body.to_string());
    let gateway = Arc::new(gateway);
    let (behind, first) = (gateway.clone(), body.clone());
    let asking = tokio::spawn(async move { send(&behind, CHAT, "acme", &first).await.status });
    let held = async || Books::of(&gateway).await.held;
    comes_true("all that came is taken", async || held().await == estimate + 800).await;
    assert_eq!(send(&gateway, CHAT, "acme", &prompt(5, 200, true)).await.status, 429);
    assert_eq!(llm.count(), 1);
    gate.open();
    assert_eq!(asking.await.unwrap(), 200);
    assert_eq!(Books::closed(&gateway).await.by_usage, (1, 905));
}
