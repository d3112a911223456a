use http::StatusCode;
use sluicegate_store::{
    EntryState, Expect, Put, Tag,
    fence::{Fence, FenceState, StoredBody},
};

use super::{IntentQuery, Settlement};
use crate::{
    IntentError, RouteRules,
    testing::{Fate, Rig, Switch, Upstream, advance, fence_id, quick, until, write},
};

/// One intent in each state that an operator can bring about or find, by its key; nothing runs.
async fn one_of_each() -> (Rig, Upstream) {
    let mut settings = quick();
    settings.backfill.tries = 1;
    let rig = Rig::new(settings, RouteRules::default());
    let upstream = Upstream::new();
    for (key, fate) in [
        ("applied", Fate::Status(201)),
        ("refused", Fate::Undone(400)),
        ("used-up", Fate::Unreachable),
        ("doubt", Fate::DoneThenLost),
    ] {
        rig.keep(key, key).await;
        upstream.fate(key, &[fate]);
    }
    rig.keep("behind", "doubt").await;
    let backfill = rig.run(&Switch::open(), &upstream);
    until("all but one have come to rest", async || {
        let states = rig.states().await;
        states.iter().filter(|(_, state)| *state == EntryState::Queued).count() == 1
            && states.iter().all(|(_, state)| *state != EntryState::Applying)
    })
    .await;
    backfill.abort();
    let _ = backfill.await;
    (rig, upstream)
}

#[tokio::test(start_paused = true)]
async fn orders_in_the_wrong_state_say_where_it_stands_and_change_nothing() {
    let (rig, _) = one_of_each().await;
    let before = rig.entries().await;
    for (key, words) in [
        ("applied", "is applied; only one that is dead or in_doubt can be retried"),
        ("behind", "is queued; only one that is dead or in_doubt can be retried"),
    ] {
        let error = rig.intents.retry(&rig.id(key).await).await.unwrap_err();
        assert!(error.to_string().ends_with(words), "{error}");
    }
    let error = rig.intents.drop_intent(&rig.id("applied").await).await.unwrap_err();
    assert!(
        error.to_string().ends_with("only one that is queued or in_doubt or dead can be dropped"),
        "{error}"
    );
    for key in ["applied", "refused", "behind"] {
        let error = rig.intents.settle(&rig.id(key).await, Settlement::NotApplied).await.unwrap_err();
        assert!(matches!(error, IntentError::WrongState { .. }), "{error}");
    }
    for id in ["nonsense", "01890000-0000-7000-8000-000000000000"] {
        assert_eq!(rig.intents.show(id).await, Err(IntentError::Unknown(id.to_owned())));
    }
    assert_eq!(rig.entries().await, before);
}

#[tokio::test(start_paused = true)]
async fn what_is_retried_goes_to_the_queue_again_with_all_its_tries() {
    let (rig, upstream) = one_of_each().await;
    for key in ["refused", "used-up", "doubt"] {
        let id = rig.id(key).await;
        let record = rig.intents.retry(&id).await.unwrap();
        assert_eq!((record.state, record.attempts), (EntryState::Queued, 1), "{key}");
        assert!(matches!(rig.fence(key).await, Some(FenceState::Deferred(_))), "{key}");
    }
    let facts = rig.facts("ingest", None);
    let behind = rig.ask(write(&facts, "after", "refused")).await.unwrap();
    assert_eq!(behind.status(), 202, "writes of its line look for it again");
    let _backfill = rig.run(&Switch::open(), &upstream);
    until("all are applied", async || {
        rig.states().await.iter().all(|(_, state)| *state == EntryState::Applied)
    })
    .await;
    let done = upstream.done();
    let at = |key: &str| done.iter().rposition(|known| known == key);
    assert!(at("doubt") < at("behind") && at("refused") < at("after"));
}

#[tokio::test(start_paused = true)]
async fn a_retry_is_refused_where_the_key_was_used_since() {
    let (rig, upstream) = one_of_each().await;
    for key in ["refused", "used-up", "doubt"] {
        let record = rig.home().store.get(fence_id(key)).await.unwrap();
        let expect = record.as_ref().map_or(Expect::Absent, |record| Expect::Tag(record.tag));
        let intent = rig.entries().await.into_iter().find_map(|entry| {
            let intent = crate::intent::Intent::decode(&entry.value).unwrap();
            (*intent.key == *key).then_some(intent)
        });
        let fence = Fence {
            request_id: "another".into(),
            ..intent.unwrap().fence(FenceState::Running, &rig.home().clock)
        };
        let put = Put {
            tag: Tag(5),
            value: fence.encode().unwrap(),
            owner: "".into(),
            ttl: std::time::Duration::from_secs(60),
            held: true,
        };
        rig.home().store.swap(fence_id(key), expect, Some(put)).await.unwrap();
        let id = rig.id(key).await;
        assert_eq!(rig.intents.retry(&id).await, Err(IntentError::KeyTaken(id.clone())), "{key}");
        rig.intents.drop_intent(&id).await.unwrap();
        assert_eq!(
            rig.fence(key).await,
            Some(FenceState::Running),
            "the other attempt's fence is left alone"
        );
    }
    let sent = upstream.sent().len();
    let _backfill = rig.run(&Switch::open(), &upstream);
    advance(3_000).await;
    assert_eq!(upstream.sent().len(), sent + 1, "only what stood behind");
}

