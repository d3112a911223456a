use std::{fs, time::Duration};

use prometheus_client::registry::Registry;
use sluicegate_core::Access;
use tokio::task::JoinHandle;

use super::{FreezeOrder, Freezes};
use crate::{
    DrainReport, FreezeError, FreezeSettings, Scope, Source,
    testing::{advance, at, enter, facts, freezes, options, routes, settings, window, write},
};

fn order() -> FreezeOrder {
    FreezeOrder::default()
}

fn until(seconds: i64) -> FreezeOrder {
    FreezeOrder { until: Some(at(seconds)), ..order() }
}

/// With the timekeeper running, for as long as the handle's runtime lives.
fn kept(freezes: &Freezes) -> JoinHandle<std::convert::Infallible> {
    tokio::spawn(freezes.run())
}

fn on(freezes: &Freezes) -> Vec<String> {
    freezes.status().freezes.into_iter().map(|freeze| freeze.id).collect()
}

fn waiting(freezes: &Freezes, id: &'static str, limit: u64) -> JoinHandle<DrainReport> {
    let freezes = freezes.clone();
    tokio::spawn(async move { freezes.wait_drained(id, Duration::from_secs(limit)).await.unwrap() })
}

#[tokio::test(start_paused = true)]
async fn a_freeze_is_in_effect_with_the_call_and_until_it_is_removed() {
    let freezes = freezes();
    let write = facts("ingest", "stable", None, Access::Write);
    drop(enter(&freezes, &write).unwrap());
    let before = freezes.version();
    let order = FreezeOrder { reason: Some("moving".into()), by: Some("ops".into()), ..order() };
    let applied = freezes.put("move", order).await.unwrap();
    assert!(applied.version > before && !applied.persisted);
    assert_eq!((applied.freeze.since, applied.freeze.source), (at(0), Source::Operator));
    assert!(enter(&freezes, &write).is_err());
    let status = freezes.status();
    assert!(status.active);
    let freeze = &status.freezes[0];
    assert_eq!((freeze.by.as_deref(), freeze.reason.as_deref()), (Some("ops"), Some("moving")));
    assert_eq!(freeze.drained_at, Some(at(0)), "nothing ran");
    freezes.remove("move", None).await.unwrap();
    drop(enter(&freezes, &write).unwrap());
    assert!(!freezes.status().active);
}

#[tokio::test(start_paused = true)]
async fn a_put_that_is_repeated_changes_the_words_and_keeps_the_start() {
    let freezes = freezes();
    freezes.put("x", order()).await.unwrap();
    advance(5000).await;
    let again = freezes.put("x", until(60)).await.unwrap().freeze;
    assert_eq!((again.since, again.until), (at(0), Some(at(60))));
    let scoped =
        freezes.put("x", FreezeOrder { scope: routes(&["ingest"]), ..order() }).await.unwrap().freeze;
    assert_eq!((scoped.since, scoped.until), (at(5), None));
    assert_eq!(on(&freezes), ["x"]);
}

#[tokio::test(start_paused = true)]
async fn orders_that_cannot_be_used_say_why_and_change_nothing() {
    let freezes = freezes();
    freezes.apply(&FreezeSettings { read_only: true, ..settings(vec![window("night", 10, 20)]) });
    let version = freezes.version();
    let table: Vec<(&str, FreezeOrder, &str)> = vec![
        ("past", until(0), "until: `2030-01-05T02:00:00Z` has passed (it is 2030-01-05T02:00:00Z)"),
        ("", order(), "id: `` is not an id"),
        ("a b", order(), "id: `a b` is not an id"),
        ("..", order(), "id: `..` is not an id"),
        ("scoped", FreezeOrder { scope: routes(&[]), ..order() }, "scope.routes: names nothing"),
        ("long", FreezeOrder { reason: Some("x".repeat(1025)), ..order() }, "reason: has 1025 bytes"),
        ("config", order(), "`config` is the id of a freeze of the configuration"),
        ("night", order(), "`night` is the id of a freeze of the configuration"),
    ];
    for (id, order, words) in table {
        let error = freezes.put(id, order).await.unwrap_err();
        assert!(error.to_string().contains(words), "{id}: {error}");
        assert!(!error.in_effect());
    }
    let error = freezes.remove("config", None).await.unwrap_err();
    assert!(error.to_string().contains("set `freeze.read_only: false`"), "{error}");
    let error = freezes.remove("nope", None).await.unwrap_err();
    assert_eq!(error.to_string(), "no freeze `nope` is on; on are: config");
    assert_eq!(freezes.version(), version);
}

