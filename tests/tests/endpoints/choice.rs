//! Of two endpoints the one with less to do gets the request.

use sluicegate_tests::{Gate, Raw, Step, client::get, eventually, upstream::response};

use crate::{all_served, two};

#[tokio::test(flavor = "multi_thread")]
async fn idle_endpoints_share_the_requests() {
    let (one, other, gateway) = two("").await;
    all_served(&gateway, 200, || get("/")).await;
    assert_eq!(one.count("/") + other.count("/"), 200);
    // Drawn by lot: fewer than 50 of 200 would be seven deviations off.
    assert!(one.count("/").min(other.count("/")) > 50, "{} and {}", one.count("/"), other.count("/"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_holds_requests_gets_no_new_ones() {
    let (one, other, gateway) = two("").await;
    let (slow, fast) = (Gate::default(), Gate::default());
    for (upstream, gate) in [(&one, &slow), (&other, &fast)] {
        let ok = response("200 OK", "", "ok");
        upstream.on("/hold", [Step::Read, Step::Wait(gate.clone()), Step::Send(ok)]);
    }
    let mut held = Vec::new();
    for number in 1..=8 {
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send("GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        eventually("it came to one of them", || one.running() + other.running() == number).await;
        held.push(raw);
    }
    assert_eq!((one.running(), other.running()), (4, 4), "they are filled evenly");
    fast.open();
    eventually("the fast one is done", || other.running() == 0).await;
    all_served(&gateway, 100, || get("/")).await;
    assert_eq!((one.count("/"), other.count("/")), (0, 100));
    slow.open();
    for mut raw in held {
        assert_eq!(raw.answer().await.unwrap().status, 200);
    }
    all_served(&gateway, 40, || get("/")).await;
    assert!(one.count("/") > 0, "it takes its share again");
}
