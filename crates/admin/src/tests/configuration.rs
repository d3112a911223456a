use serde_json::json;

use super::port;
use crate::config::LARGEST_DOCUMENT;

#[tokio::test]
async fn the_running_document_is_shown() {
    let port = port().await;
    let shown = port.get("/config").await.json();
    assert_eq!(
        shown,
        json!({
            "generation": 1, "hash": "abc", "source": "gateway.yaml", "loaded_at": "1970-01-01T00:00:00Z",
            "last_error": null, "problems": [], "needs_restart": [], "document": { "listen": [] },
        })
    );
    let status = port.get("/status").await.json();
    assert_eq!(status["config"]["generation"], 1);
    assert_eq!(status["config"].get("document"), None);
}

#[tokio::test]
async fn a_document_is_taken_whole_with_who_sent_it() {
    let port = port().await;
    let headers = [("x-sluicegate-actor", "night shift")];
    let answer = port.ask("PUT", "/config?persist=true", &headers, "listen: []\n").await;
    assert_eq!((answer.status, answer.json()["generation"].as_u64()), (200, Some(2)));
    assert_eq!(port.ask("PUT", "/config", &[], "listen: []\n").await.status, 200);
    assert_eq!(port.ask("POST", "/reload", &[], "").await.status, 200);
    let taken = port.config.taken.lock();
    let texts: Vec<_> = taken.iter().map(|(text, persist, _)| (text.as_str(), *persist)).collect();
    assert_eq!(texts, [("listen: []\n", true), ("listen: []\n", false), ("from the file", false)]);
    assert_eq!(taken[0].2.claimed.as_deref(), Some("night shift"));
    assert_eq!(taken[1].2.claimed, None);
    assert!(taken[1].2.peer.unwrap().ip().is_loopback());
}

#[tokio::test]
async fn all_that_is_wrong_with_a_document_comes_back_with_its_place() {
    let port = port().await;
    let answer = port.ask("PUT", "/config", &[], "broken").await;
    let (status, code, detail) = answer.problem();
    assert_eq!((status, code.as_str()), (422, "config_invalid"));
    assert_eq!(detail, "the document has 2 problem(s); the running configuration was kept");
    let problems = &answer.json()["problems"];
    assert_eq!(
        problems[1],
        json!({
            "file": "PUT /config", "line": 9, "column": 3, "path": "routes[0].upstream",
            "message": "no upstream `stabel`",
        })
    );
    let audit = port.get("/audit").await.json();
    assert_eq!(audit["entries"][0]["result"], "config_invalid");
}

#[tokio::test]
async fn what_is_no_document_is_refused() {
    let port = port().await;
    for (path, body, expected) in [
        ("/config", "", (400, "the body is empty; send the whole document, as YAML or JSON")),
        ("/config", "  \n", (400, "the body is empty; send the whole document, as YAML or JSON")),
        ("/config?persist=maybe", "a: 1", (400, "the only parameter here is `persist`, `true` or `false`")),
        ("/config?persists=true", "a: 1", (400, "the only parameter here is `persist`, `true` or `false`")),
    ] {
        let (status, _, detail) = port.ask("PUT", path, &[], body).await.problem();
        assert_eq!((status, detail.as_str()), expected, "{path} {body:?}");
    }
    let large = "#".repeat(LARGEST_DOCUMENT);
    assert_eq!(port.ask("PUT", "/config", &[], &large).await.status, 200);
    // Said before a byte of the body has come.
    let length = (LARGEST_DOCUMENT + 1).to_string();
    let (status, code, _) = port.ask("PUT", "/config", &[("content-length", &length)], "").await.problem();
    assert_eq!((status, code.as_str()), (413, "body_too_large"));
}

#[tokio::test]
async fn a_change_that_began_ends_and_is_recorded_though_its_client_is_gone() {
    let port = port().await;
    let client = port.send("PUT", "/config", &[], "slow").await;
    port.config.begun.notified().await;
    drop(client);
    // Another request is answered, so the port has had its turn to see the client go.
    assert_eq!(port.get("/livez").await.status, 200);
    port.config.go_on.notify_one();
    port.audited(1).await;
    assert_eq!(port.get("/audit").await.json()["entries"][0]["result"], "ok");
    assert_eq!(port.config.taken.lock()[0].0, "slow");
}
