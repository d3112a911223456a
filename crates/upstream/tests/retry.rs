//! What is sent again, when, how often, and what never is.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::{net::SocketAddr, time::Duration};

use sluicegate_core::{Outcome, Repeat, units::Span};
use sluicegate_upstream::input::RetriesInput;

use crate::support::{Ask, Gateway, Reply, Silent, Upstream, read, read_of, reset, status, worker, write};

/// Three tries, soon after each other, under a budget that two requests do not spend.
const SOON: RetriesInput =
    RetriesInput { tries: 3, base: Span::millis(2), cap: Span::millis(5), budget: 0.2 };
const NO_BREAKER: &str = r#", "breaker": { "consecutive": 0 }"#;

fn gateway(endpoints: &[SocketAddr]) -> Gateway {
    Gateway::new(endpoints, NO_BREAKER, SOON)
}

/// A read, a write without a key, and keyed ones.
fn kinds() -> [Ask; 4] {
    [read_of(), write(None), write(Some(Repeat::NotApplied)), write(Some(Repeat::Always))]
}

/// How often each kind of request is sent to an upstream that always does the same.
async fn times_sent(reply: Reply) -> [usize; 4] {
    let mut counts = [0; 4];
    for (ask, count) in kinds().into_iter().zip(&mut counts) {
        let reply = reply.clone();
        let upstream = Upstream::start(move |_| reply.clone());
        gateway(&[upstream.address]).ask(ask.clone()).await;
        let seen = upstream.seen();
        assert!(seen.iter().all(|seen| seen.body == ask.body), "each time the whole body: {seen:?}");
        *count = seen.len();
    }
    counts
}

#[test]
fn each_kind_is_sent_as_often_as_is_safe() {
    worker(async {
        for code in [200, 400, 401, 403, 404, 409, 422, 423, 501] {
            assert_eq!(times_sent(status(code, "")).await, [1, 1, 1, 1], "{code}");
        }
        for code in [408, 429] {
            assert_eq!(times_sent(status(code, "")).await, [3, 1, 3, 3], "{code}");
        }
        for code in [421, 425] {
            assert_eq!(times_sent(status(code, "")).await, [1, 1, 3, 3], "{code}");
        }
        for code in [500, 502, 503, 504] {
            assert_eq!(times_sent(status(code, "")).await, [3, 1, 1, 3], "{code}");
        }
        assert_eq!(times_sent(Reply::Reset).await, [3, 1, 1, 3]);
        assert_eq!(times_sent(Reply::Last(String::new())).await, [3, 1, 1, 3]);
        assert_eq!(times_sent(Reply::Last("HTTP/1.1 200 OK\r\nCont".into())).await, [1, 1, 1, 1]);
        assert_eq!(times_sent(Reply::Last("nonsense\r\n\r\n".into())).await, [1, 1, 1, 1]);
    });
}

