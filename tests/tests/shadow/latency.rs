//! What a shadow costs the requests it is made of: runs with and without it, by turns on one
//! gateway, and the median of their ratios. Printed and not judged: a busy machine would judge
//! itself.
//!
//! The shadows run on a thread that gives way to all others, and with small send buffers: in life
//! they are on another machine, and here what they waste must not be what slows the requests down.
//! With the buffers that the system gives, a shadow that answers without end has the kernel copy
//! megabytes for each copy of a request, through the caches that the gateway works in.

use std::time::{Duration, Instant};

use bytes::Bytes;
use sluicegate_tests::{Gateway, Raw, Step, Upstream, repeat, stats::percentile, upstream::response};

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy,
    thread_native_id,
};

use crate::{NO_BREAKER, Nobody, Rules, at_rest};

/// The requests of one run, one after the other on a connection that is kept.
fn requests() -> usize {
    repeat(50, 500)
}

/// The median and the 99th percentile of one run.
async fn run(raw: &mut Raw, path: &str) -> [Duration; 2] {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut took = Vec::new();
    for _ in 0..requests() {
        let begin = Instant::now();
        assert_eq!(raw.ask(&request).await.status, 200);
        took.push(begin.elapsed());
    }
    [50.0, 99.0].map(|percent| percentile(&mut took, percent))
}

/// The median of the ratios of so many pairs of runs, for both.
async fn ratios(gateway: &Gateway, pairs: usize) -> [f64; 2] {
    let mut raw = Raw::connect(gateway.address()).await;
    let mut ratios = [Vec::new(), Vec::new()];
    for pair in 0..pairs {
        // Whoever comes second finds the machine warmer.
        let (with, without) = if pair % 2 == 0 {
            let with = run(&mut raw, "/x").await;
            (with, run(&mut raw, "/plain/x").await)
        } else {
            let without = run(&mut raw, "/plain/x").await;
            (run(&mut raw, "/x").await, without)
        };
        for at in 0..2 {
            ratios[at].push(with[at].as_secs_f64() / without[at].as_secs_f64());
        }
    }
    ratios.map(|mut ratios| {
        ratios.sort_unstable_by(f64::total_cmp);
        ratios[ratios.len() / 2]
    })
}

fn head(length: u64) -> Step {
    Step::Send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into())
}

/// Starts a shadow on a thread of its own, which ends with the process; gives where it is.
fn idle(script: Vec<Step>) -> String {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let lab = Upstream::start_keeping(64 << 10).await;
            lab.brief().on("/x", script);
            tell.send(lab.url()).unwrap();
            std::future::pending::<()>().await;
        });
    });
    told.recv().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_each_kind_of_shadow_adds() {
    let pairs = repeat(1, 75);
    let answer: Bytes = response("200 OK", "Content-Type: application/json\r\n", r#"{"hits":[1,2,3]}"#);
    let scripts: [(&str, Vec<Step>); 5] = [
        ("answers", vec![Step::Read, Step::Send(answer.clone())]),
        ("hangs", vec![Step::Read, Step::Hang]),
        ("resets", vec![Step::Read, Step::Reset]),
        ("trickles", [vec![Step::Read, head(9)], vec![Step::Pause(Duration::from_millis(100)); 9]].concat()),
        ("answers 1 GiB", vec![Step::Read, head(1 << 30), Step::Pattern(1 << 30)]),
    ];
    let nobody = Nobody::new();
    let mut shadows = Vec::new();
    for (name, script) in scripts {
        shadows.push((name, idle(script)));
    }
    shadows.push(("refuses", nobody.url()));
    shadows.push(("is not in DNS", "http://no-such-host.invalid:80".to_owned()));
    for (name, url) in &shadows {
        // Nothing is copied in the first: what differs there is chance.
        for (shadow, upstream) in [
            ("percent: 0", ""),
            ("percent: 10", ""),
            ("percent: 10", NO_BREAKER),
            ("percent: 100", ""),
            ("percent: 100, noise: 0, compare: {}", ""),
        ] {
            let main = Upstream::start().await;
            main.brief().answer("/x", answer.clone()).answer("/plain/x", answer.clone());
            let rules = Rules { upstream, ..Rules::of(format!("{shadow}, timeout: 300ms")) };
            let gateway = rules.start(&main.url(), url);
            let [p50, p99] = ratios(&gateway, pairs).await;
            let said = format!("{shadow}{}{upstream}", if upstream.is_empty() { "" } else { ", " });
            println!("a shadow that {name:<14} {said:<42} p50 x{p50:.3}, p99 x{p99:.3} over {pairs} pairs");
            at_rest(&gateway).await;
            assert_eq!(main.violations(), Vec::<String>::new());
        }
    }
}
