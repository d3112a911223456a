//! How much of it an upstream has to bear that fails whatever it is asked.

use std::{sync::Arc, time::Duration};

use sluicegate_tests::{Client, Gateway, Step, Upstream, client::get, upstream::response};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval_at},
};

use crate::{NO_BREAKER, by_label, document, retries, sum, withheld};

/// Clients, each of which asks this often, so many times: 100 requests per second, far above the
/// 15 from which on the share is what counts.
const CLIENTS: u32 = 20;
const EVERY: Duration = Duration::from_millis(200);
const TIMES: u32 = 30;
const OFFERED: u64 = CLIENTS as u64 * TIMES as u64;

/// Reads at a steady rate; how many got a status.
async fn offer(gateway: &Gateway, status: u16) -> u32 {
    let mut clients = JoinSet::new();
    let begin = Instant::now();
    for number in 0..CLIENTS {
        let mut client = Client::h1(gateway.address()).await;
        let mut turns = interval_at(begin + EVERY * number / CLIENTS, EVERY);
        turns.set_missed_tick_behavior(MissedTickBehavior::Burst);
        clients.spawn(async move {
            let mut got = 0;
            for _ in 0..TIMES {
                turns.tick().await;
                got += u32::from(client.ask(get("/x")).await.status == status);
            }
            got
        });
    }
    clients.join_all().await.into_iter().sum()
}

/// Offers reads to an upstream at a full outage and says how many tries there were for each.
async fn amplified(gateway: &Gateway, status: u16, what: &str, tries: impl AsyncFnOnce() -> u64) {
    assert_eq!(offer(gateway, status).await, CLIENTS * TIMES, "{what}");
    let (tries, again, kept) = (tries().await, retries(gateway).await, withheld(gateway).await);
    let amplification = tries as f64 / OFFERED as f64;
    println!(
        "{what}: {OFFERED} requests, {tries} tries, {amplification:.3} each; again {again:?}, not {kept:?}"
    );
    assert_eq!(tries, OFFERED + sum(&again), "{what}");
    assert!(amplification <= 1.2, "{what}: {amplification}");
    // It is the budget that holds it there.
    assert!(amplification > 1.1, "{what}: {amplification}");
    let spent = kept.iter().find(|(why, _)| why == "budget").map_or(0, |(_, count)| *count);
    assert!(spent > OFFERED / 2, "{what}: {kept:?}");
}

const DEFAULTS: &str = "retries: { base: 20ms }";

#[tokio::test(flavor = "multi_thread")]
async fn where_every_answer_is_a_failure() {
    let upstream = Upstream::start().await;
    upstream.answer("/x", response("503 Away", "", ""));
    let gateway = Gateway::start(&document(&[upstream.url()], NO_BREAKER, "", DEFAULTS));
    amplified(&gateway, 503, "503 to all", async || upstream.count("/x") as u64).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_every_connection_is_reset() {
    let upstream = Upstream::start().await;
    upstream.on("/x", [Step::Read, Step::Reset]);
    let gateway = Gateway::start(&document(&[upstream.url()], NO_BREAKER, "", DEFAULTS));
    amplified(&gateway, 502, "reset to all", async || upstream.count("/x") as u64).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_listens() {
    let upstream = Upstream::start().await;
    let url = upstream.url();
    upstream.stop().await;
    let gateway = Gateway::start(&document(&[url], NO_BREAKER, "", DEFAULTS));
    let unreachable = async || sum(&by_label(&gateway, "sluicegate_upstream_failures_total", "reason").await);
    amplified(&gateway, 502, "refused to all", unreachable).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_breaker_ends_even_that() {
    let upstream = Upstream::start().await;
    upstream.answer("/x", response("503 Away", "", ""));
    let gateway = Gateway::start(&document(&[upstream.url()], "", "", DEFAULTS));
    assert_eq!(offer(&gateway, 503).await, CLIENTS * TIMES);
    let refused = sum(&by_label(&gateway, "sluicegate_upstream_breaker_refused_total", "upstream").await);
    let tries = upstream.count("/x") as u64;
    println!("503 to all, with a breaker: {OFFERED} requests, {tries} tries, {refused} refused");
    assert!(tries < OFFERED / 5, "{tries}");
    assert!(refused >= OFFERED - tries, "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_it_serves_some_of_all_the_share_is_the_same() {
    // One endpoint of two is out: half of the requests fail at first, and more than the share
    // allows would be sent again.
    let (bad, good) = (Arc::new(Upstream::start().await), Upstream::start().await);
    bad.answer("/x", response("503 Away", "", ""));
    let endpoints = [bad.url(), good.url()];
    let gateway = Gateway::start(&document(&endpoints, NO_BREAKER, "", DEFAULTS));
    let served = offer(&gateway, 200).await;
    let tries = (bad.count("/x") + good.count("/x")) as u64;
    println!("half out: {OFFERED} requests, {served} served, {tries} tries");
    assert!(tries * 10 <= OFFERED * 12, "{tries}");
    assert_eq!(tries, OFFERED + sum(&retries(&gateway).await));
    // What fails now is what the budget had no room for.
    let failed = OFFERED - u64::from(served);
    assert!(failed <= sum(&withheld(&gateway).await), "{failed} failed");
}
