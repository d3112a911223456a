//! A request and its tries stay on one arm, but for a read that its candidate lets nothing through to.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::HeaderValue;
use sluicegate_core::{
    Facts, Outcome, Repeat,
    arm::{Arm, Role, Slot},
    units::Span,
};
use sluicegate_upstream::input::RetriesInput;
use tokio::{net::TcpListener, task::spawn_local, time::Instant};

use crate::support::{
    Answer, Ask, Gateway, Reply, Silent, Upstream, eventually, read_of, service::Service, status, worker,
    write,
};

const SOON: RetriesInput =
    RetriesInput { tries: 3, base: Span::millis(2), cap: Span::millis(5), budget: 1.0 };

const CANDIDATE: Arm = Arm { slot: Slot::Second, role: Role::Candidate, is_sample: true };
const NEVER: &str = r#", "breaker": { "consecutive": 0 }"#;
/// One failure opens it for as long as a test lasts.
const AT_ONCE: &str = r#", "breaker": { "consecutive": 1, "base": "10m", "max": "10m" }"#;

/// A route with two upstreams.
struct Pair {
    /// Its plan is the route's.
    first: Gateway,
    second: Gateway,
}

impl Pair {
    fn new(first: SocketAddr, second: SocketAddr, settings: &str) -> Self {
        let mut first = Gateway::new(&[first], settings, SOON);
        let second = Gateway::new(&[second], settings, SOON);
        first.plan.second = Some(Box::new(second.plan.clone()));
        Self { first, second }
    }

    async fn ask(&self, ask: Ask, arm: Arm) -> Answer {
        self.first.ask(Ask { arm: Some(arm), ..ask }).await
    }

    /// What was counted at each upstream.
    fn fallbacks(&self) -> [String; 2] {
        let name = "sluicegate_rollout_fallbacks_total{upstream=\"main\"}";
        [&self.first, &self.second].map(|gateway| format!("{:.0}", gateway.metric(name)))
    }
}

fn ok() -> Upstream {
    Upstream::start(|_| status(200, ""))
}

#[test]
fn each_request_goes_where_its_arm_is() {
    worker(async {
        let (first, second) = (ok(), ok());
        let pair = Pair::new(first.address, second.address, NEVER);
        for ask in [read_of(), write(None)] {
            for role in [Role::Active, Role::Candidate] {
                for slot in Slot::BOTH {
                    let before = [first.count(), second.count()];
                    let arm = Arm { slot, role, is_sample: true };
                    assert_eq!(pair.ask(ask.clone(), arm).await.status, 200);
                    let mut expected = before;
                    expected[slot.index()] += 1;
                    assert_eq!([first.count(), second.count()], expected, "{slot:?}");
                }
            }
        }
        // Without a choice: the first.
        let before = first.count();
        assert_eq!((pair.first.ask(read_of()).await.status, first.count()), (200, before + 1));
        let facts = Facts::new(HeaderValue::from_static("id"), None, Instant::now(), false);
        assert!(std::ptr::eq(pair.first.plan.at(&facts), &raw const pair.first.plan));
        facts.choose_arm(CANDIDATE);
        assert!(std::ptr::eq(pair.second.plan.at(&facts), &raw const pair.second.plan), "it has no second");
        let second: &sluicegate_upstream::UpstreamPlan = pair.first.plan.second.as_ref().unwrap();
        assert!(std::ptr::eq(pair.first.plan.at(&facts), second));
        facts.fall_back();
        assert!(std::ptr::eq(pair.first.plan.at(&facts), &raw const pair.first.plan));
    });
}

#[test]
fn all_tries_go_to_the_arm_they_began_on() {
    worker(async {
        for failing in [status(503, ""), Reply::Reset] {
            for ask in [read_of(), write(Some(Repeat::Always))] {
                let failing = failing.clone();
                let (active, candidate) = (ok(), Upstream::start(move |_| failing.clone()));
                let pair = Pair::new(active.address, candidate.address, NEVER);
                let answer = pair.ask(ask, CANDIDATE).await;
                assert_ne!(answer.status, 200);
                assert_eq!((candidate.count(), active.count(), answer.fell_back), (3, 0, false));
                assert_eq!(pair.fallbacks(), ["0", "0"]);
            }
        }
    });
}

