//! `POST /v1/retrieve`.

use crate::client::{Client, instance};

#[tokio::test]
async fn a_question_finds_its_document_first() {
    let instance = instance().await;
    let mut client = Client::connect(instance.address()).await;
    let table = [
        ("how strongly is length held against a document", "bm25-parameters"),
        ("rebuild the index without downtime", "reindexing"),
        ("same key with another body", "idempotency-keys"),
        ("stop calling a failing service", "circuit-breaker"),
        ("burst of a token bucket", "rate-limiting"),
        ("which groups may open a document", "access-control"),
    ];
    for (query, id) in table {
        let body = serde_json::json!({ "query": query, "k": 3 }).to_string();
        let answer = client.send("POST", "/v1/retrieve", &body).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-length"), answer.body.len().to_string());
        let json = answer.json();
        assert_eq!(json["query"], query);
        let hits = json["hits"].as_array().unwrap();
        assert!((1..=3).contains(&hits.len()));
        assert_eq!(hits[0]["id"], id, "{query}");
        assert!(hits[0]["score"].as_f64().unwrap() > 0.0);
        assert!(!hits[0]["title"].as_str().unwrap().is_empty());
        assert!(!hits[0]["text"].as_str().unwrap().is_empty());
        let hash = json["index_hash"].as_str().unwrap();
        assert!(answer.header("x-wfgy").starts_with(&format!("INDEX_HASH={hash},")));
    }
    instance.stop().await;
}

#[tokio::test]
async fn bad_queries_are_told_what_is_wrong() {
    let instance = instance().await;
    let mut client = Client::connect(instance.address()).await;
    let long = format!(r#"{{"query":"{}"}}"#, "x".repeat(5000));
    let table = [
        ("", "EOF while parsing"),
        ("{}", "missing field `query`"),
        (r#"{"query":"a","top":3}"#, "unknown field `top`"),
        (r#"{"query":" "}"#, "the query must have 1 to 4096 bytes"),
        (long.as_str(), "the query must have 1 to 4096 bytes"),
        (r#"{"query":"a","k":0}"#, "k is 0; it must be 1 to 50"),
    ];
    for (body, detail) in table {
        let answer = client.send("POST", "/v1/retrieve", body).await;
        assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (400, "bad_request"));
        let json = answer.json();
        assert!(json["detail"].as_str().unwrap().contains(detail), "{json}");
    }
    instance.stop().await;
}
