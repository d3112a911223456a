//! Clients that leave at any moment leave nothing behind.
//!
//! Each round is one request that is broken off at random: in its head, in its body, in the
//! queue, while the upstream works, in the middle of the answer; or not at all. The seed is
//! printed, and every round's choices come from it and the round's number alone.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use fastrand::Rng;
use futures::{StreamExt, stream};
use http::Request;
use sluicegate_tests::{
    Client, Raw, Step, Upstream,
    client::{self, Body},
    repeat,
    upstream::response,
};
use tokio::time::{sleep, timeout};

use crate::{Rules, admission, ask, at_rest, count};

const RULES: Rules = Rules {
    upstream: "concurrent: 6",
    routes: &[
        ("reads", "access: read, limits: { concurrent: 4, queue: 12 }"),
        ("tenants", "limits: { concurrent: 2, per: tenant, queue: 12, rps: 2000, burst: 3000 }"),
        ("keyed", "limits: { concurrent: 3, queue: 6 }, idempotency: { required: true, wait: 1s }"),
        ("model", "access: read, limits: { concurrent: 3, queue: 6, budget: { tokens: 1000000, per: 1s } }"),
    ],
    extra: "limits: { global: { rps: 20000, burst: 20000 }, deadline: 1500ms }\n\
            lanes: { from: { header: x-lane } }\ntenants: { from: { header: x-tenant-id } }",
};

const ROUTES: [&str; 4] = ["reads/x", "tenants/x", "keyed/x", "model/v1/chat/completions"];

/// What the upstream does on each route, by the number after it.
fn script(upstream: &Upstream) {
    let ok = || Step::Send(response("200 OK", "", "done"));
    let pause = |millis| Step::Pause(Duration::from_millis(millis));
    let head =
        |length: u64| Step::Send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into());
    for route in ROUTES {
        let ways = [
            vec![Step::Read, ok()],
            vec![Step::Read, pause(15), ok()],
            vec![Step::ReadSome(10), pause(5), Step::Read, ok()],
            vec![Step::Read, head(400_000), Step::Pattern(200_000), pause(10), Step::Pattern(200_000)],
            vec![Step::Read, Step::Events(8, Duration::from_millis(3))],
            vec![Step::Read, pause(5), Step::Reset],
        ];
        for (number, steps) in ways.into_iter().enumerate() {
            upstream.on(&format!("/{}", route.replace('x', &format!("x{number}"))), steps);
        }
    }
    // The path of a model's route is what makes it one: its ways differ by nothing.
    upstream.on("/model/v1/chat/completions", [Step::Read, pause(8), ok()]);
}

/// What is asked for.
struct Asking {
    path: String,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Asking {
    fn new(chance: &mut Rng, round: usize) -> Self {
        let route = ROUTES[chance.usize(..ROUTES.len())].replace('x', &format!("x{}", chance.usize(..6)));
        let headers = vec![
            ("x-tenant-id", format!("t{}", chance.usize(..3))),
            ("x-lane", ["interactive", "batch"][chance.usize(..2)].to_owned()),
            ("content-type", "application/json".to_owned()),
            ("idempotency-key", format!("k{round}")),
        ];
        let body = format!("{{\"model\":\"m\",\"max_tokens\":5,\"messages\":[],\"user\":\"{round:0>200}\"}}");
        Self { path: format!("/{route}"), headers, body }
    }

    /// Over HTTP/1.1, and how long its head is.
    fn bytes(&self) -> (String, usize) {
        let lines: Vec<_> = self.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let lines = lines.join("\r\n");
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\nContent-Length: {}\r\n\r\n",
            self.path,
            self.body.len()
        );
        let length = head.len();
        (head + &self.body, length)
    }

    /// Over HTTP/2, its body in two pieces with a pause between.
    fn request(self, pause: Duration) -> Request<Body> {
        let (first, second) = self.body.split_at(self.body.len() / 2);
        let pieces = [(first.to_owned(), Duration::ZERO), (second.to_owned(), pause)];
        let body = stream::iter(pieces).then(|(piece, pause)| async move {
            sleep(pause).await;
            Bytes::from(piece)
        });
        let request = Request::post(self.path);
        let request = self.headers.into_iter().fold(request, |all, (name, value)| all.header(name, value));
        request.body(client::stream(body)).unwrap()
    }
}

/// One request, and where it is broken off; whether it was answered to the end.
async fn round(address: SocketAddr, seed: u64, number: usize) -> bool {
    let mut chance = Rng::with_seed(seed ^ (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let asking = Asking::new(&mut chance, number);
    let moment = Duration::from_micros(chance.u64(..60_000));
    if chance.u32(..3) == 0 {
        let request = asking.request(Duration::from_micros(chance.u64(..10_000)));
        let mut client = Client::h2c(address).await;
        return timeout(moment, client.send(request)).await.is_ok_and(|answer| answer.is_ok());
    }
    let (bytes, head) = asking.bytes();
    let mut raw = Raw::connect(address).await;
    let sent = match chance.u32(..8) {
        0 => chance.usize(1..head),
        1 => chance.usize(head..bytes.len()),
        _ => bytes.len(),
    };
    raw.send(&bytes[..sent]).await;
    let whole = sent == bytes.len();
    let answered = match chance.u32(..4) {
        // To the end, where there is one.
        0 if whole => raw.answer().await.is_ok_and(|answer| answer.complete),
        1 if whole => {
            let _ = timeout(moment, raw.head()).await;
            false
        }
        _ => {
            sleep(moment).await;
            false
        }
    };
    if chance.bool() {
        raw.reset();
    } else {
        drop(raw);
    }
    answered
}

#[tokio::test(flavor = "multi_thread")]
async fn of_clients_that_leave_at_any_moment() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let (upstream, gateway) = RULES.start().await;
    script(upstream.brief());
    let many = repeat(600, 20_000);
    let address = gateway.address();
    let answered = Arc::new(AtomicUsize::new(0));
    stream::iter(0..many)
        .for_each_concurrent(24, |number| {
            let answered = answered.clone();
            async move {
                if round(address, seed, number).await {
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            }
        })
        .await;
    at_rest(&gateway).await;
    let gauges = ["sluicegate_permits_in_use", "sluicegate_queue_waiting", "sluicegate_queue_bytes"];
    for gauge in gauges {
        let held = gateway.metric(gauge).await;
        assert!(!held.is_empty() && held.iter().all(|(_, value)| *value == 0.0), "{gauge}: {held:?}");
    }
    println!(
        "{many} sent, {} answered to the end; {} let in, {} refused by the queues",
        answered.load(Ordering::Relaxed),
        count(&gateway, "sluicegate_queue_admitted_total", &[]).await,
        count(&gateway, "sluicegate_queue_refused_total", &[]).await
    );
    // Every place is there: as many run at one time as before.
    for route in ["reads/x0", "tenants/x0", "model/v1/chat/completions"] {
        for _ in 0..10 {
            let answer = ask(&gateway, &format!("/{route}"), "").await;
            assert_eq!(answer.status, 200, "{route}: {answer:?} {}", answer.text());
        }
    }
    at_rest(&gateway).await;
    let shown = admission(&gateway).await;
    for queue in shown["queues"].as_array().unwrap() {
        assert_eq!(queue["shed_step"], 0, "{queue}");
    }
    assert_eq!(upstream.violations(), Vec::<String>::new());
}
