use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use sluicegate_store::{
    Append, Caps, EntryState, Tag,
    fence::{FenceState, StoredBody},
};
use tokio::time::Instant;

use crate::{
    IntentsSettings, RouteRules,
    input::BackfillSettings,
    intent::new_id,
    testing::{self, Fate, Rig, Shaky, Switch, Upstream, advance, quick, until},
};

mod chaos;

fn rig() -> Rig {
    Rig::new(quick(), RouteRules::default())
}

fn honouring() -> RouteRules {
    RouteRules { honours_keys: true, ..RouteRules::default() }
}

fn with(change: impl FnOnce(&mut BackfillSettings)) -> IntentsSettings {
    let mut settings = quick();
    change(&mut settings.backfill);
    settings
}

async fn reaches(rig: &Rig, key: &str, state: EntryState) {
    until(&format!("{key} is {}", state.as_str()), async || rig.state(key).await == Some(state)).await;
}

#[tokio::test(start_paused = true)]
async fn an_intent_is_sent_as_it_came_and_its_answer_seals_its_key() {
    let mut settings = quick();
    settings.headers.insert("authorization", "Bearer the-gateways-own".parse().unwrap());
    let rig = Rig::new(settings, RouteRules::default());
    rig.keep("k1", "7").await;
    let upstream = Upstream::new();
    upstream.fate("k1", &[Fate::Status(201)]);
    let _backfill = rig.run(&Switch::open(), &upstream);
    reaches(&rig, "k1", EntryState::Applied).await;
    let (method, target, headers) = upstream.requests().remove(0);
    assert_eq!((method.as_str(), target.as_str()), ("POST", "/v1/documents/7?v=1"));
    assert_eq!(headers["authorization"], "Bearer the-gateways-own");
    assert_eq!(headers["idempotency-key"], "k1");
    assert_eq!(headers["x-doc"], "7");
    let Some(FenceState::Sealed(answer)) = rig.fence("k1").await else { panic!("it is not sealed") };
    assert_eq!((answer.status, &answer.body), (201, &StoredBody::Whole(Bytes::from_static(b"answer to k1"))));
    let record = rig.home().store.get(testing::fence_id("k1")).await.unwrap().unwrap();
    let gone = rig.rules.fence_ttl.saturating_sub(record.expires_in);
    assert!(gone < Duration::from_secs(5), "its life counts from its settlement: {gone:?}");
    let scrape = rig.scrape();
    assert!(
        scrape.contains("sluicegate_intents_reached_total{route=\"ingest\",state=\"applied\"} 1"),
        "{scrape}"
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_before_the_thaw_and_the_soak() {
    let rig = Rig::new(IntentsSettings { soak: Duration::from_secs(30), ..quick() }, RouteRules::default());
    let (freezer, upstream) = (Switch::frozen(), Upstream::new());
    let _backfill = rig.run(&freezer, &upstream);
    rig.keep("k1", "7").await;
    advance(120_000).await;
    assert!(upstream.sent().is_empty());
    assert_eq!(rig.state("k1").await, Some(EntryState::Queued), "it is not even claimed");
    freezer.thaw();
    advance(29_500).await;
    assert!(upstream.sent().is_empty());
    let soaking = rig.intents.status().await.unwrap().soaking_until.unwrap();
    assert_eq!(soaking.as_second(), testing::START + 150);
    advance(600).await;
    assert_eq!(upstream.sent(), ["k1"]);
}

#[tokio::test(start_paused = true)]
async fn each_line_keeps_its_order_and_others_do_not_wait_for_it() {
    let rig = rig();
    for n in 0..4 {
        for doc in ["a", "b", "c"] {
            rig.keep(&format!("{doc}{n}"), doc).await;
        }
    }
    let upstream = Upstream::new();
    upstream.latency(Duration::from_millis(20));
    upstream.fate("a1", &[Fate::Undone(429), Fate::Unreachable, Fate::Undone(403)]);
    upstream.fate("b0", &[Fate::LostUndone]);
    let _backfill = rig.run(&Switch::open(), &upstream);
    for key in ["a3", "c3"] {
        reaches(&rig, key, EntryState::Applied).await;
    }
    let done = upstream.done();
    for doc in ["a", "c"] {
        let of: Vec<_> = done.iter().filter(|key| key.starts_with(doc)).collect();
        assert_eq!(of, [0, 1, 2, 3].map(|n| format!("{doc}{n}")).iter().collect::<Vec<_>>());
    }
    assert_eq!(rig.state("b0").await, Some(EntryState::InDoubt));
    assert_eq!(rig.state("b1").await, Some(EntryState::Queued), "it holds its line");
    assert!(matches!(rig.fence("b0").await, Some(FenceState::Unknown(_))));
    assert_eq!(upstream.sent().iter().filter(|key| *key == "a1").count(), 4);
}

#[tokio::test(start_paused = true)]
async fn pace_and_number_at_one_time_are_kept() {
    let rig =
        Rig::new(with(|backfill| (backfill.rps, backfill.concurrent) = (20.0, 4)), RouteRules::default());
    for n in 0..60 {
        rig.keep(&format!("k{n}"), &format!("{n}")).await;
    }
    let upstream = Upstream::new();
    upstream.latency(Duration::from_millis(150));
    let begin = Instant::now();
    let _backfill = rig.run(&Switch::open(), &upstream);
    until("all are done", async || upstream.done().len() == 60).await;
    let took = begin.elapsed().as_secs_f64();
    assert!((2.9..3.6).contains(&took), "{took}");
    assert!(upstream.most_at_once() <= 4);

    let rig =
        Rig::new(with(|backfill| (backfill.rps, backfill.concurrent) = (1000.0, 2)), RouteRules::default());
    for n in 0..20 {
        rig.keep(&format!("k{n}"), &format!("{n}")).await;
    }
    let upstream = Upstream::new();
    upstream.latency(Duration::from_millis(100));
    let begin = Instant::now();
    let _backfill = rig.run(&Switch::open(), &upstream);
    until("all are done", async || upstream.done().len() == 20).await;
    let took = begin.elapsed().as_secs_f64();
    assert!((1.0..1.2).contains(&took), "{took}: a place that is free is used at once");
    assert_eq!(upstream.most_at_once(), 2);
}

#[tokio::test(start_paused = true)]
async fn refusals_end_in_their_stated_states() {
    let rig = Rig::new(with(|backfill| backfill.tries = 3), RouteRules::default());
    for key in ["refused", "used-up"] {
        rig.keep(key, key).await;
    }
    let upstream = Upstream::new();
    upstream.fate("refused", &[Fate::Undone(409)]);
    upstream.fate("used-up", &[Fate::Unreachable; 3]);
    let _backfill = rig.run(&Switch::open(), &upstream);
    for key in ["refused", "used-up"] {
        reaches(&rig, key, EntryState::Dead).await;
    }
    let Some(FenceState::Sealed(answer)) = rig.fence("refused").await else { panic!("it is not sealed") };
    assert_eq!(answer.status, 409);
    assert_eq!(rig.fence("used-up").await, None, "nothing was applied: its key is free");
    assert_eq!(upstream.sent().len(), 4);
    assert!(upstream.done().is_empty());
}

#[tokio::test(start_paused = true)]
async fn where_keys_are_honoured_the_unknown_is_sent_again_with_its_key() {
    let rig = Rig::new(quick(), honouring());
    rig.keep("k1", "7").await;
    let upstream = Upstream::deduping();
    upstream.fate("k1", &[Fate::DoneThenLost, Fate::Undone(500), Fate::Status(200)]);
    let _backfill = rig.run(&Switch::open(), &upstream);
    reaches(&rig, "k1", EntryState::Applied).await;
    assert_eq!((upstream.sent().len(), upstream.done().len()), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_gateway_had_in_flight_is_in_doubt_and_no_more() {
    for honours_keys in [false, true] {
        let rules = RouteRules { honours_keys, ..RouteRules::default() };
        let first = Rig::new(quick(), rules.clone());
        for n in 0..10 {
            first.keep(&format!("k{n}"), &format!("{n}")).await;
        }
        let upstream = Upstream::deduping();
        (0..10).for_each(|n| upstream.fate(&format!("k{n}"), &[Fate::DoneThenHangs]));
        let backfill = first.run(&Switch::open(), &upstream);
        until("four are in flight", async || upstream.done().len() == 4).await;
        backfill.abort();
        advance(1).await;
        first.store.lose_holders();
        let second = Rig::over(first.store.clone(), quick(), rules);
        (4..10).for_each(|n| upstream.fate(&format!("k{n}"), &[]));
        let _backfill = second.run(&Switch::open(), &upstream);
        reaches(&second, "k9", EntryState::Applied).await;
        let rests = if honours_keys { EntryState::Applied } else { EntryState::InDoubt };
        for n in 0..4 {
            reaches(&second, &format!("k{n}"), rests).await;
        }
        let of = |wanted| {
            let states = second.states();
            async move { states.await.iter().filter(|(_, state)| *state == wanted).count() }
        };
        assert_eq!(of(EntryState::InDoubt).await, if honours_keys { 0 } else { 4 });
        assert_eq!(upstream.done().len(), 10, "each once");
        assert_eq!(upstream.sent().len(), if honours_keys { 14 } else { 10 });
        if !honours_keys {
            assert!(matches!(second.fence("k0").await, Some(FenceState::Unknown(_))));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_too_long_expires_also_while_all_is_frozen() {
    let rig = Rig::new(IntentsSettings { ttl: Duration::from_secs(60), ..quick() }, RouteRules::default());
    let (freezer, upstream) = (Switch::frozen(), Upstream::new());
    let _backfill = rig.run(&freezer, &upstream);
    rig.keep("old", "7").await;
    advance(30_000).await;
    rig.keep("young", "7").await;
    advance(29_000).await;
    assert_eq!(rig.state("old").await, Some(EntryState::Queued));
    advance(3_000).await;
    assert_eq!(rig.state("old").await, Some(EntryState::Expired));
    assert_eq!(rig.fence("old").await, None, "its key is free");
    assert_eq!(rig.state("young").await, Some(EntryState::Queued));
    freezer.thaw();
    reaches(&rig, "young", EntryState::Applied).await;
    assert_eq!(upstream.sent(), ["young"]);
}

#[tokio::test(start_paused = true)]
async fn a_route_that_is_frozen_waits_alone_and_is_taken_up_when_it_thaws() {
    let rig = Rig::new(IntentsSettings { soak: Duration::from_secs(5), ..quick() }, RouteRules::default());
    for n in 0..20 {
        rig.keep(&format!("i{n}"), &format!("{n}")).await;
    }
    let other = rig.facts("other", None);
    other.defer();
    assert_eq!(rig.ask(testing::write(&other, "o1", "o")).await.unwrap().status(), 202);
    let (freezer, upstream) = (Switch::open(), Upstream::new());
    freezer.freeze_route("ingest");
    let _backfill = rig.run(&freezer, &upstream);
    advance(8_000).await;
    assert_eq!(upstream.sent(), ["o1"], "younger, and not behind the frozen ones");
    advance(200_000).await;
    assert_eq!(upstream.sent(), ["o1"]);
    freezer.thaw_route("ingest");
    let begin = Instant::now();
    until("all are done", async || upstream.done().len() == 21).await;
    let took = begin.elapsed();
    assert!(took >= Duration::from_secs(5) && took < Duration::from_secs(8), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_route_soaks_though_others_have_been_open_for_long() {
    let rig = Rig::new(IntentsSettings { soak: Duration::from_secs(5), ..quick() }, RouteRules::default());
    rig.keep("k1", "7").await;
    let (freezer, upstream) = (Switch::open(), Upstream::new());
    advance(60_000).await;
    freezer.thaw_route("ingest");
    let _backfill = rig.run(&freezer, &upstream);
    advance(4_900).await;
    assert!(upstream.sent().is_empty());
    advance(1_200).await;
    assert_eq!(upstream.sent(), ["k1"]);
}

#[tokio::test(start_paused = true)]
async fn a_freeze_that_comes_back_in_the_middle_puts_back_what_was_not_sent() {
    let rig = rig();
    let (freezer, upstream) = (Switch::open(), Upstream::new());
    for n in 0..3 {
        rig.keep(&format!("k{n}"), "7").await;
    }
    upstream.fate("k1", &[Fate::Frozen, Fate::Status(200)]);
    let backfill = rig.run(&freezer, &upstream);
    reaches(&rig, "k0", EntryState::Applied).await;
    freezer.freeze();
    advance(5_000).await;
    assert_eq!(upstream.sent(), ["k0"]);
    let record = rig.intents.show(&rig.id("k1").await).await.unwrap();
    assert_eq!((record.state, record.attempts), (EntryState::Queued, 0), "it cost no try");
    freezer.thaw();
    let begin = Instant::now();
    until("all are done", async || upstream.done().len() == 3).await;
    assert!(begin.elapsed() < Duration::from_secs(2), "it is let go of when the freeze is over");
    assert_eq!(upstream.done(), ["k0", "k1", "k2"]);
    backfill.abort();
}

#[tokio::test(start_paused = true)]
async fn a_pause_holds_for_all_who_share_the_store_and_survives_a_restart() {
    let store = Shaky::new(testing::clock());
    let (one, two) =
        (Rig::over(store.clone(), quick(), honouring()), Rig::over(store.clone(), quick(), honouring()));
    let upstream = Upstream::new();
    let first = one.run(&Switch::open(), &upstream);
    let paused = two.intents.pause(Some("ops"), Some("looking at it")).await.unwrap();
    advance(1_100).await;
    one.keep("k1", "7").await;
    advance(60_000).await;
    assert!(upstream.sent().is_empty());
    assert_eq!(one.intents.status().await.unwrap().paused, Some(paused.clone()));
    let again = one.intents.pause(Some("ops2"), None).await.unwrap();
    assert_eq!((again.since_ms, again.by.as_deref()), (paused.since_ms, Some("ops2")));
    first.abort();
    let third = Rig::over(store, quick(), honouring());
    let _backfill = third.run(&Switch::open(), &upstream);
    advance(5_000).await;
    assert!(upstream.sent().is_empty());
    third.intents.resume().await.unwrap();
    until("it is done", async || upstream.done().len() == 1).await;
    third.intents.resume().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_waited_for_and_answers_that_are_lost_do_no_harm() {
    let rig = rig();
    for n in 0..6 {
        rig.keep(&format!("k{n}"), &format!("{}", n % 3)).await;
    }
    let upstream = Upstream::new();
    upstream.latency(Duration::from_millis(50));
    rig.store.fail(7);
    let _backfill = rig.run(&Switch::open(), &upstream);
    until("some are sent", async || !upstream.sent().is_empty()).await;
    rig.store.lose(9);
    advance(60).await;
    rig.store.fail(20);
    until("all are done", async || upstream.done().len() == 6).await;
    rig.store.fail(0);
    rig.store.lose(0);
    reaches(&rig, "k5", EntryState::Applied).await;
    assert!(rig.states().await.iter().all(|(_, state)| *state == EntryState::Applied));
    assert_eq!(upstream.sent().len(), 6, "each once");
    assert!(rig.intents.status().await.unwrap().last_error.is_some());
}

/// One gateway is slow: its claim was given up, and then it learns what became of it.
#[tokio::test(start_paused = true)]
async fn a_slow_holder_may_tell_what_became_of_it_until_another_has_begun() {
    for retried in [false, true] {
        let store = Shaky::new(testing::clock());
        let slow = Rig::over(store.clone(), quick(), RouteRules::default());
        slow.keep("k1", "7").await;
        let (upstream, other) = (Upstream::new(), Upstream::new());
        upstream.latency(Duration::from_secs(10));
        let _slow = slow.run(&Switch::open(), &upstream);
        advance(1_000).await;
        store.lose_holders();
        let quick = Rig::over(store.clone(), quick(), RouteRules::default());
        let _quick = quick.run(&Switch::open(), &other);
        reaches(&quick, "k1", EntryState::InDoubt).await;
        if retried {
            quick.intents.retry(&quick.id("k1").await).await.unwrap();
            reaches(&quick, "k1", EntryState::Applied).await;
        }
        let before = quick.entries().await;
        until("the slow one knows", async || slow.home().in_flight.lock().is_empty()).await;
        assert_eq!(quick.state("k1").await, Some(EntryState::Applied));
        assert_eq!(quick.entries().await == before, retried, "one that was overtaken is fenced off");
        assert!(matches!(quick.fence("k1").await, Some(FenceState::Sealed(_))));
        assert!(slow.scrape().contains("sluicegate_intents_late_outcomes_total 1"));
    }
}

#[tokio::test(start_paused = true)]
async fn two_gateways_over_one_store_share_the_work_and_keep_the_order() {
    let store = Shaky::shared(testing::clock());
    let rigs = [(); 2].map(|()| Rig::over(store.clone(), quick(), RouteRules::default()));
    for n in 0..40 {
        rigs[n % 2].keep(&format!("{}-{n:02}", n % 5), &format!("{}", n % 5)).await;
    }
    let shared = Upstream::new();
    shared.latency(Duration::from_millis(20));
    let _running: Vec<_> = rigs.iter().map(|rig| rig.run(&Switch::open(), &shared)).collect();
    until("all are done", async || shared.done().len() == 40).await;
    for line in 0..5 {
        let of: Vec<_> =
            shared.done().into_iter().filter(|key| key.starts_with(&format!("{line}-"))).collect();
        assert!(of.is_sorted() && of.len() == 8, "{of:?}");
    }
    assert_eq!(shared.sent().len(), 40);
    let sent = |rig: &Rig| rig.scrape().contains("sluicegate_intents_sent_total{route=\"ingest\"}");
    assert!(rigs.iter().all(sent), "both took part");
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_is_ill_does_not_put_every_line_in_doubt() {
    let rig = Rig::new(
        with(|backfill| (backfill.base, backfill.cap) = (Duration::from_secs(10), Duration::from_secs(600))),
        RouteRules::default(),
    );
    let upstream = Upstream::new();
    for n in 0..200 {
        rig.keep(&format!("k{n}"), &format!("{n}")).await;
        upstream.fate(&format!("k{n}"), &[Fate::Undone(500)]);
    }
    let _backfill = rig.run(&Switch::open(), &upstream);
    advance(10_000).await;
    let sent = upstream.sent().len();
    assert!((8..50).contains(&sent), "{sent}");
    (0..200).for_each(|n| upstream.fate(&format!("k{n}"), &[]));
    until("the rest is done", async || upstream.sent().len() == 200).await;
    assert!(upstream.done().len() >= 150);
}

#[tokio::test(start_paused = true)]
async fn a_stop_takes_up_nothing_more_and_waits_for_what_is_in_flight() {
    let rig = rig();
    for n in 0..10 {
        rig.keep(&format!("k{n}"), &format!("{n}")).await;
    }
    let upstream = Upstream::new();
    upstream.latency(Duration::from_secs(3));
    let backfill = rig.run(&Switch::open(), &upstream);
    advance(1_000).await;
    let begin = Instant::now();
    rig.intents.stop().await;
    assert_eq!(begin.elapsed().as_millis() / 100, 20);
    backfill.abort();
    let applied = rig.states().await.iter().filter(|(_, state)| *state == EntryState::Applied).count();
    assert_eq!((applied, upstream.sent().len()), (4, 4));
    assert!(rig.states().await.iter().all(|(_, state)| *state != EntryState::Applying));
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_a_claim_that_was_not_answered() {
    let rig = rig();
    rig.keep("k1", "7").await;
    let upstream = Upstream::new();
    let freezer = Switch::frozen();
    let backfill = rig.run(&freezer, &upstream);
    advance(1_500).await;
    rig.store.lose(1);
    freezer.thaw();
    advance(2).await;
    assert_eq!(rig.state("k1").await, Some(EntryState::Applying));
    assert!(rig.home().in_flight.lock().is_empty(), "and the gateway does not know it");
    freezer.freeze();
    rig.intents.stop().await;
    backfill.abort();
    assert_eq!(rig.state("k1").await, Some(EntryState::Queued), "it was put back");
    assert!(upstream.sent().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_a_backfill_that_is_gone() {
    let rig = rig();
    rig.keep("k1", "7").await;
    let backfill = rig.run(&Switch::open(), &Upstream::new());
    advance(50).await;
    rig.keep("k2", "7").await;
    rig.store.fail(u32::MAX);
    advance(50).await;
    backfill.abort();
    let _ = backfill.await;
    tokio::time::timeout(Duration::from_secs(10), rig.intents.stop()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_holds_its_line_and_no_other() {
    let rig = rig();
    let append = Append {
        id: new_id(rig.home().clock.unix_millis(), &rig.home().chance),
        tag: Tag(1),
        line: "foreign".into(),
        owner: "".into(),
        value: Bytes::from_static(b"\x09from a later version"),
        note: Bytes::from_static(b"\x09"),
        only_behind: false,
        record: None,
    };
    let caps = Caps { max_count: 10, max_bytes: 1000, share: 1.0 };
    let id = append.id;
    rig.home().store.append(append, caps).await.unwrap();
    let request = rig.marked("k1", "7");
    rig.ask(request).await.unwrap();
    let upstream = Upstream::new();
    let _backfill = rig.run(&Switch::open(), &upstream);
    until("the other is done", async || upstream.done() == ["k1"]).await;
    advance(2_000).await;
    let entry = rig.home().store.entry(id).await.unwrap().unwrap();
    assert_eq!((entry.state, entry.value.as_ref()), (EntryState::Queued, &b"\x09from a later version"[..]));
    let error = rig.intents.status().await.unwrap().last_error.unwrap().message;
    assert!(error.contains("has form 9"), "{error}");
    assert_eq!(
        rig.intents
            .list(&crate::IntentQuery { limit: 10, ..Default::default() })
            .await
            .unwrap()
            .intents
            .len(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn a_reload_changes_the_pace_of_what_is_kept_already() {
    let rig = Rig::new(with(|backfill| backfill.rps = 0.001), RouteRules::default());
    for n in 0..5 {
        rig.keep(&format!("k{n}"), &format!("{n}")).await;
    }
    let upstream = Upstream::new();
    let _backfill = rig.run(&Switch::open(), &upstream);
    advance(10_000).await;
    assert_eq!(upstream.done().len(), 1);
    rig.intents.apply(Arc::new(quick()), [("ingest".to_owned(), RouteRules::default())]);
    advance(3_000).await;
    assert_eq!(upstream.done().len(), 5);
}
