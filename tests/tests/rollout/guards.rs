//! What rollouts and the other guards of a route make of each other: breakers, freezes, keys.

use std::net::SocketAddr;

use serde_json::json;
use sluicegate_tests::{Arms, Gate, Gateway, Step, Upstream, Which, eventually, upstream::response};
use socket2::{Domain, Socket, Type};

use crate::{
    Rules, ask,
    callers::{Callers, Kind, Plan, failed},
    decisions, done, until_phase, weigh, whose,
};

/// A breaker that opens soon and stays open.
const BREAKER: &str = "breaker: { consecutive: 3, base: 60s, max: 60s }";

/// A gateway whose candidate is not there: its port is taken, and nobody listens.
async fn without_next(rules: &Rules) -> (Arms, Gateway, Socket) {
    let arms = Arms::start().await;
    let nobody = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    nobody.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let url = format!("http://{}", nobody.local_addr().unwrap().as_socket().unwrap());
    let gateway = Gateway::start(&rules.between(&arms.url(Which::Stable), &url));
    (arms, gateway, nobody)
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_fall_back_where_the_candidates_breaker_is_open_and_split_writes_do_not() {
    let (arms, gateway, _nobody) = without_next(&Rules { upstream: BREAKER, ..Rules::default() }).await;
    weigh(&gateway, 100).await;
    for _ in 0..3 {
        let answer = ask(&gateway, "GET", "/x", "").await;
        assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_unreachable"), "{answer:?}");
    }
    let fallbacks = async || gateway.count("sluicegate_rollout_fallbacks_total", "upstream=\"next\"").await;
    assert_eq!(fallbacks().await, 0);
    for _ in 0..10 {
        assert_eq!(whose(&ask(&gateway, "GET", "/x", "").await), Which::Stable);
        assert_eq!(whose(&ask(&gateway, "GET", "/split/x", "").await), Which::Stable);
    }
    assert_eq!(fallbacks().await, 20);
    let before = arms.count(Which::Stable);
    let answer = ask(&gateway, "POST", "/split/x", "").await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "overloaded"), "{answer:?}");
    assert_eq!(arms.count(Which::Stable), before, "a write that was the candidate's goes nowhere else");
    assert_eq!(whose(&ask(&gateway, "POST", "/x", "").await), Which::Stable);
    assert_eq!(fallbacks().await, 20, "no write falls back");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_falls_back_speaks_against_the_candidate() {
    let rollout = "sticky: { header: x-user-id }, gates: { error_rate: 0.1, latency_p95_uplift: 0.9 }, \
         abort: { error_rate: 0.2, latency_p99_ratio: 50 }";
    let rules = Rules { upstream: BREAKER, rollout: rollout.to_owned(), ..Rules::default() };
    let (_arms, gateway, _nobody) = without_next(&rules).await;
    let mut callers = Callers::default();
    callers.h2(gateway.address(), 4, Plan::of(&[Kind::Read])).await;
    weigh(&gateway, 50).await;
    until_phase(&gateway, "r", "aborted").await;
    let calls = callers.stop().await;
    let decisions = decisions(&gateway, "r").await;
    let abort = decisions.last().unwrap();
    assert_eq!(abort["by"]["kind"], "gateway", "{abort}");
    let (bad, errors) = (failed(&calls).len(), abort["report"]["errors"][1].as_u64().unwrap());
    println!("a candidate that is gone: aborted by {errors} errors, of which clients have seen {bad}");
    // Those that found the breaker closed: three, and what was under way with them.
    assert!(bad <= 3 + 4, "{bad} failures: {:?}", failed(&calls).last());
    assert!(errors > bad as u64, "those that fell back are counted: {errors} {bad}");
    assert_eq!(abort["report"]["errors"][0], 0, "and not against the other arm: {abort}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_of_either_upstream_holds_the_writes_of_the_route() {
    let (_arms, gateway) = Rules::default().start().await;
    for weight in [0, 100] {
        weigh(&gateway, weight).await;
        for upstream in ["stable", "next"] {
            gateway.freeze("one", &json!({ "scope": { "upstreams": [upstream] } })).await;
            for path in ["/x", "/split/x"] {
                let answer = ask(&gateway, "POST", path, "").await;
                assert_eq!((answer.status, answer.code().as_str()), (423, "read_only"), "{upstream} {path}");
                whose(&ask(&gateway, "GET", path, "").await);
            }
            gateway.thaw("one").await;
            whose(&ask(&gateway, "POST", "/x", "").await);
        }
    }
}

/// Two upstreams by script behind routes that fence keys.
async fn keyed(more: &'static str, idempotency: &'static str) -> (Upstream, Upstream, Gateway) {
    let (stable, next) = (Upstream::start().await, Upstream::start().await);
    let rules = Rules {
        upstream: more,
        split: idempotency,
        extra: "retries: { tries: 3, base: 20ms, budget: 1 }",
        ..Rules::embedded()
    };
    let gateway = Gateway::start(&rules.between(&stable.url(), &next.url()));
    (stable, next, gateway)
}

const KEY: &str = "Idempotency-Key: k\r\nX-User-Id: u\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_key_stays_on_its_arm_and_is_answered_from_the_record_when_all_else_has_moved() {
    let not_applied = "breaker: { consecutive: 0 }, not_applied: [503]";
    let refuse = "idempotency: { required: true, on_unknown: refuse }";
    let (stable, next, gateway) = keyed(not_applied, refuse).await;
    weigh(&gateway, 100).await;
    let gate = Gate::default();
    let away = response("503 Away", "", "no");
    next.on("/split/x", [Step::Read, Step::Wait(gate.clone()), Step::Send(away)]);
    let moving = async {
        eventually("the first try", || next.count("/split/x") == 1).await;
        done(&gateway, "abort").await;
        next.answer("/split/x", response("201 Created", "", "made"));
        gate.open();
    };
    let (answer, ()) = tokio::join!(ask(&gateway, "POST", "/split/x", KEY), moving);
    assert_eq!((answer.status, answer.text().as_str()), (201, "made"), "{answer:?}");
    assert_eq!((stable.count("/split/x"), next.count("/split/x")), (0, 2));
    // The client comes again: nobody is asked, and it is the answer of the arm that did it.
    for verb in ["switch", "rollback"] {
        let again = ask(&gateway, "POST", "/split/x", KEY).await;
        assert_eq!((again.status, again.text().as_str()), (201, "made"), "{again:?}");
        assert_eq!(again.fields.get("idempotency-replayed"), Some("true"));
        done(&gateway, verb).await;
    }
    assert_eq!((stable.count("/split/x"), next.count("/split/x")), (0, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_outcome_is_not_known_does_not_run_on_the_other_arm() {
    let refuse = "idempotency: { required: true, on_unknown: refuse }";
    let (stable, next, gateway) = keyed("breaker: { consecutive: 0 }", refuse).await;
    weigh(&gateway, 100).await;
    next.on("/split/x", [Step::Read, Step::Reset]);
    let answer = ask(&gateway, "POST", "/split/x", KEY).await;
    assert_eq!(answer.status, 502, "{answer:?}");
    for verb in ["abort", "switch"] {
        done(&gateway, verb).await;
        let again = ask(&gateway, "POST", "/split/x", KEY).await;
        assert_eq!((again.status, again.code().as_str()), (409, "idempotency_outcome_unknown"), "{verb}");
    }
    assert_eq!((stable.count("/split/x"), next.count("/split/x")), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_try_that_may_have_been_applied_is_repeated_on_its_arm_alone() {
    let honours = "breaker: { consecutive: 0 }, honours_keys: true";
    let (stable, next, gateway) = keyed(honours, "idempotency: { required: true, on_unknown: retry }").await;
    weigh(&gateway, 100).await;
    let gate = Gate::default();
    next.on("/split/x", [Step::Read, Step::Wait(gate.clone()), Step::Reset]);
    let moving = async {
        eventually("the first try", || next.count("/split/x") == 1).await;
        done(&gateway, "abort").await;
        next.answer("/split/x", response("201 Created", "", "made"));
        gate.open();
    };
    let (answer, ()) = tokio::join!(ask(&gateway, "POST", "/split/x", KEY), moving);
    assert_eq!((answer.status, answer.text().as_str()), (201, "made"), "{answer:?}");
    let seen = next.seen_at("/split/x");
    assert_eq!((stable.count("/split/x"), seen.len()), (0, 2));
    assert_eq!(seen[0].get("idempotency-key"), seen[1].get("idempotency-key"));
}
