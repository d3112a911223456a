use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode};
use rustls::{RootCertStore, ServerConfig, crypto::ring, server::WebPkiClientVerifier};
use sluicegate_tests::{
    Client, Folder, Gateway, Upstream,
    client::{full, get},
    tls::{Authority, Identity},
    upstream::response,
};
use tokio_rustls::TlsAcceptor;

use super::{document, main_at};

const ALL: &str = r#"  - { name: all, match: { path: "/{*rest}" }, upstream: main }"#;

/// A server with this certificate, which asks clients for one of this authority.
fn asking(identity: &Identity, authority: &Authority) -> TlsAcceptor {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![identity.der()], identity.private())
        .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_asks_for_a_certificate_gets_the_gateways() {
    let (servers, clients) = (Authority::default(), Authority::default());
    let upstream = Upstream::start_tls(asking(&servers.identity(), &clients)).await;
    let (own, other) = (clients.identity(), Authority::default().identity());
    let yaml = |tls: &str| {
        let main = format!(
            "main: {{ endpoints: [\"{}\"], tls: {{ ca: ca.pem, server_name: localhost{tls} }} }}",
            upstream.url()
        );
        document(&main, ALL, "")
    };
    let folder = || {
        let folder = Folder::default();
        folder.write("ca.pem", servers.pem()).write("own.pem", &own.cert).write("own.key", &own.key);
        folder.write("other.pem", &other.cert).write("other.key", &other.key);
        folder
    };
    let gateway = folder().start(&yaml(", cert: own.pem, key: own.key"));
    let mut client = Client::h1(gateway.address()).await;
    assert_eq!(client.ask(get("/")).await.status, 200);
    // Another authority's, or none: the upstream takes no connection.
    let replaced = [("own.pem", &other.cert), ("own.key", &other.key)];
    for (name, text) in replaced {
        gateway.folder().replace(name, text);
    }
    sluicegate_tests::comes_true("the files are read again", async || {
        client.ask(get("/")).await.status == 502
    })
    .await;
    let gateway = folder().start(&yaml(""));
    assert_eq!(Client::h1(gateway.address()).await.ask(get("/")).await.status, 502);
    for (tls, expected) in [
        (", cert: own.pem", "upstreams.main.tls.cert: its key is missing"),
        (", key: own.key", "upstreams.main.tls.key: its certificate is missing"),
        (", cert: own.pem, key: other.key", "upstreams.main.tls.cert: "),
        (", cert: own.key, key: own.key", "upstreams.main.tls.cert: "),
        (", cert: own.pem, key: own.pem", "upstreams.main.tls.key: "),
        (", cert: none.pem, key: own.key", "upstreams.main.tls.cert: cannot read "),
    ] {
        let output = folder().refused(&yaml(tls));
        assert!(output.code != 0 && output.stderr.contains(expected), "{tls}: {}", output.stderr);
        assert!(!output.stderr.contains("PRIVATE KEY"), "{tls}");
    }
}

/// Three upstreams in one pool, and a gateway whose sessions stay on one of them.
async fn three(affinity: &str) -> (Vec<Upstream>, Gateway) {
    let mut upstreams = Vec::new();
    for _ in 0..3 {
        upstreams.push(Upstream::start().await);
    }
    let urls: Vec<_> = upstreams.iter().map(|upstream| format!("\"{}\"", upstream.url())).collect();
    let health = "health: { path: /healthz, interval: 20ms, unhealthy_after: 3 }";
    let main = format!("main: {{ endpoints: [{}], affinity: {affinity}, {health} }}", urls.join(", "));
    for (at, upstream) in upstreams.iter().enumerate() {
        let lines = format!(
            "Mcp-Session-Id: of-{at}\r\nSet-Cookie: other=1\r\nSet-Cookie: sid=of-{at}; Path=/; HttpOnly\r\n"
        );
        upstream.answer("/begin", response("200 OK", &lines, ""));
        upstream.answer("/healthz", response("200 OK", "", ""));
    }
    let gateway = Gateway::start(&document(&main, ALL, ""));
    (upstreams, gateway)
}

