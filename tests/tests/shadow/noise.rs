//! What changes on both sides is noise and is not reported; what changes beyond it is.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use serde_json::json;
use sluicegate_tests::{Client, Gateway, client::get, comes_true};

use crate::{
    Rules, classes, ended, judged,
    origin::{Origin, json as reply},
    pairs, verdict,
};

/// Where one that never says the same time as another begins.
const LATER: u64 = 1 << 32;

/// A service whose every answer says at what time it was given, whose scores jitter in one answer of
/// three, and that is reworded in so many of a hundred.
async fn service(from: u64, reworded: u64) -> Origin {
    let count = Arc::new(AtomicU64::new(from));
    Origin::start(move |_| {
        let count = count.clone();
        async move {
            let number = count.fetch_add(1, Ordering::SeqCst);
            // Drawn for each by itself: what goes round in a cycle would pair the same kinds again
            // and again, and differ from what pairs by chance.
            let draw = fastrand::Rng::with_seed(number).u64(..100);
            let score = if draw.is_multiple_of(3) { 0.51 } else { 0.5 };
            let text = if draw < reworded { "Wombats sleep." } else { "Wombats dig." };
            let hits = json!([{ "id": "a", "score": score, "text": text }]);
            reply(&json!({ "at": number, "hits": hits }))
        }
    })
    .await
}

const SHADOW: &str = "percent: 100, noise: 100, max_in_flight: 10000, timeout: 60s";

/// Asks, and waits until all is judged.
async fn ask(gateway: &Gateway, before: u64, count: u64) {
    let mut client = Client::h1(gateway.address()).await;
    for _ in 0..count {
        assert_eq!(client.ask(get("/x")).await.status, 200);
    }
    ended(gateway, before + count).await;
    judged(gateway, "shadow", before + count).await;
    judged(gateway, "own", before + count).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_as_noisy_as_its_primary_is_never_called_different() {
    let (main, lab) = (service(0, 0).await, service(LATER, 0).await);
    let shadow = format!("{SHADOW}, compare: {{ pairs: 50, allow: 0 }}");
    let gateway = Rules::of(shadow).start(&main.url(), &lab.url());
    for round in 0..10 {
        ask(&gateway, round * 60, 60).await;
        let verdict = verdict(&gateway).await;
        assert_ne!(verdict, "different", "after {} pairs", (round + 1) * 60);
    }
    let (shadow, own) = (classes(&gateway, "shadow").await, classes(&gateway, "own").await);
    println!("noise: against the shadow {shadow:?}, against the own {own:?}");
    for found in [shadow, own] {
        assert_eq!(found["/at"], 600, "{found:?}");
        assert!(found["/hits/*/score"] > 60 && !found.contains_key("/hits/*/text"), "{found:?}");
    }
    assert_eq!((pairs(&gateway, "shadow").await, pairs(&gateway, "own").await), ((0, 600), (0, 600)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_ignored_or_within_the_tolerance_is_no_noise_and_the_verdict_is_same() {
    let (main, lab) = (service(0, 0).await, service(LATER, 0).await);
    let compare = "ignore: [/at], tolerance: { /hits/*/score: 0.05 }, pairs: 50, allow: 0.1";
    let gateway = Rules::of(format!("{SHADOW}, compare: {{ {compare} }}")).start(&main.url(), &lab.url());
    let mut asked = 0;
    while verdict(&gateway).await != "same" {
        assert!(asked < 1000, "{} after {asked} pairs", verdict(&gateway).await);
        ask(&gateway, asked, 50).await;
        asked += 50;
    }
    println!("the same within 10 % after {asked} pairs");
    assert_eq!(pairs(&gateway, "shadow").await, (asked, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_difference_that_hides_in_noise_is_found() {
    // Every answer differs by its time alone: that something differs says nothing.
    let (main, lab) = (service(0, 0).await, service(LATER, 30).await);
    let gateway =
        Rules::of(format!("{SHADOW}, compare: {{ pairs: 50, allow: 0.01 }}")).start(&main.url(), &lab.url());
    let mut asked = 0;
    while verdict(&gateway).await != "different" {
        assert!(asked < 2000, "{} after {asked} pairs", verdict(&gateway).await);
        ask(&gateway, asked, 50).await;
        asked += 50;
    }
    println!("30 % reworded in noise of 100 %: different after {asked} pairs");
    let found = classes(&gateway, "shadow").await;
    assert!(found["/hits/*/text"] >= asked / 5, "{found:?}");
    assert_eq!(classes(&gateway, "own").await.get("/hits/*/text"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_own_upstream_gets_its_share_of_the_copies() {
    const COUNT: u64 = 1000;
    let (main, lab) = (Origin::plain().await, Origin::plain().await);
    let shadow = "percent: 100, noise: 20, max_in_flight: 10000, timeout: 60s, compare: {}";
    let gateway = Rules::of(shadow).start(&main.url(), &lab.url());
    let mut client = Client::h1(gateway.address()).await;
    for asked in 1..=COUNT {
        assert_eq!(client.ask(get("/x")).await.status, 200);
        if asked % 100 == 0 {
            // No more than may wait to be compared.
            ended(&gateway, asked).await;
            judged(&gateway, "shadow", asked).await;
        }
    }
    let own = main.count() as u64 - COUNT;
    // Four standard deviations of as many draws.
    assert!((150..=250).contains(&own), "{own} of {COUNT} at the own upstream");
    comes_true("all are judged", async || pairs(&gateway, "own").await == (own, 0)).await;
}
