//! A refused write is worded in the form that its client speaks.

use serde_json::{Value, json};
use sluicegate_tests::{
    Client, Gateway, Raw, Upstream,
    client::post,
    config,
    grpc::{GrpcClient, GrpcUpstream, Line},
};
use tonic::{Code, Request};

use crate::{retry_after, write};

#[tokio::test(flavor = "multi_thread")]
async fn grpc_gets_a_status_with_a_pushback() {
    let upstream = GrpcUpstream::start().await;
    let gateway = Gateway::start(
        &config(&upstream.url(), "freeze: { retry_after: { default: 7s, spread: 3s } }")
            .replace("\"] }", "\"], protocol: http2 }"),
    );
    let mut client = GrpcClient::connect(gateway.address()).await;
    let line = || Request::new(Line { text: "hello".to_owned(), number: 1 });
    client.say(line()).await.expect("not frozen yet");
    gateway.freeze("x?wait=10s", &json!({})).await;
    let status = client.say(line()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert!(status.message().starts_with("read_only"), "{status:?}");
    let pushback = status.metadata().get("grpc-retry-pushback-ms").expect("a pushback").to_str().unwrap();
    assert!((7000..=10_000).contains(&pushback.parse::<u64>().unwrap()), "{pushback}");
    assert_eq!(upstream.calls(), 1);
    gateway.thaw("x").await;
    client.say(line()).await.expect("thawed");
}

async fn json_rpc(form: &str) -> (Upstream, Gateway) {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&format!(
        r#"
listen: [{{ address: "127.0.0.1:0" }}]
admin: {{ address: "127.0.0.1:0" }}
store: {{ memory: {{}} }}
upstreams: {{ main: {{ endpoints: ["{}"] }} }}
routes: [{{ name: tools, match: {{ path: /mcp }}, upstream: main, refusal: {form} }}]
freeze: {{ read_only: true }}
"#,
        upstream.url()
    ));
    (upstream, gateway)
}

async fn call(gateway: &Gateway, body: &str) -> sluicegate_tests::Answer {
    let mut request = post("/mcp", body.to_owned());
    request.headers_mut().insert("content-type", "application/json".parse().unwrap());
    Client::h1(gateway.address()).await.ask(request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn json_rpc_gets_an_error_under_its_own_id() {
    for (form, status) in [("json_rpc", 423), ("rpc", 200)] {
        let (upstream, gateway) = json_rpc(form).await;
        for id in [json!(7), json!("seven")] {
            let body = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {} });
            let answer = call(&gateway, &body.to_string()).await;
            assert_eq!(answer.status, status, "{form}: {answer:?}");
            assert_eq!(answer.header("content-type"), "application/json");
            assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
            let error = answer.json();
            assert_eq!((&error["jsonrpc"], &error["id"]), (&json!("2.0"), &id));
            assert!(error["error"]["code"].is_i64() && error["error"]["message"].is_string(), "{error}");
            assert_eq!(
                (&error["error"]["data"]["code"], &error["error"]["data"]["status"]),
                (&json!("read_only"), &json!(423))
            );
            assert!(error["error"]["data"]["freeze"]["id"].is_string(), "{error}");
        }
        // What is no request with an id gets the problem itself.
        let answer = call(&gateway, "not json").await;
        assert_eq!((answer.status, answer.code().as_str()), (423, "read_only"), "{form}");
        assert!(upstream.seen().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_gets_a_problem_over_every_protocol() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&config(&upstream.url(), "freeze: { read_only: true }"));
    let mut raw = Raw::connect(gateway.address()).await;
    let answer = write(&mut raw, "/", "X-Request-Id: mine\r\n").await;
    assert!(retry_after(&answer) >= 1);
    let h2 = Client::h2c(gateway.address()).await.ask(post("/", "hello")).await;
    for problem in [answer.json(), h2.json()] {
        for member in ["type", "title", "detail", "code", "request_id"] {
            assert!(problem[member].is_string(), "{member}: {problem}");
        }
        assert_eq!((&problem["status"], &problem["code"]), (&json!(423), &json!("read_only")));
        assert!(problem["retry_after_ms"].is_u64() && problem["freeze"] != Value::Null, "{problem}");
    }
    assert_eq!(answer.json()["request_id"], "mine");
    // The connection is as good as before: the body was read past or the close announced.
    if !answer.closes() {
        assert_eq!(crate::read(&mut raw, "/").await.status, 200);
    }
    assert_eq!(upstream.violations(), Vec::<String>::new());
}
