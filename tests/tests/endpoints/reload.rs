//! What a reload carries over, and what it ends.

use sluicegate_tests::{
    Client, Gate, Gateway, Raw, Step, Upstream, client::get, comes_true, eventually, upstream::response,
};

use crate::{all_served, available, document, state, until};

#[tokio::test(flavor = "multi_thread")]
async fn one_that_stays_keeps_its_connection_and_one_that_goes_gets_no_more_requests() {
    let (stays, goes, comes) = (Upstream::start().await, Upstream::start().await, Upstream::start().await);
    let gateway = Gateway::start(&document(&[&stays, &goes], ""));
    let mut client = Client::h1(gateway.address()).await;
    let ask = async || {
        assert_eq!(client.ask(get("/")).await.status, 200);
        stays.connections() > 0 && goes.connections() > 0
    };
    comes_true("both have a connection", ask).await;
    assert_eq!((stays.connections(), goes.connections()), (1, 1));
    let gone = goes.count("/");

    for (round, endpoints) in [&[&stays][..], &[&stays, &comes], &[&comes, &stays]].into_iter().enumerate() {
        let answer = gateway.put_config("", &document(endpoints, "")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let before = stays.count("/");
        // The client's connection is an old one, and it too follows.
        for _ in 0..40 {
            assert_eq!(client.ask(get("/")).await.status, 200);
        }
        assert!(stays.count("/") > before, "round {round}");
        assert_eq!((stays.connections(), goes.count("/")), (1, gone), "round {round}");
        assert_eq!(available(&gateway, &stays).await, Some(1.0), "round {round}");
        assert_eq!(available(&gateway, &goes).await, None, "round {round}");
        assert_eq!(state(&gateway, &goes).await, "", "round {round}");
    }
    assert!(comes.count("/") > 0);
    assert_eq!(comes.connections(), 1);
    eventually("connections to the one that went are closed", || goes.open() == 0).await;

    let answer = gateway.put_config("", &document(&[&stays, &goes], "")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(available(&gateway, &goes).await, Some(1.0));
    all_served(&gateway, 40, || get("/")).await;
    assert!(goes.count("/") > gone, "named again, it is used again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_of_an_endpoint_outlives_a_reload() {
    let (one, other) = (Upstream::start().await, Upstream::start().await);
    let health = ", health: { path: /health, interval: 10ms, unhealthy_after: 1 }";
    let breaker = ", breaker: { consecutive: 1, base: 1m, max: 1m }";
    one.answer("/health", response("500 Broken", "", ""));
    other.answer("/health", response("200 OK", "", ""));
    let gateway = Gateway::start(&document(&[&one, &other], &format!("{health}{breaker}")));
    until(&gateway, &one, "unhealthy").await;
    let before = one.count("/");
    let answer = gateway.put_config("", &document(&[&one, &other], &format!("{health}, max_idle: 7"))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(state(&gateway, &one).await, "unhealthy");
    all_served(&gateway, 20, || get("/")).await;
    assert_eq!(one.count("/"), before);
    assert_eq!(available(&gateway, &one).await, Some(0.0));

    // Without probes nothing would ever say that it is well: it is used again.
    let answer = gateway.put_config("", &document(&[&one, &other], breaker)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(state(&gateway, &one).await, "healthy");
    all_served(&gateway, 20, || get("/")).await;
    assert!(one.count("/") > before);

    // What requests found out stays known as well.
    one.answer("/x", response("503 Away", "", ""));
    let mut client = Client::h1(gateway.address()).await;
    let ask = async || {
        client.ask(get("/x")).await;
        state(&gateway, &one).await == "open"
    };
    comes_true("it is left out", ask).await;
    let before = one.seen().len();
    let again = document(&[&one, &other], &format!("{breaker}, max_idle: 9"));
    assert_eq!(gateway.put_config("", &again).await.status, 200);
    assert_eq!(state(&gateway, &one).await, "open");
    all_served(&gateway, 20, || get("/x")).await;
    // Probes that were under way at the reload may have come in meanwhile.
    let requests = one.seen().iter().skip(before).filter(|seen| seen.target != "/health").count();
    assert_eq!(requests, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_of_a_former_document_end_with_it() {
    let (one, other) = (Upstream::start().await, Upstream::start().await);
    let probing = |path: &str| format!(", health: {{ path: {path}, interval: 10ms, unhealthy_after: 1 }}");
    let gate = Gate::default();
    for upstream in [&one, &other] {
        upstream.answer("/bad", response("500 Broken", "", ""));
        upstream
            .on("/held", [Step::Read, Step::Wait(gate.clone()), Step::Send(response("200 OK", "", "ok"))]);
    }
    let gateway = Gateway::start(&document(&[&one, &other], &probing("/bad")));
    until(&gateway, &one, "unhealthy").await;
    // A request that outlives the document that it began with.
    let mut held = Raw::connect(gateway.address()).await;
    held.send("GET /held HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    eventually("it runs", || one.count("/held") + other.count("/held") == 1).await;

    // Other probes: what the former ones would say does not count any more.
    let answer = gateway.put_config("", &document(&[&one, &other], &probing("/good"))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    until(&gateway, &one, "healthy").await;
    let (bad, good) = (one.count("/bad"), one.count("/good"));
    let twenty = async || {
        assert_eq!(state(&gateway, &one).await, "healthy");
        one.count("/good") >= good + 20
    };
    comes_true("twenty more probes", twenty).await;
    assert!(one.count("/bad") <= bad + 1, "{} more former probes", one.count("/bad") - bad);

    // None at all: nothing would ever correct what a late one says.
    let answer = gateway.put_config("", &document(&[&one, &other], &probing("/bad"))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    until(&gateway, &one, "unhealthy").await;
    let answer = gateway.put_config("", &document(&[&one, &other], "")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let bad = one.count("/bad");
    for _ in 0..20 {
        assert_eq!(state(&gateway, &one).await, "healthy");
        all_served(&gateway, 5, || get("/")).await;
    }
    assert!(one.count("/bad") <= bad + 1, "{} more former probes", one.count("/bad") - bad);
    gate.open();
    assert_eq!(held.answer().await.unwrap().status, 200);
}
