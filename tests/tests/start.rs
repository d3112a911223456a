//! Bad input at the start: exit code 2, and a message that says what to do. At a reload the
//! same input changes nothing.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::TcpListener;

use sluicegate_tests::{
    Client, Folder, Gateway, Upstream, client::get, config, gateway::Output, tls::Authority,
};

fn assert_refused(output: &Output, words: &[&str]) {
    assert_eq!(output.code, 2, "{output:?}");
    let said = output.stderr.to_lowercase();
    for word in words {
        assert!(said.contains(&word.to_lowercase()), "`{word}` is not in:\n{}", output.stderr);
    }
    assert!(!said.contains("panicked") && !said.contains("backtrace"), "{}", output.stderr);
    assert!(!output.stdout.contains("listening on") && !said.contains("listening on"), "{output:?}");
}

/// A document for which only one thing is wrong.
fn with(listen: &str, endpoint: &str) -> String {
    format!(
        r#"
listen: [{listen}]
admin: {{ address: "127.0.0.1:0" }}
upstreams: {{ main: {{ endpoints: ["{endpoint}"] }} }}
routes: [{{ name: all, match: {{ path: "/{{*rest}}" }}, upstream: main }}]
"#
    )
}

const PLAIN: &str = r#"{ address: "127.0.0.1:0" }"#;
const TLS: &str = r#"{ address: "127.0.0.1:0", tls: { cert: server.pem, key: server.key } }"#;
const ENDPOINT: &str = "http://127.0.0.1:9";

#[test]
fn a_file_that_is_not_there() {
    let folder = Folder::default();
    let path = folder.path().join("nowhere.yaml");
    assert_refused(&folder.refused_file(&path), &["nowhere.yaml", "no such file"]);
}

#[test]
fn a_file_that_is_a_folder() {
    let folder = Folder::default();
    assert_refused(&folder.refused_file(folder.path()), &[folder.path().to_str().unwrap(), "folder"]);
}

#[test]
fn a_file_that_is_not_text() {
    let folder = Folder::default();
    folder.write("binary.yaml", [0xff, 0xfe, 0x00, 0x80]);
    assert_refused(&folder.refused_file(&folder.path().join("binary.yaml")), &["binary.yaml", "UTF-8"]);
}

#[test]
fn an_empty_file() {
    for empty in ["", "\n\n", "# nothing but a comment\n"] {
        assert_refused(&Folder::default().refused(empty), &["gateway.yaml", "empty"]);
    }
}

#[test]
fn a_misspelt_key_is_named_with_its_place() {
    let output = Folder::default().refused(&with(PLAIN, ENDPOINT).replace("endpoints", "endpionts"));
    assert_refused(&output, &["gateway.yaml", "endpionts", "endpoints", "4:"]);
}

#[test]
fn an_address_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = Folder::default().refused(&with(&format!("{{ address: \"{address}\" }}"), ENDPOINT));
    assert_refused(&output, &[&address, "in use"]);
}

#[test]
fn an_admin_address_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let admin = "admin: { address: \"127.0.0.1:0\" }";
    let document = with(PLAIN, ENDPOINT).replace(admin, &format!("admin: {{ address: \"{address}\" }}"));
    assert_refused(&Folder::default().refused(&document), &[&address, "in use"]);
}

#[test]
fn a_certificate_that_does_not_match_its_key() {
    let (authority, folder) = (Authority::default(), Folder::default());
    folder.write("server.pem", authority.identity().cert).write("server.key", authority.identity().key);
    assert_refused(&folder.refused(&with(TLS, ENDPOINT)), &["server.pem", "server.key", "belong"]);
}

#[test]
fn a_certificate_that_is_not_there_or_is_none() {
    let (authority, folder) = (Authority::default(), Folder::default());
    folder.write("server.key", authority.identity().key);
    assert_refused(&folder.refused(&with(TLS, ENDPOINT)), &["server.pem"]);
    folder.write("server.pem", "nonsense");
    assert_refused(&folder.refused(&with(TLS, ENDPOINT)), &["server.pem"]);
}

#[test]
fn an_upstream_that_does_not_resolve() {
    let output = Folder::default().refused(&with(PLAIN, "http://does-not-resolve.invalid:80"));
    assert_refused(&output, &["does-not-resolve.invalid", "main"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_another_process_holds() {
    let document = with(PLAIN, ENDPOINT) + "store: { embedded: { path: data } }\n";
    let first = Gateway::start(&document);
    // A gateway that has never kept anything leaves the folder to others.
    assert_eq!(first.cli(&["freeze"]).await.code, 0);
    let data = first.folder().path().join("data");
    let second = document.replace("path: data", &format!("path: \"{}\"", data.display()));
    assert_refused(&Folder::default().refused(&second), &["data"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_reload_the_same_changes_nothing() {
    let (authority, upstream) = (Authority::default(), Upstream::start().await);
    let good = config(&upstream.url(), "");
    let folder = Folder::default();
    folder.write("server.pem", authority.identity().cert).write("server.key", authority.identity().key);
    let gateway = folder.start(&good);
    let mut before = gateway.admin_get("/config").await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let listen = r#"listen: [{ address: "127.0.0.1:0" }]"#;
    for (what, bad) in [
        ("an empty file", Vec::new()),
        ("no text", vec![0xff, 0x00]),
        ("a misspelt key", good.replace("routes", "rotues").into()),
        ("an address in use", good.replace(listen, &format!("listen: [{{ address: \"{taken}\" }}]")).into()),
        ("a certificate of another key", good.replace(listen, &format!("listen: [{TLS}]")).into()),
        (
            "an upstream that does not resolve",
            good.replace(&upstream.url(), "http://does-not-resolve.invalid:80").into(),
        ),
    ] {
        gateway.folder().replace("gateway.yaml", bad);
        let output = gateway.cli(&["reload"]).await;
        assert!(output.code != 0 && !output.stderr.is_empty(), "{what}: {output:?}");
        let after = gateway.admin_get("/config").await;
        assert_eq!(
            (&after["hash"], &after["generation"]),
            (&before["hash"], &before["generation"]),
            "{what}"
        );
        assert!(after["last_error"]["message"].is_string(), "{what}: {after}");
        assert_eq!(Client::h1(gateway.address()).await.ask(get("/")).await.status, 200, "{what}");
        gateway.folder().replace("gateway.yaml", &good);
        assert_eq!(gateway.cli(&["reload"]).await.code, 0, "{what}");
        before = gateway.admin_get("/config").await;
        assert!(before["last_error"].is_null(), "{what}: {before}");
    }
    std::fs::remove_file(gateway.folder().config()).unwrap();
    assert!(gateway.cli(&["reload"]).await.code != 0, "no file");
    assert_eq!(Client::h1(gateway.address()).await.ask(get("/")).await.status, 200, "no file");
}
