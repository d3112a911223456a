//! Several gateways over one store.

use super::{
    rig::{NAME, declared, pass, until},
    *,
};

async fn two(rig: &Rig) -> (Gateway, Gateway) {
    (rig.one().await, rig.gateway("two", json!({})).await)
}

#[tokio::test(start_paused = true)]
async fn one_advances_and_all_follow() {
    let rig = Rig::new();
    let (mut one, mut two) = two(&rig).await;
    assert_eq!(rig.record().await.unwrap().value.len(), 4096);
    one.rollouts.start("retriever", "ann").await.unwrap();
    until(&mut [&mut one, &mut two], |gateways| gateways[1].serves().0 == 10).await;
    assert_eq!(one.rollouts.shared(NAME).view(), two.rollouts.shared(NAME).view(), "one secret, one epoch");
    until(&mut [&mut one, &mut two], |gateways| gateways.iter().all(|gateway| gateway.phase() == "complete"))
        .await;
    let history = two.rollouts.history("retriever").await.unwrap();
    let weights: Vec<_> = history.decisions.iter().map(|decision| decision.weight).collect();
    assert_eq!(weights, [[0, 0], [0, 10], [10, 50], [50, 100], [100, 100]], "each step was taken once");
}

#[tokio::test(start_paused = true)]
async fn either_aborts_for_all() {
    for aborts in [0, 1] {
        let rig = Rig::new();
        let (mut one, mut two) = two(&rig).await;
        one.rollouts.start("retriever", "ann").await.unwrap();
        until(&mut [&mut one, &mut two], |gateways| gateways.iter().all(|gateway| gateway.serves().0 == 10))
            .await;
        if aborts == 0 {
            one.traffic = FAILING;
        } else {
            two.traffic = FAILING;
        }
        until(&mut [&mut one, &mut two], |gateways| !gateways[aborts].serves().2).await;
        let took = until(&mut [&mut one, &mut two], |gateways| !gateways[1 - aborts].serves().2).await;
        assert!(took <= POLL + TICK, "{took:?}");
        let by = one.status().last.unwrap().by.name;
        assert_eq!(by, ["one", "two"][aborts]);
    }
}

