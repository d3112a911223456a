use std::time::Duration;

use serde_json::{Value, json};

use super::{AbortInput, GatesInput, RolloutInput, RolloutSettings};
use crate::{CookieName, KeySource};

fn with(more: &Value) -> RolloutInput {
    let mut whole = json!({ "active": "stable", "candidate": "next" });
    whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(whole).unwrap()
}

fn paths(more: &Value) -> Vec<String> {
    let faults = with(more).check().unwrap_err();
    faults.into_iter().map(|(path, _)| path).collect()
}

#[test]
fn two_names_are_enough() {
    let settings = with(&json!({})).check().unwrap();
    let expected = RolloutSettings {
        active: "stable".into(),
        candidate: "next".into(),
        weight: 0,
        salt: None,
        sticky: KeySource::PerRequest,
        steps: [5, 25, 50, 100].into(),
        at_least: Duration::from_secs(300),
        samples: 200,
        gates: GatesInput { error_rate: 0.005, latency_p95_uplift: 0.15 },
        abort: AbortInput { error_rate: 0.01, latency_p99_ratio: 2.0 },
        dry_run: [].into(),
        switch_hold: Duration::from_secs(900),
        auto_promote: false,
        kill: false,
    };
    assert_eq!(settings, expected);
}

#[test]
fn the_whole_entry_is_read_and_written_back() {
    let whole = json!({
        "active": "stable", "candidate": "next", "weight": 10, "salt": "s", "sticky": { "cookie": "arm" },
        "steps": [1, 100], "window": { "at_least": "1m", "samples": 50 },
        "gates": { "error_rate": 0.01, "latency_p95_uplift": 0.5 },
        "abort": { "error_rate": 0.01, "latency_p99_ratio": 3.0 },
        "dry_run": ["error_rate", "latency_p95_uplift", "abort_error_rate", "abort_latency_p99_ratio"],
        "switch": { "hold": "5m" }, "auto_promote": true, "kill": true,
    });
    let input: RolloutInput = serde_json::from_value(whole.clone()).unwrap();
    assert_eq!(serde_json::to_value(&input).unwrap(), whole);
    let settings = input.check().unwrap();
    assert_eq!(settings.sticky, KeySource::Cookie(CookieName::new("arm").unwrap()));
    assert_eq!((settings.dry_run.len(), settings.switch_hold.as_secs()), (4, 300));
}

#[test]
fn every_fault_is_told_at_its_place() {
    for (more, path) in [
        (json!({ "candidate": "stable" }), "candidate"),
        (json!({ "weight": 101 }), "weight"),
        (json!({ "salt": "" }), "salt"),
        (json!({ "steps": [] }), "steps"),
        (json!({ "steps": [5, 50] }), "steps"),
        (json!({ "steps": [0, 100] }), "steps[0]"),
        (json!({ "steps": [50, 50, 100] }), "steps[1]"),
        (json!({ "window": { "samples": 0 } }), "window.samples"),
        (json!({ "window": { "at_least": "400d" } }), "window.at_least"),
        (json!({ "switch": { "hold": "400d" } }), "switch.hold"),
        (json!({ "gates": { "latency_p95_uplift": 0.0 } }), "gates.latency_p95_uplift"),
        (json!({ "gates": { "error_rate": 0.0 } }), "gates.error_rate"),
        (json!({ "abort": { "error_rate": 1.0 } }), "abort.error_rate"),
        (json!({ "abort": { "error_rate": 0.004 } }), "abort.error_rate"),
        (json!({ "abort": { "latency_p99_ratio": 1.0 } }), "abort.latency_p99_ratio"),
        (json!({ "dry_run": ["error_rate", "error_rate"] }), "dry_run[1]"),
        (json!({ "sticky": { "header": "a b" } }), "sticky.header"),
        (json!({ "sticky": { "cookie": "a=b" } }), "sticky.cookie"),
        (json!({ "sticky": { "tenant": false } }), "sticky.tenant"),
        (json!({ "sticky": { "client": false } }), "sticky.client"),
        (json!({ "sticky": { "claim": "" } }), "sticky.claim"),
    ] {
        assert_eq!(paths(&more), [path], "{more}");
    }
    let several = json!({ "weight": 200, "steps": [9, 3], "sticky": { "tenant": false } });
    assert_eq!(paths(&several), ["weight", "steps[1]", "steps", "sticky.tenant"]);
}

#[test]
fn a_key_has_exactly_one_kind() {
    for sticky in [json!({}), json!({ "header": "a", "cookie": "b" }), json!({ "other": 1 })] {
        let whole = json!({ "active": "a", "candidate": "b", "sticky": sticky });
        serde_json::from_value::<RolloutInput>(whole).unwrap_err();
    }
    for (sticky, key) in [
        (json!({ "header": "X-User" }), KeySource::Header(http::HeaderName::from_static("x-user"))),
        (json!({ "tenant": true }), KeySource::Tenant),
        (json!({ "claim": "sub" }), KeySource::Claim(sluicegate_core::ClaimName::new("sub").unwrap())),
        (json!({ "client": true }), KeySource::Client),
    ] {
        assert_eq!(with(&json!({ "sticky": sticky })).check().unwrap().sticky, key);
    }
}
