//! Holders that are late, and attempts that overtake them.

use std::{sync::atomic::Ordering, time::Duration};

use sluicegate_store::fence::OnUnknown;

use crate::{
    IdempotencySettings,
    testing::{Act, Rig, RigOptions, answer, post, until, when_told},
};

fn shared(on_unknown: OnUnknown) -> (Rig, IdempotencySettings) {
    let settings = IdempotencySettings { on_unknown: Some(on_unknown), ..IdempotencySettings::default() };
    let options = RigOptions {
        settings: settings.clone(),
        lease: Some(Duration::from_secs(9)),
        ..RigOptions::default()
    };
    (Rig::with(options), settings)
}

#[tokio::test(start_paused = true)]
async fn a_lapsed_lease_makes_the_key_unknown_and_its_late_holder_still_settles_it() {
    let (rig, settings) = shared(OnUnknown::Refuse);
    let neighbour = rig.neighbour(&settings);
    let (go, act) = when_told(answer(201, "made"));
    rig.upstream.then(act);
    let first = tokio::spawn(rig.ask(post("k", "{}")));
    until(|| rig.upstream.calls() == 1).await;
    rig.store.lapse();
    for gateway in [&rig, &neighbour] {
        assert_eq!(gateway.ask(post("k", "{}")).await.code(), "idempotency_outcome_unknown");
    }
    go.send(()).unwrap();
    assert_eq!(first.await.unwrap().text(), "made");
    for gateway in [&rig, &neighbour] {
        let got = gateway.ask(post("k", "{}")).await;
        assert_eq!((got.text(), got.is_replay()), ("made", true), "what it was is known after all");
    }
    assert_eq!((rig.upstream.effects(), rig.metric("sluicegate_fence_settles_fenced_off_total")), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_was_overtaken_is_fenced_off() {
    let (rig, settings) = shared(OnUnknown::Retry);
    let neighbour = rig.neighbour(&settings);
    let (go, act) = when_told(answer(201, "late"));
    rig.upstream.then(act).then(answer(201, "newer"));
    let first = tokio::spawn(rig.ask(post("k", "{}")));
    until(|| rig.upstream.calls() == 1).await;
    rig.store.lapse();
    assert_eq!(neighbour.ask(post("k", "{}")).await.text(), "newer");
    go.send(()).unwrap();
    assert_eq!(first.await.unwrap().text(), "late", "its own client gets what it got");
    assert_eq!(rig.metric("sluicegate_fence_settles_fenced_off_total"), 1);
    assert_eq!(rig.ask(post("k", "{}")).await.text(), "newer", "and the newer answer stands");
}

#[tokio::test(start_paused = true)]
async fn the_keeper_says_for_running_attempts_that_they_live_and_notes_a_lapse() {
    let (rig, _) = shared(OnUnknown::Refuse);
    let keeper = tokio::spawn(rig.fences.run());
    let (go, act) = when_told(answer(201, "made"));
    rig.upstream.then(act);
    let first = tokio::spawn(rig.ask(post("k", "{}")));
    until(|| rig.upstream.calls() == 1).await;
    tokio::time::sleep(Duration::from_secs(18)).await;
    let beats = rig.store.beats.load(Ordering::Relaxed);
    assert!((5..=7).contains(&beats), "three in each lease: {beats}");
    rig.store.lapse();
    tokio::time::sleep(Duration::from_secs(18)).await;
    assert_eq!(rig.metric("sluicegate_fence_leases_lapsed_total"), 1);
    go.send(()).unwrap();
    first.await.unwrap();
    let beats = rig.store.beats.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(18)).await;
    assert_eq!(rig.store.beats.load(Ordering::Relaxed), beats, "nothing is held any more");
    keeper.abort();
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_came_to_nothing_does_not_make_the_one_before_it_known() {
    let (rig, _) = shared(OnUnknown::Retry);
    rig.upstream.then(Act::Reset).then(answer(429, "later"));
    assert_eq!(rig.ask(post("k", "{}")).await.status, 502);
    assert_eq!(rig.ask(post("k", "{}")).await.status, 429);
    // Whoever refuses what is unknown must still see that it is.
    let refusing =
        IdempotencySettings { on_unknown: Some(OnUnknown::Refuse), ..IdempotencySettings::default() };
    let got = rig.neighbour(&refusing).ask(post("k", "{}")).await;
    assert_eq!(got.code(), "idempotency_outcome_unknown");
    assert_eq!(rig.ask(post("k", "{}")).await.status, 201, "and under `retry` it runs again");
}