#[test]
fn a_read_falls_back_where_the_breakers_of_its_candidate_are_open() {
    worker(async {
        for slot in Slot::BOTH {
            let (active, candidate) = (ok(), Upstream::start(|_| status(503, "")));
            let places = match slot {
                Slot::First => [candidate.address, active.address],
                Slot::Second => [active.address, candidate.address],
            };
            let pair = Pair::new(places[0], places[1], AT_ONCE);
            let arm = Arm { slot, ..CANDIDATE };
            // The one that opens it was sent, and is not sent to the other one.
            let answer = pair.ask(read_of(), arm).await;
            assert_eq!((answer.status, answer.code, answer.fell_back), (503, "", false));
            assert_eq!((candidate.count(), active.count()), (1, 0));
            for count in 1..=3 {
                let answer = pair.ask(read_of(), arm).await;
                assert_eq!((answer.status, answer.fell_back), (200, true));
                assert_eq!((answer.outcome, active.count()), (Outcome::Final, count));
            }
            let mut expected = ["0", "0"];
            expected[slot.index()] = "3";
            assert_eq!(pair.fallbacks(), expected);
            let refused = pair.ask(write(Some(Repeat::Always)), arm).await;
            assert_eq!((refused.code, refused.fell_back), ("overloaded", false), "a write does not");
            let as_active = Arm { role: Role::Active, ..arm };
            let refused = pair.ask(read_of(), as_active).await;
            assert_eq!(
                (refused.code, refused.fell_back),
                ("overloaded", false),
                "the active one has no other"
            );
            assert_eq!(
                (candidate.count(), active.count(), pair.fallbacks()),
                (1, 3, expected.map(Into::into))
            );
        }
    });
}

#[test]
fn the_other_arm_is_the_last_one() {
    worker(async {
        let failing = || Upstream::start(|_| status(503, ""));
        let (active, candidate) = (failing(), failing());
        let pair = Pair::new(active.address, candidate.address, AT_ONCE);
        pair.ask(read_of(), CANDIDATE).await;
        let answer = pair.ask(read_of(), CANDIDATE).await;
        assert_eq!(
            (answer.status, answer.code, answer.fell_back),
            (503, "", true),
            "the active one's answer"
        );
        let answer = pair.ask(read_of(), CANDIDATE).await;
        assert_eq!((answer.code, answer.fell_back), ("overloaded", true), "both are open");
        assert_eq!((active.count(), candidate.count(), pair.fallbacks()), (1, 1, ["0", "2"].map(Into::into)));
    });
}

#[test]
fn a_candidate_that_cannot_be_reached_is_no_reason_before_its_breaker_says_so() {
    worker(async {
        let (active, nobody) = (ok(), Silent::new());
        let pair = Pair::new(
            active.address,
            nobody.address(),
            r#", "breaker": { "consecutive": 3, "base": "10m", "max": "10m" }"#,
        );
        let answer = pair.ask(read_of(), CANDIDATE).await;
        assert_eq!((answer.code, answer.fell_back, active.count()), ("upstream_unreachable", false, 0));
        eventually("it opens", || pair.second.state() == "open").await;
        let answer = pair.ask(read_of(), CANDIDATE).await;
        assert_eq!((answer.status, answer.fell_back), (200, true));
    });
}

#[test]
fn a_read_falls_back_from_a_candidate_that_serves_other_pins() {
    worker(async {
        let (active, candidate) = (ok(), Service::start("INDEX_HASH=b7").await);
        let settings =
            format!("{NEVER}, \"pins\": {{ \"INDEX_HASH\": \"a1\" }}, \"on_mismatch\": \"refuse\"");
        let pair = Pair::new(active.address, candidate.address, &settings);
        let refused = pair.ask(read_of(), CANDIDATE).await;
        assert_eq!((refused.code, refused.fell_back), ("index_mismatch", false), "it was sent there");
        let answer = pair.ask(read_of(), CANDIDATE).await;
        assert_eq!(
            (answer.status, answer.fell_back, pair.fallbacks()),
            (200, true, ["0", "1"].map(Into::into))
        );
        assert_eq!(pair.ask(write(None), CANDIDATE).await.code, "index_mismatch");
        assert_eq!((candidate.answers(), active.count()), (1, 1));
    });
}

