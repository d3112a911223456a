//! A route in trouble refuses batch first, while interactive goes on; and it recovers.
//!
//! What is waited for is what a client sees. How long the trouble lasts is not fixed: it goes on
//! until it shows, and for less than the five seconds after which interactive would be touched.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use sluicegate_tests::{Gateway, Raw, Step, Upstream, comes_true, upstream::response};
use tokio::task::JoinSet;

use crate::{Rules, ask, assert_refused, queue, read};

#[derive(Default)]
struct Counts {
    stop: AtomicBool,
    interactive: AtomicUsize,
    batch: AtomicUsize,
    interactive_shed: AtomicUsize,
    batch_shed: AtomicUsize,
}

/// Clients of both lanes that ask again as soon as they are answered.
struct Crowd {
    counts: Arc<Counts>,
    clients: JoinSet<()>,
}

impl Crowd {
    fn start(gateway: &Gateway, path: &'static str, interactive: usize, batch: usize) -> Self {
        let counts = Arc::new(Counts::default());
        let mut clients = JoinSet::new();
        for number in 0..interactive + batch {
            clients.spawn(client(counts.clone(), gateway.address(), path, number >= interactive));
        }
        Self { counts, clients }
    }

    async fn stop(mut self) {
        self.counts.stop.store(true, Ordering::SeqCst);
        while let Some(client) = self.clients.join_next().await {
            client.expect("a client does not panic");
        }
    }
}

async fn client(counts: Arc<Counts>, address: std::net::SocketAddr, path: &str, batch: bool) {
    let request = read(path, if batch { "X-Lane: batch\r\n" } else { "" });
    let (answered, shed) = if batch {
        (&counts.batch, &counts.batch_shed)
    } else {
        (&counts.interactive, &counts.interactive_shed)
    };
    let mut raw = Raw::connect(address).await;
    while !counts.stop.load(Ordering::SeqCst) {
        let answer = raw.ask(&request).await;
        if answer.json()["why"] == "shed" {
            assert_refused(&answer, 503, "overloaded");
            shed.fetch_add(1, Ordering::SeqCst);
            // Not at once, or the refusals alone would keep the machine busy.
            tokio::time::sleep(Duration::from_millis(5)).await;
        } else {
            answered.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Waits until the route sheds nothing, while somebody asks: requests are its clock.
async fn recovers(gateway: &Gateway, path: &str) {
    let over = async || {
        let answer = ask(gateway, path, "").await;
        assert_eq!(answer.status, 200, "interactive goes on: {}", answer.text());
        queue(gateway, "r").await["shed_step"] == 0
    };
    comes_true("nothing is shed any more", over).await;
    assert_eq!(ask(gateway, path, "X-Lane: batch\r\n").await.status, 200);
}

async fn start(limits: &'static str) -> (Upstream, Gateway) {
    let routes: &[(&str, &str)] = Box::leak(Box::new([("r", limits)]));
    let rules = Rules {
        upstream: "breaker: { consecutive: 0 }",
        routes,
        extra: "lanes: { from: { header: x-lane } }",
    };
    rules.start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn where_waits_are_too_long() {
    let (upstream, gateway) =
        start("limits: { concurrent: 4, shed: { queue_p95: 40ms, error_rate: 1.0 } }").await;
    upstream.on(
        "/r/slow",
        [Step::Read, Step::Pause(Duration::from_millis(25)), Step::Send(response("200 OK", "", ""))],
    );
    // Twelve of batch for four places: each waits for two others.
    let crowd = Crowd::start(&gateway, "/r/slow", 2, 14);
    let counts = crowd.counts.clone();
    let batch_is_shed = async || counts.batch_shed.load(Ordering::SeqCst) >= 20;
    comes_true("batch is refused", batch_is_shed).await;
    let before = counts.interactive.load(Ordering::SeqCst);
    assert!(before > 0, "interactive went on");
    let goes_on = async || counts.interactive.load(Ordering::SeqCst) >= before + 20;
    comes_true("interactive goes on while batch is refused", goes_on).await;
    assert_eq!(counts.interactive_shed.load(Ordering::SeqCst), 0, "interactive is not touched");
    let step = queue(&gateway, "r").await["shed_step"].as_u64().unwrap();
    assert!((1..=2).contains(&step), "step {step}");
    crowd.stop().await;
    recovers(&gateway, "/r/x").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_too_many_answers_are_errors_and_not_where_requests_are_wrong() {
    let (upstream, gateway) = start("limits: { shed: { queue_p95: 10s, error_rate: 0.1 } }").await;
    upstream
        .answer("/r/wrong", response("404 Not Found", "", ""))
        .answer("/r/broken", response("500 Internal Server Error", "", ""));
    for (path, sheds) in [("/r/wrong", false), ("/r/broken", true)] {
        let crowd = Crowd::start(&gateway, path, 2, 2);
        let counts = crowd.counts.clone();
        if sheds {
            let shed = async || counts.batch_shed.load(Ordering::SeqCst) >= 20;
            comes_true("batch is refused", shed).await;
        } else {
            let many = async || {
                let answered =
                    counts.interactive.load(Ordering::SeqCst) + counts.batch.load(Ordering::SeqCst);
                answered >= 500
            };
            comes_true("many are answered", many).await;
            assert_eq!(counts.batch_shed.load(Ordering::SeqCst), 0);
        }
        let before = counts.interactive.load(Ordering::SeqCst);
        let goes_on = async || counts.interactive.load(Ordering::SeqCst) >= before + 20;
        comes_true("interactive goes on", goes_on).await;
        assert_eq!(counts.interactive_shed.load(Ordering::SeqCst), 0, "{path}: interactive is not touched");
        crowd.stop().await;
    }
    recovers(&gateway, "/r/x").await;
}
