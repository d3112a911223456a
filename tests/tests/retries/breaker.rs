//! Breakers and retries together, from the beginning of an outage to its end.

use std::time::Duration;

use sluicegate_tests::{client::get, comes_true};

use crate::{answers, once, retries, start_with, withheld};

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_opens_the_breaker_and_a_few_requests_close_it() {
    let breaker = ", breaker: { consecutive: 5, base: 1s, max: 1s, probes: 2 }";
    let extra = "retries: { tries: 3, base: 1ms, budget: 1 }";
    let (upstream, gateway, mut client) = start_with(breaker, "", extra).await;
    crate::earn(&mut client, 20).await;
    upstream.on("/x", answers("503 Away", "", "away"));

    // Three tries, then two: the second request's last failure opens it, and its answer is the
    // upstream's still.
    for expected in [3, 5] {
        let answer = client.ask(get("/x")).await;
        assert_eq!((answer.status, &answer.body[..], upstream.count("/x")), (503, &b"away"[..], expected));
    }
    assert_eq!((retries(&gateway).await, withheld(&gateway).await), (once("503", 3), once("breaker", 1)));
    // From now on nobody is asked, and who comes back when he was told is a probe.
    let mut wait = Duration::ZERO;
    for _ in 0..20 {
        let answer = client.ask(get("/x")).await;
        assert_eq!((answer.status, answer.code().as_str()), (503, "overloaded"), "{answer:?}");
        wait = Duration::from_millis(answer.json()["retry_after_ms"].as_u64().unwrap());
        assert!(!wait.is_zero() && wait <= Duration::from_millis(1200), "{wait:?}");
    }
    assert_eq!(upstream.count("/x"), 5);
    tokio::time::sleep(wait).await;
    // The probe fails: it is not sent again, since nobody is let through.
    let answer = client.ask(get("/x")).await;
    assert_eq!((answer.status, &answer.body[..], upstream.count("/x")), (503, &b"away"[..], 6));
    assert_eq!(client.ask(get("/x")).await.code(), "overloaded");

    // It is well again.
    upstream.on("/x", answers("200 OK", "", "back"));
    let mut refused = 0;
    let ask = async || {
        let answer = client.ask(get("/x")).await;
        refused += usize::from(answer.status != 200);
        answer.status == 200
    };
    comes_true("a request is let through", ask).await;
    for _ in 0..40 {
        assert_eq!(client.ask(get("/x")).await.status, 200);
    }
    assert_eq!(upstream.count("/x"), 6 + 41, "each was sent once");
    println!("{refused} were refused until it was tried again");
}
