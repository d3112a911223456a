//! The ways to bring in a document, all of which do the same.

use std::{
    fs,
    os::unix::fs::symlink,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;
use sluicegate_tests::{Client, Folder, Gateway, Upstream, client::get, config, tick::within};

use crate::{until_config, until_later};

/// A document whose deadline tells it from others.
fn document(upstream: &Upstream, deadline: &str) -> String {
    config(&upstream.url(), &format!("limits: {{ deadline: {deadline} }}"))
}

fn deadline(shown: &Value) -> &Value {
    &shown["document"]["limits"]["deadline"]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_file_takes_effect_within_half_a_second() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&document(&upstream, "10s"));
    let mut generation = gateway.admin_get("/config").await["generation"].clone();
    for (number, deadline) in ["11s", "12s", "13s", "14s"].into_iter().enumerate() {
        let text = document(&upstream, deadline);
        let begin = Instant::now();
        if number % 2 == 0 {
            gateway.folder().write("gateway.yaml", text);
        } else {
            gateway.folder().replace("gateway.yaml", text);
        }
        let shown = until_later(&gateway, &generation).await;
        let took = begin.elapsed();
        println!("in effect after {took:?}");
        assert!(took < Duration::from_millis(500), "in effect after {took:?}");
        assert_eq!(self::deadline(&shown), deadline);
        generation = shown["generation"].clone();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configmap_is_followed_through_its_symlinks() {
    // As the kubelet lays it out: gateway.yaml -> ..data/gateway.yaml, ..data -> a folder with
    // the time in its name; an update makes a new folder and swaps ..data.
    let upstream = Upstream::start().await;
    let folder = Folder::default();
    folder.write("..one/gateway.yaml", document(&upstream, "10s"));
    let at = |name: &str| folder.path().join(name);
    symlink("..one", at("..data")).unwrap();
    symlink("..data/gateway.yaml", at("gateway.yaml")).unwrap();
    let gateway = folder.start_as_is();
    let mut generation = gateway.admin_get("/config").await["generation"].clone();
    for (name, deadline) in [("..two", "11s"), ("..three", "12s"), ("..four", "13s")] {
        let folder = gateway.folder();
        folder.write(&format!("{name}/gateway.yaml"), document(&upstream, deadline));
        symlink(name, folder.path().join("..data_tmp")).unwrap();
        let old = fs::read_link(folder.path().join("..data")).unwrap();
        let begin = Instant::now();
        fs::rename(folder.path().join("..data_tmp"), folder.path().join("..data")).unwrap();
        fs::remove_dir_all(folder.path().join(old)).unwrap();
        let shown = until_later(&gateway, &generation).await;
        assert!(begin.elapsed() < Duration::from_millis(500), "in effect after {:?}", begin.elapsed());
        assert_eq!(self::deadline(&shown), deadline);
        generation = shown["generation"].clone();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_changes_nothing_and_is_named_with_its_place() {
    let upstream = Upstream::start().await;
    let good = document(&upstream, "10s");
    let gateway = Gateway::start(&good);
    let before = gateway.admin_get("/config").await;
    assert!(before["last_error"].is_null(), "{before}");
    gateway.folder().write("gateway.yaml", good.replace("deadline:", "deadlien:"));
    // Written in place: the file may be met empty, which is an error of its own.
    let named =
        |shown: &Value| shown["last_error"]["message"].as_str().is_some_and(|it| it.contains("deadlien"));
    let shown = until_config(&gateway, "the error", named).await;
    for member in ["generation", "hash", "document"] {
        assert_eq!(shown[member], before[member], "{member}");
    }
    let error = &shown["last_error"];
    assert!(error["file"].as_str().unwrap().ends_with("gateway.yaml"), "{error}");
    let line = good.lines().position(|line| line.contains("deadline:")).unwrap() + 1;
    let column = good.lines().nth(line - 1).unwrap().find("deadline:").unwrap() + 1;
    assert_eq!((&error["line"], &error["column"]), (&line.into(), &column.into()), "{error}");
    assert!(error["message"].as_str().unwrap().contains("deadline"), "a suggestion: {error}");
    assert!(error["at"].is_string(), "{error}");
    let status = gateway.admin_get("/status").await;
    for member in ["file", "line", "column", "path", "message"] {
        assert_eq!(status["config"]["last_error"][member], error[member], "{member}");
    }
    assert!(status["config"].get("document").is_none());
    assert!(gateway.log().iter().any(|line| line.contains("deadlien")), "the log says so too");
    assert_eq!(Client::h1(gateway.address()).await.ask(get("/")).await.status, 200);

    gateway.folder().write("gateway.yaml", document(&upstream, "11s"));
    let shown = until_later(&gateway, &before["generation"]).await;
    assert!(shown["last_error"].is_null(), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_and_the_command_line_read_the_file_again() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&document(&upstream, "10s"));
    let start = gateway.admin_get("/config").await;
    // A document that was put runs instead of the file; reading the file again undoes that.
    assert_eq!(gateway.put_config("", &document(&upstream, "11s")).await.status, 200);
    let put = gateway.admin_get("/config").await;
    assert_eq!(deadline(&put), "11s");
    gateway.signal(Signal::HUP);
    let shown = until_later(&gateway, &put["generation"]).await;
    assert_eq!((deadline(&shown), &shown["hash"]), (&"10s".into(), &start["hash"]));

    assert_eq!(gateway.put_config("", &document(&upstream, "12s")).await.status, 200);
    let output = gateway.cli(&["reload"]).await;
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(deadline(&gateway.admin_get("/config").await), "10s");

    gateway.folder().write("gateway.yaml", "routes: nonsense");
    let output = gateway.cli(&["reload"]).await;
    assert!(output.code != 0 && output.stderr.contains("gateway.yaml"), "{output:?}");
    assert_eq!(deadline(&gateway.admin_get("/config").await), "10s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_document_may_replace_the_file() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&document(&upstream, "10s"));
    let kept = document(&upstream, "11s");
    let answer = gateway.put_config("?persist=true", &kept).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(fs::read_to_string(gateway.folder().config()).unwrap(), kept);
    // The gateway's own write is not a change to be taken in once more.
    let generation = gateway.admin_get("/config").await["generation"].clone();
    assert!(!within(Duration::from_millis(600), || false).await);
    assert_eq!(gateway.admin_get("/config").await["generation"], generation);

    let answer = gateway.put_config("?persist=true", "listen: nonsense").await;
    assert!((400..500).contains(&answer.status), "{answer:?}");
    assert_eq!(fs::read_to_string(gateway.folder().config()).unwrap(), kept);

    assert_eq!(gateway.put_config("", &document(&upstream, "12s")).await.status, 200);
    assert_eq!(fs::read_to_string(gateway.folder().config()).unwrap(), kept, "put without persist");
    let gateway = gateway.kill_and_restart();
    assert_eq!(deadline(&gateway.admin_get("/config").await), "11s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_meanwhile_does_not_undo_a_put_that_replaces_the_file() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&document(&upstream, "10s"));
    for number in 1_u32..=40 {
        // Some come before it, some while the file is replaced, some after it.
        for _ in 0..number % 4 {
            gateway.signal(Signal::HUP);
        }
        let wanted = format!("{}s", 10 + number);
        let answer = gateway.put_config("?persist=true", &document(&upstream, &wanted)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        for _ in 0..3 {
            assert_eq!(deadline(&gateway.admin_get("/config").await), wanted.as_str());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_document_may_be_json() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&document(&upstream, "10s"));
    let json = serde_json::json!({
        "listen": [{ "address": "127.0.0.1:0" }],
        "admin": { "address": "127.0.0.1:0" },
        "store": { "memory": {} },
        "upstreams": { "main": { "endpoints": [upstream.url()] } },
        "routes": [{ "name": "all", "match": { "path": "/{*rest}" }, "upstream": "main" }],
        "limits": { "deadline": "11s" },
    });
    let answer = gateway.put_config("", &json.to_string()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(deadline(&gateway.admin_get("/config").await), "11s");
    assert_eq!(Client::h1(gateway.address()).await.ask(get("/")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_without_a_document_is_refused_and_changes_nothing() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&document(&upstream, "10s"));
    let before = gateway.admin_get("/config").await;
    for (body, status, code) in [
        ("", 400, "bad_request"),
        (" \n\n", 400, "bad_request"),
        ("# nothing but a comment\n", 422, "config_invalid"),
        ("null", 422, "config_invalid"),
    ] {
        for query in ["", "?persist=true"] {
            let answer = gateway.put_config(query, body).await;
            assert_eq!((answer.status, answer.code().as_str()), (status, code), "{body:?}: {answer:?}");
        }
    }
    let after = gateway.admin_get("/config").await;
    for member in ["generation", "hash", "document"] {
        assert_eq!(after[member], before[member], "{member}");
    }
    assert_eq!(fs::read_to_string(gateway.folder().config()).unwrap(), document(&upstream, "10s"));
}