#[test]
fn a_promise_of_the_upstream_lets_keyed_writes_go_again() {
    worker(async {
        let upstream = Upstream::start(|number| status(if number == 0 { 503 } else { 200 }, ""));
        let settings = format!(r#"{NO_BREAKER}, "not_applied": [503]"#);
        let gateway = Gateway::new(&[upstream.address], &settings, SOON);
        assert_eq!(gateway.ask(write(Some(Repeat::NotApplied))).await.status, 200);
        assert_eq!(upstream.count(), 2);
    });
}

#[test]
fn what_helps_is_what_the_client_gets() {
    worker(async {
        let upstream = Upstream::start(|number| match number {
            0 => status(503, ""),
            1 => Reply::Reset,
            _ => status(200, ""),
        });
        let gateway = gateway(&[upstream.address]);
        let answer = gateway.ask(read_of()).await;
        assert_eq!((answer.status, answer.outcome, upstream.count()), (200, Outcome::Final, 3));
        for (reason, times) in [("503", 1.0), ("reset", 1.0), ("500", 0.0)] {
            let name = format!("sluicegate_upstream_retries_total{{upstream=\"main\",reason=\"{reason}\"}}");
            assert!((gateway.metric(&name) - times).abs() < 0.1, "{reason}");
        }
    });
}

#[test]
fn the_next_try_goes_to_an_endpoint_that_was_not_tried() {
    worker(async {
        let (bad, good) = (Upstream::start(|_| status(503, "")), Upstream::start(|_| status(200, "")));
        let all = RetriesInput { budget: 1.0, ..SOON };
        let gateway = Gateway::new(&[bad.address, good.address], NO_BREAKER, all);
        for _ in 0..40 {
            assert_eq!(gateway.ask(read_of()).await.status, 200);
        }
        assert!(bad.count() > 5, "it was never the first");
        assert_eq!(good.count(), 40);
    });
}

#[test]
fn a_body_goes_again_whole_or_not_at_all() {
    worker(async {
        static LARGE: [u8; 70_000] = [7; 70_000];
        for (body, times) in [(&LARGE[..60_000], 3), (&LARGE[..], 1)] {
            let upstream = Upstream::start(|_| status(503, ""));
            let gateway = gateway(&[upstream.address]);
            // A query by POST is a write by its method; OPTIONS reads, and may have a body.
            let ask = Ask { method: http::Method::OPTIONS, body, ..read_of() };
            assert_eq!(gateway.ask(ask).await.status, 503);
            let seen = upstream.seen();
            assert_eq!(seen.len(), times);
            assert!(seen.iter().all(|seen| seen.body == body));
            let withheld =
                gateway.metric("sluicegate_upstream_retries_withheld_total{upstream=\"main\",why=\"body\"}");
            assert!((withheld - f64::from(u8::from(times == 1))).abs() < 0.1);
        }
        // A keyed write is in memory, however large it is.
        let upstream = Upstream::start(|_| status(429, ""));
        let ask = Ask { body: &LARGE, ..write(Some(Repeat::NotApplied)) };
        assert_eq!(gateway(&[upstream.address]).ask(ask).await.status, 429);
        assert_eq!(upstream.count(), 3);
    });
}

#[test]
fn every_request_waits_for_an_upstream_that_does_not_listen_yet() {
    worker(async {
        for ask in kinds() {
            let silent = Silent::new();
            let pauses =
                RetriesInput { tries: 10, base: Span::millis(40), cap: Span::millis(40), budget: 1.0 };
            let gateway = Gateway::new(&[silent.address()], NO_BREAKER, pauses);
            let asking = gateway.ask(ask);
            tokio::pin!(asking);
            let retries =
                || gateway.metric("sluicegate_upstream_retries_total{upstream=\"main\",reason=\"connect\"}");
            tokio::select! {
                answer = &mut asking => panic!("{answer:?}"),
                () = support::eventually("it was tried twice", || retries() > 0.5) => {}
            }
            let upstream = Upstream::on(silent.listen(), |_| status(200, ""));
            assert_eq!(asking.await.status, 200);
            assert_eq!(upstream.count(), 1);
        }
        // Where it never does, nothing was done.
        let silent = Silent::new();
        let gateway = gateway(&[silent.address()]);
        let answer = gateway.ask(write(None)).await;
        assert_eq!((answer.code, answer.outcome), ("upstream_unreachable", Outcome::NotApplied));
        assert!((gateway.metric("sluicegate_upstream_failures_total") - 3.0).abs() < 0.1);
    });
}

#[test]
fn retry_after_is_waited_for_in_both_forms() {
    worker(async {
        let date = "date: Sun, 06 Nov 1994 08:49:37 GMT\r\nretry-after: Sun, 06 Nov 1994 08:49:38 GMT\r\n";
        for fields in ["retry-after: 1\r\n", date] {
            let upstream = Upstream::start(|number| match number {
                0 => status(503, fields),
                _ => status(200, ""),
            });
            let ask = Ask { deadline: Some(support::LIMIT), ..read_of() };
            assert_eq!(gateway(&[upstream.address]).ask(ask).await.status, 200);
            let seen = upstream.seen();
            let pause = seen[1].at - seen[0].at;
            assert!(pause >= Duration::from_millis(990), "{pause:?}");
        }
    });
}

#[test]
fn a_retry_after_past_the_deadline_is_passed_on_at_once() {
    worker(async {
        let upstream = Upstream::start(|_| status(429, "retry-after: 20\r\n"));
        // Without a deadline the longest pause is the limit.
        for deadline in [Some(Duration::from_secs(15)), None] {
            let gateway = gateway(&[upstream.address]);
            let before = upstream.count();
            let answer = gateway.ask(Ask { deadline, ..read_of() }).await;
            assert_eq!((answer.status, answer.retry_after.as_deref()), (429, Some("20")));
            assert!(answer.took < Duration::from_secs(10), "{answer:?}");
            assert_eq!(upstream.count(), before + 1);
            let withheld = "sluicegate_upstream_retries_withheld_total{upstream=\"main\",why=\"deadline\"}";
            assert!((gateway.metric(withheld) - 1.0).abs() < 0.1);
        }
    });
}

#[test]
fn all_tries_together_stay_within_the_deadline() {
    worker(async {
        let deadline = Duration::from_millis(400);
        let often = RetriesInput { tries: 10, base: Span::millis(100), cap: Span::secs(1), budget: 1.0 };
        for (reply, code) in [(status(503, ""), ""), (Reply::Reset, "upstream_reset"), (Reply::Hang, "")] {
            let hangs = matches!(reply, Reply::Hang);
            let upstream = Upstream::start(move |_| reply.clone());
            let mut gateway = Gateway::new(&[upstream.address], NO_BREAKER, often);
            gateway.plan.timeouts.per_try = Some(Duration::from_millis(60));
            let answer = gateway.ask(Ask { deadline: Some(deadline), ..read_of() }).await;
            // Timers go by whole milliseconds, and the machine may be busy.
            assert!(answer.took <= deadline + Duration::from_millis(100), "{answer:?}");
            assert!(upstream.count() > 1, "{answer:?}");
            if hangs {
                assert_eq!(answer.status, 504);
            } else {
                assert_eq!(answer.code, code);
            }
        }
    });
}

#[test]
fn a_full_outage_is_amplified_by_a_fifth_at_most() {
    worker(async {
        for reply in [status(503, ""), Reply::Reset] {
            let upstream = Upstream::start(move |_| reply.clone());
            let gateway = gateway(&[upstream.address]);
            let began = tokio::time::Instant::now();
            let mut requests = 0;
            // Longer than a second, so that the minimum per second is in it.
            while began.elapsed() < Duration::from_millis(2500) || requests < 500 {
                let asks: [_; 8] = std::array::from_fn(|_| gateway.ask(read_of()));
                for ask in asks {
                    ask.await;
                    requests += 1;
                }
            }
            let amplification = upstream.count() as f64 / f64::from(requests);
            assert!((1.1..=1.2).contains(&amplification), "{amplification} over {requests} requests");
            assert!(gateway.metric("sluicegate_upstream_retries_withheld_total") > 1.0);
        }
    });
}

#[test]
fn with_its_breaker_a_full_outage_is_not_amplified_at_all() {
    worker(async {
        // First it is well for a while, so that the budget is not what ends the tries.
        let upstream = Upstream::start(|number| status(if number < 20 { 200 } else { 503 }, ""));
        let all = RetriesInput { budget: 1.0, ..SOON };
        let long = r#", "breaker": { "base": "1m", "max": "1m" }"#;
        let gateway = Gateway::new(&[upstream.address], long, all);
        for _ in 0..20 {
            assert_eq!(gateway.ask(read_of()).await.status, 200);
        }
        for number in 0..500 {
            // The fifth failure is the second try of the second request: a third would meet an open
            // breaker, so its client gets the answer there is.
            let answer = gateway.ask(read_of()).await;
            assert_eq!((answer.status, answer.code), (503, if number < 2 { "" } else { "overloaded" }));
        }
        assert_eq!(upstream.count(), 20 + 5);
        let withheld = "sluicegate_upstream_retries_withheld_total{upstream=\"main\",why=\"breaker\"}";
        assert!((gateway.metric(withheld) - 1.0).abs() < 0.1);
    });
}

#[test]
fn a_doubt_about_one_try_outlives_the_tries_after_it() {
    worker(async {
        // A reset of which nobody knows, a promise that nothing was done, and then nobody there.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let upstream = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            read(&stream, &mut Vec::new()).unwrap();
            reset(&stream);
            drop(stream);
            let (mut stream, _) = listener.accept().unwrap();
            read(&stream, &mut Vec::new()).unwrap();
            drop(listener);
            let Reply::Bytes(bytes) = status(429, "connection: close\r\n") else { return };
            std::io::Write::write_all(&mut stream, bytes.as_bytes()).unwrap();
        });
        let answer = gateway(&[address]).ask(write(Some(Repeat::Always))).await;
        upstream.join().unwrap();
        assert_eq!((answer.code, answer.outcome), ("upstream_unreachable", Outcome::Unknown));
    });
}

#[test]
fn a_promise_is_remembered_where_there_is_no_doubt() {
    worker(async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let upstream = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            read(&stream, &mut Vec::new()).unwrap();
            drop(listener);
            let Reply::Bytes(bytes) = status(429, "connection: close\r\n") else { return };
            std::io::Write::write_all(&mut stream, bytes.as_bytes()).unwrap();
        });
        let answer = gateway(&[address]).ask(write(Some(Repeat::NotApplied))).await;
        upstream.join().unwrap();
        assert_eq!((answer.code, answer.outcome), ("upstream_unreachable", Outcome::NotApplied));
    });
}

#[test]
fn without_retries_everything_is_sent_once() {
    worker(async {
        let upstream = Upstream::start(|_| status(503, ""));
        let gateway = Gateway::new(&[upstream.address], NO_BREAKER, RetriesInput { tries: 1, ..SOON });
        for ask in kinds() {
            assert_eq!(gateway.ask(ask).await.status, 503);
        }
        assert_eq!(upstream.count(), 4);
    });
}