#[tokio::test(start_paused = true)]
async fn what_is_dropped_is_never_sent() {
    let (rig, upstream) = one_of_each().await;
    for key in ["refused", "used-up", "doubt", "behind"] {
        let record = rig.intents.drop_intent(&rig.id(key).await).await.unwrap();
        assert_eq!(record.state, EntryState::Dropped);
    }
    assert_eq!(rig.fence("behind").await, None, "its key is free");
    assert_eq!(rig.fence("used-up").await, None);
    assert!(matches!(rig.fence("refused").await, Some(FenceState::Sealed(_))), "it was answered");
    assert!(matches!(rig.fence("doubt").await, Some(FenceState::Unknown(_))), "it may have been applied");
    let life = rig.home().store.get(fence_id("doubt")).await.unwrap().unwrap().expires_in;
    assert!(life <= rig.rules.fence_ttl, "but not for ever");
    let sent = upstream.sent();
    let _backfill = rig.run(&Switch::open(), &upstream);
    advance(3_000).await;
    assert_eq!(upstream.sent(), sent);
}

#[tokio::test(start_paused = true)]
async fn a_doubt_is_settled_by_what_the_operator_found() {
    for settlement in [Settlement::Applied(StatusCode::CREATED), Settlement::NotApplied] {
        let (rig, upstream) = one_of_each().await;
        let id = rig.id("doubt").await;
        let record = rig.intents.settle(&id, settlement).await.unwrap();
        match settlement {
            Settlement::Applied(_) => {
                assert_eq!((record.state, record.response.unwrap().status), (EntryState::Applied, 201));
                let Some(FenceState::Sealed(answer)) = rig.fence("doubt").await else { panic!() };
                assert!(matches!(answer.body, StoredBody::NotKept(_)));
            }
            Settlement::NotApplied => {
                assert_eq!((record.state, rig.fence("doubt").await), (EntryState::Dead, None));
                assert!(record.error.unwrap().contains("an operator found"));
            }
        }
        let _backfill = rig.run(&Switch::open(), &upstream);
        until("its line goes on", async || rig.state("behind").await == Some(EntryState::Applied)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn lists_are_paged_and_filtered() {
    let rig = Rig::new(quick(), RouteRules::default());
    for n in 0..70 {
        let facts = rig.facts(if n % 2 == 0 { "ingest" } else { "other" }, (n % 7 == 0).then_some("acme"));
        facts.defer();
        rig.ask(write(&facts, &format!("k{n:02}"), "7")).await.unwrap();
        advance(1).await;
    }
    let whole = IntentQuery { limit: 500, ..IntentQuery::default() };
    let page = rig.intents.list(&whole).await.unwrap();
    assert_eq!((page.intents.len(), page.next), (70, None));
    assert!(page.intents.is_sorted_by_key(|record| record.key.clone()));
    let mut query = IntentQuery { limit: 9, route: Some("ingest".into()), ..IntentQuery::default() };
    let mut keys = Vec::new();
    loop {
        let page = rig.intents.list(&query).await.unwrap();
        assert!(page.intents.len() <= 9);
        keys.extend(page.intents.into_iter().map(|record| record.key));
        let Some(next) = page.next else { break };
        query.after = Some(next);
    }
    assert_eq!((keys.len(), keys[1].as_str()), (35, "k02"));
    let of = IntentQuery { tenant: Some("acme".into()), state: Some(EntryState::Queued), ..whole.clone() };
    let page = rig.intents.list(&of).await.unwrap();
    assert_eq!(page.intents.len(), 10);
    let record = &page.intents[0];
    assert_eq!((record.method.as_str(), record.path.as_str(), record.bytes), ("POST", "/v1/documents/7", 13));
    assert_eq!(
        (record.tenant.as_deref(), record.created_at.as_second()),
        (Some("acme"), crate::testing::START)
    );
    let none = IntentQuery { state: Some(EntryState::Dead), ..whole.clone() };
    assert!(rig.intents.list(&none).await.unwrap().intents.is_empty());
    let wrong = IntentQuery { after: Some("x".into()), ..whole };
    let error = rig.intents.list(&wrong).await.unwrap_err();
    assert_eq!(error.to_string(), "`x` is not the id of an intent");
}

#[tokio::test(start_paused = true)]
async fn the_status_tells_what_stands_where() {
    let (rig, _) = one_of_each().await;
    advance(5_000).await;
    let status = rig.intents.status().await.unwrap();
    let of = |state: &str| status.count[state];
    assert_eq!((of("applied"), of("dead"), of("in_doubt"), of("queued"), of("expired")), (1, 2, 1, 1, 0));
    assert!(status.bytes > 0 && status.oldest_ms.unwrap() >= 5_000);
    assert_eq!((status.paused, status.in_flight, status.not_durable), (None, 0, None));
    rig.store.fail(1);
    assert!(matches!(rig.intents.status().await, Err(IntentError::Store(_))));
    let long = "x".repeat(2000);
    assert!(matches!(rig.intents.pause(Some(&long), None).await, Err(IntentError::Invalid(_))));
}

#[tokio::test(start_paused = true)]
async fn gauges_show_what_was_seen_last() {
    let (rig, upstream) = one_of_each().await;
    let _backfill = rig.run(&Switch::frozen(), &upstream);
    rig.intents.pause(None, None).await.unwrap();
    advance(2_500).await;
    let scrape = rig.scrape();
    for line in [
        "sluicegate_intents{state=\"applied\"} 1",
        "sluicegate_intents{state=\"dead\"} 2",
        "sluicegate_intents{state=\"in_doubt\"} 1",
        "sluicegate_intents{state=\"queued\"} 1",
        "sluicegate_intents_oldest_seconds 2",
        "sluicegate_intents_in_flight 0",
        "sluicegate_intents_paused 1",
    ] {
        assert!(scrape.contains(line), "{line}: {scrape}");
    }
}
