use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use sluicegate_core::{Chance, Clock, pins::Pins};
use sluicegate_rollout::{Checked, Checks, Declared, OpenOptions, RolloutInput, Rollouts, Traffic};
use sluicegate_store::Store;
use tokio::sync::Notify;

use super::{Port, failing::Losable, port, port_over};

/// What is asked about the arms before a step or a switch.
#[derive(Default)]
pub(super) struct Arms {
    /// What is not as it should be.
    wrong: Mutex<Vec<String>>,
    /// A check that is asked to be slow says here that it has begun, and waits to go on.
    slow: Mutex<bool>,
    begun: Notify,
    go_on: Notify,
}

impl Checks for Arms {
    fn arms_ready(&self, _: Vec<Box<str>>) -> Checked<'_> {
        Box::pin(async {
            if *self.slow.lock() {
                self.begun.notify_one();
                self.go_on.notified().await;
            }
            let wrong = self.wrong.lock().clone();
            if wrong.is_empty() { Ok(()) } else { Err(wrong) }
        })
    }
}

/// Two rollouts over this store, of which nothing was read yet.
pub(super) fn open(store: Store, registry: &mut Registry) -> (Rollouts, Arc<Arms>) {
    let arms = Arc::new(Arms::default());
    let options = OpenOptions {
        store,
        clock: Clock::system(),
        chance: Arc::new(Chance::seeded(1)),
        gateway: "gate-1".to_owned(),
        checks: arms.clone(),
        traffic: Traffic::register(registry),
        shards: 1,
    };
    let rollouts = Rollouts::open(options, registry);
    let declared = [("embed", "next"), ("rerank", "other")].map(|(name, candidate)| {
        let input = json!({ "active": "stable", "candidate": candidate, "steps": [10, 50, 100] });
        let input: RolloutInput = serde_json::from_value(input).unwrap();
        let pins = |hash| Arc::new(Pins::new([("INDEX_HASH", hash)]));
        Declared { name: name.into(), settings: input.check().unwrap(), pins: [pins("a1d9"), pins("b7f3")] }
    });
    rollouts.apply(declared.into());
    (rollouts, arms)
}

async fn looked(port: Port) -> Port {
    port.rollouts.look().await;
    port
}

async fn done(port: &Port, command: &str, body: &str) -> Value {
    let answer = port.post(&format!("/rollouts/embed/{command}"), body).await;
    assert_eq!(answer.status, 200, "{command}: {}", answer.body);
    answer.json()
}

