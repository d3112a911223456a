//! What one gateway decides, all of them do.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;
use sluicegate_test_servers::Redis;
use sluicegate_tests::{Raw, fleet::Fleet, repeat};

use crate::{
    Behind, NAME, QUICK, SLOW,
    judge::{Seen, one_line},
    redis,
    traffic::Traffic,
    watch::Watch,
};

/// What all must have followed within.
const SECOND: Duration = Duration::from_secs(1);

/// Gateways on one Redis, with readers, and somebody who looks.
pub(crate) struct Group {
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) traffic: Traffic,
    pub(crate) watch: Watch,
    _behind: Behind,
}

impl Group {
    pub(crate) async fn start(gateways: usize, redis: &Redis, rollout: &str) -> Self {
        let urls = vec![redis.url(); gateways];
        Self::at(&urls, redis.port(), rollout).await
    }

    /// Each gateway with its own way to Redis.
    pub(crate) async fn at(urls: &[String], redis: u16, rollout: &str) -> Self {
        let behind = Behind::start().await;
        let fleet = Arc::new(Fleet::start(urls.iter().map(|url| behind.document(url, rollout))).await);
        let (traffic, watch) = (Traffic::start(&fleet), Watch::start(&fleet, redis));
        traffic.more(urls.len(), 5).await;
        Self { fleet, traffic, watch, _behind: behind }
    }

    pub(crate) async fn end(self) -> Seen {
        let reads = self.traffic.stop().await;
        let (looks, kept) = self.watch.stop().await;
        Seen { reads, looks, kept }
    }
}

/// When each gateway first showed each version, and the longest time between the first gateway
/// and the last one, over the versions that all of `seats` have shown.
fn spread(seen: &Seen, seats: usize) -> (usize, Duration) {
    let versions: BTreeSet<_> = seen.looks.iter().map(|look| look.stand.version).collect();
    let (mut counted, mut longest) = (0, Duration::ZERO);
    // The first is from before anybody looked.
    for version in versions.into_iter().skip(1) {
        let first = |seat: usize| {
            let looks = seen.looks.iter().filter(|look| look.seat == seat);
            looks.map(|look| (look.stand.version, look.told)).find(|(at, _)| *at >= version)
        };
        let firsts: Vec<_> = (0..seats).filter_map(first).map(|(_, told)| told).collect();
        if firsts.len() == seats {
            let (first, last) = (firsts.iter().min().unwrap(), firsts.iter().max().unwrap());
            longest = longest.max(*last - *first);
            counted += 1;
        }
    }
    (counted, longest)
}

fn acts(decisions: &[Value]) -> Vec<&str> {
    decisions.iter().map(|decision| decision["act"].as_str().unwrap()).collect()
}

