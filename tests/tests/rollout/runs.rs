//! Runs that pass, are held, or only look.

use serde_json::Value;
use sluicegate_tests::{Arms, Gateway, Which, comes_true, reaches};

use crate::{
    Rules, ask,
    callers::{Callers, Kind, Plan, assert_good, failed},
    decisions, done, phase, stands, try_of, until_phase, whose,
};

/// A run of three steps that is over in seconds, judged by its errors alone: how fast a busy
/// machine is says nothing about an upstream.
const SHORT: &str = "sticky: { header: x-user-id }, steps: [25, 50, 100], \
     window: { at_least: 300ms, samples: 20 }, \
     gates: { error_rate: 0.1, latency_p95_uplift: 0.9 }, \
     abort: { error_rate: 0.2, latency_p99_ratio: 50 }";

const BY_ERRORS: &str = "dry_run: [latency_p95_uplift, abort_latency_p99_ratio]";

const BY_NOTHING: &str = crate::UNJUDGED;

async fn load(gateway: &Gateway, under: &'static [&'static str]) -> Callers {
    let mut callers = Callers::default();
    for under in under {
        callers.h2(gateway.address(), 4, Plan { under, ..Plan::of(&[Kind::Read]) }).await;
    }
    reaches("the load runs", 20, async || callers.done()).await;
    callers
}