#[tokio::test]
async fn a_run_is_steered_step_by_step_and_each_command_is_written_down() {
    let port = looked(port().await).await;
    let all = port.get("/rollouts").await.json();
    let names: Vec<_> = all["rollouts"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["embed", "rerank"]);
    assert!(all["version"].is_u64());
    let quiet = port.get("/rollouts/embed").await.json();
    assert_eq!(
        (&quiet["weight"], &quiet["active"], &quiet["candidate"]),
        (&json!(0), &json!("stable"), &json!("next"))
    );

    let headers = [("x-sluicegate-actor", "night shift")];
    let started = port.ask("POST", "/rollouts/embed/start", &headers, "").await.json();
    assert_eq!((&started["weight"], &started["run"]), (&json!(10), &json!(1)), "{started}");
    assert_eq!(done(&port, "advance", "{}").await["weight"], 50);
    let held = done(&port, "hold", r#"{"reason": "the phones are slow"}"#).await;
    assert_eq!(held["phase"]["reason"], "the phones are slow", "{held}");
    assert_eq!(done(&port, "resume", "").await["phase"]["step"], 1);
    let weight = port.ask("PUT", "/rollouts/embed/weight", &[], r#"{"weight": 7}"#).await;
    assert_eq!((weight.status, &weight.json()["weight"]), (200, &json!(7)), "{}", weight.body);
    let promoted = done(&port, "promote", "").await;
    assert_eq!((&promoted["active"], &promoted["weight"]), (&json!("next"), &json!(0)));
    let back = done(&port, "rollback", r#"{"reason": "wrong index"}"#).await;
    assert_eq!((&back["active"], &back["phase"]["reason"]), (&json!("stable"), &json!("wrong index")));
    let switched = done(&port, "switch", "").await;
    assert_eq!(switched["active"], "next");
    let aborted = done(&port, "abort", "").await;
    assert_eq!(done(&port, "abort", "").await["version"], aborted["version"], "it may be said twice");
    assert_eq!(port.get("/rollouts/embed").await.json()["phase"], aborted["phase"]);
    assert_eq!(port.get("/rollouts/rerank").await.json()["epoch"], 1, "the other one was left alone");

    let history = port.get("/rollouts/embed/history").await.json();
    let acts: Vec<_> = history["decisions"].as_array().unwrap().iter().map(|one| &one["act"]).collect();
    let expected = [
        "configured",
        "started",
        "advanced",
        "held",
        "resumed",
        "weighed",
        "promoted",
        "rolled_back",
        "switched",
        "rolled_back",
    ];
    assert_eq!(acts, expected);
    let start = &history["decisions"][1];
    assert!(start["by"]["name"].as_str().unwrap().starts_with("night shift (127.0.0.1:"), "{start}");
    assert_eq!(start["pins"]["next"], json!({ "INDEX_HASH": "b7f3" }));

    let audit = port.get("/audit").await.json();
    let entries = audit["entries"].as_array().unwrap();
    let actions: Vec<_> = entries.iter().rev().map(|entry| entry["action"].as_str().unwrap()).collect();
    let expected =
        ["start", "advance", "hold", "resume", "weight", "promote", "rollback", "switch", "abort", "abort"];
    assert_eq!(actions, expected.map(|name| format!("rollout_{name}")));
    assert!(entries.iter().all(|entry| entry["target"] == "embed" && entry["result"] == "ok"));
    let (weighed, started) = (&entries[5]["detail"], &entries[9]);
    assert_eq!((&weighed["asked"], &weighed["weight"]), (&json!({ "weight": 7 }), &json!(7)));
    assert_eq!(
        (&started["actor"]["claimed"], &started["detail"]["weight"]),
        (&json!("night shift"), &json!(10))
    );
    assert_eq!(entries[3]["detail"]["asked"], json!({ "reason": "wrong index" }));
}

#[tokio::test]
async fn what_is_not_possible_is_refused_with_what_is() {
    let port = looked(port().await).await;
    let answer = port.post("/rollouts/embed/advance", "").await;
    let (status, code, detail) = answer.problem();
    assert_eq!((status, code.as_str()), (409, "refused"), "{detail}");
    let body = answer.json();
    assert_eq!(
        (&body["phase"], &body["can"]),
        (&json!("idle"), &json!(["start", "set_weight", "switch", "abort"]))
    );
    let audited = port.last_audited().await;
    assert_eq!((&audited["action"], &audited["result"]), (&json!("rollout_advance"), &json!("refused")));

    for path in ["/rollouts/embde/abort", "/rollouts/embde/start"] {
        let unknown = port.post(path, "").await;
        assert_eq!(unknown.problem().0, 404);
        assert_eq!(
            (&unknown.json()["code"], &unknown.json()["known"]),
            (&json!("unknown_rollout"), &json!(["embed", "rerank"]))
        );
    }
    for path in ["/rollouts/embde", "/rollouts/embde/history"] {
        assert_eq!(port.get(path).await.problem().1, "unknown_rollout");
    }
    for (path, body, detail) in [
        ("start", r#"{"reason": "why not"}"#, "nothing was changed"),
        ("promote", "[]", "nothing was changed"),
        ("abort", r#"{"raeson": "slow"}"#, "unknown field `raeson`"),
        ("hold", "slow", "send {\"reason\": \"...\"} or nothing"),
    ] {
        let (status, _, text) = port.post(&format!("/rollouts/embed/{path}"), body).await.problem();
        assert!(status == 400 && text.contains(detail), "{path} {body}: {status} {text}");
    }
    for (body, detail) in [(r#"{"weight": 101}"#, "from 0 to 100"), ("", "not a JSON object")] {
        let (status, _, text) = port.ask("PUT", "/rollouts/embed/weight", &[], body).await.problem();
        assert!(status == 400 && text.contains(detail), "{body}: {status} {text}");
    }
    let long = format!("{{\"reason\": \"{}\"}}", "x".repeat(20_000));
    assert_eq!(port.post("/rollouts/embed/abort", &long).await.problem().0, 413);
    assert_eq!(port.post("/rollouts/embed/strat", "").await.problem().0, 404);
    assert_eq!(port.get("/rollouts/embed/abort").await.problem().0, 405);
    assert_eq!(port.get("/rollouts?since=x").await.problem().0, 400);
    assert_eq!(port.get("/rollouts/embed").await.json()["version"], 1, "nothing was changed");
}

#[tokio::test]
async fn arms_that_are_not_ready_are_told_with_what_stands_in_the_way() {
    let port = looked(port().await).await;
    let wrong = vec!["upstream next: endpoint http://n, by its manifest: INDEX_HASH is \"c0de\"".to_owned()];
    *port.arms.wrong.lock() = wrong.clone();
    for command in ["start", "switch"] {
        let answer = port.post(&format!("/rollouts/embed/{command}"), "").await;
        let (status, code, detail) = answer.problem();
        assert_eq!((status, code.as_str()), (409, "not_ready"));
        assert!(detail.contains(&wrong[0]), "{detail}");
        assert_eq!(answer.json()["diffs"], json!(wrong));
    }
    // The way out is open whatever the arms are.
    assert_eq!(port.post("/rollouts/embed/abort", "").await.status, 200);
    port.arms.wrong.lock().clear();
    assert_eq!(done(&port, "start", "").await["weight"], 10);
}

#[tokio::test]
async fn a_long_poll_answers_at_the_change() {
    let port = looked(port().await).await;
    let now = port.rollouts.version();
    let timed_out = port.get(&format!("/rollouts?wait=20ms&since={now}")).await.json();
    assert_eq!(timed_out["version"], now);
    let path = format!("/rollouts?wait=30s&since={now}");
    let (poll, start) = tokio::join!(port.get(&path), port.post("/rollouts/embed/start", ""));
    assert_eq!(start.status, 200);
    assert!(poll.json()["version"].as_u64().unwrap() > now);
    let behind = port.get(&path).await.json();
    assert!(behind["version"].as_u64().unwrap() > now);
    assert_eq!(behind["rollouts"][0]["weight"], 10);
}

#[tokio::test]
async fn a_command_runs_to_its_end_though_nobody_waits_for_the_answer() {
    let port = looked(port().await).await;
    *port.arms.slow.lock() = true;
    let client = port.send("POST", "/rollouts/embed/start", &[], "").await;
    port.arms.begun.notified().await;
    drop(client);
    // The port has seen that by the time it has served others.
    for _ in 0..3 {
        assert_eq!(port.get("/rollouts/embed").await.json()["weight"], 0);
    }
    port.arms.go_on.notify_one();
    port.audited(1).await;
    assert_eq!(port.last_audited().await["action"], "rollout_start");
    assert_eq!(port.get("/rollouts/embed").await.json()["weight"], 10);
}

#[tokio::test]
async fn an_abort_without_a_store_holds_here_and_says_that_it_does_only_here() {
    let store = Losable::new();
    let port = looked(port_over(Store::new(store.clone())).await).await;
    done(&port, "start", "").await;
    store.lose(true);
    let answer = port.post("/rollouts/embed/abort", r#"{"reason": "errors"}"#).await;
    let (status, code, _) = answer.problem();
    assert_eq!((status, code.as_str(), answer.header("retry-after")), (503, "only_here", Some("5")));
    let body = answer.json();
    assert_eq!((&body["in_effect"], &body["rollout"]["weight"]), (&json!(true), &json!(0)), "{body}");
    assert_eq!(body["rollout"]["open"], false);
    let audited = port.last_audited().await;
    assert_eq!((&audited["result"], &audited["detail"]["in_effect"]), (&json!("only_here"), &json!(true)));
    assert_eq!(audited["detail"]["asked"], json!({ "reason": "errors" }));

    let failed = port.post("/rollouts/rerank/start", "").await;
    assert_eq!((failed.problem().0, failed.problem().1.as_str()), (503, "store_unavailable"));
    assert_eq!(failed.json().get("in_effect"), None);

    store.lose(false);
    let told = async {
        while port.get("/rollouts/embed").await.json()["last"]["act"] != "aborted" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), told).await.expect("an abort that is written");
}
