use std::{sync::Arc, time::Duration};

use http::{HeaderValue, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Code, Refusal};
use crate::{
    Access, Classified, Facts, Lane, RoutePlan,
    facts::{Rpc, RpcId},
};

fn facts(grpc: bool) -> Facts {
    Facts::new(HeaderValue::from_static("req-1"), None, Instant::now(), grpc)
}

fn frozen() -> Refusal {
    Refusal::new(Code::ReadOnly, "rebuilding 100% of the index")
        .status(StatusCode::SERVICE_UNAVAILABLE)
        .retry_after(Duration::from_millis(1200))
        .member("freeze", json!({ "id": "reindex" }))
}

async fn body(response: http::Response<http_body_util::Full<bytes::Bytes>>) -> Value {
    serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

#[tokio::test]
async fn http_gets_a_problem_document() {
    let response = frozen().into_response(&facts(false));
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.headers()["retry-after"], "2", "rounded up");
    assert_eq!(
        body(response).await,
        json!({
            "type": "urn:sluicegate:problem:read_only", "title": "Writes are frozen", "status": 503,
            "detail": "rebuilding 100% of the index", "code": "read_only", "request_id": "req-1",
            "retry_after_ms": 1200, "freeze": { "id": "reindex" },
        })
    );
}

#[tokio::test]
async fn grpc_gets_trailers_only() {
    let response = frozen().into_response(&facts(true));
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/grpc");
    assert_eq!(response.headers()["grpc-status"], "14");
    assert_eq!(response.headers()["grpc-message"], "read_only: rebuilding 100%25 of the index");
    assert_eq!(response.headers()["grpc-retry-pushback-ms"], "1200");
    assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
}

/// Facts of a request that speaks JSON-RPC.
fn rpc(id: RpcId, always_ok: bool) -> Facts {
    let facts = facts(false);
    facts.classify(Classified {
        route: Arc::new(RoutePlan::new("tools", "stable")),
        access: Access::Write,
        tenant: None,
        lane: Lane::Interactive,
        cost: 1,
        deadline: None,
        rpc: Some(Rpc { id, always_ok }),
    });
    facts
}

#[tokio::test]
async fn json_rpc_gets_an_error_under_its_own_id() {
    for (always_ok, status) in [(false, 503), (true, 200)] {
        let facts = rpc(RpcId::One(json!("call-7")), always_ok);
        let response = frozen().into_response(&facts);
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()["retry-after"], "2");
        let body = body(response).await;
        assert_eq!((&body["jsonrpc"], &body["id"]), (&json!("2.0"), &json!("call-7")));
        assert_eq!(body["error"]["data"]["code"], "read_only");
        assert_eq!(body["error"]["data"]["status"], 503);
    }
}

#[tokio::test]
async fn a_batch_gets_an_error_for_each_of_its_requests() {
    for (always_ok, status) in [(false, 503), (true, 200)] {
        let facts = rpc(RpcId::Batch(vec![json!(7), json!("a"), json!(7)]), always_ok);
        let response = frozen().into_response(&facts);
        assert_eq!(
            (response.status().as_u16(), &response.headers()["retry-after"]),
            (status, &HeaderValue::from_static("2"))
        );
        assert_eq!(response.headers()["content-type"], "application/json");
        let body = body(response).await;
        let errors = body.as_array().unwrap();
        let ids: Vec<_> = errors.iter().map(|error| &error["id"]).collect();
        assert_eq!(ids, [&json!(7), &json!("a"), &json!(7)]);
        for error in errors {
            assert_eq!((&error["jsonrpc"], &error["error"]["code"]), (&json!("2.0"), &json!(-32000)));
            assert_eq!(error["error"]["data"]["code"], "read_only");
        }
    }
}

#[test]
fn a_retry_is_never_asked_for_at_once() {
    let response =
        Refusal::new(Code::Overloaded, "").retry_after(Duration::ZERO).into_response(&facts(false));
    assert_eq!(response.headers()["retry-after"], "1");
}

#[test]
fn a_wait_that_never_ends_is_told_as_such() {
    for grpc in [false, true] {
        let refusal = Refusal::new(Code::RateLimited, "").retry_after(Duration::MAX);
        let response = refusal.into_response(&facts(grpc));
        let name = if grpc { "grpc-retry-pushback-ms" } else { "retry-after" };
        assert_eq!(response.headers()[name], u64::MAX.to_string().as_str());
    }
}

#[test]
fn a_refusal_that_ends_the_connection_says_so() {
    let response = Refusal::new(Code::BadRequest, "").close().into_response(&facts(false));
    assert_eq!(response.headers()["connection"], "close");
}

#[test]
fn codes_are_distinct_words_with_real_statuses() {
    let mut words: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), Code::ALL.len());
    for code in Code::ALL {
        assert!(StatusCode::from_u16(code.status()).unwrap().as_u16() >= 400);
        assert!((1..=16).contains(&code.grpc()));
    }
}

/// The documented list is the list: each code in its row, with its status and gRPC number.
#[test]
fn every_code_stands_in_the_documents() {
    let page = include_str!("../../../../docs/refusals.md");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(rows.len(), Code::ALL.len());
    for (row, code) in rows.iter().zip(Code::ALL) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        assert_eq!(cells[1], format!("`{}`", code.as_str()));
        assert!(cells[2].starts_with(&code.status().to_string()), "{row}");
        assert_eq!(cells[3], code.grpc().to_string(), "{row}");
    }
}
