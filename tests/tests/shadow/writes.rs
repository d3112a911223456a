//! Writes are not copied unless the shadow takes them; and whatever is copied is sent once.

use http::Request;
use serde_json::json;
use sluicegate_demo_rag::{Options, start};
use sluicegate_tests::{
    Client, Gateway, Step, Upstream,
    client::{full, get},
    upstream::response,
};

use crate::{Rules, come_to, ended, expected, origin::Origin, outcomes};

/// Rules under which a method says what a request is.
fn by_method(shadow: &str) -> Rules {
    Rules { route: String::new(), ..Rules::of(shadow) }
}

async fn send(gateway: &Gateway, method: &str, path: &str, key: &str, body: &'static str) -> u16 {
    let mut request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    if !key.is_empty() {
        request = request.header("idempotency-key", key);
    }
    Client::h1(gateway.address()).await.ask(request.body(full(body)).unwrap()).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_service_that_gets_copies_is_never_written_to() {
    let (main, lab) = (start(Options::default()).await.unwrap(), start(Options::default()).await.unwrap());
    let (url, shadow) = (format!("http://{}", main.address()), format!("http://{}", lab.address()));
    // A search is a POST that reads, and told to be one.
    let reads = "- { name: search, match: { path: /v1/retrieve }, upstream: main, access: read, \
                 shadow: { to: lab, percent: 100 } }\n  - { name: plain";
    let document = by_method("percent: 100").document(&url, &shadow).replacen("- { name: plain", reads, 1);
    let gateway = Gateway::start(&document);
    for round in 0..10 {
        let path = format!("/v1/documents/d{round}");
        assert!(
            send(&gateway, "PUT", &path, "\"k\"", r#"{"title":"New","text":"Wombats dig."}"#).await < 300
        );
        assert_eq!(send(&gateway, "GET", &path, "", "").await, 200);
        assert_eq!(send(&gateway, "POST", "/v1/retrieve", "", r#"{"query":"wombats"}"#).await, 200);
        assert!(send(&gateway, "DELETE", &path, "", "").await < 300);
    }
    come_to(&gateway, &[("answered", 20)]).await;
    let arrived = [main.audit(), lab.audit()].map(|audit| audit.counts().count);
    assert_eq!(arrived, [20, 0]);
    let methods: Vec<_> =
        lab.requests().routes.into_iter().map(|route| (route.method, route.count)).collect();
    assert_eq!(methods, [("GET".to_owned(), 10), ("POST".to_owned(), 10)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_copy_is_written_to_under_keys_of_its_own() {
    let (main, lab) = (Origin::plain().await, Origin::plain().await);
    let shadow = "percent: 100, writes: true, noise: 100, compare: {}";
    let gateway = by_method(shadow).start(&main.url(), &lab.url());
    for (path, key) in [("/1", "\"k\""), ("/2", "\"k\""), ("/3", "\"other\""), ("/4", ""), ("/5", "")] {
        assert_eq!(send(&gateway, "POST", path, key, "{}").await, 200);
        assert_eq!(send(&gateway, "GET", &format!("{path}/read"), key, "").await, 200);
    }
    come_to(&gateway, &[("answered", 10)]).await;
    let seen = lab.seen();
    let key_of = |path: &str| {
        let copy = seen.iter().find(|asked| asked.path == path).unwrap();
        copy.headers.get("idempotency-key").map(|key| key.to_str().unwrap().to_owned())
    };
    let keys: Vec<_> = ["/1", "/2", "/3", "/4", "/5"].map(|path| key_of(path).expect("a key")).into();
    assert_eq!(keys[0], keys[1], "what is one write at the primary is one at the copy");
    let mut others = keys[1..].to_vec();
    others.sort_unstable();
    others.dedup();
    assert_eq!(others.len(), 4, "{keys:?}");
    assert!(keys.iter().all(|key| key.starts_with("\"shadow-")), "{keys:?}");
    assert!((1..=5).all(|number| key_of(&format!("/{number}/read")).is_none()), "a read has no key");
    let again = main.seen().into_iter().filter(|asked| asked.is_copy() && asked.method == "POST").count();
    assert_eq!(again, 0, "nothing is written twice at the own upstream");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_refused_or_answered_from_the_record_is_not_copied() {
    let (main, lab) = (Origin::plain().await, Origin::plain().await);
    let rules = Rules { route: "idempotency: {}".to_owned(), ..Rules::of("percent: 100, writes: true") };
    let gateway = rules.start(&main.url(), &lab.url());
    for _ in 0..5 {
        assert_eq!(send(&gateway, "POST", "/x", "\"k\"", "{}").await, 200);
    }
    gateway.freeze("f", &json!({ "scope": { "routes": ["all"] } })).await;
    assert_eq!(send(&gateway, "POST", "/x", "\"l\"", "{}").await, 423);
    come_to(&gateway, &[("answered", 1)]).await;
    assert_eq!((main.count(), lab.count()), (1, 1));
}

/// Sends copies one after the other to a shadow that does this with each, on a route with retries;
/// how many there were.
async fn one_by_one(lab: &Upstream, script: Vec<Step>) -> (Gateway, u64) {
    let main = Origin::plain().await;
    lab.on("/x", script);
    let rules = Rules {
        upstream: "breaker: { consecutive: 0 }, honours_keys: true, not_applied: [503]",
        extra: "retries: { tries: 5, base: 1ms, cap: 1ms, budget: 1 }",
        ..by_method("percent: 100, writes: true")
    };
    let gateway = rules.start(&main.url(), &lab.url());
    let mut client = Client::h1(gateway.address()).await;
    for turn in 1..=10 {
        assert_eq!(client.ask(get("/x")).await.status, 200);
        ended(&gateway, 2 * turn - 1).await;
        assert_eq!(send(&gateway, "POST", "/x", "\"k\"", "{}").await, 200);
        ended(&gateway, 2 * turn).await;
    }
    assert_eq!(lab.violations(), Vec::<String>::new());
    (gateway, 20)
}

/// Each copy arrives once, and comes to this.
async fn once(script: Vec<Step>, outcome: &str) {
    let lab = Upstream::start().await;
    let (gateway, count) = one_by_one(&lab, script).await;
    assert_eq!(outcomes(&gateway).await, expected(&[(outcome, count)]));
    assert_eq!(lab.count("/x") as u64, count);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_refused_is_not_sent_again() {
    once(vec![Step::Read, Step::Send(response("503 Away", "Retry-After: 0\r\n", ""))], "answered").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_whose_connection_breaks_is_not_sent_again() {
    once(vec![Step::Read, Step::Reset], "reset").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_whose_kept_connection_breaks_is_not_sent_again() {
    let lab = Upstream::start().await;
    // The first request on each connection is answered, and the next one finds it broken.
    let second = vec![Step::Read, Step::Send(response("200 OK", "", "ok")), Step::Read, Step::Close];
    let (gateway, count) = one_by_one(&lab, second).await;
    let found = outcomes(&gateway).await;
    let arrived = lab.count("/x") as u64;
    assert_eq!(found.get("answered"), Some(&arrived), "{found:?} of {count}");
}
