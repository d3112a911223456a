//! Duplicates that come while the first request runs, or at the same moment.

use std::time::Duration;

use sluicegate_core::Access;
use tokio::time::Instant;

use super::{required, settings, told};
use crate::{
    FencesSettings, IdempotencySettings,
    testing::{Act, Failing, Rig, RigOptions, answer, post, until, when_told},
};

#[tokio::test(start_paused = true)]
async fn a_duplicate_waits_for_the_first_and_gets_the_same_answer() {
    let rig = Rig::new();
    let (go, act) = when_told(answer(201, "made"));
    rig.upstream.then(act);
    let first = tokio::spawn(rig.ask(post("k", "{}")));
    until(|| rig.upstream.calls() == 1).await;
    let others: Vec<_> = (0..5).map(|_| tokio::spawn(rig.ask(post("k", "{}")))).collect();
    until(|| rig.metric("sluicegate_fence_waiters") == 5).await;
    go.send(()).unwrap();
    assert_eq!(first.await.unwrap().text(), "made");
    for other in others {
        let got = other.await.unwrap();
        assert_eq!((got.status, got.text(), got.is_replay()), (201, "made", true));
    }
    assert_eq!(rig.upstream.effects(), 1);
    assert_eq!(rig.results("waited"), 5);
    assert_eq!(rig.metric("sluicegate_fence_waiters"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_after_its_limit_or_the_requests_own() {
    let rig = Rig::under(IdempotencySettings { wait: Duration::from_secs(2), ..settings() });
    let (_go, act) = when_told(answer(201, "made"));
    rig.upstream.then(act);
    let _first = tokio::spawn(rig.ask(post("k", "{}")));
    until(|| rig.upstream.calls() == 1).await;
    let asked = Instant::now();
    let got = rig.ask(post("k", "{}")).await;
    assert_eq!((got.status, got.code().as_str()), (409, "idempotency_in_flight"));
    assert_eq!(got.headers["retry-after"], "1");
    assert_eq!(asked.elapsed().as_millis() / 100, 20);

    let mut hurried = post("k", "{}");
    let mut settled = rig.classified(Access::Write, Some("acme"));
    settled.deadline = Some(Instant::now() + Duration::from_millis(300));
    let facts = sluicegate_core::Facts::new("r".parse().unwrap(), None, Instant::now(), false);
    facts.classify(settled);
    hurried.extensions_mut().insert(facts);
    let asked = Instant::now();
    assert_eq!(rig.ask(hurried).await.status, 409);
    assert_eq!(asked.elapsed().as_millis() / 100, 3);

    let never = Rig::under(IdempotencySettings { wait: Duration::ZERO, ..settings() });
    let (_go, act) = when_told(answer(201, "made"));
    never.upstream.then(act);
    let _first = tokio::spawn(never.ask(post("k", "{}")));
    until(|| never.upstream.calls() == 1).await;
    let asked = Instant::now();
    assert_eq!(never.ask(post("k", "{}")).await.status, 409);
    assert_eq!(asked.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn only_so_many_wait() {
    let bounds = FencesSettings { max_waiters: 1, ..FencesSettings::default() };
    let rig = Rig::with(RigOptions { bounds, ..RigOptions::default() });
    let (go, act) = when_told(answer(201, "made"));
    rig.upstream.then(act);
    let _first = tokio::spawn(rig.ask(post("k", "{}")));
    until(|| rig.upstream.calls() == 1).await;
    let second = tokio::spawn(rig.ask(post("k", "{}")));
    until(|| rig.metric("sluicegate_fence_waiters") == 1).await;
    let asked = Instant::now();
    assert_eq!(rig.ask(post("k", "{}")).await.code(), "idempotency_in_flight");
    assert_eq!(asked.elapsed(), Duration::ZERO, "it is told at once");
    go.send(()).unwrap();
    assert!(second.await.unwrap().is_replay());
}

#[tokio::test(start_paused = true)]
async fn when_the_first_was_not_applied_one_of_those_who_wait_runs() {
    let rig = Rig::new();
    let (go, act) = when_told(answer(429, "later"));
    rig.upstream.then(act);
    let first = tokio::spawn(rig.ask(post("k", "{}")));
    until(|| rig.upstream.calls() == 1).await;
    let others: Vec<_> = (0..4).map(|_| tokio::spawn(rig.ask(post("k", "{}")))).collect();
    until(|| rig.metric("sluicegate_fence_waiters") == 4).await;
    go.send(()).unwrap();
    assert_eq!(first.await.unwrap().status, 429);
    let mut replays = 0;
    for other in others {
        let got = other.await.unwrap();
        assert_eq!((got.status, got.text()), (201, "answer 2"));
        replays += usize::from(got.is_replay());
    }
    assert_eq!((replays, rig.upstream.calls()), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn two_that_found_nothing_and_begin_at_once_are_done_once() {
    let rig = Rig::new();
    let gates: Vec<_> = (0..3)
        .map(|_| {
            let (go, gate) = told();
            rig.between(gate);
            go
        })
        .collect();
    // All three have found nothing under their key and wait for their permits.
    let all: Vec<_> = (0..3).map(|_| tokio::spawn(rig.ask(post("k", r#"{"a":1}"#)))).collect();
    tokio::time::sleep(Duration::from_millis(1)).await;
    for go in gates {
        go.send(()).unwrap();
    }
    let mut replays = 0;
    for one in all {
        let got = one.await.unwrap();
        assert_eq!((got.status, got.text()), (201, "answer 1"));
        replays += usize::from(got.is_replay());
    }
    assert_eq!((replays, rig.upstream.effects()), (2, 1));
    assert_eq!(rig.upstream.last_seen().body, r#"{"a":1}"#);
    assert_eq!(rig.fences.budget().taken(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_given_back_waits_no_longer_than_any_other() {
    let rig = Rig::new();
    let (go, gate) = told();
    rig.between(gate);
    let second = tokio::spawn(rig.ask(post("k", "{}")));
    tokio::time::sleep(Duration::from_millis(1)).await;
    let (_go, act) = when_told(answer(201, "x"));
    rig.upstream.then(act);
    let _first = tokio::spawn(rig.ask(post("k", "{}")));
    until(|| rig.upstream.calls() == 1).await;
    go.send(()).unwrap();
    let asked = Instant::now();
    let got = second.await.unwrap();
    assert_eq!(got.code(), "idempotency_in_flight");
    assert_eq!(asked.elapsed().as_millis() / 100, 20);
    assert_eq!((rig.results("in_flight"), rig.upstream.calls()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn another_request_that_came_too_late_is_told_what_differs() {
    let rig = Rig::new();
    let (go, gate) = told();
    rig.between(gate);
    let second = tokio::spawn(rig.ask(post("k", r#"{"a":2}"#)));
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(rig.ask(post("k", r#"{"a":1}"#)).await.status, 201);
    go.send(()).unwrap();
    assert_eq!(second.await.unwrap().json()["differs"], serde_json::json!(["/a"]));
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_at_another_gateway_looks_again_by_itself() {
    let rig = Rig::with(RigOptions { lease: Some(Duration::from_secs(10)), ..RigOptions::default() });
    let neighbour = rig.neighbour(&settings());
    let (go, act) = when_told(answer(201, "made"));
    rig.upstream.then(act);
    let first = tokio::spawn(rig.ask(post("k", "{}")));
    until(|| rig.upstream.calls() == 1).await;
    let second = tokio::spawn(neighbour.ask(post("k", "{}")));
    tokio::time::sleep(Duration::from_millis(700)).await;
    go.send(()).unwrap();
    assert_eq!(first.await.unwrap().status, 201);
    let ended = Instant::now();
    assert!(second.await.unwrap().is_replay());
    assert!(ended.elapsed() <= Duration::from_millis(250), "{:?}", ended.elapsed());
    assert_eq!(rig.upstream.effects(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_when_the_store_is_lost_or_the_holder_dies() {
    for dies in [false, true] {
        let rig = Rig::with(RigOptions {
            settings: required(),
            lease: Some(Duration::from_secs(10)),
            ..RigOptions::default()
        });
        let (_go, act) = when_told(Act::Reset);
        rig.upstream.then(act);
        let _first = tokio::spawn(rig.ask(post("k", "{}")));
        until(|| rig.upstream.calls() == 1).await;
        let neighbour = rig.neighbour(&required());
        let second = tokio::spawn(neighbour.ask(post("k", "{}")));
        tokio::time::sleep(Duration::from_millis(100)).await;
        if dies {
            rig.store.lapse();
        } else {
            rig.store.fail(Failing::Unheard);
        }
        let code = second.await.unwrap().code();
        assert_eq!(code, if dies { "idempotency_outcome_unknown" } else { "store_unavailable" });
    }
}
