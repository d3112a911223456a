//! An endpoint at which requests fail gets none for a while, and then a few.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sluicegate_core::units::Span;
use sluicegate_upstream::input::RetriesInput;

use crate::support::{Ask, Gateway, Reply, Silent, Upstream, eventually, read_of, status, worker, write};

const OFF: RetriesInput = RetriesInput { tries: 1, base: Span::millis(1), cap: Span::millis(1), budget: 0.0 };

/// Three failures open it for a fifth of a second at first; two probes.
const BREAKER: &str = r#", "breaker": { "consecutive": 3, "base": "200ms", "max": "200ms", "probes": 2 }"#;

/// An upstream that fails while the switch is on.
fn switched(failing: Reply) -> (Upstream, Arc<AtomicBool>) {
    let switch = Arc::new(AtomicBool::new(true));
    let fails = switch.clone();
    let upstream =
        Upstream::start(
            move |_| {
                if fails.load(Ordering::SeqCst) { failing.clone() } else { status(200, "") }
            },
        );
    (upstream, switch)
}

#[test]
fn it_opens_is_probed_and_closes() {
    worker(async {
        let (upstream, failing) = switched(status(503, ""));
        let gateway = Gateway::new(&[upstream.address], BREAKER, OFF);
        for _ in 0..3 {
            assert_eq!(gateway.ask(write(None)).await.code, "");
        }
        assert_eq!(gateway.state(), "open");
        let refused = gateway.ask(write(None)).await;
        assert_eq!((refused.status, refused.code), (503, "overloaded"));
        assert_eq!(refused.retry_after.as_deref(), Some("1"));
        assert_eq!(refused.outcome, sluicegate_core::Outcome::NotApplied);
        assert_eq!(upstream.count(), 3, "it was not asked");

        // One probe that fails opens it again.
        eventually("it is tried again", || gateway.state() == "half_open").await;
        assert_eq!(gateway.ask(read_of()).await.code, "");
        assert_eq!((gateway.state(), upstream.count()), ("open", 4));

        failing.store(false, Ordering::SeqCst);
        eventually("it is tried again", || gateway.state() == "half_open").await;
        assert_eq!(gateway.ask(read_of()).await.status, 200);
        assert_eq!(gateway.state(), "half_open", "two must succeed");
        assert_eq!(gateway.ask(read_of()).await.status, 200);
        assert_eq!(gateway.state(), "healthy");
        for (to, times) in [("open", 2.0), ("half_open", 2.0), ("closed", 1.0)] {
            let name =
                format!("sluicegate_upstream_breaker_transitions_total{{upstream=\"main\",to=\"{to}\"}}");
            assert!((gateway.metric(&name) - times).abs() < 0.1, "{to}");
        }
    });
}

