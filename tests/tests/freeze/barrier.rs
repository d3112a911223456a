//! The drain barrier: from the moment `freeze --wait` returns no write runs and none starts.

use std::time::Duration;

use serde_json::{Value, json};
use sluicegate_tests::{
    Gateway, Raw, Step, Tick, Upstream, comes_true, config, eventually,
    load::{Load, Sample},
    repeat,
    stats::percentile,
    tick,
    upstream::{Gate, response},
};

use crate::write;

/// Between these no write may run: from the return of `freeze --wait` to the order to thaw.
struct Window {
    from: Tick,
    to: Tick,
}

fn assert_sample(sample: &Sample, windows: &[Window]) {
    assert_ne!(sample.status, 0, "a connection failed: {sample:?}");
    let frozen = windows.iter().any(|window| window.from < sample.began && sample.ended < window.to);
    if !sample.write {
        assert_eq!(sample.status, 200, "a read failed: {sample:?}");
        let banner = sample.freeze.as_deref();
        assert!(!frozen || banner.is_some_and(|banner| banner.contains("id=barrier")), "{sample:?}");
    } else if sample.status == 200 {
        assert!(!frozen, "a write was let through: {sample:?}");
    } else {
        assert_eq!((sample.status, sample.code.as_str()), (423, "read_only"), "{sample:?}");
        let seconds = sample.retry_after.as_deref().map(str::parse::<u64>);
        assert!(matches!(seconds, Some(Ok(1..))), "{sample:?}");
    }
}