#[tokio::test(start_paused = true)]
async fn one_whose_own_numbers_are_outside_a_gate_keeps_the_step_for_as_long_as_it_lives() {
    let rig = Rig::new();
    let (mut one, mut two) = two(&rig).await;
    // Four of a hundred fail, of a few samples: outside the gate of 2 %, and no proof.
    two.traffic = Traffic { failing: [20, 40], ..GOOD };
    one.rollouts.start("retriever", "ann").await.unwrap();
    until(&mut [&mut one, &mut two], |gateways| {
        gateways[1].status().progress.is_some_and(|progress| progress.samples[1] >= 200)
    })
    .await;
    two.traffic.requests = 0;
    until(&mut [&mut one, &mut two], |gateways| !gateways[0].status().objections.is_empty()).await;
    pass(&mut [&mut one, &mut two], Duration::from_secs(60)).await;
    let status = one.status();
    assert_eq!((status.phase.step(), status.objections.len()), (Some(0), 1), "{:?}", status.objections);
    assert_eq!(status.objections[0].gateway, "two");
    two.kill().await;
    let took = until(&mut [&mut one], |gateways| gateways[0].serves().0 == 50).await;
    assert!((20..=31).contains(&took.as_secs()), "its objection runs out: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_finding_from_a_state_that_is_over_is_thrown_away() {
    let rig = Rig::new();
    let (mut one, mut two) = two(&rig).await;
    one.rollouts.start("retriever", "ann").await.unwrap();
    pass(&mut [&mut one, &mut two], Duration::from_secs(1)).await;
    let entry = one.rollouts.0.entry("retriever").unwrap();
    // It has found that the step has passed; meanwhile the other one's operator has advanced.
    one.kill().await;
    let tag = rig.record().await.unwrap().tag;
    two.rollouts.advance("retriever", "bob").await.unwrap();
    entry.lock().found = Some((tag, Finding::Passed(None)));
    one.rollouts.look().await;
    assert_eq!(
        (one.status().phase.step(), one.status().version),
        (Some(1), 3),
        "not two steps for one verdict"
    );
    // And the same when it is the store that tells it.
    let known = rig.record().await.unwrap().tag;
    entry.lock().found = Some((known, Finding::Passed(None)));
    two.rollouts.hold("retriever", "bob", None).await.unwrap();
    one.rollouts.look().await;
    assert_eq!(one.phase(), "held");
}

#[tokio::test(start_paused = true)]
async fn an_abort_is_not_lost_by_a_concurrent_advance() {
    let rig = Rig::new();
    let (mut one, mut two) = two(&rig).await;
    one.rollouts.start("retriever", "ann").await.unwrap();
    pass(&mut [&mut one, &mut two], Duration::from_secs(1)).await;
    two.kill().await;
    one.rollouts.advance("retriever", "ann").await.unwrap();
    let entry = two.rollouts.0.entry("retriever").unwrap();
    let (by, at) = (crate::machine::Actor::gateway("two"), two.rollouts.0.now());
    let bad = Finding::Bad(None, "errors".into());
    assert!(entry.cut(&mut entry.lock(), super::super::entry::How::Found(bad), by, at).is_some());
    assert_eq!(two.serves(), (0, Slot::First, false), "before the store is asked");
    two.rollouts.look().await;
    until(&mut [&mut one], |gateways| gateways[0].phase() == "aborted").await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_keeps_the_state_and_the_window_begins_anew() {
    let rig = Rig::new();
    let mut one = rig.one().await;
    one.rollouts.start("retriever", "ann").await.unwrap();
    until(&mut [&mut one], |gateways| gateways[0].serves().0 == 50).await;
    let view = one.rollouts.shared(NAME).view();
    one.kill().await;
    let mut again = rig.one().await;
    assert_eq!(again.rollouts.shared(NAME).view(), view);
    let took = until(&mut [&mut again], |gateways| gateways[0].serves().0 == 100).await;
    assert!(took >= Duration::from_secs(10), "{took:?}");
    again.rollouts.promote("retriever", "ann").await.unwrap();
    again.kill().await;
    assert_eq!(rig.one().await.serves(), (0, Slot::Second, true), "what was promoted is active");
}

#[tokio::test(start_paused = true)]
async fn a_document_with_other_names_wins_and_one_left_behind_says_so() {
    let rig = Rig::new();
    let (mut one, mut two) = two(&rig).await;
    one.rollouts.start("retriever", "ann").await.unwrap();
    one.rollouts.promote("retriever", "ann").await.unwrap();
    one.reload(&json!({ "active": "next", "candidate": "third", "weight": 20 }));
    until(&mut [&mut one, &mut two], |gateways| {
        gateways[0].serves() == (20, Slot::First, true) && !gateways[1].status().troubles.is_empty()
    })
    .await;
    pass(&mut [&mut one, &mut two], Duration::from_secs(10)).await;
    assert_eq!(one.status().last.unwrap().act, Act::Configured, "they do not fight");
    assert_eq!(two.serves(), (0, Slot::First, false));
    assert!(two.rollouts.troubles()[0].1.contains("`next` and `third`"), "{:?}", two.rollouts.troubles());
    let elsewhere = two.rollouts.start("retriever", "bob").await.unwrap_err();
    assert_eq!(elsewhere.code(), "elsewhere");
    two.reload(&json!({ "active": "next", "candidate": "third", "weight": 20 }));
    until(&mut [&mut one, &mut two], |gateways| gateways[1].serves() == (20, Slot::First, true)).await;
    assert_eq!(one.status().version, two.status().version);
    assert!(two.rollouts.troubles().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_reload_keeps_the_state_and_kill_holds_at_once_on_its_gateway() {
    let rig = Rig::new();
    let (mut one, mut two) = two(&rig).await;
    one.rollouts.start("retriever", "ann").await.unwrap();
    pass(&mut [&mut one, &mut two], Duration::from_secs(1)).await;
    let shared = one.rollouts.shared(NAME);
    one.reload(&json!({ "kill": true }));
    assert_eq!(one.serves(), (0, Slot::First, false), "in the call itself");
    assert_eq!((one.phase(), one.status().killed), ("running", true));
    pass(&mut [&mut one, &mut two], Duration::from_secs(1)).await;
    assert_eq!(two.serves(), (10, Slot::First, true));
    one.reload(&json!({ "steps": [20, 100] }));
    assert_eq!(one.serves(), (20, Slot::First, true), "the weights are the document's");
    assert!(std::sync::Arc::ptr_eq(&shared, &one.rollouts.shared(NAME)), "plans of old snapshots see it too");
    // Taken out and put back, it is where it was.
    one.rollouts.apply(Vec::new());
    assert_eq!(one.rollouts.status(), []);
    one.rollouts.apply(vec![declared(&json!({}))]);
    one.rollouts.look().await;
    assert_eq!(one.serves(), (10, Slot::First, true));
}
