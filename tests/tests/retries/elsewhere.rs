//! Where a request is sent again.

use sluicegate_tests::{
    Client, Gateway, Step, Upstream,
    client::{get, post},
};

use crate::{FREELY, NO_BREAKER, answers, document, earn, once, retries};

/// Two endpoints and a gateway in front of both, and a client.
async fn two(route: &str) -> (Upstream, Upstream, Gateway, Client) {
    let (one, other) = (Upstream::start().await, Upstream::start().await);
    let gateway = Gateway::start(&document(&[one.url(), other.url()], NO_BREAKER, route, FREELY));
    let client = Client::h1(gateway.address()).await;
    (one, other, gateway, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn at_an_endpoint_that_was_not_tried() {
    let (bad, good, gateway, mut client) = two("").await;
    earn(&mut client, 40).await;
    bad.on("/x", answers("503 Away", "", ""));
    for number in 0..40 {
        assert_eq!(client.ask(get("/x")).await.status, 200, "request {number}");
    }
    assert_eq!(good.count("/x"), 40);
    assert!(bad.count("/x") > 5, "it was not asked: {}", bad.count("/x"));
    assert_eq!(retries(&gateway).await, once("503", bad.count("/x") as u64));
}

#[tokio::test(flavor = "multi_thread")]
async fn at_one_that_was_where_all_were() {
    let (one, other, _gateway, mut client) = two("").await;
    earn(&mut client, 20).await;
    for upstream in [&one, &other] {
        upstream.on("/x", answers("503 Away", "", ""));
    }
    assert_eq!(client.ask(get("/x")).await.status, 503);
    let mut tries = [one.count("/x"), other.count("/x")];
    tries.sort_unstable();
    assert_eq!(tries, [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_without_a_key_only_where_nobody_was_found() {
    let (one, other, gateway, mut client) = two("").await;
    one.on("/x", [Step::Read, Step::Reset]);
    let (mut failed, mut times) = (0, 0);
    while one.count("/x") < 5 {
        times += 1;
        assert!(times < 200, "it is never asked");
        failed += usize::from(client.ask(post("/x", "hello")).await.status == 502);
    }
    assert_eq!((failed, one.count("/x") + other.count("/x")), (5, times), "each was sent once");
    // Nobody listens there any more.
    one.stop().await;
    let before = other.count("/x");
    for _ in 0..20 {
        assert_eq!(client.ask(post("/x", "hello")).await.status, 200);
    }
    assert_eq!((other.count("/x") - before, retries(&gateway).await), (20, vec![]));
}
