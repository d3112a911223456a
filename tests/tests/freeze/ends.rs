//! How a freeze begins and ends: known ends, windows, the configuration, restarts.

use std::time::{Duration, Instant};

use http::Method;
use jiff::Timestamp;
use serde_json::json;
use sluicegate_tests::{Gateway, LIMIT, Raw, Upstream, config};

use crate::{assert_frozen, read, retry_after, write};

async fn start(extra: &str) -> (Upstream, Gateway, Raw) {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&config(&upstream.url(), extra));
    let raw = Raw::connect(gateway.address()).await;
    (upstream, gateway, raw)
}

/// Sends writes until one passes, and returns how long that took.
async fn until_thawed(raw: &mut Raw) -> Duration {
    let start = Instant::now();
    while write(raw, "/", "").await.status != 200 {
        assert!(start.elapsed() < LIMIT, "the freeze does not end");
    }
    start.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_end_it_is_423_and_the_configured_retry_after() {
    let (upstream, gateway, mut raw) = start("freeze: { retry_after: { default: 7s, spread: 3s } }").await;
    assert_eq!(write(&mut raw, "/", "").await.status, 200);
    let output = gateway.cli(&["freeze", "--id", "night", "--reason", "rebuilding the index"]).await;
    assert_eq!(output.code, 0, "{output:?}");
    for _ in 0..20 {
        let answer = write(&mut raw, "/", "").await;
        let problem = assert_frozen(&answer, 423);
        assert!((7..=10).contains(&retry_after(&answer)), "{answer:?}");
        let freeze = &problem["freeze"];
        assert_eq!((&freeze["id"], &freeze["reason"]), (&"night".into(), &"rebuilding the index".into()));
        assert!(freeze["since"].as_str().unwrap().parse::<Timestamp>().is_ok(), "{freeze}");
        assert!(freeze["until"].is_null(), "{freeze}");
        let answer = read(&mut raw, "/").await;
        assert_eq!(answer.status, 200);
        assert!(answer.fields.get("sluicegate-freeze").unwrap().contains("id=night"), "{answer:?}");
    }
    assert_eq!(gateway.cli(&["thaw", "--id", "night"]).await.code, 0);
    assert_eq!(write(&mut raw, "/", "").await.status, 200);
    assert_eq!(read(&mut raw, "/").await.fields.get("sluicegate-freeze"), None);
    assert_eq!(upstream.seen().iter().filter(|seen| seen.method == "POST").count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_an_end_it_is_503_until_then_and_the_retry_after_is_true() {
    let (_upstream, gateway, mut raw) = start("freeze: { retry_after: { spread: 2s } }").await;
    let start = Instant::now();
    let output = gateway.cli(&["freeze", "--for", "3s"]).await;
    assert_eq!(output.code, 0, "{output:?}");
    let answer = write(&mut raw, "/", "").await;
    let problem = assert_frozen(&answer, 503);
    let left = Duration::from_secs(3).saturating_sub(start.elapsed());
    let seconds = retry_after(&answer);
    assert!(seconds >= left.as_secs() && seconds <= 3 + 2, "{seconds} s with {left:?} left");
    let until: Timestamp = problem["freeze"]["until"].as_str().unwrap().parse().unwrap();
    let banner = read(&mut raw, "/").await;
    assert!(banner.fields.get("sluicegate-freeze").unwrap().contains("until="), "{banner:?}");
    until_thawed(&mut raw).await;
    assert!(Timestamp::now() >= until, "it ended early");
    assert!(start.elapsed() >= Duration::from_millis(2900), "{:?}", start.elapsed());
    assert_eq!(gateway.admin_get("/freeze").await["active"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn until_names_the_moment() {
    let (_upstream, gateway, mut raw) = start("").await;
    let until = Timestamp::now() + Duration::from_secs(2);
    let output = gateway.cli(&["freeze", "--id", "short", "--until", &until.to_string()]).await;
    assert_eq!(output.code, 0, "{output:?}");
    assert_frozen(&write(&mut raw, "/", "").await, 503);
    until_thawed(&mut raw).await;
    assert!(Timestamp::now() >= until, "it ended early");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_has_passed_or_is_none_is_refused() {
    let (_upstream, gateway, mut raw) = start("").await;
    for arguments in [
        ["freeze", "--until", "2001-01-01T00:00:00Z"],
        ["freeze", "--until", "tomorrow"],
        ["freeze", "--for", "a while"],
        ["freeze", "--for", "0s"],
    ] {
        let output = gateway.cli(&arguments).await;
        assert!(output.code > 0 && !output.stderr.is_empty(), "{arguments:?}: {output:?}");
    }
    assert_eq!(write(&mut raw, "/", "").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_can_be_set() {
    for (status, expected) in [("423", [423, 423]), ("503", [503, 503]), ("auto", [423, 503])] {
        let (_upstream, gateway, mut raw) = start(&format!("freeze: {{ status: {status} }}")).await;
        gateway.freeze("x", &json!({})).await;
        assert_frozen(&write(&mut raw, "/", "").await, expected[0]);
        gateway.freeze("x", &json!({ "for": "1h" })).await;
        assert_frozen(&write(&mut raw, "/", "").await, expected[1]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_of_the_calendar_opens_and_closes_by_itself() {
    let start_at = Timestamp::now() + Duration::from_millis(1500);
    let end_at = start_at + Duration::from_secs(2);
    let window = format!(
        r#"freeze: {{ windows: [{{ id: reindex, start: "{start_at}", end: "{end_at}", reason: rebuilding }}] }}"#
    );
    let (_upstream, gateway, mut raw) = start(&window).await;
    let before = write(&mut raw, "/", "").await;
    assert!(before.status == 200 || Timestamp::now() >= start_at, "it opened early: {before:?}");
    let begin = Instant::now();
    let mut answer = before;
    while answer.status == 200 {
        assert!(begin.elapsed() < LIMIT, "the window does not open");
        answer = write(&mut raw, "/", "").await;
    }
    assert!(Timestamp::now() >= start_at && Timestamp::now() < end_at, "at the wrong time");
    let problem = assert_frozen(&answer, 503);
    assert_eq!(
        (&problem["freeze"]["id"], &problem["freeze"]["reason"]),
        (&"reindex".into(), &"rebuilding".into())
    );
    assert_eq!(gateway.freeze_shown("reindex").await["id"], "reindex");
    until_thawed(&mut raw).await;
    assert!(Timestamp::now() >= end_at, "it closed early");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_survives_kill_minus_nine_and_so_does_its_end() {
    let upstream = Upstream::start().await;
    let yaml = config(&upstream.url(), "").replace("memory: {}", "embedded: { path: data }");
    let gateway = Gateway::start(&yaml);
    assert_eq!(gateway.cli(&["freeze", "--id", "kept", "--reason", "moving"]).await.code, 0);
    let before = gateway.freeze_shown("kept").await;
    let gateway = gateway.kill_and_restart();
    let after = gateway.freeze_shown("kept").await;
    for member in ["id", "reason", "since", "until", "scope"] {
        assert_eq!(before[member], after[member], "{member}");
    }
    let mut raw = Raw::connect(gateway.address()).await;
    assert_frozen(&write(&mut raw, "/", "").await, 423);
    assert_eq!(gateway.cli(&["thaw", "--id", "kept"]).await.code, 0);
    let gateway = gateway.kill_and_restart();
    let mut raw = Raw::connect(gateway.address()).await;
    assert_eq!(write(&mut raw, "/", "").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_freezes_hold_until_the_last_is_lifted() {
    let (_upstream, gateway, mut raw) = start("").await;
    for id in ["one", "two", "three"] {
        gateway.freeze(id, &json!({ "reason": id })).await;
    }
    let shown = gateway.admin_get("/freeze").await;
    assert_eq!(shown["freezes"].as_array().unwrap().len(), 3, "{shown}");
    for id in ["two", "one", "three"] {
        assert_frozen(&write(&mut raw, "/", "").await, 423);
        gateway.thaw(id).await;
    }
    assert_eq!(write(&mut raw, "/", "").await.status, 200);
    let answer = gateway.admin(Method::DELETE, "/freeze/two", "").await;
    assert_eq!(answer.status, 404, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configurations_freeze_is_the_configurations_to_lift() {
    let (upstream, gateway, mut raw) = start("freeze: { read_only: true }").await;
    assert_frozen(&write(&mut raw, "/", "").await, 423);
    let shown = gateway.admin_get("/freeze").await;
    assert_eq!(shown["active"], true, "{shown}");
    let id = shown["freezes"][0]["id"].as_str().unwrap().to_owned();
    assert!(gateway.cli(&["thaw", "--id", &id]).await.code != 0);
    assert_frozen(&write(&mut raw, "/", "").await, 423);
    gateway.folder().write("gateway.yaml", config(&upstream.url(), ""));
    until_thawed(&mut raw).await;
}
