//! Back and forth between two upstreams under load.
//!
//! The clients keep their connections, over HTTP/1.1 and HTTP/2; some read streams of events. One
//! request in three is refused at its first try, wherever that goes, so that many have a try on
//! either side of a switch. What is looked at is the account of the upstreams: each request with
//! all its tries at one of them, and the whole answer from that one.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use sluicegate_tests::{
    Gate, Gateway, Step, Tick, Upstream, Which, arms::Hit, eventually, reaches, repeat, stats::percentile,
    tick, upstream::response,
};

use crate::{
    Rules, ask,
    callers::{Call, Callers, Kind, Plan, assert_good},
    done, phase, whose,
};

/// One command, and the upstream that it made the active one.
struct Turn {
    to: Which,
    asked: Instant,
    /// Before it was sent.
    sent: Tick,
    /// After its answer.
    answered: Tick,
    took: Duration,
}

fn rules() -> Rules {
    Rules {
        // A keyed write that was answered 503 may be sent again: nothing was done then.
        upstream: "breaker: { consecutive: 0 }, not_applied: [503]",
        rest: "idempotency: { required: false, on_unknown: refuse }",
        // As many retries as there are requests, and pauses long enough for a switch to fall in.
        extra: "retries: { tries: 3, base: 40ms, budget: 1 }",
        ..Rules::embedded()
    }
}

async fn turn(gateway: &Gateway, verb: &str, to: Which) -> Turn {
    let (asked, sent) = (Instant::now(), tick());
    let stands = done(gateway, verb).await;
    let (answered, took) = (tick(), asked.elapsed());
    assert_eq!(stands["active"], to.name(), "{verb}: {stands}");
    Turn { to, asked, sent, answered, took }
}

