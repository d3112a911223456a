//! Who goes first, and what the upstream is told of the crowd.

use sluicegate_tests::{Gate, Raw, eventually};

use crate::{Rules, ask, at_rest, held, queue, read, remaining, send, until};

#[tokio::test(flavor = "multi_thread")]
async fn interactive_goes_before_batch_and_batch_is_not_starved() {
    let rules = Rules {
        routes: &[("r", "limits: { concurrent: 1 }")],
        extra: "lanes: { from: { header: x-lane } }",
        ..Rules::default()
    };
    let (upstream, gateway) = rules.start().await;
    let gate = Gate::default();
    upstream.on("/r/held", held(&gate));
    let mut requests = vec![send(&gateway, "/r/held", "")];
    eventually("it runs", || upstream.running() == 1).await;
    // Batch was there before.
    for _ in 0..3 {
        requests.push(send(&gateway, "/r/batch", "X-Lane: batch\r\n"));
    }
    until(&gateway, "r", 1, 3).await;
    for number in 0..20 {
        let lines = if number % 2 == 0 { "X-Lane: interactive\r\n" } else { "" };
        requests.push(send(&gateway, "/r/interactive", lines));
    }
    until(&gateway, "r", 1, 23).await;
    let shown = queue(&gateway, "r").await;
    assert_eq!((shown["waiting_interactive"].as_u64(), shown["waiting_batch"].as_u64()), (Some(20), Some(3)));
    gate.open();
    for request in requests {
        assert_eq!(request.await.unwrap().status, 200);
    }
    // One of eight is for batch, while there is any.
    let order: Vec<_> = upstream.seen()[1..].iter().map(|seen| seen.target == "/r/batch").collect();
    let batch: Vec<_> = (0..order.len()).filter(|at| order[*at]).collect();
    assert_eq!(batch, [7, 15, 22], "{order:?}");
    at_rest(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_routes_that_share_an_upstream_interactive_goes_first_too() {
    let rules = Rules {
        upstream: "concurrent: 1",
        routes: &[("jobs", "lane: batch"), ("people", "lane: interactive")],
        ..Rules::default()
    };
    let (upstream, gateway) = rules.start().await;
    let gate = Gate::default();
    upstream.on("/people/held", held(&gate));
    let mut requests = vec![send(&gateway, "/people/held", "")];
    eventually("it runs", || upstream.running() == 1).await;
    for _ in 0..3 {
        requests.push(send(&gateway, "/jobs/x", ""));
    }
    until(&gateway, "jobs", 0, 3).await;
    for _ in 0..20 {
        requests.push(send(&gateway, "/people/x", ""));
    }
    until(&gateway, "people", 1, 20).await;
    gate.open();
    for request in requests {
        assert_eq!(request.await.unwrap().status, 200);
    }
    let order: Vec<_> = upstream.seen()[1..].iter().map(|seen| seen.target == "/jobs/x").collect();
    let batch: Vec<_> = (0..order.len()).filter(|at| order[*at]).collect();
    // About one of eight; each route also counts for itself.
    assert!(batch[0] >= 5 && batch.len() == 3, "{order:?}");
    assert!(batch[1] < 20, "batch is not starved: {order:?}");
    at_rest(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_routes_own_lane_holds_whatever_the_request_says() {
    let rules = Rules {
        routes: &[("jobs", "lane: batch, limits: { concurrent: 1 }"), ("people", "lane: interactive")],
        extra: "lanes: { from: { header: x-lane }, batch: { rps: 0.001, burst: 10 }, \
                interactive: { rps: 0.001, burst: 10 } }",
        ..Rules::default()
    };
    let (upstream, gateway) = rules.start().await;
    let gate = Gate::default();
    upstream.on("/jobs/held", held(&gate));
    let requests =
        [send(&gateway, "/jobs/held", ""), send(&gateway, "/jobs/held", "X-Lane: interactive\r\n")];
    until(&gateway, "jobs", 1, 1).await;
    assert_eq!(queue(&gateway, "jobs").await["waiting_batch"], 1);
    assert_eq!(ask(&gateway, "/people/x", "X-Lane: batch\r\n").await.status, 200);
    let levels =
        (remaining(&gateway, "lane", "batch").await, remaining(&gateway, "lane", "interactive").await);
    assert_eq!(levels, (8, 9));
    gate.open();
    for request in requests {
        assert_eq!(request.await.unwrap().status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_does_not_exist_is_refused_and_not_guessed() {
    let rules =
        Rules { routes: &[("r", "")], extra: "lanes: { from: { header: x-lane } }", ..Rules::default() };
    let (upstream, gateway) = rules.start().await;
    for lines in ["X-Lane: bulk\r\n", "X-Lane: batch\r\nX-Lane: batch\r\n"] {
        let answer = ask(&gateway, "/r/x", lines).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "bad_request"), "{lines}");
        assert!(answer.json()["detail"].as_str().unwrap().contains("x-lane"), "{}", answer.text());
    }
    assert_eq!(upstream.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_is_told_of_pressure_when_there_is_any() {
    let rules = Rules {
        routes: &[
            ("wide", "limits: { concurrent: 4 }"),
            ("narrow", "limits: { concurrent: 1, queue: 4 }"),
            ("free", ""),
        ],
        ..Rules::default()
    };
    let (upstream, gateway) = rules.start().await;
    let pressure = |path: &str| -> Vec<_> {
        let seen = upstream.seen_at(path);
        seen.iter().map(|seen| seen.get("sluicegate-pressure").unwrap_or("none").to_owned()).collect()
    };
    // What a client says of it is nobody's word.
    for path in ["/wide/alone", "/free/alone"] {
        let mut raw = Raw::connect(gateway.address()).await;
        assert_eq!(raw.ask(read(path, "Sluicegate-Pressure: 0.90\r\n")).await.status, 200);
        assert_eq!(pressure(path), ["none"]);
    }
    // Half of a cap is no pressure; all of it is half of what there can be.
    let gate = Gate::default();
    upstream.on("/wide/held", held(&gate));
    let mut requests = Vec::new();
    for number in 1..=4 {
        requests.push(send(&gateway, "/wide/held", ""));
        eventually("it runs", || upstream.running() == number).await;
    }
    assert_eq!(pressure("/wide/held"), ["none", "none", "0.25", "0.50"]);
    // Those who wait behind one raise it.
    upstream.on("/narrow/held", held(&gate));
    for waiting in 0..=3 {
        requests.push(send(&gateway, "/narrow/held", ""));
        until(&gateway, "narrow", 1, waiting).await;
    }
    let shown = queue(&gateway, "narrow").await["pressure"].as_f64().unwrap();
    assert!((shown - 0.875).abs() < 0.001, "{shown}");
    gate.open();
    for request in requests {
        assert_eq!(request.await.unwrap().status, 200);
    }
    assert_eq!(pressure("/narrow/held"), ["0.50", "0.75", "0.63", "0.50"]);
    assert_eq!(ask(&gateway, "/wide/after", "").await.status, 200);
    assert_eq!(pressure("/wide/after"), ["none"]);
}
