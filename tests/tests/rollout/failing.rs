//! A candidate that begins to fail while nobody looks: the demo's own service, with its switch.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use sluicegate_demo_rag::{Options, Running};
use sluicegate_tests::{Gateway, Raw, reaches, repeat};
use tokio::task::{JoinHandle, JoinSet};

use crate::{Rules, decisions, done, phase, stands, until_phase};

/// What one request came to.
#[derive(Clone, Debug)]
struct Call {
    status: u16,
    /// Whether the candidate answered it.
    next: bool,
    began: Timestamp,
    ended: Timestamp,
}

#[derive(Default)]
struct Account {
    stop: AtomicBool,
    sent: AtomicU64,
    calls: Mutex<Vec<Call>>,
    idle: Mutex<Vec<Raw>>,
}

/// Requests at a fixed rate, whatever becomes of them.
struct Load {
    account: Arc<Account>,
    task: JoinHandle<()>,
}

impl Load {
    fn start(gateway: &Gateway, per_second: u64) -> Self {
        let (account, address) = (Arc::<Account>::default(), gateway.address());
        let shared = account.clone();
        let task = tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_micros(1_000_000 / per_second));
            let mut calls = JoinSet::new();
            while !shared.stop.load(Ordering::SeqCst) {
                tick.tick().await;
                while calls.try_join_next().is_some() {}
                let shared = shared.clone();
                calls.spawn(async move {
                    let number = shared.sent.fetch_add(1, Ordering::SeqCst);
                    let kept = shared.idle.lock().unwrap().pop();
                    let mut raw = match kept {
                        Some(raw) => raw,
                        None => Raw::connect(address).await,
                    };
                    let call = call(&mut raw, number).await;
                    shared.calls.lock().unwrap().push(call);
                    shared.idle.lock().unwrap().push(raw);
                });
            }
            while let Some(call) = calls.join_next().await {
                call.expect("every request is answered");
            }
        });
        Self { account, task }
    }

    fn done(&self) -> usize {
        self.account.calls.lock().unwrap().len()
    }

    async fn stop(self) -> Vec<Call> {
        self.account.stop.store(true, Ordering::SeqCst);
        self.task.await.unwrap();
        std::mem::take(&mut *self.account.calls.lock().unwrap())
    }
}

async fn call(raw: &mut Raw, number: u64) -> Call {
    let body = r#"{"query":"canary release","k":1}"#;
    let request = format!(
        "POST /v1/retrieve HTTP/1.1\r\nHost: localhost\r\nX-User-Id: user-{}\r\nContent-Length: {}\r\n\r\n{body}",
        // Users come back, and not in turn.
        number.wrapping_mul(7_919) % 1_009,
        body.len(),
    );
    let began = Timestamp::now();
    let answer = raw.ask(request).await;
    let pins = answer.fields.get("x-wfgy").unwrap_or_default();
    Call { status: answer.status, next: pins.contains("BUILD_ID=next"), began, ended: Timestamp::now() }
}

async fn instance(version: &str, build: &str) -> Running {
    let pins = BTreeMap::from([("BUILD_ID".to_owned(), build.to_owned())]);
    let options = Options { version: version.to_owned(), pins, ..Options::default() };
    sluicegate_demo_rag::start(options).await.expect("an instance")
}

/// How many retrievals have reached an instance.
fn retrievals(instance: &Running) -> u64 {
    let routes = instance.requests().routes;
    routes.iter().filter(|route| route.path == "/v1/retrieve").map(|route| route.count).sum()
}

