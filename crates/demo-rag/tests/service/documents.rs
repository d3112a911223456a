//! Documents written, read and listed, and the pins that follow them.

use crate::client::{Answer, Client, instance};

fn hash(answer: &Answer) -> String {
    let pins = answer.header("x-wfgy");
    let pin = pins.split(',').find_map(|pin| pin.strip_prefix("INDEX_HASH="));
    pin.unwrap_or_else(|| panic!("{pins}")).to_owned()
}

#[tokio::test]
async fn a_write_shows_at_once_and_the_hash_comes_back_with_the_delete() {
    let instance = instance().await;
    let mut client = Client::connect(instance.address()).await;
    let query = r#"{"query":"how do wombats dig"}"#;
    let before = client.get("/index/manifest").await;
    let count = before.json()["DOC_COUNT"].as_u64().unwrap();
    assert_eq!(before.json()["INDEX_HASH"], hash(&before));
    let found = |answer: &Answer| answer.json()["hits"].as_array().unwrap().iter().any(|h| h["id"] == "w-1");
    assert!(!found(&client.send("POST", "/v1/retrieve", query).await));

    let body = r#"{"title":"Wombats","text":"Wombats dig burrows."}"#;
    let created = client.send("PUT", "/v1/documents/w-1", body).await;
    assert_eq!(created.status, 201);
    assert_eq!(created.header("location"), "/v1/documents/w-1");
    assert_eq!(created.json()["result"], "created");
    assert_eq!(created.json()["doc_count"], count + 1);
    assert_eq!(created.json()["index_hash"], hash(&created));
    assert_ne!(hash(&created), hash(&before));
    let answer = client.send("POST", "/v1/retrieve", query).await;
    assert_eq!(answer.json()["hits"][0]["id"], "w-1");
    assert_eq!(hash(&answer), hash(&created));

    let read = client.get("/v1/documents/w-1").await;
    assert_eq!(read.json()["text"], "Wombats dig burrows.");
    let replaced = client.send("PUT", "/v1/documents/w-1", r#"{"text":"Empty."}"#).await;
    assert_eq!((replaced.status.as_u16(), replaced.json()["result"].as_str()), (200, Some("replaced")));
    assert_ne!(hash(&replaced), hash(&created));
    assert!(!found(&client.send("POST", "/v1/retrieve", query).await));

    let deleted = client.send("DELETE", "/v1/documents/w-1", "").await;
    assert_eq!((deleted.status.as_u16(), deleted.json()["result"].as_str()), (200, Some("deleted")));
    assert_eq!(hash(&deleted), hash(&before));
    let after = client.get("/index/manifest").await;
    assert_eq!(after.json(), before.json());
    assert_eq!(client.send("DELETE", "/v1/documents/w-1", "").await.problem(), "no_such_document");
    assert_eq!(client.get("/v1/documents/w-1").await.problem(), "no_such_document");
    instance.stop().await;
}

#[tokio::test]
async fn post_creates_under_its_own_or_a_given_id_and_never_replaces() {
    let instance = instance().await;
    let mut client = Client::connect(instance.address()).await;
    let created = client.send("POST", "/v1/documents", r#"{"text":"Wombats dig."}"#).await;
    assert_eq!(created.status, 201);
    let id = created.json()["id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("doc-"));
    assert_eq!(client.get(created.header("location")).await.json()["id"], id.as_str());
    let named = r#"{"id":"mine","text":"Wombats dig."}"#;
    assert_eq!(client.send("POST", "/v1/documents", named).await.json()["id"], "mine");
    let again = client.send("POST", "/v1/documents", named).await;
    assert_eq!((again.status.as_u16(), again.problem().as_str()), (409, "document_exists"));
    instance.stop().await;
}

#[tokio::test]
async fn documents_are_listed_in_pages() {
    let instance = instance().await;
    let mut client = Client::connect(instance.address()).await;
    let mut ids = Vec::<String>::new();
    let mut after = String::new();
    let count = loop {
        let page = client.get(&format!("/v1/documents?limit=25&after={after}")).await.json();
        let documents = page["documents"].as_array().unwrap();
        assert!(documents.len() <= 25);
        ids.extend(documents.iter().map(|d| d["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut after),
            None => break page["count"].as_u64().unwrap(),
        }
    };
    assert_eq!(ids.len() as u64, count);
    assert!(ids.is_sorted());
    assert_eq!(client.get("/v1/documents?limit=0").await.problem(), "bad_request");
    instance.stop().await;
}

#[tokio::test]
async fn bad_writes_are_refused_and_change_nothing() {
    let instance = instance().await;
    let mut client = Client::connect(instance.address()).await;
    let before = hash(&client.get("/healthz").await);
    let large = format!(r#"{{"text":"{}"}}"#, "x".repeat(sluicegate_demo_rag::MAX_BODY));
    let long_id = format!("/v1/documents/{}", "i".repeat(129));
    let table = [
        ("PUT", "/v1/documents/a", "not json", 400),
        ("PUT", "/v1/documents/a", r#"{"title":"no text"}"#, 400),
        ("PUT", "/v1/documents/a", r#"{"text":"x","tags":[]}"#, 400),
        ("PUT", "/v1/documents/a", r#"{"text":"x","id":"b"}"#, 400),
        ("PUT", "/v1/documents/a%20b", r#"{"text":"x"}"#, 400),
        ("PUT", "/v1/documents/%ff", r#"{"text":"x"}"#, 400),
        ("PUT", long_id.as_str(), r#"{"text":"x"}"#, 400),
        ("POST", "/v1/documents", r#"{"id":"","text":"x"}"#, 400),
        ("PUT", "/v1/documents/a", large.as_str(), 413),
        ("PATCH", "/v1/documents/a", "{}", 405),
        ("GET", "/nowhere", "", 404),
    ];
    for (method, path, body, status) in table {
        // A connection each: a body that is too large is not read to its end.
        let mut client = Client::connect(instance.address()).await;
        let answer = client.send(method, path, body).await;
        assert_eq!(answer.status, status, "{method} {path}");
        answer.problem();
        assert_eq!(hash(&answer), before, "{method} {path}");
    }
    let counts = instance.audit().counts();
    assert_eq!((counts.count, counts.running, counts.applied), (9, 0, 0));
    instance.stop().await;
}
