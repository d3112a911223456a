//! A store that goes away, hangs, forgets, and is full.

use sluicegate_store::{Bounds, Records};

use super::{
    rig::{Mood, NAME, pass, until},
    *,
};

#[tokio::test(start_paused = true)]
async fn without_its_store_a_gateway_goes_on_and_aborts_for_itself() {
    for mood in [Mood::Down, Mood::Hangs] {
        let rig = Rig::new();
        let mut one = rig.one().await;
        let mut two = rig.gateway("two", json!({})).await;
        one.rollouts.start("retriever", "ann").await.unwrap();
        until(&mut [&mut one, &mut two], |gateways| gateways[1].serves().0 == 10).await;
        rig.mood(mood);
        until(&mut [&mut one, &mut two], |gateways| {
            gateways.iter().all(|gateway| gateway.status().troubles.len() == 1)
        })
        .await;
        pass(&mut [&mut one, &mut two], Duration::from_secs(30)).await;
        assert_eq!((one.serves().0, one.phase()), (10, "running"), "it goes on with what it knows");
        assert!(one.rollouts.troubles()[0].1.contains("goes on"), "{:?}", one.rollouts.troubles());
        one.traffic = FAILING;
        let took = until(&mut [&mut one, &mut two], |gateways| !gateways[0].serves().2).await;
        assert!(took <= Duration::from_secs(2), "{took:?}");
        assert_eq!((two.serves().0, one.phase()), (10, "aborted"));
        assert!(one.status().troubles.iter().any(|trouble| trouble.contains("not been told")));
        rig.mood(Mood::Up);
        until(&mut [&mut one, &mut two], |gateways| !gateways[1].serves().2).await;
        assert_eq!(two.status().last.unwrap().by.name, "one");
        until(&mut [&mut one, &mut two], |gateways| {
            gateways.iter().all(|gateway| gateway.status().troubles.is_empty())
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_abort_that_waits_for_the_store_is_dropped_when_its_epoch_is_over() {
    let rig = Rig::new();
    let mut one = rig.one().await;
    one.rollouts.start("retriever", "ann").await.unwrap();
    rig.mood(Mood::Down);
    one.kill().await;
    let error = one.rollouts.abort("retriever", "ann", Some("it smells")).await.unwrap_err();
    assert!(error.in_effect() && error.code() == "only_here", "{error}");
    assert_eq!(one.serves(), (0, Slot::First, false));
    rig.mood(Mood::Up);
    let two = rig.gateway("two", json!({})).await;
    two.rollouts.switch("retriever", "bob").await.unwrap();
    one.rollouts.look().await;
    assert_eq!((one.phase(), one.serves()), ("switched", (0, Slot::Second, true)));
}

#[tokio::test(start_paused = true)]
async fn commands_without_a_store_change_nothing() {
    let rig = Rig::new();
    let one = rig.one().await;
    rig.mood(Mood::Down);
    let error = one.rollouts.start("retriever", "ann").await.unwrap_err();
    assert!(matches!(&error, RolloutError::Store(why) if why == "connection refused"), "{error}");
    assert!(!error.in_effect() && one.phase() == "idle");
    assert_eq!(one.rollouts.history("retriever").await.unwrap_err().code(), "store_unavailable");
    // One that has never read the record serves the document's active arm alone.
    let blind = rig.gateway("blind", json!({ "weight": 30 })).await;
    assert_eq!((blind.serves(), blind.status().version), ((0, Slot::First, false), 0));
    assert!(blind.rollouts.troubles()[0].1.contains("never read"), "{:?}", blind.rollouts.troubles());
    assert_eq!(blind.rollouts.abort("retriever", "ann", None).await.unwrap_err().code(), "store_unavailable");
}

#[tokio::test(start_paused = true)]
async fn what_the_store_has_lost_is_written_again() {
    let rig = Rig::new();
    let mut one = rig.one().await;
    let mut two = rig.gateway("two", json!({})).await;
    one.rollouts.start("retriever", "ann").await.unwrap();
    one.rollouts.abort("retriever", "ann", Some("bad")).await.unwrap();
    until(&mut [&mut one, &mut two], |gateways| gateways[1].phase() == "aborted").await;
    let (before, decisions) = (one.status(), one.rollouts.history("retriever").await.unwrap());
    rig.wipe("rollout").await;
    rig.wipe("rollout-history").await;
    // A third one comes, to which the rollout is new.
    let mut third = rig.gateway("third", json!({})).await;
    until(&mut [&mut one, &mut two, &mut third], |gateways| {
        gateways.iter().all(|gateway| gateway.status().version > before.version)
    })
    .await;
    for gateway in [&one, &two, &third] {
        assert_eq!((gateway.phase(), gateway.serves()), ("aborted", (0, Slot::First, false)));
        assert_eq!((gateway.status().epoch, gateway.status().last), (before.epoch, before.last.clone()));
    }
    pass(&mut [&mut one, &mut two, &mut third], Duration::from_secs(1)).await;
    let kept = third.rollouts.history("retriever").await.unwrap();
    assert!(decisions.decisions.iter().all(|decision| kept.decisions.contains(decision)), "{kept:?}");
}

#[tokio::test(start_paused = true)]
async fn decisions_that_the_store_has_lost_are_told_again_by_whoever_read_them() {
    let rig = Rig::new();
    let mut one = rig.one().await;
    let mut two = rig.gateway("two", json!({})).await;
    for weight in [1, 2, 3, 4] {
        one.rollouts.set_weight("retriever", weight, "ann").await.unwrap();
    }
    until(&mut [&mut one, &mut two], |gateways| gateways[1].serves().0 == 4).await;
    pass(&mut [&mut one, &mut two], Duration::from_secs(1)).await;
    let decisions = one.rollouts.history("retriever").await.unwrap();
    assert_eq!(decisions.decisions.len(), 5);
    // Who made them dies, and the store loses the history alone, and then both records.
    one.kill().await;
    rig.wipe("rollout-history").await;
    assert_eq!(two.rollouts.history("retriever").await.unwrap(), decisions, "seen by whoever asks");
    rig.wipe("rollout").await;
    rig.wipe("rollout-history").await;
    let mut third = rig.gateway("third", json!({})).await;
    until(&mut [&mut two, &mut third], |gateways| gateways[1].serves().0 == 4).await;
    pass(&mut [&mut two, &mut third], Duration::from_secs(1)).await;
    let kept = third.rollouts.history("retriever").await.unwrap();
    assert!(decisions.decisions.iter().all(|decision| kept.decisions.contains(decision)), "{kept:?}");
}

#[tokio::test(start_paused = true)]
async fn decisions_of_a_gateway_that_dies_before_it_tells_them_are_told_by_another() {
    let rig = Rig::new();
    let mut one = rig.one().await;
    pass(&mut [&mut one], Duration::from_secs(1)).await;
    rig.mood(Mood::WithoutHistory);
    for weight in [1, 2, 3] {
        one.rollouts.set_weight("retriever", weight, "ann").await.unwrap();
    }
    one.kill().await;
    rig.mood(Mood::Up);
    let two = rig.gateway("two", json!({})).await;
    let history = two.rollouts.history("retriever").await.unwrap();
    let seqs: Vec<_> = history.decisions.iter().map(|decision| decision.seq).collect();
    assert_eq!(seqs, [1, 2, 3, 4]);
    // Once they are told the record carries them no longer.
    two.rollouts.set_weight("retriever", 4, "bob").await.unwrap();
    two.rollouts.set_weight("retriever", 5, "bob").await.unwrap();
    let record = rig.record().await.unwrap();
    assert!(!String::from_utf8_lossy(&record.value).contains("untold"));
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_is_lost_is_made_once() {
    let rig = Rig::new();
    let mut one = rig.one().await;
    rig.mood(Mood::LosesAnswers(1));
    let started = one.rollouts.start("retriever", "ann").await.unwrap();
    assert_eq!((started.version, started.run), (2, 1));
    // Both answers are lost: nobody knows, until the record is read.
    rig.mood(Mood::LosesAnswers(2));
    let error = one.rollouts.advance("retriever", "ann").await.unwrap_err();
    assert!(matches!(error, RolloutError::Store(_)), "{error}");
    let mut seen = 0;
    until(&mut [&mut one], |gateways| {
        seen = gateways[0].status().version;
        seen == 3
    })
    .await;
    assert_eq!((one.status().phase.step(), one.serves().0), (Some(1), 50));
    let history = one.rollouts.history("retriever").await.unwrap();
    assert_eq!(history.decisions.len(), 3, "its decision is told though its answer was lost");
}

#[tokio::test(start_paused = true)]
async fn a_full_store_takes_an_abort() {
    let rig = Rig::new();
    let mut one = rig.one().await;
    one.rollouts.start("retriever", "ann").await.unwrap();
    rig.shaky.memory.bound(Bounds { max_keys: 1, max_bytes: 1, share: 1.0 });
    let tag = rig.record().await.unwrap().tag;
    one.traffic = FAILING;
    until(&mut [&mut one], |gateways| gateways[0].phase() == "aborted").await;
    until(&mut [&mut one], |gateways| gateways[0].rollouts.0.entry(NAME).unwrap().lock().cut.is_none()).await;
    assert_ne!(rig.record().await.unwrap().tag, tag);
    assert!(
        one.rollouts.troubles()[0].1.contains("no room"),
        "the history is: {:?}",
        one.rollouts.troubles()
    );
    let history = one.rollouts.history("retriever").await.unwrap();
    let acts: Vec<_> = history.decisions.iter().map(|decision| decision.act).collect();
    assert_eq!(acts, [Act::Configured, Act::Started, Act::Aborted], "it is told all the same");
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_is_left_alone() {
    for value in [&b"{"[..], br#"{"format":2}"#] {
        let rig = Rig::new();
        let mut one = rig.one().await;
        one.rollouts.start("retriever", "ann").await.unwrap();
        let tag = rig.plant(value).await;
        until(&mut [&mut one], |gateways| !gateways[0].status().troubles.is_empty()).await;
        pass(&mut [&mut one], Duration::from_secs(15)).await;
        assert_eq!(rig.record().await.unwrap().tag, tag);
        assert_eq!(one.serves().0, 10, "it goes on with what it knows");
        assert_eq!(one.rollouts.abort("retriever", "ann", None).await.unwrap_err().code(), "only_here");
        assert_eq!(one.serves(), (0, Slot::First, false));
    }
}

#[tokio::test(start_paused = true)]
async fn records_are_kept_for_longer_than_any_gateway() {
    let rig = Rig::new();
    let _one = rig.one().await;
    assert!(rig.record().await.unwrap().expires_in > Duration::from_secs(9 * 366 * 24 * 3600));
    let shaky: &Shaky = &rig.shaky;
    assert_eq!(shaky.usage().await.unwrap().0, 2, "the state and its history");
}
