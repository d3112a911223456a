//! Active probes take an endpoint out and bring it back.

use sluicegate_tests::{
    Gate, Gateway, Step, Upstream,
    client::{get, post},
    comes_true, eventually,
    upstream::response,
};

use crate::{all_served, available, document, state, state_of, two, until};

/// An upstream whose probes are answered one by one, when the test says so.
struct Stepped<'a> {
    upstream: &'a Upstream,
    gate: Gate,
}

impl<'a> Stepped<'a> {
    /// The first probe will get this status.
    fn new(upstream: &'a Upstream, first: &str) -> Self {
        let stepped = Self { upstream, gate: Gate::default() };
        stepped.script(first);
        stepped
    }

    fn script(&self, status: &str) {
        let answer = Step::Send(response(status, "", ""));
        self.upstream.on("/health", [Step::Read, Step::Wait(self.gate.clone()), answer]);
    }

    /// Answers the probe that waits, and returns when the gateway has made of it what it
    /// makes: when the next probe waits, which will get the status `next`.
    async fn answer(&mut self, next: &str) {
        let probes = self.upstream.count("/health");
        let gate = std::mem::take(&mut self.gate);
        self.script(next);
        gate.open();
        eventually("the next probe", || self.upstream.count("/health") > probes).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_bad_probes_in_a_row_take_it_out_and_so_many_good_ones_bring_it_back() {
    let (one, other) = (Upstream::start().await, Upstream::start().await);
    let mut probes = Stepped::new(&one, "204 No Content");
    other.answer("/health", response("299 Fine", "", ""));
    let health = ", health: { path: /health, interval: 10ms, timeout: 20s, unhealthy_after: 3, \
                  healthy_after: 2, status: [204, 299] }";
    let gateway = Gateway::start(&document(&[&one, &other], health));
    eventually("the first probe", || one.count("/health") == 1).await;
    // What the probe gets, and what is true after it. A 200 is good by itself but not listed.
    let story = [
        ("204 No Content", "healthy"),
        ("200 OK", "healthy"),
        ("500 Broken", "healthy"),
        ("204 No Content", "healthy"),
        ("503 Away", "healthy"),
        ("302 Elsewhere", "healthy"),
        ("200 OK", "unhealthy"),
        ("500 Broken", "unhealthy"),
        ("204 No Content", "unhealthy"),
        ("404 Gone", "unhealthy"),
        ("299 Fine", "unhealthy"),
        ("204 No Content", "healthy"),
        ("500 Broken", "healthy"),
    ];
    for (at, (status, expected)) in story.iter().enumerate() {
        probes.answer(story.get(at + 1).map_or("204 No Content", |next| next.0)).await;
        assert_eq!(state(&gateway, &one).await, *expected, "after probe {at}, {status}");
        let shown = if *expected == "healthy" { 1.0 } else { 0.0 };
        assert_eq!(available(&gateway, &one).await, Some(shown), "after probe {at}, {status}");
        let before = one.count("/");
        all_served(&gateway, 12, || get("/")).await;
        if *expected == "healthy" {
            assert!(one.count("/") > before, "after probe {at}, {status}: it is not used");
        } else {
            assert_eq!(one.count("/"), before, "after probe {at}, {status}: it is used");
        }
    }
    assert_eq!(
        (state(&gateway, &other).await.as_str(), available(&gateway, &other).await),
        ("healthy", Some(1.0))
    );
    for probe in one.seen_at("/health") {
        assert_eq!(probe.line(), "GET /health");
        assert_eq!(probe.get("host"), Some(one.address().to_string().as_str()));
    }
    assert_eq!(one.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_gets_no_answer_in_time_is_a_bad_one() {
    let (one, other, gateway) =
        two(", health: { path: /health, interval: 20ms, timeout: 100ms, unhealthy_after: 1 }").await;
    // The service itself would still answer: only the probe says otherwise.
    all_served(&gateway, 20, || get("/")).await;
    one.on("/health", [Step::Read, Step::Hang]);
    until(&gateway, &one, "unhealthy").await;
    let before = one.count("/");
    all_served(&gateway, 20, || get("/")).await;
    assert_eq!(one.count("/"), before);
    one.answer("/health", response("200 OK", "", ""));
    until(&gateway, &one, "healthy").await;
    all_served(&gateway, 20, || get("/")).await;
    assert!(one.count("/") > before);
    assert!(other.count("/") > 0);
    eventually("no probe is left hanging", || one.running() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_one_is_taken_out_by_its_probes_and_brought_back() {
    // Requests alone would never take it out here.
    let (one, other, gateway) =
        two(", health: { path: /health, interval: 20ms }, breaker: { consecutive: 0 }").await;
    let address = one.address();
    all_served(&gateway, 20, || get("/")).await;
    let url = one.url();
    one.stop().await;
    // In the meantime and afterwards: what cannot be reached costs no request, not even a write.
    let ask = async || {
        all_served(&gateway, 2, || post("/", "hello")).await;
        state_of(&gateway, &url).await == "unhealthy"
    };
    comes_true("it is taken out", ask).await;
    all_served(&gateway, 20, || get("/")).await;
    let one = Upstream::start_at(address, None).await;
    until(&gateway, &one, "healthy").await;
    all_served(&gateway, 20, || post("/", "hello")).await;
    assert!(one.count("/") > 0 && other.count("/") > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_endpoint_is_fit_all_are_used() {
    let (one, other, gateway) =
        two(", health: { path: /health, interval: 10ms, timeout: 1s }, breaker: { consecutive: 0 }").await;
    for upstream in [&one, &other] {
        upstream.answer("/health", response("500 Broken", "", ""));
    }
    for upstream in [&one, &other] {
        until(&gateway, upstream, "unhealthy").await;
        assert_eq!(available(&gateway, upstream).await, Some(0.0));
    }
    all_served(&gateway, 40, || get("/")).await;
    assert!(one.count("/") > 0 && other.count("/") > 0, "{} and {}", one.count("/"), other.count("/"));
    // One that is fit again takes everything.
    other.answer("/health", response("200 OK", "", ""));
    until(&gateway, &other, "healthy").await;
    let before = one.count("/");
    all_served(&gateway, 20, || get("/")).await;
    assert_eq!(one.count("/"), before);
}
