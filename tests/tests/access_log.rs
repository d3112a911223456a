//! The access log: one JSON object per request, written when the answer has ended.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{fs, path::Path};

use serde_json::Value;
use sluicegate_tests::{
    Client, Folder, Raw, Step, Upstream,
    client::{get, post},
    config, eventually,
};

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_is_one_line_that_says_how_it_ended() {
    let upstream = Upstream::start().await;
    upstream.on("/hang", [Step::Read, Step::Hang]);
    let extra = "access_log: { path: access.log }\nfreeze: { read_only: true }";
    let gateway = Folder::default().start(&config(&upstream.url(), extra));
    let path = gateway.folder().path().join("access.log");
    let mut client = Client::h1(gateway.address()).await;
    let mut request = get("/a?secret=1");
    request.headers_mut().insert("x-request-id", "mine-1".parse().unwrap());
    assert_eq!(client.ask(request).await.status, 200);
    assert_eq!(client.ask(post("/b", "hello")).await.status, 423);
    let refused = Raw::connect(gateway.address()).await.ask("GET /x HTTP/1.1\r\n\r\n").await;
    assert_eq!(refused.status, 400);
    let mut gone = Raw::connect(gateway.address()).await;
    gone.send("GET /hang HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    eventually("it hangs", || upstream.running() == 1).await;
    drop(gone);
    eventually("a line for each", || lines(&path).len() >= 4).await;

    let lines = lines(&path);
    assert_eq!(lines.len(), 4, "{lines:#?}");
    let of = |path: &str| {
        let found: Vec<&Value> = lines.iter().filter(|line| line["path"] == path).collect();
        assert_eq!(found.len(), 1, "{path}: {lines:#?}");
        found[0]
    };
    let read = of("/a");
    assert_eq!(
        (&read["status"], &read["method"], &read["request_id"]),
        (&200.into(), &"GET".into(), &"mine-1".into())
    );
    assert_eq!((&read["route"], &read["upstream"]), (&"all".into(), &"main".into()));
    assert!(!read.to_string().contains("secret=1"), "queries carry secrets: {read}");
    let refused = of("/b");
    assert_eq!((&refused["status"], &refused["code"]), (&423.into(), &"read_only".into()));
    assert!(of("/hang")["status"] != 200, "{:?}", of("/hang"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_moved_away_is_opened_anew_at_sighup() {
    let upstream = Upstream::start().await;
    let gateway = Folder::default().start(&config(&upstream.url(), "access_log: { path: access.log }"));
    let path = gateway.folder().path().join("access.log");
    let mut client = Client::h1(gateway.address()).await;
    client.ask(get("/1")).await;
    eventually("the first line", || lines(&path).len() == 1).await;
    fs::rename(&path, path.with_extension("old")).unwrap();
    gateway.signal(rustix::process::Signal::HUP);
    let mut number = 1;
    while lines(&path).is_empty() {
        number += 1;
        assert!(number < 2000, "nothing is written to the new file");
        client.ask(get("/2")).await;
    }
    eventually("nothing is lost", || lines(&path).len() + lines(&path.with_extension("old")).len() == number)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_moved_away_is_opened_anew_though_the_document_is_refused() {
    let upstream = Upstream::start().await;
    let gateway = Folder::default().start(&config(&upstream.url(), "access_log: { path: access.log }"));
    let path = gateway.folder().path().join("access.log");
    let mut client = Client::h1(gateway.address()).await;
    client.ask(get("/1")).await;
    eventually("the first line", || lines(&path).len() == 1).await;
    gateway.folder().write("gateway.yaml", "listen: nowhere");
    let refused = || gateway.log().iter().filter(|line| line.contains("configuration refused")).count();
    eventually("the document is refused", || refused() > 0).await;
    fs::rename(&path, path.with_extension("old")).unwrap();
    let before = refused();
    gateway.signal(rustix::process::Signal::HUP);
    eventually("it is refused again", || refused() > before && path.exists()).await;
    client.ask(get("/2")).await;
    eventually("the line is in the new file", || lines(&path).len() == 1).await;
    assert_eq!(lines(&path)[0]["path"], "/2");
    assert_eq!(lines(&path.with_extension("old")).len(), 1);
}
