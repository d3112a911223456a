//! What runs goes on: requests, connections, streams; what an operator decides is seen by all.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http_body_util::{BodyExt, Collected};
use serde_json::json;
use sluicegate_tests::{
    Client, Gateway, Raw, Step, Upstream, client::get, comes_true, config, eventually, load::Load, repeat,
    stats::percentile, tick::within,
};
use tokio::task::JoinHandle;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_reloads_under_load_cost_no_request_and_no_connection() {
    let upstream = Upstream::start().await;
    upstream.brief();
    let gateway = Gateway::start(&config(&upstream.url(), "workers: 2"));
    let load = Load::start(gateway.address(), 16, "/load");
    eventually("the load runs", || load.reads() > 500).await;
    let before = gateway.admin_get("/config").await["generation"].as_u64().unwrap();

    let reloads = repeat(1000, 10_000);
    for number in 0..reloads {
        let url = upstream.url();
        if number % 2 == 0 {
            // Another deadline each time: the document really changes.
            let good = config(&url, &format!("workers: 2\nlimits: {{ deadline: {}ms }}", 20_000 + number));
            let answer = gateway.put_config("", &good).await;
            assert!((200..300).contains(&answer.status), "{number}: {answer:?}");
        } else {
            let broken = config(&url, "workers: 2").replace("upstream: main", "upstraem: main");
            let answer = gateway.put_config("", &broken).await;
            assert!((400..500).contains(&answer.status), "{number}: {answer:?}");
            if number % 100 == 1 {
                let error = &gateway.admin_get("/config").await["last_error"];
                // The route stands in line 5; the key begins in the column of its `u`.
                let column = broken.lines().nth(4).unwrap().find("upstraem").unwrap() + 1;
                assert_eq!((&error["line"], &error["column"]), (&5.into(), &column.into()), "{error}");
                assert!(error["message"].as_str().unwrap().contains("upstraem"), "{error}");
                assert!(error["path"].as_str().unwrap().contains("routes"), "{error}");
            }
        }
    }
    let shown = gateway.admin_get("/config").await;
    assert_eq!(shown["generation"].as_u64().unwrap(), before + reloads as u64 / 2, "{shown}");
    let account = load.stop().await;
    assert_eq!(account.failed().len(), 0, "{:?}", account.failed().first());
    assert_eq!((account.closed, account.announced), (0, 0), "connections were closed");
    let mut took: Vec<Duration> = account.samples.iter().map(|sample| sample.took).collect();
    println!("{} requests during {reloads} reloads, p99 {:?}", took.len(), percentile(&mut took, 99.0));
    assert_eq!(upstream.violations(), Vec::<String>::new());
    assert!(upstream.connections() <= 32, "pools are carried over: {} connections", upstream.connections());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_does_not_cut_a_stream() {
    let upstream = Upstream::start().await;
    upstream.on("/events", [Step::Read, Step::Events(60, Duration::from_millis(20))]);
    let gateway = Gateway::start(&config(&upstream.url(), ""));
    let mut bodies = Vec::new();
    for mut client in [Client::h1(gateway.address()).await, Client::h2c(gateway.address()).await] {
        bodies.push(client.open(get("/events")).await.unwrap().into_body());
    }
    let ended = Arc::new(AtomicBool::new(false));
    let reading: Vec<_> = bodies
        .into_iter()
        .map(|body| tokio::spawn(async move { body.collect().await.map(Collected::to_bytes) }))
        .collect();
    let mut reloads = 0;
    while !ended.load(Ordering::SeqCst) {
        // Even the route and the upstream that it uses go away.
        let other = config(&upstream.url(), &format!("limits: {{ deadline: {}s }}", 30 + reloads % 2))
            .replace("all", "other")
            .replace("main", "another");
        assert_eq!(gateway.put_config("", &other).await.status, 200);
        reloads += 1;
        ended.store(reading.iter().all(JoinHandle::is_finished), Ordering::SeqCst);
    }
    for task in reading {
        let body = task.await.unwrap().expect("an unbroken stream");
        assert_eq!(String::from_utf8(body.to_vec()).unwrap().matches("data: ").count(), 60);
    }
    assert!(reloads > 3, "{reloads} reloads");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_held_the_old_snapshot_is_refused_once_read_only_is_swapped_in() {
    let upstream = Upstream::start().await;
    let tools = |extra: &str| {
        config(&upstream.url(), extra).replace("upstream: main }]", "upstream: main, refusal: json_rpc }]")
    };
    let gateway = Gateway::start(&tools(""));
    // The route reads a JSON-RPC body before the freeze is asked. A request whose body has
    // not come holds the snapshot it was classified by, and is let go only afterwards.
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call" }).to_string();
    let (first, rest) = body.split_at(10);
    let mut waiting = Vec::new();
    for _ in 0..8 {
        let mut raw = Raw::connect(gateway.address()).await;
        let head = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
        raw.send(format!("{head}Content-Length: {}\r\n\r\n{first}", body.len())).await;
        waiting.push(raw);
    }
    let in_flight = async || {
        let workers = gateway.metric("sluicegate_worker_requests").await;
        workers.iter().map(|(_, count)| *count).sum::<f64>()
    };
    comes_true("all eight wait", async || in_flight().await >= 8.0).await;
    let answer = gateway.put_config("", &tools("freeze: { read_only: true }")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    for mut raw in waiting {
        raw.send(rest).await;
        let answer = raw.answer().await.unwrap();
        assert_eq!(answer.status, 423, "{answer:?}");
        assert_eq!(answer.json()["error"]["data"]["code"], "read_only", "{answer:?}");
    }
    assert!(upstream.seen().is_empty(), "a write went out after the switch");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_under_way_is_finished_by_the_rules_it_began_with() {
    let upstream = Upstream::start().await;
    let gate = sluicegate_tests::Gate::default();
    let ok = sluicegate_tests::upstream::response("200 OK", "", "ok");
    upstream.on("/slow", [Step::Read, Step::Wait(gate.clone()), Step::Send(ok)]);
    let gateway = Gateway::start(&config(&upstream.url(), ""));
    let mut client = Client::h1(gateway.address()).await;
    let answer = tokio::spawn(async move { client.ask(get("/slow")).await.status });
    eventually("it runs", || upstream.running() == 1).await;
    let other = config(&upstream.url(), "limits: { deadline: 50ms }").replace("/{*rest}", "/nothing");
    assert_eq!(gateway.put_config("", &other).await.status, 200);
    assert_eq!(Client::h1(gateway.address()).await.ask(get("/slow")).await.status, 404);
    assert!(!within(Duration::from_millis(200), || answer.is_finished()).await);
    gate.open();
    assert_eq!(answer.await.unwrap(), 200);
}