/// Looks all the time when a retrieval last reached an instance.
fn watch(instance: &Arc<Running>) -> (JoinHandle<()>, Arc<Mutex<Timestamp>>) {
    let (instance, last) = (instance.clone(), Arc::new(Mutex::new(Timestamp::UNIX_EPOCH)));
    let shared = last.clone();
    let task = tokio::spawn(async move {
        let mut count = 0;
        loop {
            let now = retrievals(&instance);
            if now > count {
                (count, *shared.lock().unwrap()) = (now, Timestamp::now());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    (task, last)
}

/// Seconds between two moments, less than 0 where the first is the later one.
fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_begins_to_fail_at_25_percent_is_left_with_nobody_looking() {
    for round in 0..repeat(1, 10) {
        let (stable, next) = (instance("m-1", "stable").await, Arc::new(instance("m-2", "next").await));
        let (watching, reached) = watch(&next);
        let rollout = "sticky: { header: x-user-id }, steps: [20, 25, 50, 100], \
             window: { at_least: 1s, samples: 30 }, \
             gates: { error_rate: 0.03, latency_p95_uplift: 0.9 }, \
             abort: { error_rate: 0.05, latency_p99_ratio: 20 }, \
             dry_run: [latency_p95_uplift, abort_latency_p99_ratio]";
        let rules = Rules {
            upstream: "health: { path: /healthz, interval: 1s }, \
                 manifest: { path: /index/manifest, interval: 1s }",
            rest: "access: read",
            rollout: rollout.to_owned(),
            ..Rules::embedded()
        };
        let url = |instance: &Running| format!("http://{}", instance.address());
        let gateway = Gateway::start(&rules.between(&url(&stable), &url(&next)));
        let load = Load::start(&gateway, 200);
        reaches("the load runs", 50, async || load.done()).await;
        assert_eq!(retrievals(&next), 0, "nothing reaches the candidate before a run");
        done(&gateway, "start").await;

        // It passes its first step by itself.
        let started = Timestamp::now();
        loop {
            let shown = stands(&gateway, "r").await;
            if shown["weight"] == 25 {
                break;
            }
            assert_eq!(phase(&shown), "running", "{shown}");
            assert!(seconds(started, Timestamp::now()) < 60.0, "it does not pass its first step: {shown}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let faulty = Timestamp::now();
        next.switches().update(|switches| switches.fail_rate = 0.3).unwrap();
        let shown = until_phase(&gateway, "r", "aborted").await;
        assert_eq!((&shown["weight"], &shown["active"]), (&0.into(), &"stable".into()), "{shown}");

        // What comes afterwards is well, and once those under way have ended nothing gets there.
        let goal = load.done() + 60;
        reaches("requests that were under way", goal, async || load.done()).await;
        let there = retrievals(&next);
        let goal = load.done() + 260;
        reaches("requests afterwards", goal, async || load.done()).await;
        assert_eq!(retrievals(&next), there, "more has reached the candidate");
        let calls = load.stop().await;

        let decisions = decisions(&gateway, "r").await;
        let acts: Vec<_> = decisions.iter().map(|it| it["act"].as_str().unwrap()).collect();
        assert_eq!(acts[acts.len() - 3..], ["started", "advanced", "aborted"], "{acts:?}");
        let abort = decisions.last().unwrap();
        assert_eq!(abort["by"]["kind"], "gateway", "{abort}");
        let decided: Timestamp = abort["at"].as_str().unwrap().parse().unwrap();
        // The evidence is whole once the last of the failures that it counts was answered. It lacks
        // those of the tick in which the step began: this is rather too early than too late.
        let errors = usize::try_from(abort["report"]["errors"][1].as_u64().expect("a count")).unwrap();
        let mut failures: Vec<_> = calls.iter().filter(|call| call.status != 200).collect();
        failures.sort_by_key(|call| call.ended);
        assert!(failures.iter().all(|call| call.next && call.status == 500), "only the fault fails");
        assert!((1..=failures.len()).contains(&errors), "{errors} of {} failures", failures.len());
        let proven = decided.min(failures[errors - 1].ended);
        let reached = *reached.lock().unwrap();
        let answered = calls.iter().filter(|call| call.next).max_by_key(|call| call.ended).unwrap();
        let (of_next, bad) = (calls.iter().filter(|call| call.next).count(), failures.len());
        let gates = abort["report"]["gates"].as_array().unwrap();
        let proof =
            gates.iter().find(|gate| gate["verdict"] == "abort" || gate["verdict"] == "fail").unwrap();
        println!(
            "round {round}: aborted {:.2} s after the fault began, by {errors} errors of {} samples (evidence \
             10^{:.1}, 10^{:.1} is enough); {bad} failures seen by clients, of {of_next} requests at the \
             candidate and {} in all",
            seconds(faulty, decided),
            abort["report"]["samples"][1],
            proof["evidence"].as_f64().unwrap(),
            proof["needed"].as_f64().unwrap(),
            calls.len(),
        );
        let late = seconds(proven, reached).max(0.0);
        println!(
            "  from the proof to the last request that reached the candidate {:.0} ms; to its last answer {:.0} ms, \
             which took {:.0} ms",
            1_000.0 * late,
            1_000.0 * seconds(proven, answered.ended).max(0.0),
            1_000.0 * seconds(answered.began, answered.ended),
        );
        assert!(late <= 1.0, "{late:.3} s");
        let later = calls.iter().filter(|call| seconds(decided, call.began) > 1.0);
        assert!(later.clone().count() > 0 && later.clone().all(|call| call.status == 200 && !call.next));
        watching.abort();
        // Gone once it is not looked at any more.
        let _gone = watching.await;
        stable.stop().await;
        Arc::into_inner(next).expect("nobody else looks").stop().await;
    }
}
