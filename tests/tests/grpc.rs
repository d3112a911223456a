//! gRPC goes through with its trailers, in all directions, by a real client.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use futures::{StreamExt, channel::mpsc};
use sluicegate_tests::{
    Gateway,
    grpc::{GrpcClient, GrpcUpstream, Line},
};
use tonic::{Code, Request};

fn config(endpoint: &str) -> String {
    format!(
        r#"
listen: [{{ address: "127.0.0.1:0" }}]
admin: {{ address: "127.0.0.1:0" }}
store: {{ memory: {{}} }}
upstreams: {{ talk: {{ endpoints: ["{endpoint}"], protocol: http2 }} }}
routes: [{{ name: talk, match: {{ path: "/test.Talk/{{*rest}}" }}, upstream: talk }}]
"#
    )
}

fn line(text: &str, number: u32) -> Line {
    Line { text: text.to_owned(), number }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unary_call_carries_metadata_both_ways() {
    let upstream = GrpcUpstream::start().await;
    let gateway = Gateway::start(&config(&upstream.url()));
    let mut client = GrpcClient::connect(gateway.address()).await;
    for number in 0..100 {
        let mut request = Request::new(line("hello", number));
        request.metadata_mut().insert("x-said", number.into());
        let response = client.say(request).await.unwrap();
        assert_eq!(response.metadata().get("x-heard").unwrap(), number.to_string().as_str());
        assert_eq!(response.into_inner(), line("hello", number));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_the_status_and_trailers_that_the_upstream_sent() {
    let upstream = GrpcUpstream::start().await;
    let gateway = Gateway::start(&config(&upstream.url()));
    let mut client = GrpcClient::connect(gateway.address()).await;
    let mut lines = client.count(line("n", 5)).await.unwrap().into_inner();
    for number in 0..5 {
        assert_eq!(lines.message().await.unwrap(), Some(line("n", number)));
    }
    let status = lines.message().await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::OutOfRange, "that is all"));
    assert_eq!(status.metadata().get("x-counted").unwrap(), "5");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_may_talk_at_once() {
    let upstream = GrpcUpstream::start().await;
    let gateway = Gateway::start(&config(&upstream.url()));
    let mut client = GrpcClient::connect(gateway.address()).await;
    let (mut say, lines) = mpsc::unbounded();
    say.start_send(line("first", 0)).unwrap();
    let mut heard = client.chat(lines).await.unwrap().into_inner();
    for number in 0..20 {
        // The next line is said only when the answer to the last one has come.
        assert_eq!(heard.next().await.unwrap().unwrap().number, number);
        say.start_send(line("next", number + 1)).unwrap();
    }
    assert_eq!(heard.next().await.unwrap().unwrap().number, 20);
    drop(say);
    assert!(heard.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_a_grpc_status() {
    let upstream = GrpcUpstream::start().await;
    let url = upstream.url();
    drop(upstream);
    let gateway = Gateway::start(&config(&url));
    let mut client = GrpcClient::connect(gateway.address()).await;
    let status = client.say(Request::new(line("hello", 1))).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert!(status.message().starts_with("upstream_unreachable"), "{status:?}");
}
