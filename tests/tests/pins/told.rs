//! A service that serves something else than it is pinned to, and how that comes out.

use std::time::Instant;

use serde_json::json;
use sluicegate_demo_rag::Document;
use sluicegate_tests::{
    Client, Gateway, LIMIT, Upstream, client::get, comes_true, eventually, upstream::response,
};

use crate::{
    FIELDS, diff_of, document, header, mismatches, ms, one,
    rag::{Rag, search},
    stands, state, upstream,
};

/// What the service tells in every answer.
const TOLD: [&str; 3] = ["INDEX_HASH", "DOC_COUNT", "MODEL_VER"];

/// A search reads, whatever its method.
const ROUTES: [&str; 2] = [
    "name: retrieve, match: { path: /v1/retrieve, methods: [POST] }, access: read, upstream: main",
    "name: rest, match: { path: \"/{*rest}\" }, upstream: main",
];

/// The service, and a gateway whose document pins these of what it serves now.
async fn start(pins: &[&str], more: &str) -> (Rag, Gateway) {
    let rag = Rag::start().await;
    let gateway = before(&rag, &rag.pins(pins).await, more);
    (rag, gateway)
}

fn before(rag: &Rag, pins: &[(String, String)], more: &str) -> Gateway {
    Gateway::start(&document(&[upstream("main", &[rag.url()], pins, more)], &ROUTES, ""))
}