/// From each command to the last new request that reached the upstream it left.
fn emptied(turns: &[Turn], to: Which, hits: &[Hit], asks: impl Fn(&Hit) -> bool) -> Vec<Duration> {
    let until = |at: usize| turns.get(at + 1).map_or(Tick::MAX, |next| next.sent);
    let turns = turns.iter().enumerate().filter(|(_, turn)| turn.to == to);
    let times = turns.map(|(at, turn)| {
        let late = hits.iter().filter(|hit| turn.sent < hit.tick && hit.tick < until(at));
        let late = late.filter(|hit| hit.which != to && hit.of == 1 && !asks(hit));
        late.map(|hit| hit.at.saturating_duration_since(turn.asked)).max().unwrap_or_default()
    });
    times.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn switch_and_rollback_under_load_fail_nothing_and_mix_nothing() {
    let (arms, gateway) = rules().start().await;
    arms.refuse_first_tries(3);
    let (address, mut callers) = (gateway.address(), Callers::default());
    for _ in 0..4 {
        callers.h1(address, Plan::of(&[Kind::Read, Kind::Write])).await;
        callers.h1(address, Plan::of(&[Kind::Stream])).await;
    }
    callers.h2(address, 4, Plan::of(&[Kind::Read, Kind::Write])).await;
    callers.h2(address, 4, Plan::of(&[Kind::Stream, Kind::Read])).await;
    // One of the two can be had all the time: it is the active arm, or one that a client may name.
    let pins = Some(("x-wfgy", "BUILD_ID=stable"));
    callers.h2(address, 2, Plan { header: pins, ..Plan::of(&[Kind::Read, Kind::Stream]) }).await;
    reaches("the load runs", 50, async || callers.done()).await;

    let mut turns = Vec::new();
    for _ in 0..repeat(12, 300) {
        for (verb, to) in [("switch", Which::Next), ("rollback", Which::Stable)] {
            turns.push(turn(&gateway, verb, to).await);
            let goal = callers.done() + 40;
            reaches("requests between two turns", goal, async || callers.done()).await;
        }
    }
    let calls = callers.stop().await;
    let hits = arms.hits();
    assert_good(&calls);

    let mut tries: HashMap<u64, Vec<Hit>> = HashMap::new();
    for hit in &hits {
        tries.entry(hit.call).or_default().push(*hit);
    }
    for call in &calls {
        let (from, tries) = (call.from.expect("an answer"), &tries[&call.number]);
        assert!(tries.iter().all(|hit| hit.which == from), "both: {call:?} {tries:?}");
        assert!(!call.asks || from == Which::Stable, "not what it is pinned to: {call:?}");
    }
    let by_number: HashMap<u64, &Call> = calls.iter().map(|call| (call.number, call)).collect();
    let (mut new, mut astride) = (0, 0);
    for (at, turn) in turns.iter().enumerate() {
        // Who began after the answer was served by the new arm, until the next command was sent.
        let until = turns.get(at + 1).map_or(Tick::MAX, |next| next.sent);
        for hit in hits.iter().filter(|hit| turn.answered < hit.tick && hit.tick < until) {
            let call = by_number[&hit.call];
            if call.began > turn.answered && !call.asks {
                assert_eq!(hit.which, turn.to, "it began after the answer: {call:?} {hit:?}");
                new += 1;
            }
        }
        let is_astride = |tries: &&Vec<Hit>| {
            tries[0].tick < turn.sent && tries.last().is_some_and(|hit| hit.tick > turn.answered)
        };
        astride += tries.values().filter(is_astride).count();
    }
    let retried = tries.values().filter(|tries| tries.len() > 1).count();
    let streams = calls.iter().filter(|call| call.kind == Kind::Stream).count();
    let h2 = calls.iter().filter(|call| call.h2).count();
    println!(
        "{} turns, {} calls ({h2} over HTTP/2, {streams} streams), {retried} tried again, {astride} of them \
         with tries before and after a turn; {new} began after a turn's answer and were on the new arm",
        turns.len(),
        calls.len(),
    );
    assert!(retried > calls.len() / 5 && streams > 20 && h2 > 50, "not the load it is to be");
    assert!(astride >= 5, "{astride} requests had a turn between their tries");
    for (what, to) in [("switch", Which::Next), ("rollback", Which::Stable)] {
        let mut took: Vec<_> = turns.iter().filter(|turn| turn.to == to).map(|turn| turn.took).collect();
        let mut left = emptied(&turns, to, &hits, |hit| by_number[&hit.call].asks);
        let longest = percentile(&mut left, 100.0);
        println!(
            "{what}: answered in p50 {:?}, longest {:?}; from the command to the last new request at the \
             upstream that was left p50 {:?}, longest {longest:?}",
            percentile(&mut took, 50.0),
            percentile(&mut took, 100.0),
            percentile(&mut left, 50.0),
        );
        assert!(longest < Duration::from_secs(2), "{what}: {longest:?}");
    }
}

/// Two upstreams by script, with the gateway in front of them.
async fn scripted() -> (Upstream, Upstream, Gateway) {
    let (stable, next) = (Upstream::start().await, Upstream::start().await);
    let gateway = Gateway::start(&rules().between(&stable.url(), &next.url()));
    for (upstream, name) in [(&stable, "stable"), (&next, "next")] {
        upstream.answer("/x", response("200 OK", &format!("X-WFGY: BUILD_ID={name}\r\n"), name));
    }
    (stable, next, gateway)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_ends_on_the_arm_it_began_on() {
    // Tried first before a command and again after it, while everybody else has moved.
    for (verb, method) in [("switch", "GET"), ("switch", "POST"), ("abort", "GET")] {
        let (stable, next, gateway) = scripted().await;
        let (from, to) = if verb == "abort" { (&next, &stable) } else { (&stable, &next) };
        if verb == "abort" {
            crate::weigh(&gateway, 100).await;
        }
        let gate = Gate::default();
        let refusal = response("503 Away", "", "no");
        from.on("/tried", [Step::Read, Step::Wait(gate.clone()), Step::Send(refusal)]);
        let asking = ask(&gateway, method, "/tried", "Idempotency-Key: k\r\n");
        let turning = async {
            eventually("the first try", || from.count("/tried") == 1).await;
            done(&gateway, verb).await;
            let now = whose(&ask(&gateway, "GET", "/x", "").await);
            assert_eq!(now, if verb == "abort" { Which::Stable } else { Which::Next });
            from.answer("/tried", response("200 OK", "", "there"));
            gate.open();
        };
        let (answer, ()) = tokio::join!(asking, turning);
        let tries = (from.count("/tried"), to.count("/tried"));
        assert_eq!((answer.status, tries), (200, (2, 0)), "{verb} {method}: {}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_where_it_is_and_its_connection_is_used_for_the_other_arm_next() {
    let (stable, next, gateway) = scripted().await;
    let gate = Gate::default();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    let script = |events: &'static str| Step::Send(events.into());
    stable.on(
        "/stream",
        [
            Step::Read,
            Step::Send(head.into()),
            script("9\r\ndata: a\n\n\r\n"),
            Step::Wait(gate.clone()),
            script("9\r\ndata: b\n\n\r\n0\r\n\r\n"),
        ],
    );
    let mut raw = sluicegate_tests::Raw::connect(gateway.address()).await;
    raw.send("GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    eventually("it streams", || stable.running() == 1).await;
    let switched = done(&gateway, "switch").await;
    assert_eq!(phase(&switched), "switched", "{switched}");
    done(&gateway, "rollback").await;
    done(&gateway, "switch").await;
    gate.open();
    let answer = raw.answer().await.unwrap();
    assert_eq!((answer.status, answer.complete), (200, true), "{answer:?}");
    assert_eq!(answer.text(), "data: a\n\ndata: b\n\n");
    assert_eq!(whose(&raw.ask("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n").await), Which::Next);
    assert_eq!((stable.count("/stream"), next.count("/stream")), (1, 0));
}
