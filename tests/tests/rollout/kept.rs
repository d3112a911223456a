//! Where a rollout stands after its gateway was killed.

use serde_json::{Value, json};
use sluicegate_tests::{Gateway, Which};

use crate::{Rules, UNJUDGED, arms_of, ask, decisions, done, phase, stands, users, weigh, whose};

/// What has to be the same: where it stands, and where requests go.
#[derive(Debug, PartialEq)]
struct Standing {
    shown: Value,
    decisions: Vec<Value>,
    reads: Vec<Which>,
    write: Which,
    forced: Which,
}

async fn standing(gateway: &Gateway) -> Standing {
    // The traffic first: it is what a gateway that has just started must not get wrong.
    let reads = arms_of(gateway, "/x", &users(60)).await;
    let write = whose(&ask(gateway, "POST", "/x", "").await);
    let forced = whose(&ask(gateway, "GET", "/split/x", "X-Sluicegate-Arm: candidate\r\n").await);
    let shown = stands(gateway, "r").await;
    let kept = ["phase", "weight", "active", "candidate", "epoch", "run", "version", "open", "killed", "can"];
    let shown =
        kept.iter().map(|name| ((*name).to_owned(), shown[*name].clone())).collect::<serde_json::Map<_, _>>();
    Standing { shown: shown.into(), decisions: decisions(gateway, "r").await, reads, write, forced }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_leaves_a_rollout_where_it_stood_in_every_phase() {
    let rollout = format!(
        "sticky: {{ header: x-user-id }}, weight: 10, steps: [25, 50, 100], \
         window: {{ at_least: 1h, samples: 200 }}, {UNJUDGED}"
    );
    let (_arms, mut gateway) = Rules { rollout, ..Rules::embedded() }.start().await;
    let ways: [(&[&str], &str, u8, Which); 12] = [
        (&[], "idle", 10, Which::Stable),
        (&["start"], "running", 25, Which::Stable),
        (&["hold"], "held", 25, Which::Stable),
        (&["resume", "advance"], "running", 50, Which::Stable),
        (&["advance", "advance"], "complete", 100, Which::Stable),
        (&["promote"], "idle", 0, Which::Next),
        (&["rollback"], "aborted", 0, Which::Stable),
        (&["switch"], "switched", 0, Which::Next),
        (&["start"], "running", 25, Which::Next),
        (&["weigh"], "manual", 40, Which::Next),
        (&["abort"], "aborted", 0, Which::Next),
        (&["switch", "rollback"], "aborted", 0, Which::Next),
    ];
    for (way, name, weight, active) in ways {
        for verb in way {
            if *verb == "weigh" {
                weigh(&gateway, weight).await;
            } else {
                done(&gateway, verb).await;
            }
        }
        let before = standing(&gateway).await;
        assert_eq!(phase(&before.shown), name, "{way:?}: {before:?}");
        assert_eq!(before.shown["weight"], weight, "{way:?}: {before:?}");
        assert_eq!((before.shown["active"].as_str().unwrap(), before.write), (active.name(), active));
        let closed = name == "aborted";
        assert_eq!(before.forced == active, closed, "{way:?}: {before:?}");
        gateway = gateway.kill_and_restart();
        let after = standing(&gateway).await;
        assert_eq!(after, before, "{way:?}");
    }
    let acts: Vec<_> = decisions(&gateway, "r").await.iter().map(|it| it["act"].clone()).collect();
    println!("{} kills, decisions kept: {}", ways.len(), json!(acts));
}
