//! What is printed of a rollout, whole.

use jiff::Timestamp;
use serde_json::{Value, json};
use sluicegate_rollout::RolloutStatus;

use super::{brief, showing::screen};

fn now() -> Timestamp {
    "2026-11-22T03:00:00Z".parse().unwrap()
}

fn gate(
    gate: &str,
    verdict: &str,
    [active, candidate, bound]: [f64; 3],
    [evidence, needed]: [f64; 2],
) -> Value {
    json!({
        "gate": gate, "verdict": verdict, "active": active, "candidate": candidate, "bound": bound,
        "evidence": evidence, "needed": needed, "missing": null, "says": "words",
    })
}

fn progress() -> Value {
    json!({
        "step": 1, "of": 4, "weight": 25, "next": 50, "elapsed_ms": 149_500, "at_least_ms": 300_000,
        "remaining_ms": 150_500, "samples": [361, 116], "samples_needed": 200, "missing": [0, 84],
        "verdict": "insufficient_data", "says": "insufficient_data: 84 more samples of the candidate",
        "report": {
            "verdict": "insufficient_data", "judged": "candidate",
            "gates": [
                gate("error_rate", "insufficient_data", [0.0, 0.0086, 0.005], [0.31, 1.6]),
                gate("latency_p95", "pass", [0.041, 0.0433, 0.0472], [1.92, 1.3]),
                gate("abort_errors", "pass", [0.0, 0.0086, 0.01], [-2.0, 3.3]),
                gate("abort_p99", "insufficient_data", [0.098, 0.1, 0.196], [0.0, 3.3]),
            ],
            "samples": [361, 116], "errors": [0, 1], "short_of": [0, 84], "elapsed": 149.5, "remaining": 150.5,
            "window": 1,
        },
    })
}

fn status(phase: &Value, weight: u8, more: Value) -> RolloutStatus {
    let mut status = json!({
        "name": "embed", "version": 7, "epoch": 3, "run": 2, "phase": phase, "weight": weight,
        "active": "stable", "candidate": "next", "steps": [5, 25, 50, 100], "killed": false, "open": true,
        "gateway": "gate-1", "objections": [], "progress": null, "last": null,
        "pins": { "stable": { "EMBED_DIM": "768", "INDEX_HASH": "a1d9" }, "next": { "INDEX_HASH": "b7f3" } },
        "troubles": [], "can": ["advance", "set_weight", "abort"],
    });
    let (Value::Object(members), Value::Object(more)) = (&mut status, more) else { panic!("no objects") };
    members.extend(more);
    serde_json::from_value(status).unwrap()
}

fn running() -> Value {
    json!({ "name": "running", "step": 1, "since": "2026-11-22T02:57:30Z" })
}

#[test]
fn a_step_is_shown_with_its_arms_its_gates_and_what_can_be_done() {
    let last = json!({
        "seq": 4, "version": 7, "epoch": 3, "run": 2, "at": "2026-11-22T02:57:30Z", "act": "advanced",
        "by": { "kind": "gateway", "name": "gate-2" }, "from": running(), "to": running(), "weight": [5, 25],
        "active": "stable", "candidate": "next", "reason": "pass:\rall gates",
    });
    let shown =
        screen(&status(&running(), 25, json!({ "progress": progress(), "last": last })), now()).unwrap();
    let expected = "\
embed (stable -> next): step 2 of 4  25%  [#########-----------]  2m31s and 84 samples of the candidate left
  so far: insufficient_data: 84 more samples of the candidate

  ARM        UPSTREAM  KEYS  REQUESTS  FAILED  PINS
  active     stable    75%   361       0       EMBED_DIM=768 INDEX_HASH=a1d9
  candidate  next      25%   116       1       INDEX_HASH=b7f3

  GATE          SAYS               ACTIVE  CANDIDATE  BOUND   EVIDENCE
  error_rate    insufficient_data  0.00%   0.86%      0.50%   0.3 of 1.6
  latency_p95   pass               41 ms   43 ms      47 ms   1.9 of 1.3
  abort_errors  pass               0.00%   0.86%      1.00%   0.0 of 3.3
  abort_p99     insufficient_data  98 ms   100 ms     196 ms  0.0 of 3.3

last: advanced 2m30s ago by gateway gate-2: pass:\\rall gates
possible now: advance, weight, abort
";
    assert_eq!(shown, expected);
}

#[test]
fn a_dry_run_gate_that_would_decide_is_told() {
    let mut progress = progress();
    progress["report"]["verdict"] = "fail".into();
    let shown = screen(&status(&running(), 25, json!({ "progress": progress })), now()).unwrap();
    assert!(shown.contains("\n  dry-run gates left out it is: insufficient_data\n"), "{shown}");
}

