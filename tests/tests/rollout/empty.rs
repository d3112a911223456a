//! An abort and a kill: from the answer on nothing that begins reaches the candidate.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use serde_json::json;
use sluicegate_tests::{Arms, Gateway, Tick, Which, arms::Hit, reaches, repeat, stats::percentile, tick};

use crate::{
    Rules, ask,
    callers::{Call, Callers, Kind, Plan, assert_good},
    done, phase, reload, stands, weigh, whose,
};

/// A time in which the candidate was to be empty.
struct Empty {
    /// When it was asked for.
    asked: Instant,
    /// After that was answered.
    from: Tick,
    /// Before the candidate was filled again.
    to: Tick,
}

/// Clients of every kind: by weight, forced, by their pins, with writes that are split.
async fn everybody(gateway: &Gateway) -> Callers {
    let (address, mut callers) = (gateway.address(), Callers::default());
    let forced = Some(("x-sluicegate-arm", "candidate"));
    let plan = |under, header| Plan { kinds: &[Kind::Read, Kind::Write], under, header };
    for _ in 0..2 {
        callers.h1(address, plan("", None)).await;
        callers.h1(address, plan("/split", None)).await;
    }
    callers.h1(address, plan("/split", forced)).await;
    callers.h2(address, 3, plan("/split", None)).await;
    callers
}

/// Waits until the candidate is in use.
async fn filled(arms: &Arms) {
    let goal = arms.count(Which::Next) + 10;
    reaches("requests at the candidate", goal, async || arms.count(Which::Next)).await;
}

/// Waits until a good deal more has been asked for.
async fn goes_on(callers: &Callers) {
    let goal = callers.done() + 60;
    reaches("requests in the meantime", goal, async || callers.done()).await;
}

/// Panics where a request that began while the candidate was to be empty reached it; prints what
/// was under way then.
fn judge(what: &str, arms: &Arms, calls: &[Call], times: &[Empty]) {
    let began: HashMap<u64, &Call> = calls.iter().map(|call| (call.number, call)).collect();
    let hits: Vec<Hit> = arms.hits();
    let (mut stragglers, mut last, mut within) = (0, Vec::new(), 0);
    for empty in times {
        let mut latest = Duration::ZERO;
        for hit in hits.iter().filter(|hit| empty.from < hit.tick && hit.tick < empty.to) {
            within += 1;
            if hit.which == Which::Next {
                let call = began[&hit.call];
                assert!(call.began < empty.from, "began after the answer of the {what}: {call:?} {hit:?}");
                stragglers += 1;
            }
        }
        for hit in hits.iter().filter(|hit| hit.which == Which::Next && hit.tick < empty.to) {
            latest = latest.max(hit.at.saturating_duration_since(empty.asked));
        }
        last.push(latest);
    }
    assert!(within > times.len() * 20, "there was no load: {within}");
    assert_good(calls);
    println!(
        "{what} {} times, {} calls: {stragglers} of {within} requests that came to an upstream in between \
         had been let through before; from the command to the last request at the candidate p50 {:?}, \
         longest {:?}",
        times.len(),
        calls.len(),
        percentile(&mut last, 50.0),
        percentile(&mut last, 100.0),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_empties_the_candidate_at_once() {
    let (arms, gateway) = Rules::embedded().start().await;
    let callers = everybody(&gateway).await;
    let mut times = Vec::new();
    for round in 0..repeat(8, 200) {
        weigh(&gateway, if round % 2 == 0 { 50 } else { 100 }).await;
        filled(&arms).await;
        let asked = Instant::now();
        // By the admin port, or by the command of a person in a hurry.
        if round % 3 == 2 {
            let output = gateway.cli(&["rollout", "abort", "r"]).await;
            assert_eq!(output.code, 0, "{output:?}");
        } else {
            done(&gateway, "abort").await;
        }
        let from = tick();
        let shown = stands(&gateway, "r").await;
        assert_eq!((phase(&shown), &shown["weight"]), ("aborted", &json!(0)), "{shown}");
        goes_on(&callers).await;
        times.push(Empty { asked, from, to: tick() });
    }
    let calls = callers.stop().await;
    judge("abort", &arms, &calls, &times);
    // Neither the header nor pins open it.
    for lines in ["X-Sluicegate-Arm: candidate\r\n", "X-User-Id: u\r\n"] {
        for method in ["GET", "POST"] {
            assert_eq!(whose(&ask(&gateway, method, "/split/x", lines).await), Which::Stable, "{lines}");
        }
    }
    let answer = ask(&gateway, "GET", "/split/x", "X-WFGY: BUILD_ID=next\r\n").await;
    assert_eq!((answer.status, answer.code().as_str()), (409, "pin_mismatch"), "{}", answer.text());
    let diff = json!([{ "pin": "BUILD_ID", "expected": "stable", "got": "next" }]);
    assert_eq!(answer.json()["diff"], diff, "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_empties_the_candidate_at_once() {
    let rules = Rules::embedded();
    let kill = Rules { rollout: format!("{}, kill: true", rules.rollout), ..rules.clone() };
    let (arms, gateway) = rules.start().await;
    let callers = everybody(&gateway).await;
    weigh(&gateway, 60).await;
    let mut times = Vec::new();
    for _ in 0..repeat(6, 100) {
        filled(&arms).await;
        let asked = Instant::now();
        reload(&gateway, &kill.document(&arms)).await;
        let from = tick();
        goes_on(&callers).await;
        let shown = stands(&gateway, "r").await;
        assert_eq!((&shown["killed"], phase(&shown)), (&json!(true), "manual"), "{shown}");
        times.push(Empty { asked, from, to: tick() });
        // What the operator had set is as it was.
        reload(&gateway, &rules.document(&arms)).await;
    }
    let calls = callers.stop().await;
    judge("kill", &arms, &calls, &times);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_starts_killed_or_aborted_never_shows_the_candidate() {
    let rules =
        Rules { rollout: "weight: 100, sticky: { header: x-user-id }".to_owned(), ..Rules::embedded() };
    let (arms, gateway) = rules.start().await;
    assert_eq!(whose(&ask(&gateway, "GET", "/x", "").await), Which::Next, "the document's weight");
    done(&gateway, "abort").await;
    let gateway = gateway.kill_and_restart();
    assert_eq!(whose(&ask(&gateway, "GET", "/x", "").await), Which::Stable);
    drop(gateway);
    let kill = Rules { rollout: format!("{}, kill: true", rules.rollout), ..rules };
    let gateway = Gateway::start(&kill.document(&arms));
    assert_eq!(whose(&ask(&gateway, "GET", "/x", "").await), Which::Stable);
}