async fn counted(gateway: &Gateway, source: &str) -> [u64; 3] {
    let mut counts = [0; 3];
    for (count, pin) in counts.iter_mut().zip(TOLD) {
        *count = mismatches(gateway, "main", pin, source).await;
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_answer_that_shows_it_is_noticed_and_each_is_counted() {
    let (rag, gateway) = start(&TOLD, "").await;
    let mut client = Client::h1(gateway.address()).await;
    for _ in 0..5 {
        assert_eq!(client.ask(search()).await.status, 200);
    }
    assert_eq!(counted(&gateway, "answer").await, [0, 0, 0]);
    assert!(!stands(&gateway, &rag.url()).await);
    assert_eq!(state(&gateway, &rag.url()).await["state"], "healthy");

    rag.add("new").await;
    for told in 1..=4 {
        // By default it passes: the alert is for operators.
        let answer = client.ask(search()).await;
        let shown: Vec<_> = rag.pins(&TOLD).await;
        let shown = header(shown.iter().map(|(pin, value)| (pin.as_str(), value.as_str())));
        let shown = shown.split(',').all(|pair| answer.header("x-wfgy").contains(pair));
        assert!(answer.status == 200 && shown, "{answer:?}");
        assert_eq!(counted(&gateway, "answer").await, [told, told, 0]);
        assert!(stands(&gateway, &rag.url()).await, "after answer {told}");
    }
    // What is told is told once in the log, with both values.
    let lines = gateway.log();
    let warned: Vec<_> =
        lines.iter().filter(|line| line.contains("WARN") && line.contains("INDEX_HASH")).collect();
    assert_eq!(warned.len(), 1, "{warned:#?}");
    println!("pins told: {}", warned[0]);
    println!("pins told: /status says {}", state(&gateway, &rag.url()).await);
    let readyz = gateway.admin(http::Method::GET, "/readyz", "").await;
    assert_eq!(readyz.status, 200);
    println!("pins told: /readyz says {:?}", String::from_utf8_lossy(&readyz.body));

    rag.remove("new").await;
    assert_eq!(client.ask(search()).await.status, 200);
    assert!(!stands(&gateway, &rag.url()).await, "it is as it is pinned again");
    assert_eq!(counted(&gateway, "answer").await, [4, 4, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_counts_for_itself() {
    // A document in place of another one: another hash, the same count.
    let (rag, gateway) = start(&["DOC_COUNT", "MODEL_VER"], "").await;
    rag.add("bm25-basics").await;
    let mut client = Client::h1(gateway.address()).await;
    assert_eq!(client.ask(search()).await.status, 200);
    assert_eq!(counted(&gateway, "answer").await, [0, 0, 0], "the hash is not pinned");
    rag.add("new").await;
    assert_eq!(client.ask(search()).await.status, 200);
    assert_eq!(counted(&gateway, "answer").await, [0, 1, 0]);

    let (rag, gateway) = start(&TOLD, "").await;
    rag.add("bm25-basics").await;
    let mut client = Client::h1(gateway.address()).await;
    assert_eq!(client.ask(search()).await.status, 200);
    assert_eq!(counted(&gateway, "answer").await, [1, 0, 0]);

    // One that was wrong from the start, and a document that pins nothing of it.
    let rag = Rag::telling("MODEL_VER", "m-9").await;
    let gateway = before(&rag, &[("MODEL_VER".into(), "m-1".into())], "");
    assert_eq!(Client::h1(gateway.address()).await.ask(search()).await.status, 200);
    assert_eq!(counted(&gateway, "answer").await, [0, 0, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_comes_back_with_another_index_is_noticed_by_its_first_answer() {
    let (rag, gateway) = start(&TOLD, "").await;
    let mut client = Client::h1(gateway.address()).await;
    assert_eq!(client.ask(search()).await.status, 200);
    let address = rag.address();
    rag.stop().await;
    let document = Document { id: "one".into(), title: "One".into(), text: "A write freeze.".into() };
    let rag = Rag::start_at(address, vec![document]).await;
    let mut answer = client.ask(search()).await;
    while answer.status != 200 {
        answer = client.ask(search()).await;
    }
    assert_eq!(counted(&gateway, "answer").await, [1, 1, 0], "{answer:?}");
    assert!(stands(&gateway, &rag.url()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_traffic_the_next_reading_of_the_manifest_shows_it() {
    let (rag, gateway) = start(&TOLD, ", manifest: { path: /index/manifest, interval: 200ms }").await;
    let mut took = Vec::new();
    for round in 0..3 {
        for (expected, what) in [(true, "noticed"), (false, "healed")] {
            let readings = rag.count("/index/manifest");
            eventually("one more reading", || rag.count("/index/manifest") > readings).await;
            if expected {
                rag.add("new").await;
            } else {
                rag.remove("new").await;
            }
            let (begun, readings) = (Instant::now(), rag.count("/index/manifest"));
            loop {
                // The next reading begins after the change. When the one after it has come, the
                // gateway has made of the first what it makes of it.
                let dealt_with = rag.count("/index/manifest") >= readings + 2;
                if stands(&gateway, &rag.url()).await == expected {
                    took.push(begun.elapsed());
                    break;
                }
                assert!(!dealt_with && begun.elapsed() < LIMIT, "round {round}: not {what} by one reading");
            }
        }
    }
    let [hash, count, model] = counted(&gateway, "manifest").await;
    assert!(hash >= 3 && count >= 3 && model == 0, "{hash}, {count}, {model}");
    assert_eq!(counted(&gateway, "answer").await, [0, 0, 0], "no answer was asked for");
    let worst = took.iter().max().unwrap();
    println!("pins told: by manifests every 200 ms within {} at most, in {} changes", ms(*worst), took.len());
}

/// One upstream for each of the fourteen, of which it tells another value; all at one endpoint.
fn fourteen(endpoint: &str, more: impl Fn(usize) -> String) -> String {
    let owned = |(pin, value): (&str, &str)| (pin.to_owned(), value.to_owned());
    let pins: Vec<_> = FIELDS.into_iter().map(owned).collect();
    let names: Vec<_> = (0..14).map(|at| format!("f{at}")).collect();
    let upstreams: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(at, name)| {
            upstream(name, &[endpoint.to_owned()], &pins, &format!(", on_mismatch: refuse{}", more(at)))
        })
        .collect();
    let routes: Vec<_> = names
        .iter()
        .map(|name| format!("name: {name}, match: {{ path: /{name} }}, upstream: {name}"))
        .collect();
    let routes: Vec<_> = routes.iter().map(String::as_str).collect();
    document(&upstreams, &routes, "")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_the_fourteen_that_an_answer_tells_otherwise_is_named() {
    let behind = Upstream::start().await;
    for (at, (field, _)) in FIELDS.into_iter().enumerate() {
        let told = header(FIELDS.map(|(name, is)| (name, if name == field { "other" } else { is })));
        let answer = response("200 OK", &format!("X-WFGY: {told}\r\n"), "secret");
        behind.answer(&format!("/f{at}"), answer);
    }
    let gateway = Gateway::start(&fourteen(&behind.url(), |_| String::new()));
    let mut client = Client::h1(gateway.address()).await;
    for (at, (field, expected)) in FIELDS.into_iter().enumerate() {
        let answer = client.ask(get(&format!("/f{at}"))).await;
        let diff = diff_of(&answer, 503, "index_mismatch");
        assert_eq!(diff, one(field, Some(expected), "other"));
        assert_eq!(answer.json()["upstream"], format!("f{at}"));
        assert!(!String::from_utf8_lossy(&answer.body).contains("secret"));
        for (other, _) in FIELDS {
            let count = mismatches(&gateway, &format!("f{at}"), other, "answer").await;
            assert_eq!(count, u64::from(other == field), "{field}, {other}");
        }
    }
    println!("pins told: 14 fields, each alone wrong in an answer, each named");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_the_fourteen_that_a_manifest_tells_otherwise_is_named_before_anything_is_sent() {
    let behind = Upstream::start().await;
    for (at, (field, _)) in FIELDS.into_iter().enumerate() {
        let mut manifest = json!(FIELDS.into_iter().collect::<std::collections::BTreeMap<_, _>>());
        // Numbers are told as numbers.
        manifest["DOC_COUNT"] = json!(48210);
        manifest["EMBED_DIM"] = json!(1024);
        manifest["shards"] = json!([1, 2, 3]);
        manifest[field] = json!("other");
        behind.answer(&format!("/m{at}"), response("200 OK", "", &manifest.to_string()));
        behind.answer(&format!("/f{at}"), response("200 OK", "", "secret"));
    }
    let more = |at| format!(", manifest: {{ path: /m{at}, interval: 100ms }}");
    let gateway = Gateway::start(&fourteen(&behind.url(), more));
    eventually("every manifest was read twice", || (0..14).all(|at| behind.count(&format!("/m{at}")) > 1))
        .await;
    let mut client = Client::h1(gateway.address()).await;
    for (at, (field, expected)) in FIELDS.into_iter().enumerate() {
        let diff = diff_of(&client.ask(get(&format!("/f{at}"))).await, 503, "index_mismatch");
        assert_eq!(diff, one(field, Some(expected), "other"));
        assert_eq!(behind.count(&format!("/f{at}")), 0, "it was sent");
    }
    assert_eq!(behind.violations(), Vec::<String>::new());
    println!("pins told: 14 fields, each alone wrong in a manifest, each refused before it was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_cannot_be_read_changes_nothing_and_is_counted() {
    let behind = Upstream::start().await;
    let right = response("200 OK", "", r#"{"INDEX_HASH":"a1d9"}"#);
    behind.answer("/m", right.clone());
    let pins = [("INDEX_HASH".to_owned(), "a1d9".to_owned())];
    let more = ", on_mismatch: refuse, manifest: { path: /m, interval: 50ms, timeout: 300ms }";
    let routes = ["name: all, match: { path: \"/{*rest}\" }, upstream: main"];
    let gateway = Gateway::start(&document(&[upstream("main", &[behind.url()], &pins, more)], &routes, ""));
    let mut client = Client::h1(gateway.address()).await;
    let failures = async || gateway.count("sluicegate_manifest_failures_total", "upstream=\"main\"").await;
    for wrong in [
        response("500 Broken", "", r#"{"INDEX_HASH":"b7f3"}"#),
        response("200 OK", "", "INDEX_HASH=b7f3"),
        response("200 OK", "", r#"["INDEX_HASH","b7f3"]"#),
        response("200 OK", "", &format!("{{\"INDEX_HASH\":\"b7f3\",\"pad\":\"{}\"}}", "x".repeat(70_000))),
    ] {
        let before = failures().await;
        behind.answer("/m", wrong);
        comes_true("it is counted", async || failures().await > before).await;
        let answer = client.ask(get("/")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert!(!stands(&gateway, &behind.url()).await);
    // What was found before stands, too.
    behind.answer("/m", response("200 OK", "", r#"{"INDEX_HASH":"b7f3"}"#));
    comes_true("it is noticed", async || stands(&gateway, &behind.url()).await).await;
    let before = failures().await;
    behind.answer("/m", response("404 Gone", "", ""));
    comes_true("it is counted", async || failures().await > before).await;
    diff_of(&client.ask(get("/")).await, 503, "index_mismatch");
    behind.answer("/m", right);
    comes_true("it heals", async || client.ask(get("/")).await.status == 200).await;
}
