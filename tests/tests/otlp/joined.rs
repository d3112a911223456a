//! Traces that go through the gateway.

use std::collections::BTreeMap;

use serde_json::json;
use sluicegate_test_servers::Collected;
use sluicegate_tests::{Client, Gateway, Raw, Step, Upstream, client::post, config, upstream::response};

use crate::{TRACE, arrived, ask, collector, grpc, otlp, parent};

/// The attributes but those that differ from run to run.
fn told<'a>(span: &'a Collected, but: &[&str]) -> BTreeMap<&'a str, &'a str> {
    let all = span.attributes.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    all.filter(|(key, _)| !but.contains(key)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_and_its_tries_are_parts_of_the_clients_trace() {
    let (collector, upstream) = (collector().await, Upstream::start().await);
    upstream.answer("/a", response("503 Away", "", "away"));
    let extra = "retries: { tries: 2, base: 1ms, cap: 1ms }\n".to_owned();
    let gateway = Gateway::start(&config(&upstream.url(), &(extra + &otlp(&grpc(&collector), ""))));
    let lines =
        format!("{}tracestate: a=1,b=2\r\nUser-Agent: job/1\r\nX-Request-Id: r-1\r\n", parent(TRACE, "01"));
    assert_eq!(ask(&gateway, &lines).await.status, 503);

    let spans = arrived(&collector, TRACE, 3).await;
    let [own, first, second] = &spans[..] else { panic!("{spans:#?}") };
    assert_eq!(
        (own.name.as_str(), own.kind.as_str(), own.parent.as_str()),
        ("GET all", "SERVER", "00f067aa0ba902b7")
    );
    assert!(own.failed && own.state == "a=1,b=2", "{own:#?}");
    assert_eq!(own.resource["service.name"], "sluicegate");
    let expected = [
        ("client.address", "127.0.0.1"),
        ("error.type", "503"),
        ("http.request.method", "GET"),
        ("http.response.body.size", "4"),
        ("http.response.status_code", "503"),
        ("http.route", "/{*rest}"),
        ("network.protocol.version", "1.1"),
        ("server.address", "rag.test"),
        ("server.port", "80"),
        ("sluicegate.access", "read"),
        ("sluicegate.complete", "true"),
        ("sluicegate.request_id", "r-1"),
        ("sluicegate.route", "all"),
        ("sluicegate.upstream", "main"),
        ("url.path", "/a"),
        ("url.scheme", "http"),
        ("user_agent.original", "job/1"),
    ];
    assert_eq!(told(own, &[]), expected.into());

    let port = upstream.address().port().to_string();
    let url = format!("{}/a", upstream.url());
    for (number, span) in [first, second].into_iter().enumerate() {
        assert_eq!((span.name.as_str(), span.kind.as_str(), &span.parent), ("GET", "CLIENT", &own.id));
        assert!(span.failed && own.times.0 <= span.times.0 && span.times.1 <= own.times.1, "{span:#?}");
        let mut expected = BTreeMap::from([
            ("error.type", "503"),
            ("http.request.method", "GET"),
            ("http.response.status_code", "503"),
            ("server.address", "127.0.0.1"),
            ("server.port", port.as_str()),
            ("sluicegate.upstream", "main"),
            ("url.full", url.as_str()),
        ]);
        if number == 1 {
            expected.insert("http.request.resend_count", "1");
        }
        assert_eq!(told(span, &[]), expected);
    }
    assert!(first.times.1 <= second.times.0, "{spans:#?}");

    // An upstream that traces continues where the gateway leaves off.
    let seen = upstream.seen();
    let sent: Vec<_> = seen.iter().map(|seen| seen.get("traceparent").unwrap().to_owned()).collect();
    assert_eq!(sent, [&first.id, &second.id].map(|id| format!("00-{TRACE}-{id}-01")));
    assert!(seen.iter().all(|seen| seen.get("tracestate") == Some("a=1,b=2")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_told_when_it_has_ended_and_whether_it_was_whole() {
    let (collector, upstream) = (collector().await, Upstream::start().await);
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n";
    upstream.on("/cut", [Step::Read, Step::Send(format!("{head}four").into()), Step::Reset]);
    let gateway = Gateway::start(&config(&upstream.url(), &otlp(&grpc(&collector), "")));
    let mut client = Raw::connect(gateway.address()).await;
    client.send(format!("GET /cut HTTP/1.1\r\nHost: a\r\n{}\r\n", parent(TRACE, "01"))).await;
    assert!(client.answer().await.is_err() || client.closed_within(sluicegate_tests::LIMIT).await);
    let spans = arrived(&collector, TRACE, 2).await;
    let how: Vec<_> =
        spans.iter().map(|span| (span.failed, span.attributes["error.type"].as_str())).collect();
    assert_eq!(how, [(true, "incomplete"), (true, "reset")]);
    assert_eq!(spans[0].attributes["sluicegate.complete"], "false");
    assert_eq!(spans[1].attributes["http.response.status_code"], "200");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_a_try_too() {
    let collector = collector().await;
    let gateway = Gateway::start(&config("http://127.0.0.1:1", &otlp(&grpc(&collector), "")));
    assert_eq!(ask(&gateway, &parent(TRACE, "01")).await.status, 502);
    let spans = arrived(&collector, TRACE, 2).await;
    assert_eq!(spans[0].attributes["sluicegate.refusal"], "upstream_unreachable");
    assert_eq!(spans[0].attributes["error.type"], "upstream_unreachable");
    assert_eq!(spans[1].attributes["error.type"], "unreachable");
    assert_eq!(spans[1].parent, spans[0].id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_is_named_by_what_it_refuses_and_by_what_goes_on() {
    let (collector, upstream) = (collector().await, Upstream::start().await);
    let gateway = Gateway::start(&config(&upstream.url(), &otlp(&grpc(&collector), "")));
    gateway.freeze("reindex", &json!({ "reason": "moving" })).await;
    let trace = |number: u8| format!("{number:032x}");
    let mut client = Client::h2c(gateway.address()).await;
    let mut request = post("/docs", "x");
    let asked = format!("00-{}-00f067aa0ba902b7-01", trace(1)).parse().unwrap();
    request.headers_mut().insert("traceparent", asked);
    assert_eq!(client.ask(request).await.status, 423);
    assert_eq!(ask(&gateway, &parent(&trace(2), "01")).await.status, 200);
    let odd = format!("BREW /pot HTTP/1.1\r\nHost: a\r\n{}\r\n", parent(&trace(3), "01"));
    assert_eq!(Raw::connect(gateway.address()).await.ask(&odd).await.status, 423);

    let refused = arrived(&collector, &trace(1), 1).await.remove(0);
    assert!(!refused.failed, "it was answered as it should be: {refused:#?}");
    for (key, value) in [
        ("sluicegate.refusal", "read_only"),
        ("sluicegate.freeze", "reindex"),
        ("sluicegate.access", "write"),
        ("http.response.status_code", "423"),
        ("network.protocol.version", "2"),
    ] {
        assert_eq!(refused.attributes.get(key).map(String::as_str), Some(value), "{key}: {refused:#?}");
    }
    assert_eq!(refused.name, "POST all");
    let read = arrived(&collector, &trace(2), 2).await.remove(0);
    assert_eq!(read.attributes["sluicegate.freeze"], "reindex");
    // A client cannot make up names.
    let odd = arrived(&collector, &trace(3), 1).await.remove(0);
    assert_eq!(odd.name, "HTTP all");
    assert_eq!(odd.attributes["http.request.method"], "_OTHER");
    assert_eq!(odd.attributes["http.request.method_original"], "BREW");
}