#[test]
fn what_falls_back_has_the_other_arms_limits_and_tries() {
    worker(async {
        let candidate = Upstream::start(|_| status(503, ""));
        let hanging = Upstream::start(|_| Reply::Hang);
        let mut pair = Pair::new(hanging.address, candidate.address, AT_ONCE);
        pair.ask(read_of(), CANDIDATE).await;
        pair.first.plan.timeouts.per_try = Some(Duration::from_millis(20));
        let answer = pair.ask(read_of(), CANDIDATE).await;
        assert_eq!((answer.code, answer.fell_back), ("upstream_timeout", true));
        assert!(answer.took < Duration::from_secs(5), "{:?}", answer.took);

        // The candidate's own limit does not hold for the other one.
        let slow = Upstream::start(|_| {
            std::thread::sleep(Duration::from_millis(200));
            status(200, "")
        });
        let mut pair = Pair::new(slow.address, candidate.address, AT_ONCE);
        pair.ask(read_of(), CANDIDATE).await;
        let second = pair.first.plan.second.as_mut().unwrap();
        second.timeouts.per_try = Some(Duration::from_millis(20));
        let answer = pair.ask(read_of(), CANDIDATE).await;
        assert_eq!((answer.status, answer.fell_back), (200, true));

        let flaky = Upstream::start(|number| if number < 2 { status(503, "") } else { status(200, "") });
        let mut pair = Pair::new(flaky.address, candidate.address, NEVER);
        let shut = Gateway::new(&[candidate.address], AT_ONCE, SOON);
        shut.ask(read_of()).await;
        pair.first.plan.second = Some(Box::new(shut.plan.clone()));
        let answer = pair.ask(read_of(), CANDIDATE).await;
        assert_eq!(
            (answer.status, answer.fell_back, flaky.count()),
            (200, true, 3),
            "it has tries of its own"
        );
    });
}

#[test]
fn what_may_have_been_seen_by_the_candidate_stays_with_it() {
    worker(async {
        // The first read waits on a pooled connection until another one has opened the breaker, and
        // then that connection dies.
        let opened = Arc::new(AtomicBool::new(false));
        let reset = opened.clone();
        let candidate = Upstream::start(move |number| match number {
            0 => status(200, ""),
            1 => {
                while !reset.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Reply::Reset
            }
            _ => status(503, ""),
        });
        let active = ok();
        let pair = Pair::new(active.address, candidate.address, AT_ONCE);
        assert_eq!(pair.ask(read_of(), CANDIDATE).await.status, 200);
        let opening = async {
            eventually("it is under way", || candidate.count() == 2).await;
            assert_eq!(pair.ask(read_of(), CANDIDATE).await.status, 503);
            assert_eq!(pair.second.state(), "open");
            opened.store(true, Ordering::SeqCst);
        };
        let (answer, ()) = tokio::join!(pair.ask(read_of(), CANDIDATE), opening);
        assert_eq!((answer.code, answer.fell_back, active.count()), ("overloaded", false, 0));
    });
}

#[test]
fn a_later_try_does_not_fall_back() {
    worker(async {
        // Both are told that nobody looked at them; the second to be told opens the breaker, and the
        // first finds it open after its pause.
        let candidate = refusing().await;
        let active = ok();
        let settings =
            r#", "protocol": "http2", "breaker": { "consecutive": 2, "base": "10m", "max": "10m" }"#;
        let second = Gateway::new(&[candidate], settings, SOON);
        let mut first = Gateway::new(&[active.address], NEVER, SOON);
        let mut plan = second.plan.clone();
        plan.retries.base = Duration::from_millis(500);
        plan.retries.cap = Duration::from_millis(500);
        first.plan.second = Some(Box::new(plan));
        let ask = || first.ask(Ask { arm: Some(CANDIDATE), ..read_of() });
        let (one, other) = tokio::join!(ask(), ask());
        assert_eq!((one.fell_back, other.fell_back, active.count()), (false, false, 0));
        assert_eq!(second.state(), "open");
        assert!([one.code, other.code].contains(&"overloaded"), "{} {}", one.code, other.code);
    });
}

/// An upstream that looks at nothing.
async fn refusing() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    spawn_local(async move {
        while let Ok((socket, _)) = listener.accept().await {
            spawn_local(async move {
                let mut connection = h2::server::handshake(socket).await.unwrap();
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    respond.send_reset(h2::Reason::REFUSED_STREAM);
                }
            });
        }
    });
    address
}