#[tokio::test(start_paused = true)]
async fn the_number_of_freezes_is_bounded() {
    let freezes = freezes();
    for n in 0..100 {
        freezes.put(&format!("f{n}"), order()).await.unwrap();
    }
    let error = freezes.put("one-more", order()).await.unwrap_err();
    assert!(error.to_string().contains("lift one first"), "{error}");
    freezes.put("f7", until(5)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn windows_begin_and_end_by_the_clock_and_can_be_dismissed() {
    let freezes = freezes();
    let _timekeeper = kept(&freezes);
    freezes.apply(&settings(vec![window("a", 10, 20), window("b", 30, 90)]));
    let next = freezes.status().next;
    assert_eq!(next.iter().map(|window| window.id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let write = facts("ingest", "stable", None, Access::Write);
    for (seconds, ids) in [(9, vec![]), (11, vec!["a"]), (19, vec!["a"]), (21, vec![]), (31, vec!["b"])] {
        let now = freezes.0.moment().wall;
        advance(u64::try_from(now.duration_until(at(seconds)).as_millis()).unwrap()).await;
        assert_eq!(on(&freezes), ids, "at {seconds}");
        assert_eq!(enter(&freezes, &write).is_err(), !ids.is_empty(), "at {seconds}");
    }
    let removed = freezes.remove("b", Some("ops")).await.unwrap();
    assert_eq!(removed.dismissed_until, Some(at(90)));
    advance(5000).await;
    assert!(on(&freezes).is_empty());
    freezes.apply(&settings(vec![window("b", 30, 90)]));
    assert!(on(&freezes).is_empty(), "a reload does not bring it back");
}

#[tokio::test(start_paused = true)]
async fn a_start_in_milliseconds_is_kept_to_the_millisecond() {
    let freezes = freezes();
    let _timekeeper = kept(&freezes);
    freezes.put("short", until(2)).await.unwrap();
    let mut versions = freezes.subscribe();
    versions.borrow_and_update();
    let begin = tokio::time::Instant::now();
    versions.changed().await.unwrap();
    let took = begin.elapsed();
    assert!(took >= Duration::from_secs(2) && took < Duration::from_millis(2005), "{took:?}");
    assert!(on(&freezes).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_document_changes_its_own_part_alone() {
    let freezes = freezes();
    freezes.put("mine", order()).await.unwrap();
    freezes.apply(&FreezeSettings {
        read_only: true,
        reason: Some("v1".into()),
        ..FreezeSettings::default()
    });
    assert_eq!(on(&freezes), ["config", "mine"]);
    advance(1000).await;
    freezes.apply(&FreezeSettings {
        read_only: true,
        reason: Some("v2".into()),
        ..FreezeSettings::default()
    });
    let config = freezes.status().freezes.remove(0);
    assert_eq!((config.reason.as_deref(), config.since), (Some("v2"), at(0)));
    let version = freezes.version();
    let same = FreezeSettings { read_only: true, reason: Some("v2".into()), ..FreezeSettings::default() };
    assert_eq!(freezes.apply(&same), version, "the same document changes nothing");
    freezes.apply(&FreezeSettings::default());
    assert_eq!(on(&freezes), ["mine"]);
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_each_write_that_was_let_through_and_for_no_other() {
    let freezes = freezes();
    let _timekeeper = kept(&freezes);
    let (first, a) = write(&freezes);
    let (second, b) = write(&freezes);
    let elsewhere = facts("other", "stable", None, Access::Write);
    let _other = enter(&freezes, &elsewhere).unwrap();
    freezes.put("x", FreezeOrder { scope: routes(&["ingest"]), ..order() }).await.unwrap();
    assert_eq!(freezes.status().freezes[0].writes_in_flight, 2);
    let wait = waiting(&freezes, "x", 60);
    first.attempt().sent();
    first.attempt().ended();
    advance(100).await;
    drop(a);
    advance(100).await;
    assert!(!wait.is_finished());
    assert_eq!(freezes.status().freezes[0].writes_in_flight, 1);
    second.attempt().not_applied();
    drop(b);
    let begin = tokio::time::Instant::now();
    let report = wait.await.unwrap();
    assert!(
        begin.elapsed() <= Duration::from_millis(5),
        "told when the last write ends, not by the next tick"
    );
    let whole = DrainReport { drained: true, waited_for: 2, in_flight: 0, unsettled: 0, ended: false };
    assert_eq!(report, whole);
    let freeze = freezes.status().freezes.remove(0);
    let drained_at = freeze.drained_at.unwrap();
    assert!(drained_at >= at(0) + Duration::from_millis(200), "{drained_at}");
    advance(3000).await;
    assert_eq!(freezes.status().freezes[0].drained_at, Some(drained_at), "it is noted once");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_of_unknown_end_is_unsettled_and_named() {
    let freezes = freezes();
    let _timekeeper = kept(&freezes);
    let lost = facts("ingest", "stable", Some("acme"), Access::Write);
    let guard = enter(&freezes, &lost).unwrap();
    lost.attempt().sent();
    freezes.put("x", order()).await.unwrap();
    let wait = waiting(&freezes, "x", 60);
    advance(1500).await;
    drop(guard);
    let report = wait.await.unwrap();
    assert_eq!((report.drained, report.unsettled, report.waited_for), (true, 1, 1));
    let freeze = freezes.status().freezes.remove(0);
    assert_eq!(freeze.unsettled, 1);
    let attempt = &freeze.unsettled_attempts[0];
    assert_eq!((attempt.route.as_str(), attempt.tenant.as_deref()), ("ingest", Some("acme")));
    assert_eq!((attempt.request_id.as_str(), attempt.upstream.as_str()), ("req-1", "stable"));
    assert_eq!(attempt.ended_at, at(1) + Duration::from_millis(500));
    advance(200_000).await;
    assert_eq!(freezes.status().freezes[0].unsettled, 1, "kept for as long as the freeze is on");
    freezes.remove("x", None).await.unwrap();
    advance(2000).await;
    freezes.put("y", order()).await.unwrap();
    assert_eq!(freezes.status().freezes[0].unsettled, 0, "forgotten after its memory");
}

#[tokio::test(start_paused = true)]
async fn what_went_out_of_sight_shortly_before_a_freeze_counts_for_it() {
    for (before, counted) in [(30_000, 1), (59_000, 1), (61_000, 0)] {
        let freezes = freezes();
        let _timekeeper = kept(&freezes);
        let (lost, guard) = write(&freezes);
        lost.attempt().sent();
        drop(guard);
        advance(before).await;
        freezes.put("x", order()).await.unwrap();
        freezes.put("elsewhere", FreezeOrder { scope: routes(&["other"]), ..order() }).await.unwrap();
        let counts: Vec<_> = freezes.status().freezes.iter().map(|freeze| freeze.unsettled).collect();
        assert_eq!(counts, [counted, 0], "{before} ms before");
    }
}

#[tokio::test(start_paused = true)]
async fn settle_waits_after_the_last_unsettled_attempt_and_only_then() {
    let freezes = freezes();
    let _timekeeper = kept(&freezes);
    freezes.apply(&FreezeSettings { settle: Duration::from_secs(10), ..FreezeSettings::default() });
    freezes.put("clean", order()).await.unwrap();
    assert!(freezes.status().freezes[0].drained_at.is_some(), "nothing unsettled, nothing to wait for");
    freezes.remove("clean", None).await.unwrap();
    let (lost, guard) = write(&freezes);
    lost.attempt().sent();
    freezes.put("x", order()).await.unwrap();
    advance(4000).await;
    drop(guard);
    let begin = tokio::time::Instant::now();
    let report = waiting(&freezes, "x", 60).await.unwrap();
    let took = begin.elapsed();
    assert!(report.drained && took >= Duration::from_secs(10) && took < Duration::from_secs(11), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn more_unsettled_attempts_than_can_be_listed_are_still_counted() {
    let freezes = freezes();
    for _ in 0..5000 {
        let (lost, guard) = write(&freezes);
        lost.attempt().sent();
        drop(guard);
    }
    freezes.put("x", order()).await.unwrap();
    let freeze = freezes.status().freezes.remove(0);
    assert_eq!((freeze.unsettled, freeze.unsettled_attempts.len()), (5000, 20));
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_at_its_limit_and_when_the_freeze_is_lifted() {
    let freezes = freezes();
    let _timekeeper = kept(&freezes);
    let (_facts, _guard) = write(&freezes);
    freezes.put("x", order()).await.unwrap();
    let report = freezes.wait_drained("x", Duration::from_secs(3)).await.unwrap();
    assert_eq!((report.drained, report.in_flight, report.ended), (false, 1, false));
    let wait = waiting(&freezes, "x", 60);
    advance(10).await;
    freezes.remove("x", None).await.unwrap();
    let report = wait.await.unwrap();
    assert_eq!((report.drained, report.ended, report.waited_for), (false, true, 1));
    let error = freezes.wait_drained("x", Duration::ZERO).await.unwrap_err();
    assert_eq!(error.to_string(), "no freeze `x` is on; none is");
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_returns_with_the_change_or_at_its_limit() {
    let freezes = freezes();
    let _timekeeper = kept(&freezes);
    let now = freezes.version();
    let begin = tokio::time::Instant::now();
    assert_eq!(freezes.changed(now, Duration::from_secs(30)).await.version, now);
    assert!(begin.elapsed() >= Duration::from_secs(30));
    assert_eq!(
        freezes.changed(now + 7, Duration::from_secs(30)).await.version,
        now,
        "another process's number"
    );
    let (lost, guard) = write(&freezes);
    freezes.put("x", order()).await.unwrap();
    let seen = freezes.changed(now, Duration::from_secs(30)).await;
    assert!(seen.active && seen.freezes[0].drained_at.is_none());
    lost.attempt().ended();
    drop(guard);
    let drained = freezes.changed(seen.version, Duration::from_secs(30)).await;
    assert!(drained.freezes[0].drained_at.is_some(), "a drain is a change");
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_set_survives_a_restart_and_a_dismissal_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/freeze.json");
    let open = || Freezes::open(options(Some(path.clone())), &mut Registry::default()).unwrap();
    let calendar = settings(vec![window("night", 0, 3600)]);
    let first = open();
    first.apply(&calendar);
    assert!(!folder.path().join("data").exists(), "nothing is made before the first order");
    let order = FreezeOrder {
        reason: Some("moving".into()),
        scope: routes(&["ingest"]),
        by: Some("ops".into()),
        ..until(600)
    };
    let applied = first.put("mine", order).await.unwrap();
    assert!(applied.persisted && applied.freeze.persisted);
    first.put("gone", until(600)).await.unwrap();
    first.remove("gone", None).await.unwrap();
    first.remove("night", Some("ops")).await.unwrap();
    drop(first);
    let second = open();
    assert_eq!(on(&second), ["mine"], "before any document is applied");
    second.apply(&calendar);
    let status = second.status();
    assert_eq!(on(&second), ["mine"], "the window stays dismissed");
    let freeze = &status.freezes[0];
    assert!(freeze.persisted && freeze.drained_at.is_some());
    assert_eq!((freeze.since, freeze.until), (at(0), Some(at(600))));
    assert_eq!((freeze.by.as_deref(), freeze.scope.as_ref()), (Some("ops"), Some(&routes(&["ingest"]))));
}

#[tokio::test(start_paused = true)]
async fn a_damaged_state_file_stops_the_opening_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("freeze.json");
    for damaged in ["{", "{\"format\":1,\"state\":{\"freezes\":[{}],\"dismissed\":[]}}"] {
        fs::write(&path, damaged).unwrap();
        let error =
            Freezes::open(options(Some(path.clone())), &mut Registry::default()).unwrap_err().to_string();
        assert!(error.contains("freeze.json is damaged") && error.contains("move it away"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_freeze_that_cannot_be_written_down_is_on_says_so_and_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("freeze.json");
    let freezes = Freezes::open(options(Some(path.clone())), &mut Registry::default()).unwrap();
    // A folder in the place of the file that the writer makes first.
    let blocked = folder.path().join("freeze.json.new");
    fs::create_dir(&blocked).unwrap();
    let error = freezes.put("x", order()).await.unwrap_err();
    assert!(matches!(error, FreezeError::NotPersisted { version, .. } if version == freezes.version()));
    assert!(error.in_effect());
    assert!(
        error.to_string().starts_with("the change is in effect, but could not be written down"),
        "{error}"
    );
    let freeze = freezes.status().freezes.remove(0);
    assert!(!freeze.persisted);
    assert!(enter(&freezes, &facts("ingest", "stable", None, Access::Write)).is_err());
    fs::remove_dir(&blocked).unwrap();
    let _timekeeper = kept(&freezes);
    while !freezes.status().freezes[0].persisted {
        advance(1000).await;
    }
    assert!(fs::read_to_string(&path).unwrap().contains("\"x\""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_orders_given_at_once_the_file_holds_what_is_in_effect() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("freeze.json");
    let opened = Freezes::open(options(Some(path.clone())), &mut Registry::default()).unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            let freezes = opened.clone();
            tokio::spawn(async move {
                for round in 0..6 {
                    let reason = Some(format!("{n}.{round}"));
                    freezes.put(&format!("f{}", n % 4), FreezeOrder { reason, ..order() }).await.unwrap();
                    if n == 7 {
                        // Somebody else may have lifted or put it meanwhile; either is fine.
                        drop(freezes.remove("f0", None).await);
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let reasons = |freezes: &Freezes| {
        let mut all: Vec<_> =
            freezes.status().freezes.into_iter().map(|freeze| (freeze.id, freeze.reason)).collect();
        all.sort();
        all
    };
    let live = reasons(&opened);
    assert!(opened.status().freezes.iter().all(|freeze| freeze.persisted));
    drop(opened);
    let again = Freezes::open(options(Some(path)), &mut Registry::default()).unwrap();
    assert_eq!(reasons(&again), live);
}

#[tokio::test(start_paused = true)]
async fn a_second_gateway_on_the_same_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("freeze.json");
    let _first = Freezes::open(options(Some(path.clone())), &mut Registry::default()).unwrap();
    let error = Freezes::open(options(Some(path)), &mut Registry::default()).unwrap_err().to_string();
    assert!(error.contains("in use by another process"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_window_and_an_operators_freeze_of_one_id_are_lifted_together() {
    let freezes = freezes();
    freezes.put("shared", order()).await.unwrap();
    freezes.apply(&settings(vec![window("shared", -10, 60)]));
    assert_eq!(on(&freezes), ["shared", "shared"]);
    freezes.remove("shared", None).await.unwrap();
    assert!(on(&freezes).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_scrape_shows_the_counts() {
    let mut registry = Registry::default();
    let freezes = Freezes::open(options(None), &mut registry).unwrap();
    let (lost, guard) = write(&freezes);
    lost.attempt().sent();
    drop(guard);
    let _running = write(&freezes);
    freezes.put("x", FreezeOrder { scope: Scope::default(), ..order() }).await.unwrap();
    drop(enter(&freezes, &facts("ingest", "stable", None, Access::Write)).unwrap_err());
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for line in [
        "sluicegate_freeze_blocked_writes_total{route=\"ingest\",freeze=\"x\"} 1",
        "sluicegate_freeze_unsettled_total{route=\"ingest\"} 1",
        "sluicegate_freeze_active 1",
        "sluicegate_freeze_writes_in_flight 1",
        "sluicegate_freeze_drain_seconds_count 0",
    ] {
        assert!(text.contains(line), "{line} is missing in:\n{text}");
    }
}

#[test]
fn what_is_shared_and_spawned_is_send_and_sync() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Freezes>();
    let _ = |freezes: &Freezes| -> Box<dyn Send> { Box::new(freezes.run()) };
}
