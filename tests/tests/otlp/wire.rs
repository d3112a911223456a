//! How spans are sent, and what may be answered.

use std::net::SocketAddr;

use sluicegate_tests::{Folder, Gateway, Upstream, comes_true, config, tls::Authority, upstream::response};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{TRACE, arrived, ask, collector, otlp, parent};

/// Ends TLS in front of `to`; for as long as the set lives.
async fn tls_in_front(to: u16, authority: &Authority, tasks: &mut JoinSet<()>) -> SocketAddr {
    let acceptor = authority.identity().server(&["h2", "http/1.1"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            connections.spawn(async move {
                let Ok(mut inside) = acceptor.accept(stream).await else { return };
                let mut plain = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                let _ = copy_bidirectional(&mut inside, &mut plain).await;
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn over_both_protocols_in_the_clear_and_over_tls() {
    let (collector, upstream) = (collector().await, Upstream::start().await);
    let (grpc, http) = collector.ports();
    for (number, (protocol, port)) in [("grpc", grpc), ("http", http)].into_iter().enumerate() {
        let (authority, mut tasks) = (Authority::default(), JoinSet::new());
        let plain = format!("http://127.0.0.1:{port}/");
        let secret = format!("https://localhost:{}", tls_in_front(port, &authority, &mut tasks).await.port());
        for (also, endpoint, ca) in [(0, plain, ""), (1, secret.clone(), ", ca: ca.pem")] {
            let trace = format!("{:032x}", 16 * (number + 1) + also);
            let folder = Folder::default();
            folder.write("ca.pem", authority.pem());
            let section = otlp(&endpoint, &format!(", protocol: {protocol}, service_name: edge-7{ca}"));
            let gateway = folder.start(&config(&upstream.url(), &section));
            ask(&gateway, &parent(&trace, "01")).await;
            let spans = arrived(&collector, &trace, 2).await;
            assert!(spans.iter().all(|span| span.resource["service.name"] == "edge-7"), "{spans:#?}");
            comes_true("they are counted", async || {
                gateway.count("sluicegate_spans_sent_total", "").await == 2
            })
            .await;
        }
        // Whoever signed that is not known: nothing is sent there.
        let unknown = otlp(&secret, &format!(", protocol: {protocol}"));
        let gateway = Gateway::start(&config(&upstream.url(), &unknown));
        ask(&gateway, &parent(TRACE, "01")).await;
        let dropped = async || gateway.count("sluicegate_spans_dropped_total", "unreachable").await == 2;
        comes_true("they are dropped", dropped).await;
        assert_eq!(gateway.count("sluicegate_spans_sent_total", "").await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_wants_none_is_told_once_and_one_that_is_busy_again() {
    let upstream = Upstream::start().await;
    for (status, tries) in [("401 No", 1), ("503 Busy", 3)] {
        let wants_none = Upstream::start().await;
        wants_none.answer("/in/v1/traces", response(status, "", "no"));
        let folder = Folder::default();
        folder.write("key", "Bearer hush\n");
        let more = ", protocol: http, headers: { x-team: search }, headers_file: { authorization: key }";
        let section = otlp(&format!("{}/in", wants_none.url()), more);
        let gateway = folder.start(&config(&upstream.url(), &section));
        ask(&gateway, &parent(TRACE, "01")).await;
        let dropped = async || gateway.count("sluicegate_spans_dropped_total", "refused").await == 2;
        comes_true("they are dropped", dropped).await;
        let seen = wants_none.seen();
        assert_eq!(seen.len(), tries, "{status}");
        for seen in seen {
            assert_eq!(seen.line(), "POST /in/v1/traces");
            assert_eq!(seen.get("authorization"), Some("Bearer hush"));
            assert_eq!(seen.get("x-team"), Some("search"));
            assert_eq!(seen.get("content-type"), Some("application/x-protobuf"));
        }
        let shown = gateway.admin_get("/config").await.to_string();
        assert!(!shown.contains("hush") && shown.contains("\"x-team\":\"[redacted]\""), "{shown}");
        let refused = "the collector of `telemetry.otlp` does not take spans";
        comes_true("it is told", async || gateway.log().iter().any(|line| line.contains(refused))).await;
        let said = gateway.log().join("\n");
        assert!(!said.contains("hush"), "{said}");
    }
}
