//! A client of the Model Context Protocol before, in and after a freeze.

use serde_json::{Value, json};
use sluicegate_tests::{Folder, Raw, Upstream, comes_true, config_where};

use super::{FROZEN, gateway, post};

const JSON: &str = "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n";

fn message(id: impl Into<Value>, method: &str, params: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": id.into(), "method": method, "params": params }).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_go_on_and_writes_are_refused_as_json_rpc() {
    let upstream = Upstream::start().await;
    let gateway = gateway(&upstream, "preset: mcp, read_tools: [search_documents]", FROZEN);
    let mut raw = Raw::connect(gateway.address()).await;
    let reads = [
        message(1, "initialize", &json!({})),
        message(2, "tools/list", &json!({})),
        message(3, "tools/call", &json!({ "name": "search_documents" })),
        message(4, "resources/read", &json!({ "uri": "a:b" })),
        json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }).to_string(),
        json!({ "jsonrpc": "2.0", "id": 9, "result": {} }).to_string(),
    ];
    for body in &reads {
        let answer = post(&mut raw, "/mcp", JSON, body).await;
        assert_eq!(answer.status, 200, "{body}");
        assert!(answer.fields.get("sluicegate-freeze").is_some(), "a read carries the banner");
    }
    assert_eq!(upstream.count("/mcp"), reads.len());
    for line in ["GET /mcp", "DELETE /mcp"] {
        let request = format!("{line} HTTP/1.1\r\nHost: localhost\r\nMcp-Session-Id: 1\r\n\r\n");
        assert_eq!(raw.ask(request).await.status, 200, "{line}");
    }
    let before = upstream.seen().len();
    for id in [json!(7), json!("call-7")] {
        let answer =
            post(&mut raw, "/mcp", JSON, message(id.clone(), "tools/call", &json!({ "name": "delete" })))
                .await;
        assert_eq!((answer.status, answer.fields.get("content-type")), (423, Some("application/json")));
        assert!(answer.fields.get("retry-after").is_some());
        let error = answer.json();
        assert_eq!((&error["jsonrpc"], &error["id"]), (&json!("2.0"), &id));
        assert_eq!(error["error"]["code"], -32000);
        assert!(error["error"]["message"].as_str().unwrap().contains("rebuilding"), "{error}");
        assert_eq!(error["error"]["data"]["code"], "read_only");
        assert!(error["error"]["data"]["freeze"]["id"].is_string(), "{error}");
    }
    // Without an id there is nobody to answer in JSON-RPC.
    let notification = json!({ "jsonrpc": "2.0", "method": "tools/call" }).to_string();
    let answer = post(&mut raw, "/mcp", JSON, notification).await;
    assert_eq!((answer.status, answer.code().as_str()), (423, "read_only"));
    assert_eq!(upstream.seen().len(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_of_a_refused_batch_gets_its_error() {
    let upstream = Upstream::start().await;
    let batch = |deletes: usize| {
        let note = json!({ "jsonrpc": "2.0", "method": "notifications/progress" }).to_string();
        let delete = |at| message(format!("d{at}"), "tools/call", &json!({ "name": "delete" }));
        let all = [message(2, "tools/list", &json!({})), note].into_iter().chain((0..deletes).map(delete));
        format!("[{}]", all.collect::<Vec<_>>().join(","))
    };
    for (refusal, status) in [("json_rpc", 423), ("rpc", 200)] {
        let gateway = gateway(&upstream, &format!("preset: mcp, refusal: {refusal}"), FROZEN);
        let mut raw = Raw::connect(gateway.address()).await;
        assert_eq!(post(&mut raw, "/mcp", JSON, batch(0)).await.status, 200, "reads alone go on");
        let answer = post(&mut raw, "/mcp", JSON, batch(2)).await;
        assert_eq!((answer.status, answer.fields.get("content-type")), (status, Some("application/json")));
        assert!(answer.fields.get("retry-after").is_some());
        let errors = answer.json();
        let ids: Vec<_> = errors.as_array().unwrap().iter().map(|error| error["id"].clone()).collect();
        assert_eq!(ids, [json!(2), json!("d0"), json!("d1")], "not of the notification");
        for error in errors.as_array().unwrap() {
            assert_eq!((&error["jsonrpc"], &error["error"]["code"]), (&json!("2.0"), &json!(-32000)));
            assert_eq!(error["error"]["data"]["code"], "read_only");
        }
        // Past the bound it is refused as any other request.
        let answer = post(&mut raw, "/mcp", JSON, batch(100)).await;
        assert_eq!((answer.status, answer.code().as_str()), (423, "read_only"));
    }
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_bears_no_other_status_gets_200() {
    let upstream = Upstream::start().await;
    let gateway = gateway(&upstream, "preset: mcp, refusal: rpc", FROZEN);
    let mut raw = Raw::connect(gateway.address()).await;
    let answer = post(&mut raw, "/mcp", JSON, message(7, "tools/call", &json!({ "name": "x" }))).await;
    assert_eq!((answer.status, &answer.json()["id"]), (200, &json!(7)));
    assert_eq!(answer.json()["error"]["data"]["status"], 423);
    assert_eq!(upstream.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_is_told_as_json_rpc_and_under_the_route() {
    let upstream = Upstream::start().await;
    let folder = Folder::default();
    folder.write("keys.json", json!({ "keys": [{ "kty": "oct", "k": "A".repeat(43) }] }).to_string());
    let extra = "tenants: { from: { claim: sub } }\n\
                 jwt: { jwks_file: keys.json, algorithms: [HS256] }\n\
                 access_log: { path: access.log }";
    let gateway = folder.start(&config_where(&upstream.url(), "preset: mcp", extra));
    let mut raw = Raw::connect(gateway.address()).await;
    let lines = format!("{JSON}Authorization: Bearer x\r\n");
    let answer = post(&mut raw, "/mcp", &lines, message(7, "tools/list", &json!({}))).await;
    assert_eq!((answer.status, answer.fields.get("content-type")), (401, Some("application/json")));
    assert!(answer.fields.get("www-authenticate").unwrap().starts_with("Bearer "));
    let error = answer.json();
    assert_eq!((&error["id"], &error["error"]["data"]["code"]), (&json!(7), &json!("token_invalid")));
    // Without an id there is nobody to answer in JSON-RPC.
    let notification = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }).to_string();
    let answer = post(&mut raw, "/mcp", &lines, notification).await;
    assert_eq!((answer.status, answer.code().as_str()), (401, "token_invalid"));
    // A path that can be read in two ways belongs to no route.
    let answer = raw.ask("GET /a/../b HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "bad_request"));
    assert_eq!(upstream.seen().len(), 0);

    for (labels, count) in [
        ("route=\"all\",code=\"token_invalid\"", 2),
        ("route=\"(none)\",code=\"token_invalid\"", 0),
        ("route=\"(none)\",code=\"bad_request\"", 1),
    ] {
        assert_eq!(gateway.count("sluicegate_refusals_total", labels).await, count, "{labels}");
    }
    let ended = async || gateway.count("rag_request_count_total", "route=\"all\",status=\"4xx\"").await == 2;
    comes_true("both are counted under their route", ended).await;
    let path = gateway.folder().path().join("access.log");
    let logged = || std::fs::read_to_string(&path).unwrap_or_default();
    comes_true("the log is written", async || logged().lines().count() == 3).await;
    let routes: Vec<Value> =
        logged().lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["route"].clone()).collect();
    assert_eq!(routes, [json!("all"), json!("all"), Value::Null]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_was_let_through_is_waited_for_and_a_read_is_not() {
    use sluicegate_tests::{Gate, Step, eventually};
    let upstream = Upstream::start().await;
    let gateway = gateway(&upstream, "preset: mcp, read_tools: [search]", "");
    let gate = Gate::default();
    let ok = || Step::Send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into());
    upstream.on("/mcp", [Step::Read, Step::Wait(gate.clone()), ok()]);
    let mut running = Vec::new();
    for tool in ["search", "delete"] {
        let mut raw = Raw::connect(gateway.address()).await;
        let body = message(1, "tools/call", &json!({ "name": tool }));
        raw.send(format!(
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\n{JSON}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
        running.push(raw);
    }
    eventually("both are under way", || upstream.running() == 2).await;
    let shown = gateway.freeze("window", &json!({})).await;
    assert_eq!(gateway.freeze_shown("window").await["writes_in_flight"], 1, "{shown}");
    gate.open();
    for raw in &mut running {
        assert_eq!(raw.answer().await.unwrap().status, 200);
    }
    let has_ended = async || gateway.freeze_shown("window").await["writes_in_flight"] == 0;
    comes_true("the write is in flight no more", has_ended).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_to_a_model_go_on_unless_they_are_to_be_stored() {
    let upstream = Upstream::start().await;
    let gateway = gateway(&upstream, "preset: openai", FROZEN);
    let mut raw = Raw::connect(gateway.address()).await;
    for (path, body, status) in [
        ("/v1/chat/completions", json!({ "model": "m", "messages": [] }), 200),
        ("/v1/chat/completions", json!({ "model": "m", "store": false }), 200),
        ("/v1/chat/completions", json!({ "model": "m", "store": true }), 423),
        // The API keeps a response unless it is told not to.
        ("/v1/responses", json!({ "model": "m", "input": "x" }), 423),
        ("/v1/responses", json!({ "model": "m", "input": "x", "store": null }), 423),
        ("/v1/responses", json!({ "model": "m", "input": "x", "store": false }), 200),
        ("/v1/responses", json!({ "model": "m", "store": false, "background": true }), 423),
        ("/v1/embeddings", json!({ "store": true }), 200),
        ("/v1/batches", json!({}), 423),
    ] {
        assert_eq!(post(&mut raw, path, JSON, body.to_string()).await.status, status, "{path} {body}");
    }
}
