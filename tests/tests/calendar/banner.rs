//! `/.sluicegate/freeze.json`, as pages and jobs meet it.

use http::Request;
use serde_json::json;
use sluicegate_tests::{
    Answer, Client, Gateway, Upstream,
    client::{full, get},
    comes_true, config,
};

const BANNER: &str = "/.sluicegate/freeze.json";

async fn ask(gateway: &Gateway, method: &str, name: &'static str, value: &str) -> Answer {
    let request = Request::builder().method(method).uri(BANNER).header(name, value).body(full("")).unwrap();
    Client::h1(gateway.address()).await.ask(request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_what_is_on_and_may_be_kept_for_a_short_while() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&config(&upstream.url(), ""));
    for mut client in [Client::h1(gateway.address()).await, Client::h2c(gateway.address()).await] {
        let nothing = client.ask(get(BANNER)).await;
        assert_eq!(
            (nothing.status, nothing.json()),
            (200, json!({ "frozen": false, "freezes": [], "next": [] }))
        );
        assert_eq!(nothing.header("content-type"), "application/json");
        assert_eq!(nothing.header("cache-control"), "public, max-age=5");
        assert!(nothing.header("x-request-id").len() > 8);
    }
    let before = ask(&gateway, "GET", "accept", "*/*").await.header("etag").to_owned();
    assert_eq!(ask(&gateway, "GET", "if-none-match", &before).await.status, 304);
    let order = json!({ "reason": "moving", "scope": { "routes": ["all"] } });
    gateway.freeze("move", &order).await;
    let changed = ask(&gateway, "GET", "if-none-match", &format!("\"x\", W/{before}")).await;
    assert_eq!(changed.status, 200);
    let freeze = &changed.json()["freezes"][0];
    assert_eq!(
        (&freeze["id"], &freeze["reason"], &freeze["routes"]),
        (&json!("move"), &json!("moving"), &json!(["all"]))
    );
    let etag = changed.header("etag").to_owned();
    let same = ask(&gateway, "GET", "if-none-match", &format!("\"x\", {etag}")).await;
    assert_eq!((same.status, same.body.len(), same.header("etag")), (304, 0, etag.as_str()));
    let head = ask(&gateway, "HEAD", "accept", "*/*").await;
    assert_eq!((head.status, head.body.len(), head.header("etag")), (200, 0, etag.as_str()));
    assert_eq!(head.header("content-length"), changed.body.len().to_string());
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let refused = ask(&gateway, method, "accept", "*/*").await;
        assert_eq!((refused.status, refused.header("allow")), (405, "GET, HEAD"), "{method}");
    }
    assert_eq!(upstream.seen().len(), 0, "none of it reaches an upstream");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_2_a_head_has_the_length_and_no_body() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&config(&upstream.url(), ""));
    let mut client = Client::h2c(gateway.address()).await;
    let whole = client.ask(get(BANNER)).await;
    let asked = |method: &str| Request::builder().method(method).uri(BANNER);
    let head = client.ask(asked("HEAD").body(full("")).unwrap()).await;
    assert_eq!((head.status, head.body.len(), head.header("etag")), (200, 0, whole.header("etag")));
    assert_eq!(head.header("content-length"), whole.body.len().to_string());
    let known = asked("GET").header("if-none-match", whole.header("etag")).body(full("")).unwrap();
    let same = client.ask(known).await;
    assert_eq!((same.status, same.body.len()), (304, 0));
    assert_eq!(client.ask(asked("POST").body(full("{}")).unwrap()).await.status, 405);
    assert_eq!((client.ask(get(BANNER)).await.status, upstream.seen().len()), (200, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_freezes_each_is_shown_with_what_it_covers_and_nobody_with_a_name() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&config(
        &upstream.url(),
        r#"freeze: { read_only: true, windows: [{ id: nightly, rule: FREQ=HOURLY, from: "2030-01-01T00:00:00", duration: 10m, announce: 366d, scope: { routes: [all] } }] }"#,
    ));
    let frozen = gateway.cli(&["freeze", "--id", "move", "--reason", "moving", "--for", "10m"]).await;
    assert_eq!(frozen.code, 0, "{}", frozen.stderr);
    gateway.freeze("part", &json!({ "scope": { "upstreams": ["main"], "routes": ["all"] } })).await;
    gateway.freeze("behind", &json!({ "scope": { "upstreams": ["main"] } })).await;
    let shown = Client::h1(gateway.address()).await.ask(get(BANNER)).await;
    let freezes = shown.json()["freezes"].as_array().unwrap().clone();
    let covers: Vec<_> = freezes
        .iter()
        .map(|one| (one["id"].as_str().unwrap(), one["everything"] == true, one.get("routes")))
        .collect();
    let all = json!(["all"]);
    assert_eq!(
        covers,
        [("config", true, None), ("move", true, None), ("part", false, Some(&all)), ("behind", false, None)]
    );
    assert!(freezes[0]["until"].is_null() && freezes[1]["until"].is_string());
    let by = gateway.freeze_shown("move").await["by"].as_str().unwrap().to_owned();
    let text = String::from_utf8(shown.body.to_vec()).unwrap();
    assert!(!by.is_empty() && !text.contains(&by), "{by} stands in {text}");
    for kept in ["source", "writes_in_flight", "upstreams", "main"] {
        assert!(!text.contains(kept), "{kept} stands in {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_tells_is_set_by_the_document() {
    let upstream = Upstream::start().await;
    let document = |banner: &str| {
        config(
            &upstream.url(),
            &format!(
                "freeze: {{ read_only: true, reason: secret, banner: {banner} }}\ntenants: {{ from: {{ header: x-tenant-id }} }}"
            ),
        )
    };
    let gateway = Gateway::start(&document("{ reason: false, next: false, max_age: 1m }"));
    let answer = ask(&gateway, "GET", "accept", "*/*").await;
    assert_eq!(answer.header("cache-control"), "public, max-age=60");
    let shown = answer.json();
    assert!(shown.get("next").is_none() && shown["freezes"][0].get("reason").is_none(), "{shown}");
    gateway.freeze("theirs", &json!({ "scope": { "tenants": ["acme"] } })).await;
    let ours = ask(&gateway, "GET", "x-tenant-id", "acme").await;
    assert_eq!(ours.json()["freezes"].as_array().unwrap().len(), 2);
    assert_eq!(ours.header("cache-control"), "private, max-age=60");
    assert_eq!(
        ask(&gateway, "GET", "x-tenant-id", "other").await.json()["freezes"].as_array().unwrap().len(),
        1
    );
    assert_eq!(gateway.put_config("", &document("{ enabled: false }")).await.status, 200);
    comes_true("it is gone", async || ask(&gateway, "GET", "accept", "*/*").await.status == 404).await;
}