/// Which of them the session's requests come to; all of them are sent over connections of their own.
async fn home(upstreams: &[Upstream], gateway: &Gateway, field: &str, value: &str) -> usize {
    let before: Vec<_> = upstreams.iter().map(|upstream| upstream.count("/x")).collect();
    for _ in 0..6 {
        let request = Request::post("/x").header(field, value).body(full("q")).unwrap();
        assert_eq!(Client::h1(gateway.address()).await.ask(request).await.status, 200);
    }
    let came = upstreams.iter().zip(before).map(|(upstream, before)| upstream.count("/x") - before);
    let came: Vec<_> = came.collect();
    assert_eq!(came.iter().filter(|count| **count > 0).count(), 1, "{value}: {came:?}");
    came.iter().position(|count| *count == 6).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_stays_on_the_endpoint_that_began_it() {
    for (affinity, field, session) in [
        ("{ header: mcp-session-id }", "mcp-session-id", "of-"),
        ("{ cookie: sid }", "cookie", "a=b; sid=of-"),
    ] {
        let (upstreams, gateway) = three(affinity).await;
        // Each begins a session, whoever the gateway would have chosen for its name.
        while upstreams.iter().any(|upstream| upstream.count("/begin") == 0) {
            assert_eq!(Client::h1(gateway.address()).await.ask(get("/begin")).await.status, 200);
        }
        for at in 0..3 {
            assert_eq!(home(&upstreams, &gateway, field, &format!("{session}{at}")).await, at, "{affinity}");
        }
        // Sessions that nobody has seen begin are spread, and each stays where it is, also after a reload.
        let mut homes = Vec::new();
        // Where it is goes by the endpoints' ports, which are others each time: 60 of them leave one
        // out in one of 10^10 runs.
        while (0..3).any(|at| !homes.contains(&at)) {
            assert!(homes.len() < 60, "{homes:?}");
            homes.push(home(&upstreams, &gateway, field, &format!("{session}x{}", homes.len())).await);
        }
        assert_eq!(gateway.admin(http::Method::POST, "/reload", "").await.status / 100, 2);
        assert_eq!(home(&upstreams, &gateway, field, &format!("{session}1")).await, 1);
        for (number, expected) in homes.iter().enumerate() {
            let again = home(&upstreams, &gateway, field, &format!("{session}x{number}")).await;
            assert_eq!(again, *expected, "{affinity}: session {number}");
        }
        // One goes: its sessions move, the others stay.
        upstreams[0].answer("/healthz", response("500 Gone", "", ""));
        let label = format!("endpoint=\"{}\"", upstreams[0].url());
        sluicegate_tests::comes_true("it is found unhealthy", async || {
            let series = gateway.metric("sluicegate_upstream_endpoint_available").await;
            series.iter().any(|(labels, value)| labels.contains(&label) && *value == 0.0)
        })
        .await;
        assert_ne!(home(&upstreams, &gateway, field, &format!("{session}0")).await, 0);
        for (number, expected) in homes.iter().enumerate() {
            let now = home(&upstreams, &gateway, field, &format!("{session}x{number}")).await;
            assert!(now != 0 && (*expected == 0 || now == *expected), "{affinity}: session {number}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_address_of_a_name_is_tried() {
    let upstream = Upstream::start().await;
    // `localhost` may be ::1 as well, where nobody listens.
    let url = format!("http://localhost:{}", upstream.address().port());
    let gateway = Gateway::start(&document(&main_at(&url), ALL, ""));
    for _ in 0..8 {
        upstream.on(
            "/",
            [
                sluicegate_tests::Step::Read,
                sluicegate_tests::Step::Send(closing()),
                sluicegate_tests::Step::Close,
            ],
        );
        assert_eq!(Client::h1(gateway.address()).await.ask(get("/")).await.status, 200);
    }
    assert_eq!(
        upstream.seen()[0].get("host").map(|host| host.contains("127.0.0.1")),
        Some(true),
        "the client's Host goes on"
    );
}

fn closing() -> Bytes {
    response("200 OK", "Connection: close\r\n", "")
}

#[tokio::test(flavor = "multi_thread")]
async fn encoded_bodies_pass_untouched_both_ways() {
    let upstream = Upstream::start().await;
    // No encoder made these: whoever decoded or encoded anew would change or refuse them.
    let body: Vec<u8> = (0..=255).cycle().take(5000).collect();
    let gateway = Gateway::start(&document(&main_at(&upstream.url()), ALL, ""));
    for encoding in ["gzip", "br", "zstd", "deflate", "gzip, br", "made-up"] {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nVary: Accept-Encoding\r\nETag: \"x\"\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        upstream.answer("/x", [head.as_bytes(), &body].concat());
        for (accepted, http2) in [("gzip;q=0.5, br", false), ("identity", true), ("", false)] {
            upstream.forget();
            let mut request = Request::post("/x").header("content-encoding", encoding);
            if !accepted.is_empty() {
                request = request.header("accept-encoding", accepted);
            }
            let request = request.body(full(body.clone())).unwrap();
            let mut client = if http2 {
                Client::h2c(gateway.address()).await
            } else {
                Client::h1(gateway.address()).await
            };
            let answer = client.ask(request).await;
            assert_eq!(answer.status, StatusCode::OK, "{encoding}");
            assert_eq!((answer.header("content-encoding"), answer.header("etag")), (encoding, "\"x\""));
            assert_eq!((answer.header("vary"), answer.body.as_ref()), ("Accept-Encoding", body.as_slice()));
            let seen = &upstream.seen()[0];
            assert_eq!(seen.get("content-encoding"), Some(encoding));
            assert_eq!(seen.get("accept-encoding"), Some(accepted).filter(|it| !it.is_empty()));
            assert_eq!(seen.body, body);
        }
    }
    assert_eq!(upstream.violations(), Vec::<String>::new());
    tokio::time::timeout(Duration::from_secs(20), upstream.stop()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_of_answers_may_be_as_large_as_those_of_requests() {
    let upstream = Upstream::start().await;
    for size in [60, 200] {
        let line = format!("X-Large: {}\r\n", "a".repeat(size * 1024));
        upstream.answer(&format!("/{size}"), response("200 OK", &line, ""));
    }
    for (limits, passed) in
        [("", 60), ("limits: { max_headers: 1KiB }", 60), ("limits: { max_headers: 256KiB }", 200)]
    {
        let gateway = Gateway::start(&document(&main_at(&upstream.url()), ALL, limits));
        for size in [60, 200] {
            let answer = Client::h1(gateway.address()).await.ask(get(&format!("/{size}"))).await;
            let expected = if size <= passed { 200 } else { 502 };
            assert_eq!(answer.status, expected, "{size} KiB, {limits}: {}", answer.code());
            assert_eq!(answer.header("x-large").len(), if size <= passed { size * 1024 } else { 0 });
        }
    }
}
