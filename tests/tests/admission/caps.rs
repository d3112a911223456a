//! How many requests run at one time, and what becomes of the others.

use std::time::Duration;

use http::Request;
use sluicegate_tests::{Client, Gate, Raw, Upstream, client::full, comes_true, eventually};
use tokio::time::timeout;

use crate::{
    Rules, admission, ask, assert_refused, at_rest, count, found, held, queue, read, reload, remaining, send,
    until,
};

/// Waits until so many are at the upstream.
async fn at_upstream(upstream: &Upstream, running: usize) {
    eventually(&format!("{running} are at the upstream"), || upstream.running() == running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_route_so_many_run_and_the_next_go_as_they_end() {
    let rules = Rules { routes: &[("r", "limits: { concurrent: 2 }"), ("free", "")], ..Rules::default() };
    let (upstream, gateway) = rules.start().await;
    let gates: Vec<_> = (0..5).map(|_| Gate::default()).collect();
    let mut requests = Vec::new();
    for (number, gate) in gates.iter().enumerate() {
        let path = format!("/r/{number}");
        upstream.on(&path, held(gate));
        requests.push(send(&gateway, &path, ""));
        let number = number as u64 + 1;
        until(&gateway, "r", number.min(2), number.saturating_sub(2)).await;
    }
    at_upstream(&upstream, 2).await;
    assert_eq!(ask(&gateway, "/free/x", "").await.status, 200, "another route is not held up");
    // One after the other, whichever of them are there.
    for left in (0..5).rev() {
        let there: Vec<_> = upstream.seen().into_iter().filter(|seen| seen.ended.is_none()).collect();
        let number: usize = there[0].target["/r/".len()..].parse().unwrap();
        gates[number].open();
        until(&gateway, "r", left.min(2), left.saturating_sub(2)).await;
        at_upstream(&upstream, usize::try_from(left.min(2)).unwrap()).await;
    }
    for request in requests {
        assert_eq!(request.await.unwrap().status, 200);
    }
    assert_eq!(count(&gateway, "sluicegate_queue_wait_seconds_count", &[]).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_each_tenant_so_many_run_and_one_at_its_cap_holds_up_no_other() {
    let rules = Rules {
        routes: &[("r", "limits: { concurrent: 1, per: tenant }")],
        extra: "tenants: { from: { header: x-tenant-id } }",
        ..Rules::default()
    };
    let (upstream, gateway) = rules.start().await;
    let gate = Gate::default();
    upstream.on("/r/held", held(&gate));
    let acme = "X-Tenant-Id: acme\r\n";
    let first = send(&gateway, "/r/held", acme);
    at_upstream(&upstream, 1).await;
    let second = send(&gateway, "/r/x", acme);
    until(&gateway, "r", 1, 1).await;
    for other in ["X-Tenant-Id: other\r\n", "X-Tenant-Id: third\r\n", ""] {
        assert_eq!(ask(&gateway, "/r/x", other).await.status, 200, "{other}");
    }
    until(&gateway, "r", 1, 1).await;
    assert_eq!(upstream.count("/r/x"), 3, "the second of the tenant waits on");
    gate.open();
    assert_eq!((first.await.unwrap().status, second.await.unwrap().status), (200, 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_upstream_so_many_run_over_all_its_routes() {
    let rules = Rules {
        upstream: "concurrent: 2",
        routes: &[("a", ""), ("b", "limits: { rps: 100 }")],
        ..Rules::default()
    };
    let (upstream, gateway) = rules.start().await;
    let gate = Gate::default();
    upstream.on("/a/held", held(&gate));
    let holders = [send(&gateway, "/a/held", ""), send(&gateway, "/a/held", "")];
    at_upstream(&upstream, 2).await;
    let waits = [send(&gateway, "/a/x", ""), send(&gateway, "/b/x", "")];
    until(&gateway, "a", 2, 1).await;
    until(&gateway, "b", 0, 1).await;
    let cap = found(&admission(&gateway).await["upstreams"], &[("upstream", "main")]);
    assert_eq!((cap["in_use"].as_u64(), cap["concurrent"].as_u64()), (Some(2), Some(2)));
    assert_eq!(upstream.seen().len(), 2);
    gate.open();
    for request in holders.into_iter().chain(waits) {
        assert_eq!(request.await.unwrap().status, 200);
    }
    at_rest(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_the_queue_full_is_refused_and_told_when_to_come_back() {
    let rules = Rules {
        routes: &[
            ("short", "limits: { concurrent: 1, queue: 2 }"),
            ("none", "limits: { concurrent: 1, queue: 0 }"),
        ],
        ..Rules::default()
    };
    let (upstream, gateway) = rules.start().await;
    for (route, places) in [("short", 2), ("none", 0)] {
        let (path, gate) = (format!("/{route}/held"), Gate::default());
        upstream.on(&path, held(&gate));
        let all: Vec<_> = (0..=places).map(|_| send(&gateway, &path, "")).collect();
        until(&gateway, route, 1, places).await;
        let answer = ask(&gateway, &path, "").await;
        let problem = assert_refused(&answer, 503, "overloaded");
        assert_eq!(problem["why"], "full", "{problem}");
        let wait = problem["retry_after_ms"].as_u64().unwrap();
        assert!((1_000..=45_000).contains(&wait), "{problem}");
        gate.open();
        for one in all {
            assert_eq!(one.await.unwrap().status, 200, "{route}");
        }
        assert_eq!(ask(&gateway, &path, "").await.status, 200, "there is room again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_the_queue_is_forgotten_and_has_paid_nothing() {
    let rules = Rules {
        upstream: "concurrent: 5",
        routes: &[("r", "limits: { rps: 0.001, burst: 10, concurrent: 1 }")],
        ..Rules::default()
    };
    let (upstream, gateway) = rules.start().await;
    let gate = Gate::default();
    upstream.on("/r/held", held(&gate));
    let holder = send(&gateway, "/r/held", "");
    at_upstream(&upstream, 1).await;
    for _ in 0..3 {
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send(read("/r/h1", "")).await;
        let mut h2 = Client::h2c(gateway.address()).await;
        let request = Request::get("/r/h2").body(full("")).unwrap();
        // Dropped once it waits, which resets its stream; the connection stays.
        let waits = async {
            tokio::select! {
                answer = h2.open(request) => panic!("answered: {answer:?}"),
                level = async {
                    until(&gateway, "r", 1, 2).await;
                    remaining(&gateway, "route", "r").await
                } => level,
            }
        };
        assert_eq!(timeout(Duration::from_secs(30), waits).await.unwrap(), 7);
        raw.reset();
        until(&gateway, "r", 1, 0).await;
        let paid_back = async || remaining(&gateway, "route", "r").await == 9;
        comes_true("both have got back what they paid", paid_back).await;
    }
    gate.open();
    assert_eq!(holder.await.unwrap().status, 200);
    at_rest(&gateway).await;
    assert_eq!(upstream.seen().len(), 1, "nobody who left was sent on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_raises_a_cap_lets_waiters_in_and_one_that_lowers_it_drains() {
    const fn of(limits: &'static str, upstream: &'static str) -> Rules {
        Rules { upstream, routes: &[("r", "")], extra: limits }
    }
    // The route's cap, then the upstream's.
    let table = [
        [of("limits: { concurrent: 1 }", ""), of("limits: { concurrent: 3 }", "")],
        [of("", "concurrent: 1"), of("", "concurrent: 3")],
    ];
    for [low, high] in table {
        let (upstream, gateway) = low.start().await;
        let gates: Vec<_> = (0..4).map(|_| Gate::default()).collect();
        let mut requests = Vec::new();
        for (number, gate) in gates.iter().enumerate() {
            let path = format!("/r/{number}");
            upstream.on(&path, held(gate));
            requests.push(send(&gateway, &path, ""));
            until(&gateway, "r", 1, number as u64).await;
        }
        reload(&gateway, &upstream, &high).await;
        until(&gateway, "r", 3, 1).await;
        at_upstream(&upstream, 3).await;
        reload(&gateway, &upstream, &low).await;
        let shown = queue(&gateway, "r").await;
        assert_eq!((shown["in_use"].as_u64(), shown["waiting_interactive"].as_u64()), (Some(3), Some(1)));
        let mut there: Vec<_> = upstream.seen().iter().map(|seen| seen.target.clone()).collect();
        for left in [2, 1] {
            let number: usize = there.remove(0)["/r/".len()..].parse().unwrap();
            gates[number].open();
            // What came back is not handed on while as many run as may.
            until(&gateway, "r", left, 1).await;
            assert_eq!(upstream.seen().len(), 3);
        }
        gates.iter().for_each(Gate::open);
        for request in requests {
            assert_eq!(request.await.unwrap().status, 200);
        }
        at_rest(&gateway).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_takes_a_cap_away_lets_waiters_in() {
    const fn of(limits: &'static str, upstream: &'static str) -> Rules {
        Rules { upstream, routes: &[("r", "")], extra: limits }
    }
    let table = [
        [of("limits: { concurrent: 1 }", ""), of("", "")],
        [of("limits: { concurrent: 1 }", ""), of("limits: { rps: 1000 }", "")],
        [of("", "concurrent: 1"), of("", "")],
        [of("", "concurrent: 1"), of("limits: { concurrent: 10 }", "")],
        [
            of("limits: { concurrent: 1, per: tenant }\ntenants: { from: { header: x-tenant-id } }", ""),
            of("", ""),
        ],
    ];
    for (number, [capped, free]) in table.into_iter().enumerate() {
        let (upstream, gateway) = capped.start().await;
        let gate = Gate::default();
        upstream.on("/r/held", held(&gate));
        let mut requests = Vec::new();
        for waiting in 0..3 {
            requests.push(send(&gateway, "/r/held", "X-Tenant-Id: acme\r\n"));
            until(&gateway, "r", 1, waiting).await;
        }
        reload(&gateway, &upstream, &free).await;
        at_upstream(&upstream, 3).await;
        gate.open();
        for request in requests {
            assert_eq!(request.await.unwrap().status, 200, "{number}");
        }
        at_rest(&gateway).await;
    }
}