/// The writes that the upstream saw begin or run inside one of the windows.
fn trespassers(upstream: &Upstream, windows: &[Window]) -> Vec<String> {
    let seen = upstream.seen();
    let writes = seen.iter().filter(|seen| seen.method == "POST");
    let inside = writes.filter(|seen| {
        let ended = seen.ended.unwrap_or(Tick::MAX);
        windows.iter().any(|window| seen.began < window.to && ended > window.from)
    });
    inside.map(|seen| format!("began {} ended {:?}", seen.began, seen.ended)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn with_64_clients_nothing_passes_the_barrier_fifty_times() {
    let upstream = Upstream::start().await;
    upstream.brief();
    let gateway = Gateway::start(&config(&upstream.url(), "workers: 2"));
    let load = Load::start(gateway.address(), 64, "/data");
    let mut windows = Vec::new();
    for round in 0..repeat(50, 500) {
        let writes = load.writes();
        eventually("writes pass", || load.writes() >= writes + 64).await;
        let output = gateway.cli(&["freeze", "--id", "barrier", "--wait"]).await;
        let from = tick();
        assert_eq!(output.code, 0, "round {round}: {output:?}");
        // Every client tries a write, most of them several.
        let refused = load.refused();
        eventually("writes are refused", || load.refused() >= refused + 128).await;
        windows.push(Window { from, to: tick() });
        let output = gateway.cli(&["thaw", "--id", "barrier"]).await;
        assert_eq!(output.code, 0, "round {round}: {output:?}");
    }
    let account = load.stop().await;
    assert_eq!(trespassers(&upstream, &windows), Vec::<String>::new());
    account.samples.iter().for_each(|sample| assert_sample(sample, &windows));
    assert_eq!(account.closed, 0);
    let inside = |sample: &&Sample| {
        sample.write && windows.iter().any(|window| window.from < sample.began && sample.ended < window.to)
    };
    assert!(
        account.samples.iter().filter(inside).count() >= windows.len() * 64,
        "too few tries to mean much"
    );
    assert_eq!(upstream.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_take_time_are_waited_for() {
    let upstream = Upstream::start().await;
    upstream.brief();
    let slow = [Step::Read, Step::Pause(Duration::from_millis(30)), Step::Send(response("200 OK", "", "ok"))];
    upstream.on("/data", slow);
    let gateway = Gateway::start(&config(&upstream.url(), "workers: 2"));
    let load = Load::start(gateway.address(), 64, "/data");
    let mut windows = Vec::new();
    let order = json!({ "reason": "test" });
    for round in 1..=repeat(5, 50) {
        let writes = load.writes();
        eventually("writes pass", || load.writes() >= writes + 32).await;
        // One write is sure to run when the freeze comes, whatever the load does just then.
        let held = Gate::default();
        let answer = Step::Send(response("200 OK", "", "ok"));
        upstream.on("/held", [Step::Read, Step::Wait(held.clone()), answer]);
        let mut raw = Raw::connect(gateway.address()).await;
        let client = tokio::spawn(async move { write(&mut raw, "/held", "").await.status });
        eventually("it runs", || upstream.count("/held") == round).await;
        let (shown, ()) = tokio::join!(gateway.freeze("barrier?wait=20s", &order), async {
            let frozen = async || gateway.admin_get("/freeze").await["active"] == true;
            comes_true("it is frozen", frozen).await;
            held.open();
        });
        let from = tick();
        assert_eq!(
            (&shown["drain"]["drained"], &shown["drain"]["unsettled"]),
            (&true.into(), &0.into()),
            "{shown}"
        );
        assert!(shown["drain"]["waited_for"].as_u64().unwrap() > 0, "{shown}");
        assert_eq!(client.await.unwrap(), 200, "a write that was let through is finished");
        let refused = load.refused();
        eventually("writes are refused", || load.refused() >= refused + 32).await;
        windows.push(Window { from, to: tick() });
        gateway.thaw("barrier").await;
    }
    let account = load.stop().await;
    assert_eq!(trespassers(&upstream, &windows), Vec::<String>::new());
    account.samples.iter().for_each(|sample| assert_sample(sample, &windows));
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_are_as_fast_as_without_it() {
    let upstream = Upstream::start().await;
    upstream.brief();
    let gateway = Gateway::start(&config(&upstream.url(), "workers: 2"));
    let load = Load::start(gateway.address(), 16, "/data");
    eventually("the load runs", || load.reads() > 1000).await;
    // Each state several times, so that what the machine does meanwhile meets both.
    let mut frozen = Vec::new();
    for _ in 0..4 {
        let reads = load.reads();
        eventually("reads without", || load.reads() >= reads + 800).await;
        gateway.freeze("latency?wait=10s", &json!({})).await;
        let from = tick();
        let reads = load.reads();
        eventually("reads with", || load.reads() >= reads + 800).await;
        frozen.push(Window { from, to: tick() });
        gateway.thaw("latency").await;
    }
    let account = load.stop().await;
    assert!(account.samples.iter().all(|sample| sample.write || sample.status == 200));
    let reads = account.samples.iter().filter(|sample| !sample.write).skip(1000);
    let (with, without): (Vec<_>, Vec<_>) = reads
        .partition(|read| frozen.iter().any(|window| window.from < read.began && read.ended < window.to));
    let p99 = |samples: Vec<&Sample>| {
        percentile(&mut samples.iter().map(|sample| sample.took).collect::<Vec<_>>(), 99.0)
    };
    let (with, without) = (p99(with), p99(without));
    println!("read p99 with the freeze {with:?}, without {without:?}");
    assert!(with <= without * 2 + Duration::from_millis(5), "with {with:?}, without {without:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_says_how_many_it_waited_for() {
    let upstream = Upstream::start().await;
    let gate = Gate::default();
    upstream.on("/slow", [Step::Read, Step::Wait(gate.clone()), Step::Send(response("200 OK", "", "ok"))]);
    let gateway = Gateway::start(&config(&upstream.url(), ""));
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut raw = Raw::connect(gateway.address()).await;
        clients.push(tokio::spawn(async move { write(&mut raw, "/slow", "").await.status }));
    }
    eventually("they run", || upstream.running() == 3).await;
    let (output, ()) = tokio::join!(gateway.cli(&["freeze", "--wait", "--json"]), async {
        let mut shown = Value::Null;
        let frozen = async || {
            shown = gateway.admin_get("/freeze").await;
            shown["active"] == true
        };
        comes_true("it is frozen", frozen).await;
        let freeze = &shown["freezes"][0];
        assert_eq!(
            (&freeze["writes_in_flight"], &freeze["drained_at"]),
            (&3.into(), &Value::Null),
            "{shown}"
        );
        gate.open();
    });
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.stdout.contains('3'), "{output:?}");
    for client in clients {
        assert_eq!(client.await.unwrap(), 200, "a write that was let through is finished");
    }
    let freeze = &gateway.admin_get("/freeze").await["freezes"][0];
    assert_eq!((&freeze["writes_in_flight"], &freeze["unsettled"]), (&0.into(), &0.into()), "{freeze}");
    assert!(freeze["drained_at"].is_string(), "{freeze}");
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_whose_end_cannot_be_known_are_counted_exactly() {
    let upstream = Upstream::start().await;
    let gate = Gate::default();
    upstream.on("/hold", [Step::Read, Step::Wait(gate.clone()), Step::Send(response("200 OK", "", "ok"))]);
    upstream.on("/reset", [Step::Read, Step::Wait(gate.clone()), Step::Reset]);
    upstream.on("/hang", [Step::Read, Step::Hang]);
    let gateway = Gateway::start(&config(&upstream.url(), "timeouts: { per_try: 3s }"));
    let (held, aborted, hanging, reset) = (4, 5, 3, 2);
    let mut answers = Vec::new();
    let mut start = |path: &'static str| {
        let address = gateway.address();
        answers.push((
            path,
            tokio::spawn(async move { write(&mut Raw::connect(address).await, path, "").await }),
        ));
    };
    (0..held).for_each(|_| start("/hold"));
    (0..hanging).for_each(|_| start("/hang"));
    (0..reset).for_each(|_| start("/reset"));
    let mut aborting = Vec::new();
    for _ in 0..aborted {
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send("POST /hold HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello").await;
        aborting.push(raw);
    }
    let all = held + aborted + hanging + reset;
    eventually("they run", || upstream.running() == all).await;

    let (output, ()) = tokio::join!(gateway.cli(&["freeze", "--id", "exact", "--wait"]), async {
        comes_true("it is frozen", async || !gateway.freeze_shown("exact").await.is_null()).await;
        aborting.into_iter().for_each(Raw::reset);
        let unsettled = async || gateway.freeze_shown("exact").await["unsettled"].as_u64().unwrap();
        comes_true("the aborted ones are unsettled", async || unsettled().await >= aborted as u64).await;
        gate.open();
    });
    let unsettled = aborted + hanging + reset;
    assert_eq!(output.code, 4, "{output:?}");
    assert!(format!("{}{}", output.stdout, output.stderr).contains(&unsettled.to_string()), "{output:?}");
    let shown = gateway.freeze_shown("exact").await;
    assert_eq!((&shown["unsettled"], &shown["writes_in_flight"]), (&unsettled.into(), &0.into()), "{shown}");
    for (path, answer) in answers {
        let expected = match path {
            "/hold" => (200, ""),
            "/hang" => (504, "upstream_timeout"),
            _ => (502, "upstream_reset"),
        };
        let answer = answer.await.unwrap();
        assert_eq!((answer.status, answer.code().as_str()), expected, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_that_reached_nobody_are_settled() {
    let down = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gateway = Gateway::start(&config(&format!("http://{down}"), ""));
    let mut raw = Raw::connect(gateway.address()).await;
    for _ in 0..5 {
        assert_eq!(write(&mut raw, "/", "").await.status, 502);
    }
    let output = gateway.cli(&["freeze", "--wait"]).await;
    assert_eq!(output.code, 0, "{output:?}");
}
