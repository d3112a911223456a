//! Sixty seconds at five times the rate: what is let in is what is configured. By default a few
//! seconds of it.
//!
//! The bounds are exact, whatever the machine is busy with, since they go by when the requests
//! were really sent and answered. A bucket that never fills up again has given out, by the time
//! of any refusal, all that it held and all that ran in, but less than one token.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

use futures::future::join_all;
use http::Request;
use sluicegate_tests::{Client, LIMIT, client::full, repeat};
use tokio::time::interval;

use crate::{Rules, ask};

/// One bucket's rate and burst in these tests. It would take two seconds without a request for
/// it to fill up again.
const RATE: f64 = 50.0;
const BURST: f64 = 100.0;

struct Asked {
    sent: Instant,
    answered: Instant,
    admitted: bool,
}

/// Asks at five times `rate`, half by HTTP/1.1 and half by HTTP/2, turning over `paths`.
async fn flood(address: SocketAddr, paths: &[&str], headers: &[(&str, &str)], rate: f64) -> Vec<Asked> {
    const CONNECTIONS: usize = 4;
    let end = Instant::now() + Duration::from_secs(repeat(3, 60) as u64);
    // On a machine that is too busy for five times the rate it takes longer to empty the bucket.
    let emptied = AtomicBool::new(false);
    let goes_on = || Instant::now() < end || (!emptied.load(Relaxed) && Instant::now() < end + LIMIT);
    let one = async |number: usize| {
        let mut client =
            if number.is_multiple_of(2) { Client::h1(address).await } else { Client::h2c(address).await };
        let mut ticks = interval(Duration::from_secs_f64(CONNECTIONS as f64 / (5.0 * rate)));
        let mut all = Vec::new();
        while goes_on() {
            ticks.tick().await;
            let request = Request::get(paths[all.len() % paths.len()]);
            let request =
                headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
            let sent = Instant::now();
            let answer = client.ask(request.body(full("")).unwrap()).await;
            let admitted = match answer.status {
                200 => true,
                429 => {
                    emptied.store(true, Relaxed);
                    false
                }
                _ => panic!("{answer:?}"),
            };
            all.push(Asked { sent, answered: Instant::now(), admitted });
        }
        all
    };
    join_all((0..CONNECTIONS).map(one)).await.into_iter().flatten().collect()
}

/// Panics unless what was let in is what a bucket with these numbers gives.
fn judge(what: &str, asked: &[Asked], rate: f64, burst: f64) {
    let admitted = asked.iter().filter(|one| one.admitted).count() as f64;
    let refused = || asked.iter().filter(|one| !one.admitted);
    let first = asked.iter().map(|one| one.sent).min().unwrap();
    let last = asked.iter().map(|one| one.answered).max().unwrap();
    let most = burst + rate * (last - first).as_secs_f64();
    // From when the first was charged at the latest to when the last refused one came at the
    // earliest.
    let charged = asked.iter().map(|one| one.answered).min().unwrap();
    let emptied = refused().map(|one| one.sent).max().expect("somebody is refused");
    let fewest = burst + rate * (emptied - charged).as_secs_f64() - 2.0;
    println!(
        "{what}: {} asked in {:.3} s, {admitted} let in, bounds {fewest:.1} to {most:.1}; {:+.3}%",
        asked.len(),
        (last - first).as_secs_f64(),
        (admitted / most - 1.0) * 100.0
    );
    assert!(admitted <= most, "{what}: {admitted} let in, more than {most}");
    assert!(admitted >= fewest, "{what}: {admitted} let in, fewer than {fewest}");
    if repeat(0, 1) == 1 {
        assert!(admitted >= most * 0.99, "{what}: {admitted} let in, more than 1% from {most}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_route() {
    let rules = Rules { routes: &[("route", "limits: { rps: 50, burst: 100 }")], ..Rules::default() };
    let (_upstream, gateway) = rules.start().await;
    let asked = flood(gateway.address(), &["/route/a", "/route/b"], &[], RATE).await;
    judge("a route", &asked, RATE, BURST);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_tenants_as_their_classes_multiply_it() {
    let rules = Rules {
        routes: &[("tenant", "limits: { rps: 20, burst: 40, per: tenant }")],
        extra: "tenants: { from: { header: x-tenant-id }, classes: { premium: { multiplier: 2.0, members: [acme] }, \
                free: { multiplier: 0.5, members: [guest, visitor] } } }",
        ..Rules::default()
    };
    let (_upstream, gateway) = rules.start().await;
    let tenants = [("acme", 2.0), ("plain", 1.0), ("guest", 0.5), ("visitor", 0.5)];
    let of = async |(tenant, factor): (&'static str, f64)| {
        let headers = [("x-tenant-id", tenant)];
        let asked = flood(gateway.address(), &["/tenant/a"], &headers, 20.0 * factor).await;
        judge(tenant, &asked, 20.0 * factor, 40.0 * factor);
    };
    join_all(tenants.map(of)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_lane_over_all_routes() {
    let rules = Rules {
        routes: &[("jobs", "lane: batch"), ("either", "")],
        extra: "lanes: { from: { header: x-lane }, batch: { rps: 50, burst: 100 } }",
        ..Rules::default()
    };
    let (_upstream, gateway) = rules.start().await;
    let batch = [("x-lane", "batch")];
    let asked = flood(gateway.address(), &["/jobs/a", "/either/a"], &batch, RATE).await;
    judge("a lane", &asked, RATE, BURST);
    for _ in 0..20 {
        assert_eq!(ask(&gateway, "/either/a", "X-Lane: interactive\r\n").await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_gateway_over_all_routes_and_lanes() {
    let rules = Rules {
        routes: &[("jobs", "lane: batch"), ("either", "")],
        extra: "limits: { global: { rps: 50, burst: 100 } }",
        ..Rules::default()
    };
    let (_upstream, gateway) = rules.start().await;
    let asked = flood(gateway.address(), &["/jobs/a", "/either/a"], &[], RATE).await;
    judge("the gateway", &asked, RATE, BURST);
}
