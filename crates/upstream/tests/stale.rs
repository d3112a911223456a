//! A pooled connection that the upstream has closed before the request came is not used, even
//! where the worker has not had a moment to notice.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use prometheus_client::registry::Registry;
use sluicegate_core::{Access, Chance, Classified, Facts, Lane, RoutePlan};
use sluicegate_upstream::{
    Proxy, Retries, RouteTimeouts, Upstream, UpstreamMetrics, UpstreamPlan, UpstreamSettings, Upstreams,
    input::UpstreamInput,
};
use tokio::{runtime, time::Instant};
use tower_service::Service;

fn request(method: Method, upstream: &Arc<Upstream>) -> Request<Full<Bytes>> {
    let plan = UpstreamPlan {
        upstream: upstream.clone(),
        timeouts: RouteTimeouts {
            connect: Duration::from_secs(5),
            per_try: None,
            deadline: Duration::from_secs(60),
            stream_idle: Duration::from_secs(5),
        },
        retries: Retries::OFF,
        preserve_host: false,
        rewrite: None,
        whole: false,
        second: None,
    };
    let client = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let facts = Facts::new(HeaderValue::from_static("id"), client, Instant::now(), false);
    facts.classify(Classified {
        route: Arc::new(RoutePlan::new("all", "main").with(plan)),
        access: Access::of_method(&method),
        tenant: None,
        lane: Lane::Interactive,
        cost: 1,
        deadline: None,
        rpc: None,
    });
    let body = if method == Method::GET { Full::default() } else { Full::from("hello") };
    let mut request = Request::builder().method(method).uri("/").body(body).unwrap();
    request.extensions_mut().insert(facts);
    request
}

/// Answers one request on `stream`, on a thread of its own because the caller's is the worker.
fn answer(mut stream: TcpStream) -> std::thread::JoinHandle<TcpStream> {
    std::thread::spawn(move || {
        let mut head = [0; 1024];
        let read = stream.read(&mut head).unwrap();
        assert!(read > 0, "the connection was closed");
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
        stream
    })
}

#[test]
fn a_write_does_not_go_out_on_a_connection_whose_close_has_come_in() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let input = format!(r#"{{ "endpoints": ["http://{}"] }}"#, listener.local_addr().unwrap());
    let input: UpstreamInput = serde_json::from_str(&input).unwrap();
    let settings = UpstreamSettings::check("main", &input, &|path: &Path| path.to_owned()).unwrap();
    let runtime =
        runtime::Builder::new_current_thread().enable_all().build_local(runtime::LocalOptions::default());
    runtime.unwrap().block_on(async move {
        let metrics = UpstreamMetrics::register(&mut Registry::default());
        let upstreams = Upstreams::new(metrics, tokio::runtime::Handle::current());
        let prepared = upstreams.prepare(vec![settings]);
        upstreams.commit(&prepared);
        let upstream = prepared.get("main").unwrap();
        let mut proxy = Proxy::new(Chance::seeded(1));

        let accepted = std::thread::spawn({
            let listener = listener.try_clone().unwrap();
            move || listener.accept().unwrap().0
        });
        let first = proxy.call(request(Method::GET, upstream));
        let answering = std::thread::spawn(move || answer(accepted.join().unwrap()).join().unwrap());
        let response = first.await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.into_body().collect().await.unwrap();

        // From here to the call the worker does not read its sockets.
        drop(answering.join().unwrap());
        let second = std::thread::spawn(move || answer(listener.accept().unwrap().0).join().unwrap());
        let response = proxy.call(request(Method::POST, upstream)).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        drop(second.join().unwrap());
    });
}
