//! A window by a rule, in a running gateway.

use serde_json::json;
use sluicegate_tests::{Client, Folder, Gateway, Upstream, client::post, comes_true, config, gateway::run};

use crate::from_now;

/// In a zone whose clocks are never set: a day there has 24 hours.
fn nightly(starts_in: i64) -> String {
    let from = from_now("Asia/Tokyo", starts_in);
    format!(
        r#"freeze: {{ windows: [{{ id: nightly, rule: FREQ=DAILY, time_zone: Asia/Tokyo, from: "{from}", duration: 6s, announce: 1h, reason: compaction }}] }}"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_by_a_rule_is_announced_comes_and_goes_and_the_next_is_known() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&config(&upstream.url(), &nightly(30 * 60)));
    let before = gateway.admin_get("/freeze").await;
    let next = &before["next"][0];
    assert_eq!(before["active"], false);
    assert_eq!(
        (&next["id"], &next["announced"], &next["reason"]),
        (&json!("nightly"), &json!(true), &json!("compaction"))
    );
    assert!(next["starts"].is_string() && next["ends"].is_string() && next["scope"].is_null(), "{next}");
    let status = gateway.cli(&["status"]).await;
    assert!(status.stdout.contains("nightly"), "{}", status.stdout);
    // Now one that comes soon, which the running gateway has from before its start.
    let soon = config(&upstream.url(), &nightly(3));
    assert_eq!(gateway.put_config("", &soon).await.status, 200);
    comes_true("the window is on", async || gateway.admin_get("/freeze").await["active"] == true).await;
    let mut client = Client::h1(gateway.address()).await;
    let refused = client.ask(post("/x", "hello")).await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "read_only"));
    assert_eq!(refused.json()["freeze"]["id"], "nightly");
    let on = gateway.admin_get("/freeze").await;
    assert_eq!(on["next"][0]["announced"], false, "tomorrow's is far: {on}");
    assert!(on["next"].as_array().unwrap().len() >= 8, "{on}");
    comes_true("it is over", async || gateway.admin_get("/freeze").await["active"] == false).await;
    assert_eq!(client.ask(post("/x", "hello")).await.status, 200);
    let whole = gateway.admin_get("/status").await;
    assert_eq!(whole["freeze"]["next"][0]["id"], "nightly");
    let status = gateway.cli(&["status"]).await;
    assert!(status.stdout.contains("coming: nightly covers everything in 23h59m"), "{}", status.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_merges_a_window_that_is_on_and_a_thaw_lifts_this_time_alone() {
    let upstream = Upstream::start().await;
    let from = from_now("Asia/Tokyo", -5);
    let document = |reason: &str| {
        let window = format!(
            r#"freeze: {{ windows: [{{ id: nightly, rule: FREQ=DAILY, time_zone: Asia/Tokyo, from: "{from}", duration: 10m, reason: {reason} }}] }}"#
        );
        config(&upstream.url(), &window)
    };
    let gateway = Gateway::start(&document("first"));
    let first = gateway.freeze_shown("nightly").await;
    assert_eq!((&first["reason"], &first["source"]), (&json!("first"), &json!("window")));
    assert_eq!(gateway.put_config("", &document("second")).await.status, 200);
    let second = gateway.freeze_shown("nightly").await;
    assert_eq!((&second["reason"], &second["since"]), (&json!("second"), &first["since"]));
    gateway.thaw("nightly").await;
    assert_eq!(gateway.put_config("", &document("third")).await.status, 200);
    let after = gateway.admin_get("/freeze").await;
    assert_eq!(after["active"], false, "it stays thawed");
    assert_eq!(after["next"][0]["reason"], "third", "and tomorrow's comes");
}

#[test]
fn check_shows_when_windows_are_on_and_where_a_rule_is_wrong() {
    let folder = Folder::default();
    let check = |extra: &str| {
        folder.write("gateway.yaml", config("http://127.0.0.1:1", extra));
        let mut command = std::process::Command::new(sluicegate_tests::gateway::binary());
        run(command.arg("check").arg(folder.config()))
    };
    let rule = |from: &str| {
        format!(
            r#"freeze: {{ windows: [{{ id: w, rule: FREQ=DAILY, time_zone: Asia/Tokyo, from: "{from}", duration: 1h }}] }}"#
        )
    };
    let from = from_now("Asia/Tokyo", 3 * 24 * 3600);
    let good = check(&rule(&from));
    assert_eq!(good.code, 0, "{}", good.stderr);
    let lines: Vec<_> = good.stdout.lines().filter(|line| line.starts_with("  window w: ")).collect();
    assert!(lines.len() == 3 && lines[0].ends_with(&format!("Z for 1h, {from} there")), "{}", good.stdout);
    let far = check(&rule("2150-01-03T02:30:00"));
    assert!(far.stdout.contains("window w: not once in the next ten years"), "{}", far.stdout);
    let wrong = check(
        r#"freeze: { windows: [{ id: w, rule: "FREQ=SECONDLY", time_zone: Europe/Berlin, from: "2100-01-03T02:30:00", duration: 1h }] }"#,
    );
    assert_eq!(wrong.code, 2, "{}", wrong.stdout);
    assert!(
        wrong.stderr.contains("gateway.yaml:6:36: freeze.windows[0].rule: comes by the minute or second"),
        "{}",
        wrong.stderr
    );
}