#[test]
fn a_flood_meets_a_few_probes_and_never_the_endpoint() {
    worker(async {
        let (one, one_failing) = switched(Reply::Reset);
        let (other, other_failing) = switched(Reply::Reset);
        let gateway = Gateway::new(&[one.address, other.address], BREAKER, OFF);
        // Half open for the whole flood: the probes hang.
        let mut refused = 0;
        for _ in 0..1000 {
            refused += u32::from(gateway.ask(read_of()).await.code == "overloaded");
        }
        let asked = one.count() + other.count();
        assert_eq!(asked + refused as usize, 1000);
        // Three failures each; then, each time it is half open, one.
        assert!(asked <= 6 + 2 * 60, "{asked}");
        assert!(refused > 800, "{refused}");
        one_failing.store(false, Ordering::SeqCst);
        other_failing.store(false, Ordering::SeqCst);
        let states = || gateway.plan.upstream.endpoints().map(|(_, state)| state).collect::<Vec<_>>();
        while states() != ["healthy", "healthy"] {
            gateway.ask(read_of()).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
}

#[test]
fn probes_that_hang_let_no_flood_through_and_leavers_give_their_place_back() {
    worker(async {
        let (upstream, _failing) = switched(Reply::Hang);
        let mut gateway = Gateway::new(
            &[upstream.address],
            r#", "breaker": { "consecutive": 1, "base": "300ms", "max": "300ms", "probes": 2 }"#,
            OFF,
        );
        gateway.plan.timeouts.per_try = Some(Duration::from_millis(20));
        assert_eq!(gateway.ask(read_of()).await.code, "upstream_timeout");
        gateway.plan.timeouts.per_try = None;
        eventually("it is tried again", || gateway.state() == "half_open").await;
        for round in 0..3 {
            let before = upstream.count();
            {
                // Two are let through and hang; the others are told at once.
                let (one, other) = (gateway.ask(read_of()), gateway.ask(read_of()));
                tokio::pin!(one, other);
                let more = async {
                    eventually("the probes are out", || upstream.count() == before + 2).await;
                    (gateway.ask(read_of()).await.code, upstream.count())
                };
                tokio::select! {
                    answer = &mut one => panic!("{answer:?}"),
                    answer = &mut other => panic!("{answer:?}"),
                    told = more => assert_eq!(told, ("overloaded", before + 2), "round {round}"),
                }
            }
            assert_eq!(gateway.state(), "half_open", "clients that leave say nothing");
        }
    });
}

#[test]
fn no_deadline_of_a_clients_own_opens_it() {
    worker(async {
        let upstream = Upstream::start(|_| Reply::Hang);
        let mut gateway = Gateway::new(&[upstream.address], BREAKER, OFF);
        gateway.plan.timeouts.deadline = Duration::from_millis(400);
        for _ in 0..6 {
            let ask = Ask { deadline: Some(Duration::from_millis(20)), ..read_of() };
            assert_eq!(gateway.ask(ask).await.code, "deadline_exceeded");
        }
        assert_eq!(gateway.state(), "healthy");
        gateway.plan.timeouts.deadline = Duration::from_millis(20);
        for _ in 0..3 {
            let ask = Ask { deadline: Some(Duration::from_millis(20)), ..read_of() };
            assert_eq!(gateway.ask(ask).await.code, "deadline_exceeded");
        }
        assert_eq!(gateway.state(), "open", "the route's own is the endpoint's fault");
    });
}

#[test]
fn what_cannot_be_reached_is_left_out_and_the_other_serves() {
    worker(async {
        let (silent, good) = (Silent::new(), Upstream::start(|_| status(200, "")));
        let long = r#", "breaker": { "consecutive": 3, "base": "1m", "max": "1m" }"#;
        let gateway = Gateway::new(&[silent.address(), good.address], long, OFF);
        for _ in 0..50 {
            assert_eq!(gateway.ask(write(None)).await.status, 200);
        }
        assert_eq!((gateway.state(), good.count()), ("open", 50));
        assert!((gateway.metric("sluicegate_upstream_failures_total") - 3.0).abs() < 0.1);
    });
}

#[test]
fn one_that_takes_connections_and_no_requests_is_left_out() {
    worker(async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || listener.incoming().for_each(drop));
        let long = r#", "breaker": { "consecutive": 3, "base": "1m", "max": "1m" }"#;
        let gateway = Gateway::new(&[address], long, OFF);
        let mut codes = Vec::new();
        for _ in 0..4 {
            codes.push(gateway.ask(write(None)).await.code);
        }
        assert!(codes[..3].iter().all(|code| code.starts_with("upstream_")), "{codes:?}");
        assert_eq!(codes[3], "overloaded");
    });
}

#[test]
fn a_reload_keeps_what_is_known() {
    worker(async {
        let upstream = Upstream::start(|_| status(503, ""));
        let long = r#", "breaker": { "consecutive": 3, "base": "1m", "max": "1m" }"#;
        let mut gateway = Gateway::new(&[upstream.address], long, OFF);
        for _ in 0..3 {
            gateway.ask(read_of()).await;
            gateway.reload();
        }
        assert_eq!(gateway.state(), "open");
        assert_eq!(
            gateway.ask(read_of()).await.retry_after.map(|text| text.parse::<u64>().unwrap() > 50),
            Some(true)
        );

        // The budget too: its minimum is spent once, not once per reload.
        let none = RetriesInput { tries: 10, base: Span::millis(1), cap: Span::millis(1), budget: 0.0 };
        let other = Upstream::start(|_| status(503, ""));
        let mut gateway = Gateway::new(&[other.address], r#", "breaker": { "consecutive": 0 }"#, none);
        let began = std::time::Instant::now();
        for _ in 0..10 {
            gateway.ask(read_of()).await;
            gateway.reload();
        }
        let seconds = usize::try_from(began.elapsed().as_secs()).unwrap() + 1;
        assert!(other.count() <= 10 + 3 * seconds, "{}", other.count());
    });
}