async fn a_run_with(gateways: usize) {
    let redis = redis().await;
    let group = Group::start(gateways, &redis, QUICK).await;
    let seats: Vec<_> = (0..gateways).collect();
    let started = group.fleet.gateway(0).await.steer(NAME, "start").await;
    let acknowledged = Instant::now();
    let followed = group.watch.all_at(&seats, started.place(), acknowledged).await;
    let complete = |place: (u64, u64)| (place.0, place.1 + 3);
    group.watch.all_at(&seats, complete(started.place()), acknowledged).await;
    for seat in &seats {
        let stand = group.watch.now(*seat).await;
        assert_eq!((stand.phase.as_str(), stand.weight), ("complete", 100), "{stand:?}");
    }
    group.traffic.more(gateways, 50).await;
    let mut lines = Vec::new();
    for seat in &seats {
        lines.push(group.fleet.gateway(*seat).await.decisions(NAME).await);
    }
    let seen = group.end().await;
    // One of them took each step, and all tell the same.
    let line = &lines[0];
    assert!(lines.iter().all(|other| other == line), "{lines:#?}");
    one_line(line);
    let steps = acts(line);
    assert_eq!(steps[steps.len() - 4..], ["started", "advanced", "advanced", "completed"], "{line:#?}");
    for step in &line[line.len() - 3..] {
        assert_eq!(step["by"]["kind"], "gateway", "{step}");
    }
    let by: BTreeSet<_> = line[line.len() - 3..].iter().map(|step| step["by"]["name"].to_string()).collect();
    seen.never_back();
    seen.none_failed(false);
    let served = seen.served_as_shown();
    let (changes, longest) = spread(&seen, gateways);
    println!(
        "group of {gateways}: start followed within {:?}, {changes} changes by all within {longest:?}, steps by {} \
         gateways; {} reads, {served:?}",
        followed.iter().max().unwrap(),
        by.len(),
        seen.reads.len()
    );
    assert!(changes >= 4 && longest < SECOND, "{changes} changes, the slowest took {longest:?}");
    assert!(*followed.iter().max().unwrap() < SECOND);
    assert!(served.one > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_one_of_two_takes_both_take() {
    a_run_with(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_one_of_three_takes_all_take() {
    a_run_with(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_at_one_empties_the_candidate_at_all() {
    let redis = redis().await;
    let group = Group::start(3, &redis, SLOW).await;
    let seats = [0, 1, 2];
    let rounds = repeat(4, 40);
    // At the gateway that was asked, and at the others.
    let (mut here, mut others) = (Duration::ZERO, Duration::ZERO);
    for round in 0..rounds {
        let weighed = group.fleet.gateway(round % 2).await.weigh(NAME, 50).await;
        group.watch.all_at(&seats, weighed.place(), Instant::now()).await;
        group.traffic.of_both(&seats).await;
        let (asked, from) = (round % 3, group.traffic.len());
        let aborted = group.fleet.gateway(asked).await.steer(NAME, "abort").await;
        let acknowledged = Instant::now();
        assert_eq!((aborted.phase.as_str(), aborted.weight), ("aborted", 0));
        group.watch.all_at(&seats, aborted.place(), acknowledged).await;
        group.traffic.more(3, 20).await;
        for read in group.traffic.reads(from) {
            if read.whose.is("next") {
                let after = read.began.saturating_duration_since(acknowledged);
                let worst = if read.seat == asked { &mut here } else { &mut others };
                *worst = after.max(*worst);
            }
        }
    }
    let seen = group.end().await;
    seen.never_back();
    seen.none_failed(false);
    let served = seen.served_as_shown();
    println!(
        "group of 3: {rounds} aborts: the last read of the candidate began {others:?} after one was acknowledged, at \
         the gateway itself {here:?}; {} reads, {served:?}",
        seen.reads.len()
    );
    assert_eq!(here, Duration::ZERO, "the gateway that was asked still served the candidate");
    assert!(others < SECOND, "another gateway served the candidate {others:?} later");
    assert!(served.aborted > 100, "{served:?}");
}

/// Reads what fails in the candidate, at one gateway, until that has had the run aborted; gives
/// how many answers were failures.
async fn fail_at(group: &Group, seat: usize) -> usize {
    let (address, mut failures) = (group.fleet.berth(seat).await.address, 0);
    let mut raw = Raw::connect(address).await;
    for user in 0.. {
        let request = format!("GET /fails HTTP/1.1\r\nHost: localhost\r\nX-User-Id: f{user}\r\n\r\n");
        failures += usize::from(raw.ask(request).await.status == 500);
        if user % 20 == 0 && group.watch.now(seat).await.phase == "aborted" {
            break;
        }
    }
    failures
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_finds_in_its_own_traffic_ends_the_run_at_all() {
    let redis = redis().await;
    let group = Group::start(3, &redis, SLOW).await;
    let seats = [0, 1, 2];
    let started = group.fleet.gateway(0).await.steer(NAME, "start").await;
    group.watch.all_at(&seats, started.place(), Instant::now()).await;
    group.traffic.of_both(&seats).await;
    let begun = Instant::now();
    let failures = fail_at(&group, 1).await;
    let place = (started.epoch + 1, started.version + 1);
    let followed = group.watch.all_at(&seats, place, begun).await;
    group.traffic.more(3, 20).await;
    let name = group.fleet.gateway(1).await.rollout(NAME).await.shown["gateway"].clone();
    let last = group.fleet.gateway(2).await.decisions(NAME).await.pop().unwrap();
    assert_eq!((last["act"].as_str(), &last["by"]["name"]), (Some("aborted"), &name), "{last}");
    assert_eq!(last["by"]["kind"], "gateway");
    assert!(last["report"]["errors"][1].as_u64() > Some(0), "no evidence: {last}");
    let all = group.end().await;
    all.never_back();
    all.none_failed(false);
    let (at, others) = (followed[1], followed[0].max(followed[2]));
    println!(
        "group of 3: one found errors and aborted after {at:?} and {failures} failures, the others followed within \
         {:?}; {:?}",
        others.saturating_sub(at),
        all.served_as_shown()
    );
    assert!(others.saturating_sub(at) < SECOND);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_on_without_the_gateway_that_led_it() {
    let redis = redis().await;
    let group = Group::start(3, &redis, QUICK).await;
    let mut alive = vec![0, 1, 2];
    let started = group.fleet.gateway(0).await.steer(NAME, "start").await;
    group.watch.all_at(&alive, started.place(), Instant::now()).await;
    let mut names = Vec::new();
    for seat in 0..3 {
        names.push(group.fleet.gateway(seat).await.rollout(NAME).await.shown["gateway"].clone());
    }
    // First the one where it was started, then the one that took the first step without it.
    group.fleet.down(0).await;
    alive.remove(0);
    let last = group.watch.kept_now().await;
    assert!(last.1 < started.version + 3, "the run was over before the kill: {last:?}");
    let mut place = (started.epoch, last.1 + 1);
    let begun = Instant::now();
    group.watch.all_at(&alive, place, begun).await;
    let first = begun.elapsed();
    let decisions = group.fleet.gateway(1).await.decisions(NAME).await;
    let step = decisions.iter().find(|step| step["version"] == place.1).expect("the step");
    let leader = names.iter().position(|name| *name == step["by"]["name"]).expect("one of the three");
    assert!(alive.contains(&leader), "{step}");
    group.fleet.down(leader).await;
    alive.retain(|seat| *seat != leader);
    place.1 = started.version + 3;
    let begun = Instant::now();
    group.watch.all_at(&alive, place, begun).await;
    let rest = begun.elapsed();
    let last = group.fleet.gateway(alive[0]).await.rollout(NAME).await;
    assert_eq!((last.phase.as_str(), last.weight), ("complete", 100), "{last:?}");
    // Those that come back serve what holds now, from their first answer on.
    let from = group.traffic.len();
    for seat in [0, leader] {
        group.fleet.up(seat).await;
        assert_eq!(group.fleet.gateway(seat).await.rollout(NAME).await.place(), last.place());
    }
    group.traffic.more(3, 30).await;
    for read in group.traffic.reads(from) {
        assert!(read.seat == alive[0] || read.whose.is("next"), "{read:?}");
    }
    let decisions = group.fleet.gateway(0).await.decisions(NAME).await;
    one_line(&decisions);
    assert_eq!(acts(&decisions).iter().filter(|act| ["advanced", "completed"].contains(act)).count(), 3);
    let seen = group.end().await;
    seen.never_back();
    let broken = seen.none_failed(true);
    println!(
        "group of 3: without the first the step came after {first:?}, without the leader the rest after {rest:?}; \
         {} reads, {broken} broken by the kills, {:?}",
        seen.reads.len(),
        seen.served_as_shown()
    );
}
