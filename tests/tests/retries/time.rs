//! When a request is sent again, and how long all of it may take.
//!
//! Times are compared with the one that would have passed without the rule: a machine that
//! stalls does not reach it.

use std::time::{Duration, Instant, SystemTime};

use http::Request;
use sluicegate_tests::{
    Step,
    client::{full, get},
};

use crate::{FREELY, NO_BREAKER, answers, earn, first_then, once, retries, start, start_with, withheld};

/// A moment as HTTP writes it.
fn http_date(moment: SystemTime) -> String {
    let seconds = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let moment = jiff::Timestamp::from_second(seconds.try_into().unwrap()).unwrap();
    moment.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn not_before_retry_after() {
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    let (then, later) = (http_date(long_ago), http_date(long_ago + Duration::from_secs(1)));
    let table = [
        ("429 Slow", "Retry-After: 1\r\n".to_owned()),
        ("503 Away", "Retry-After: 1\r\n".to_owned()),
        // A moment by the clock of the upstream, which need not be ours.
        ("503 Away", format!("Date: {then}\r\nRetry-After: {later}\r\n")),
    ];
    for (status, lines) in table {
        let (upstream, gateway, mut client) = start("").await;
        let steps = (answers(status, &lines, ""), answers("200 OK", "", ""));
        let began = Instant::now();
        let asking = client.ask(get("/x"));
        let answer = first_then(&upstream, "/x", (&steps.0, &steps.1), asking).await;
        assert_eq!((answer.status, upstream.count("/x")), (200, 2), "{lines}");
        let took = began.elapsed();
        assert!(took >= Duration::from_secs(1), "sent again after {took:?} for {lines}");
        assert_eq!(retries(&gateway).await, once(&status[..3], 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moment_that_has_passed_is_not_waited_for() {
    let (upstream, _gateway, mut client) = start("").await;
    let lines = format!("Retry-After: {}\r\n", http_date(SystemTime::now() - Duration::from_secs(600)));
    let (bad, good) = (answers("503 Away", &lines, ""), answers("200 OK", "", ""));
    let answer = first_then(&upstream, "/x", (&bad, &good), client.ask(get("/x"))).await;
    assert_eq!((answer.status, upstream.count("/x")), (200, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_the_deadline_is_passed_on_at_once() {
    let extra = format!("limits: {{ deadline: 10s }}\n{FREELY}");
    let (upstream, gateway, mut client) = start_with(NO_BREAKER, "", &extra).await;
    let in_a_minute = http_date(SystemTime::now() + Duration::from_secs(60));
    let mut asked = 0;
    for value in ["10", "3600", "99999999999999999999", &in_a_minute] {
        upstream.on("/x", answers("503 Away", &format!("Retry-After: {value}\r\n"), "away"));
        let began = Instant::now();
        let answer = client.ask(get("/x")).await;
        asked += 1;
        assert_eq!(
            (answer.status, answer.header("retry-after"), &answer.body[..]),
            (503, value, &b"away"[..])
        );
        assert_eq!(upstream.count("/x"), asked, "{value}");
        assert!(began.elapsed() < Duration::from_secs(5), "it waited {:?}", began.elapsed());
    }
    assert_eq!((retries(&gateway).await, withheld(&gateway).await), (vec![], once("deadline", 4)));
    // The client's own deadline counts as well.
    upstream.on("/x", answers("503 Away", "Retry-After: 5\r\n", "away"));
    let request = Request::get("/x").header("x-request-deadline", "4000").body(full("")).unwrap();
    let began = Instant::now();
    assert_eq!(client.ask(request).await.status, 503);
    assert!(began.elapsed() < Duration::from_secs(4), "it waited {:?}", began.elapsed());
    assert_eq!(upstream.count("/x"), asked + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_tries_and_pauses_stay_within_the_deadline() {
    // Without a deadline the pauses of ten tries would take a minute, half of it on average.
    let extra = "limits: { deadline: 2s }\nretries: { tries: 10, base: 500ms, cap: 15s, budget: 1 }";
    let (upstream, gateway, mut client) = start_with(NO_BREAKER, "", extra).await;
    earn(&mut client, 40).await;
    upstream.on("/x", answers("503 Away", "", "away"));
    for round in 0..3 {
        let began = Instant::now();
        let answer = client.ask(get("/x")).await;
        assert_eq!((answer.status, &answer.body[..]), (503, &b"away"[..]), "the last answer there was");
        assert!(began.elapsed() < Duration::from_secs(5), "round {round}: {:?}", began.elapsed());
    }
    assert_eq!(withheld(&gateway).await, once("deadline", 3));
    let tries = upstream.count("/x");
    assert!(tries > 3, "nothing was sent again");
    // What is left is passed on: each try is told a shorter time.
    let told: Vec<u64> = upstream
        .seen_at("/x")
        .iter()
        .map(|seen| seen.get("x-request-deadline").unwrap().parse().unwrap())
        .collect();
    let falls = told.windows(2).filter(|two| two[1] <= two[0]).count();
    assert_eq!(falls, tries - 3, "but where the next request began: {told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tries_that_hang_stay_within_the_deadline() {
    let extra = "limits: { deadline: 2s }\ntimeouts: { per_try: 500ms }\n\
                 retries: { tries: 10, base: 1ms, cap: 1ms, budget: 1 }";
    let (upstream, gateway, mut client) = start_with(NO_BREAKER, "", extra).await;
    earn(&mut client, 20).await;
    upstream.on("/x", [Step::Read, Step::Hang]);
    let began = Instant::now();
    let answer = client.ask(get("/x")).await;
    let took = began.elapsed();
    assert_eq!(answer.status, 504, "{answer:?}");
    assert!(["deadline_exceeded", "upstream_timeout"].contains(&&*answer.code()), "{}", answer.code());
    // Ten tries of half a second would take five.
    assert!(took < Duration::from_millis(4500), "{took:?}");
    let tries = upstream.count("/x");
    assert!((2..=5).contains(&tries), "{tries} tries");
    assert_eq!(retries(&gateway).await, once("timeout", tries as u64 - 1));
}