#[test]
fn a_bar_is_full_only_when_nothing_is_left() {
    let line = |changes: &[(&str, Value)]| {
        let mut progress = progress();
        for (member, value) in changes {
            progress[member] = value.clone();
        }
        brief::head(&status(&running(), 25, json!({ "progress": progress })), now())
    };
    let over = [("elapsed_ms", json!(400_000)), ("remaining_ms", json!(0))];
    let samples = line(&over);
    assert!(samples.ends_with("25%  [###########---------]  84 samples of the candidate left"), "{samples}");
    let close = line(&[over[0].clone(), ("remaining_ms", json!(1)), ("missing", json!([0, 0]))]);
    assert!(close.ends_with("[###################-]  1s left"), "{close}");
    for (verdict, words) in
        [("pass", "it passes"), ("inconclusive", "nothing is proven: it waits"), ("fail", "it FAILS")]
    {
        let full = line(&[
            over[0].clone(),
            over[1].clone(),
            ("missing", json!([0, 0])),
            ("verdict", json!(verdict)),
        ]);
        assert!(full.ends_with(&format!("[####################]  long enough, and {words}")), "{full}");
    }
}

#[test]
fn each_phase_is_told_in_a_line() {
    let by = json!({ "kind": "operator", "name": "ann (127.0.0.1:5)" });
    let since = "2026-11-22T02:57:00Z";
    let table = [
        (json!({ "name": "idle", "promoted": false }), 3, "idle  3%"),
        (json!({ "name": "idle", "promoted": true }), 0, "idle after a promote  0%  the way back is open"),
        (running(), 25, "step 2 of 4  25%"),
        (
            json!({ "name": "held", "step": 2, "since": since, "by": by, "reason": "lunch" }),
            50,
            "HELD at step 3 of 4  50%  for 3m by ann (127.0.0.1:5): lunch",
        ),
        (
            json!({ "name": "held", "step": 0, "since": since, "by": by, "reason": null }),
            5,
            "HELD at step 1 of 4  5%  for 3m by ann (127.0.0.1:5)",
        ),
        (
            json!({ "name": "manual", "weight": 10, "since": since, "by": by }),
            10,
            "by hand  10%  for 3m by ann (127.0.0.1:5)",
        ),
        (
            json!({ "name": "complete", "since": since }),
            100,
            "all 4 steps passed  100%  3m ago; promote it, or abort",
        ),
        (
            json!({
                "name": "aborted", "since": since, "by": { "kind": "gateway", "name": "gate-2" }, "reason": "abort: 3%",
            }),
            0,
            "ABORTED  0%  3m ago by gateway gate-2: abort: 3%",
        ),
        (
            json!({ "name": "switched", "since": since, "hold_until": "2026-11-22T03:09:00Z", "by": by }),
            0,
            "switched  0%  [#####---------------]  watched for 9m more; by ann (127.0.0.1:5)",
        ),
        (
            json!({ "name": "switched", "since": since, "hold_until": "2026-11-22T02:59:00Z", "by": by }),
            0,
            "switched  0%  3m ago by ann (127.0.0.1:5); the way back is open",
        ),
    ];
    for (phase, weight, line) in table {
        let status = status(&phase, weight, json!({}));
        assert_eq!(brief::lines(&status, now()), [format!("embed (stable -> next): {line}")]);
    }
}

#[test]
fn what_is_not_as_it_should_be_is_loud() {
    let more = json!({
        "killed": true, "open": false, "troubles": ["this gateway goes on with the state it knows: no answer"],
        "objections": [
            { "gateway": "gate-2", "verdict": "inconclusive", "says": "p95 is +40%", "until": "2026-11-22T03:00:20Z" },
            { "gateway": "gate-1", "verdict": "fail", "says": "errors", "until": "2026-11-22T03:00:29Z" },
        ],
    });
    let status = status(&running(), 0, more);
    let expected = [
        "embed (stable -> next): step 2 of 4  0%",
        "  KILLED  the document says `kill: true`: everything is on stable on this gateway",
        "  TROUBLE  this gateway goes on with the state it knows: no answer",
        "  OBJECTION  of gateway gate-2, for 20s more: p95 is +40%",
        "  OBJECTION  of this gateway, for 29s more: errors",
    ];
    assert_eq!(brief::lines(&status, now()), expected);
    let shown = screen(&status, now()).unwrap();
    assert!(expected[1..].iter().all(|line| shown.contains(&format!("\n{line}\n"))), "{shown}");
}
