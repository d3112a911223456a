//! Rollouts that wait for what the comparison says.

use serde_json::{Value, json};
use sluicegate_tests::{Client, Gateway, client::get, eventually};
use tokio::task::JoinHandle;

use crate::{
    Rules,
    origin::{Origin, json as reply},
    reload, verdict,
};

/// A run of two steps that is over in a second: neither errors nor times stop it.
const ROLLOUT: &str = "rollouts: { r: { active: main, candidate: lab, sticky: { header: x-user-id }, steps: [50, 100], \
     window: { at_least: 200ms, samples: 20 }, gates: { error_rate: 0.5, latency_p95_uplift: 0.9 }, \
     abort: { error_rate: 0.9, latency_p99_ratio: 50 }, \
     dry_run: [error_rate, latency_p95_uplift, abort_error_rate, abort_latency_p99_ratio], \
     shadows: [{ route: watched }] } }";

async fn service(says: &'static str) -> Origin {
    Origin::start(move |_| async move { reply(&json!({ "says": says })) }).await
}

/// The route `watched` leads to the active arm and is copied to the candidate; all others are
/// split by the rollout.
fn document(main: &Origin, lab: &Origin, pairs: u64) -> String {
    let rules = Rules::default();
    let shadow =
        format!("shadow: {{ to: lab, percent: 100, noise: 100, compare: {{ pairs: {pairs}, allow: 0.1 }} }}");
    let watched = format!(
        "routes:\n  - {{ name: watched, match: {{ path: \"/watched/{{*rest}}\" }}, upstream: main, {shadow} }}"
    );
    let document = rules
        .without(&main.url(), &lab.url())
        .replacen("routes:", &watched, 1)
        .replace("path: \"/{*rest}\" }, upstream: main", "path: \"/{*rest}\" }, upstream: { rollout: r }");
    format!("{document}{ROLLOUT}\n")
}

/// Clients of the route that is split, until the returned task is aborted.
async fn traffic(gateway: &Gateway) -> JoinHandle<()> {
    let mut client = Client::h1(gateway.address()).await;
    tokio::spawn(async move {
        for number in 0_u64.. {
            let mut request = get("/x");
            request.headers_mut().insert("x-user-id", format!("user-{}", number % 500).parse().unwrap());
            assert_eq!(client.ask(request).await.status, 200);
        }
    })
}

/// Asks the route that is copied until the comparison says this.
async fn watch(gateway: &Gateway, wanted: &str) {
    let mut client = Client::h1(gateway.address()).await;
    let mut asked = 0;
    while verdict(gateway).await != wanted {
        assert!(asked < 2000, "{} after {asked} requests", verdict(gateway).await);
        for _ in 0..20 {
            assert_eq!(client.ask(get("/watched/x")).await.status, 200);
        }
        asked += 20;
    }
}

fn acts(decisions: &[Value]) -> Vec<&str> {
    decisions.iter().map(|it| it["act"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_on_where_the_shadow_answers_the_same() {
    let (main, lab) = (service("a").await, service("a").await);
    let gateway = Gateway::start(&document(&main, &lab, 50));
    watch(&gateway, "same").await;
    let traffic = traffic(&gateway).await;
    gateway.steer("r", "start").await;
    gateway.until("r", "it is complete", |stand| stand.phase == "complete").await;
    traffic.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_held_where_the_shadow_answers_differently() {
    let (main, lab) = (service("a").await, service("b").await);
    let gateway = Gateway::start(&document(&main, &lab, 50));
    watch(&gateway, "different").await;
    let traffic = traffic(&gateway).await;
    gateway.steer("r", "start").await;
    let stand = gateway.until("r", "it is held", |stand| stand.phase == "held").await;
    assert_eq!((stand.weight, stand.active.as_str()), (50, "main"), "{stand:?}");
    let decisions = gateway.decisions("r").await;
    let last = decisions.last().unwrap();
    assert_eq!(last["by"]["kind"], "gateway", "{last}");
    let reason = "the shadow of watched to lab answers differently";
    assert!(last.to_string().contains(reason), "{last}");
    assert!(!acts(&decisions).contains(&"advanced"), "{decisions:?}");
    traffic.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_waits_for_pairs_and_says_so() {
    let (main, lab) = (service("a").await, service("a").await);
    let gateway = Gateway::start(&document(&main, &lab, 1_000_000));
    let traffic = traffic(&gateway).await;
    gateway.steer("r", "start").await;
    let says = |stand: &sluicegate_tests::rollouts::Stand| stand.shown["progress"]["says"].to_string();
    let waits = |stand: &sluicegate_tests::rollouts::Stand| {
        says(stand).contains("the step waits: the shadow of watched to lab has too few pairs")
    };
    let stand = gateway.until("r", "it says what it waits for", waits).await;
    assert_eq!((stand.phase.as_str(), stand.step()), ("running", Some(0)), "{stand:?}");
    // It keeps waiting, however many samples there are.
    let samples = |stand: &sluicegate_tests::rollouts::Stand| stand.shown["progress"]["samples"][1].as_u64();
    let many = samples(&stand).unwrap() + 100;
    let later = gateway.until("r", "more samples", |stand| samples(stand) >= Some(many)).await;
    assert_eq!((later.step(), later.weight), (Some(0), 50), "{later:?}");
    assert_eq!(acts(&gateway.decisions("r").await).last(), Some(&"started"));
    // What it waited for comes.
    reload(&gateway, &document(&main, &lab, 50)).await;
    watch(&gateway, "same").await;
    gateway.until("r", "it is complete", |stand| stand.phase == "complete").await;
    traffic.abort();
    eventually("nothing is left", || traffic.is_finished()).await;
}
