//! What a client is told of its buckets, and that it is true.

use std::time::Duration;

use http::Request;
use sluicegate_tests::{Client, Raw, client::full, raw::RawAnswer, upstream::response};
use tokio::time::sleep;

use crate::{Rules, ask, assert_refused, read};

/// The items of `RateLimit` or `RateLimit-Policy`: a name, and its two numbers under these keys.
fn items(answer: &RawAnswer, field: &str, keys: [&str; 2]) -> Vec<(String, u64, u64)> {
    let list = answer.fields.all(field).join(", ");
    let read = |item: &str| {
        let mut parts = item.trim().split(';');
        let name = parts.next()?.strip_prefix('"')?.strip_suffix('"')?.to_owned();
        let mut number = |key| parts.next()?.strip_prefix(key)?.strip_prefix('=')?.parse().ok();
        Some((name, number(keys[0])?, number(keys[1])?))
    };
    let items = list.split(',').filter(|item| !item.is_empty());
    items.map(|item| read(item).unwrap_or_else(|| panic!("{field}: {list}"))).collect()
}

fn policy(answer: &RawAnswer) -> Vec<(String, u64, u64)> {
    items(answer, "ratelimit-policy", ["q", "w"])
}

fn left(answer: &RawAnswer) -> Vec<(String, u64, u64)> {
    items(answer, "ratelimit", ["r", "t"])
}

/// Five a second, one at once, each by another bucket.
const BUCKETS: [(&str, Rules); 4] = [
    ("route", Rules { upstream: "", routes: &[("r", "limits: { rps: 5, burst: 1 }")], extra: "" }),
    (
        "tenant",
        Rules {
            upstream: "",
            routes: &[("r", "limits: { rps: 5, burst: 1, per: tenant }")],
            extra: "tenants: { from: { header: x-tenant-id } }",
        },
    ),
    (
        "lane",
        Rules { upstream: "", routes: &[("r", "")], extra: "lanes: { interactive: { rps: 5, burst: 1 } }" },
    ),
    (
        "global",
        Rules { upstream: "", routes: &[("r", "")], extra: "limits: { global: { rps: 5, burst: 1 } }" },
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_exactly_as_long_as_told_gets_in() {
    for (bucket, rules) in BUCKETS {
        let (_upstream, gateway) = rules.start().await;
        let mut raw = Raw::connect(gateway.address()).await;
        let request = read("/r/x", "X-Tenant-Id: acme\r\n");
        let mut rounds = 0;
        while rounds < 4 {
            let answer = raw.ask(&request).await;
            if answer.status == 200 {
                continue;
            }
            let problem = assert_refused(&answer, 429, "rate_limited");
            assert_eq!(problem["bucket"], bucket);
            let wait = problem["retry_after_ms"].as_u64().unwrap();
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.ends_with(&format!(" has no room; come back in {wait} ms")), "{detail}");
            assert!(wait <= 200, "{bucket}: the next token comes within 200 ms: {problem}");
            sleep(Duration::from_millis(wait)).await;
            let answer = raw.ask(&request).await;
            assert_eq!(answer.status, 200, "{bucket}: told {wait} ms: {}", answer.text());
            rounds += 1;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fields_name_what_is_left_and_until_when() {
    let rules = Rules {
        routes: &[("r", "limits: { rps: 0.1, burst: 3, per: tenant }"), ("free", "")],
        extra: "tenants: { from: { header: x-tenant-id }, classes: { premium: { multiplier: 2.0, members: [acme] } } }",
        ..Rules::default()
    };
    let (upstream, gateway) = rules.start().await;
    for (tenant, burst, every) in [("plain", 3, 10), ("acme", 6, 5)] {
        let lines = format!("X-Tenant-Id: {tenant}\r\n");
        for taken in 1..=burst {
            let answer = ask(&gateway, "/r/x", &lines).await;
            assert_eq!(policy(&answer), [("tenant".to_owned(), burst, 30)], "{answer:?}");
            let (name, remaining, full) = left(&answer).remove(0);
            assert_eq!((answer.status, name.as_str(), remaining), (200, "tenant", burst - taken));
            // Nothing or a second has run in since the first was taken.
            assert!((every * taken - 2..=every * taken).contains(&full), "{answer:?}");
        }
        let answer = ask(&gateway, "/r/x", &lines).await;
        let problem = assert_refused(&answer, 429, "rate_limited");
        assert_eq!(policy(&answer), [("tenant".to_owned(), burst, 30)]);
        // In a refusal the time is the wait itself: in less than that nothing can be had.
        let wait: u64 = answer.fields.get("retry-after").unwrap().parse().unwrap();
        assert_eq!(left(&answer), [("tenant".to_owned(), 0, wait)], "{problem}");
        assert!((every - 2..=every).contains(&wait), "{problem}");
    }
    // What the upstream says of its own limits goes through beside it, and alone where a route
    // limits nothing.
    let own = "RateLimit: \"mine\";r=1;t=1\r\n";
    upstream.answer("/r/own", response("200 OK", own, "")).answer("/free/own", response("200 OK", own, ""));
    let both = left(&ask(&gateway, "/r/own", "X-Tenant-Id: third\r\n").await);
    assert_eq!(
        both.iter().map(|(name, left, _)| (name.as_str(), *left)).collect::<Vec<_>>(),
        [("mine", 1), ("tenant", 2)]
    );
    assert_eq!(left(&ask(&gateway, "/free/own", "").await), [("mine".to_owned(), 1, 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_to_all_is_told_to_nobody() {
    let rules = Rules {
        routes: &[("r", "")],
        extra: "limits: { global: { rps: 0.1, burst: 1 } }\nlanes: { interactive: { rps: 0.1, burst: 2 } }",
        ..Rules::default()
    };
    let (_upstream, gateway) = rules.start().await;
    for status in [200, 429] {
        let answer = ask(&gateway, "/r/x", "").await;
        assert_eq!((answer.status, left(&answer).len(), policy(&answer).len()), (status, 0, 0), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_grpc_it_is_told_in_grpcs_words() {
    let rules = Rules { routes: &[("r", "limits: { rps: 0.1, burst: 1 }")], ..Rules::default() };
    let (_upstream, gateway) = rules.start().await;
    assert_eq!(ask(&gateway, "/r/x", "").await.status, 200);
    let call = Request::post("/r/call").header("content-type", "application/grpc").header("te", "trailers");
    let answer = Client::h2c(gateway.address()).await.ask(call.body(full("")).unwrap()).await;
    assert_eq!((answer.status, answer.header("grpc-status")), (200, "8"), "{answer:?}");
    let wait: u64 = answer.header("grpc-retry-pushback-ms").parse().unwrap();
    assert!((8_000..=10_000).contains(&wait), "{answer:?}");
    assert_eq!(
        answer.header("grpc-message"),
        format!("rate_limited: the route's bucket has no room; come back in {wait} ms")
    );
}