fn acts(decisions: &[Value]) -> Vec<(&str, &str)> {
    decisions.iter().map(|it| (it["act"].as_str().unwrap(), it["by"]["kind"].as_str().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_passes_is_promoted_and_writes_follow_it() {
    let rollout = format!("{SHORT}, {BY_ERRORS}");
    let (_arms, gateway) = Rules { rollout, ..Rules::default() }.start().await;
    let callers = load(&gateway, &[""]).await;
    let write = async || whose(&ask(&gateway, "POST", "/x", "X-User-Id: u\r\n").await);
    done(&gateway, "start").await;
    let shown = until_phase(&gateway, "r", "complete").await;
    assert_eq!((&shown["weight"], &shown["active"]), (&100.into(), &"stable".into()), "{shown}");
    assert_eq!(write().await, Which::Stable, "all reads are on the candidate, and no write");
    let promoted = done(&gateway, "promote").await;
    assert_eq!((&promoted["active"], &promoted["weight"]), (&"next".into(), &0.into()), "{promoted}");
    assert_eq!(write().await, Which::Next);
    assert_eq!(whose(&ask(&gateway, "GET", "/x", "").await), Which::Next);
    done(&gateway, "rollback").await;
    assert_eq!(write().await, Which::Stable, "the way back");
    let calls = callers.stop().await;
    assert_good(&calls);
    let decisions = decisions(&gateway, "r").await;
    let expected = [
        ("started", "operator"),
        ("advanced", "gateway"),
        ("advanced", "gateway"),
        ("completed", "gateway"),
        ("promoted", "operator"),
        ("rolled_back", "operator"),
    ];
    let acts = acts(&decisions);
    assert_eq!(acts[acts.len() - expected.len()..], expected, "{acts:?}");
    for step in decisions.iter().filter(|it| it["by"]["kind"] == "gateway") {
        let (report, weight) = (&step["report"], &step["weight"]);
        let by_errors = &report["gates"][0];
        assert_eq!(
            (&by_errors["gate"], &by_errors["verdict"]),
            (&"error_rate".into(), &"pass".into()),
            "{step}"
        );
        assert!(report["samples"][1].as_u64().unwrap() >= 20, "{step}");
        println!("{} {weight}: samples {}, errors {}", step["act"], report["samples"], report["errors"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_can_be_promoted_by_itself() {
    let rollout = format!("{SHORT}, {BY_ERRORS}, auto_promote: true");
    let (_arms, gateway) = Rules { rollout, ..Rules::default() }.start().await;
    let callers = load(&gateway, &[""]).await;
    done(&gateway, "start").await;
    let shown = until_phase(&gateway, "r", "idle").await;
    assert_eq!((&shown["active"], &shown["candidate"]), (&"next".into(), &"stable".into()), "{shown}");
    assert_eq!(whose(&ask(&gateway, "POST", "/x", "").await), Which::Next);
    assert_good(&callers.stop().await);
    let decisions = decisions(&gateway, "r").await;
    assert_eq!(acts(&decisions).last(), Some(&("promoted", "gateway")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_switched_to_and_fails_is_taken_back_by_itself() {
    let rollout = format!("{SHORT}, {BY_ERRORS}, switch: {{ hold: 10m }}");
    let (arms, gateway) = Rules { rollout, ..Rules::default() }.start().await;
    let callers = load(&gateway, &[""]).await;
    let switched = done(&gateway, "switch").await;
    assert_eq!((phase(&switched), &switched["active"]), ("switched", &"next".into()), "{switched}");
    let goal = arms.count(Which::Next) + 40;
    reaches("requests on the new arm", goal, async || arms.count(Which::Next)).await;
    assert_eq!(phase(&stands(&gateway, "r").await), "switched", "as long as it is well it stays");
    arms.fail(Which::Next, 2);
    let shown = until_phase(&gateway, "r", "aborted").await;
    assert_eq!((&shown["active"], &shown["open"]), (&"stable".into(), &false.into()), "{shown}");
    for method in ["GET", "POST"] {
        assert_eq!(whose(&ask(&gateway, method, "/x", "").await), Which::Stable, "{method}");
    }
    let calls = callers.stop().await;
    let decisions = decisions(&gateway, "r").await;
    assert_eq!(acts(&decisions).last(), Some(&("rolled_back", "gateway")), "{decisions:?}");
    println!("taken back after {} failures", failed(&calls).len());
}

/// Two rollouts between the same upstreams, each with a route of its name.
fn pair(arms: &Arms, rollouts: [(&str, &str); 2]) -> String {
    let [(one, ones), (other, others)] = rollouts;
    let route = |name: &str| {
        format!(
            "  - {{ name: {name}, match: {{ path: \"/{name}/{{*rest}}\" }}, upstream: {{ rollout: {name} }} }}"
        )
    };
    let rollout = |name: &str, piece: &str| {
        format!("  {name}: {{ active: stable, candidate: next, {SHORT}, {piece} }}")
    };
    format!(
        r#"listen: [{{ address: "127.0.0.1:0" }}]
admin: {{ address: "127.0.0.1:0" }}
store: {{ memory: {{}} }}
upstreams:
  stable: {{ endpoints: ["{}"], breaker: {{ consecutive: 0 }} }}
  next: {{ endpoints: ["{}"], breaker: {{ consecutive: 0 }} }}
routes:
{}
{}
rollouts:
{}
{}
"#,
        arms.url(Which::Stable),
        arms.url(Which::Next),
        route(one),
        route(other),
        rollout(one, ones),
        rollout(other, others),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_held_stays_at_its_step_while_another_one_passes_them_all() {
    let arms = Arms::start().await;
    let gateway = Gateway::start(&pair(&arms, [("going", BY_ERRORS), ("held", BY_ERRORS)]));
    let callers = load(&gateway, &["/going", "/held"]).await;
    for (name, verb) in [("held", "start"), ("held", "hold"), ("going", "start")] {
        let answer = try_of(&gateway, name, verb).await;
        assert_eq!(answer.status, 200, "{name} {verb}: {}", answer.json());
    }
    until_phase(&gateway, "going", "complete").await;
    let shown = stands(&gateway, "held").await;
    assert_eq!((phase(&shown), &shown["weight"]), ("held", &25.into()), "{shown}");
    // It is looked at all the time, and has more than enough to pass.
    let mut samples = Value::Null;
    let enough = async || {
        samples = stands(&gateway, "held").await["progress"]["samples"].take();
        samples[1].as_u64().is_some_and(|samples| samples >= 60)
    };
    comes_true("samples of a held step", enough).await;
    assert_eq!(phase(&stands(&gateway, "held").await), "held");
    println!("held with {samples}");
    let resumed = try_of(&gateway, "held", "resume").await;
    assert_eq!(resumed.status, 200, "{}", resumed.json());
    until_phase(&gateway, "held", "complete").await;
    assert_good(&callers.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn gates_that_only_look_stop_nothing_that_the_others_would() {
    let arms = Arms::start().await;
    arms.fail(Which::Next, 2);
    let gateway = Gateway::start(&pair(&arms, [("strict", BY_ERRORS), ("dry", BY_NOTHING)]));
    let callers = load(&gateway, &["/strict", "/dry"]).await;
    for name in ["strict", "dry"] {
        let answer = try_of(&gateway, name, "start").await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.json());
    }
    until_phase(&gateway, "strict", "aborted").await;
    until_phase(&gateway, "dry", "complete").await;
    let calls = callers.stop().await;
    println!("{} of {} calls failed at the candidate", failed(&calls).len(), calls.len());
    let strict = decisions(&gateway, "strict").await;
    assert_eq!(acts(&strict).last(), Some(&("aborted", "gateway")), "{strict:?}");
    // What they saw is on record all the same.
    let dry = decisions(&gateway, "dry").await;
    let told: Vec<_> =
        dry.iter().map(|it| &it["report"]["gates"][0]["verdict"]).filter(|it| !it.is_null()).collect();
    assert_eq!(told.len(), 3, "{dry:?}");
    assert!(told.iter().all(|verdict| **verdict != "pass"), "{told:?}");
}
