//! A store that is lost, at each step.

use std::time::Duration;

use sluicegate_store::Records;

use crate::{
    IdempotencySettings, KeyFilter, KeyState, WhenLost,
    testing::{Failing, Rig, answer, post, until, when_told},
};

fn closed() -> IdempotencySettings {
    IdempotencySettings { when_lost: WhenLost::Closed, ..IdempotencySettings::default() }
}

async fn states(rig: &Rig) -> Vec<KeyState> {
    let page = rig.fences.list(&KeyFilter::default(), None, 100).await.unwrap();
    page.keys.into_iter().map(|key| key.state).collect()
}

#[tokio::test(start_paused = true)]
async fn a_begin_that_was_not_heard_sends_nothing_and_leaves_nothing() {
    for failing in [Failing::Unheard, Failing::Unanswered] {
        let rig = Rig::under(closed());
        rig.store.fail_writes([failing]);
        let got = rig.ask(post("k", "{}")).await;
        assert_eq!((got.status, got.code().as_str()), (503, "store_unavailable"));
        assert_eq!(got.headers["retry-after"], "1");
        let there = usize::from(failing == Failing::Unanswered);
        assert_eq!(states(&rig).await.len(), there);
        let keeper = tokio::spawn(rig.fences.run());
        rig.fences.idle().await;
        assert_eq!(states(&rig).await.len(), 0, "the begin is taken back");
        assert_eq!(rig.ask(post("k", "{}")).await.status, 201, "the retry runs");
        assert_eq!((rig.upstream.effects(), rig.results("lost_closed")), (1, 1));
        assert_eq!(rig.metric("sluicegate_fence_settles_fenced_off_total"), 0);
        keeper.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn on_an_open_route_the_write_goes_on_and_its_end_is_kept_if_its_begin_was_heard() {
    for (failing, replayed) in [(Failing::Unheard, false), (Failing::Unanswered, true)] {
        let rig = Rig::new();
        rig.store.fail_writes([failing]);
        assert_eq!(rig.ask(post("k", "{}")).await.status, 201);
        assert_eq!(rig.ask(post("k", "{}")).await.is_replay(), replayed);
        assert_eq!(rig.results("lost_open"), 1);
        assert_eq!(rig.metric("sluicegate_fence_settles_fenced_off_total"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_that_was_not_heard_is_written_later_and_the_client_need_not_wait() {
    for failing in [Failing::Unheard, Failing::Unanswered] {
        let rig = Rig::under(closed());
        rig.upstream.then(answer(201, "made"));
        rig.store.fail_writes([Failing::No, failing]);
        assert_eq!(rig.ask(post("k", "{}")).await.text(), "made");
        assert_eq!(rig.metric("sluicegate_fence_settles_waiting"), 1);
        let retry = tokio::spawn(rig.ask(post("k", "{}")));
        let keeper = tokio::spawn(rig.fences.run());
        rig.fences.idle().await;
        let got = retry.await.unwrap();
        assert_eq!((got.text(), got.is_replay()), ("made", true));
        assert_eq!(rig.metric("sluicegate_fence_settles_late_total"), 1);
        assert_eq!((rig.upstream.effects(), rig.fences.budget().taken()), (1, 0));
        keeper.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn all_ends_are_written_once_a_store_that_was_lost_for_long_is_back() {
    let rig = Rig::new();
    let keeper = tokio::spawn(rig.fences.run());
    let mut told = Vec::new();
    let mut clients = Vec::new();
    for at in 0..20 {
        let (go, act) = when_told(answer(201, "made"));
        rig.upstream.then(act);
        told.push(go);
        clients.push(tokio::spawn(rig.ask(post(&format!("k-{at}"), "{}"))));
        until(|| rig.upstream.calls() == at + 1).await;
    }
    rig.store.fail(Failing::Unheard);
    for go in told {
        go.send(()).unwrap();
    }
    for client in clients {
        assert_eq!(client.await.unwrap().status, 201);
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(rig.metric("sluicegate_fence_settles_waiting"), 20);
    rig.store.fail(Failing::No);
    // Clients that have their answers must not find their keys running for long.
    tokio::time::timeout(Duration::from_millis(400), rig.fences.idle()).await.unwrap();
    assert_eq!(states(&rig).await, [KeyState::Sealed; 20]);
    let (_, bytes) = rig.store.memory.usage().await.unwrap();
    assert!(bytes > 0);
    keeper.abort();
}

#[tokio::test(start_paused = true)]
async fn where_too_many_ends_wait_nothing_more_is_begun() {
    const MANY: usize = 10_000;
    let rig = Rig::under(closed());
    for at in 0..MANY {
        rig.store.fail_writes([Failing::Unheard]);
        assert_eq!(rig.ask(post(&format!("k-{at}"), "{}")).await.status, 503);
    }
    let waiting = || rig.metric("sluicegate_fence_settles_waiting");
    assert_eq!(waiting(), MANY);
    assert_eq!(rig.ask(post("new", "{}")).await.code(), "store_unavailable", "though the store works again");
    let open =
        Rig::under(IdempotencySettings { when_lost: WhenLost::Open, ..IdempotencySettings::default() });
    for at in 0..MANY {
        open.store.fail_writes([Failing::Unheard, Failing::Unheard]);
        assert_eq!(open.ask(post(&format!("k-{at}"), "{}")).await.status, 201);
    }
    assert_eq!(open.ask(post("new", "{}")).await.status, 201);
    assert_eq!(waiting(), MANY, "nothing was asked of the store, so there is nothing to take back");
    assert_eq!(open.metric("sluicegate_fence_settles_waiting"), MANY);
    for rig in [&rig, &open] {
        let keeper = tokio::spawn(rig.fences.run());
        rig.fences.idle().await;
        assert!(!rig.ask(post("newer", "{}")).await.is_replay());
        assert!(rig.ask(post("newer", "{}")).await.is_replay(), "it heals by itself");
        keeper.abort();
    }
}
