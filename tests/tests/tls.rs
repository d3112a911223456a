//! TLS on both sides: the client chooses HTTP/2 or HTTP/1.1 by ALPN, and an HTTPS upstream is
//! believed only under the authority that the configuration names.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use sluicegate_tests::{
    Client, Folder, Gateway, Upstream,
    client::{get, post},
    tls::Authority,
};

fn config(endpoint: &str, upstream_tls: &str) -> String {
    format!(
        r#"
listen:
  - {{ address: "127.0.0.1:0", tls: {{ cert: certs/server.pem, key: certs/server.key }} }}
admin: {{ address: "127.0.0.1:0" }}
store: {{ memory: {{}} }}
upstreams: {{ main: {{ endpoints: ["{endpoint}"] {upstream_tls} }} }}
routes: [{{ name: all, match: {{ path: "/{{*rest}}" }}, upstream: main }}]
"#
    )
}

/// A gateway whose listener and upstream are certified by one authority.
fn start(authority: &Authority, endpoint: &str, upstream_tls: &str) -> Gateway {
    let (folder, server) = (Folder::default(), authority.identity());
    folder.write("certs/server.pem", &server.cert).write("certs/server.key", &server.key);
    folder.write("ca.pem", authority.pem());
    folder.start(&config(endpoint, upstream_tls))
}

const CA: &str = ", tls: { ca: ca.pem, server_name: localhost }";

#[tokio::test(flavor = "multi_thread")]
async fn alpn_decides_between_http2_and_http1() {
    let (authority, upstream) = (Authority::default(), Upstream::start().await);
    let gateway = start(&authority, &upstream.url(), "");
    for (offer, h2) in [
        (&["h2", "http/1.1"][..], true),
        (&["http/1.1", "h2"], true),
        (&["h2"], true),
        (&["http/1.1"], false),
        (&[], false),
    ] {
        let mut client = Client::tls(gateway.address(), &authority, offer).await;
        assert_eq!(client.is_h2(), h2, "{offer:?}");
        assert_eq!(client.ask(post("/over-tls", "hello")).await.status, 200, "{offer:?}");
    }
    let seen = upstream.seen_at("/over-tls");
    assert_eq!(seen.len(), 5);
    for seen in &seen {
        assert_eq!(seen.get("x-forwarded-proto"), Some("https"));
        assert_eq!(seen.body, b"hello");
    }
    assert_eq!(upstream.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_on_a_tls_listener_reaches_nobody() {
    let (authority, upstream) = (Authority::default(), Upstream::start().await);
    let gateway = start(&authority, &upstream.url(), "");
    let mut raw = sluicegate_tests::Raw::connect(gateway.address()).await;
    raw.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let rest = raw.rest().await;
    assert!(!rest.starts_with(b"HTTP/1.1 2"), "{:?}", String::from_utf8_lossy(&rest));
    assert!(upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_https_upstream_is_reached_under_its_own_authority() {
    let authority = Authority::default();
    let upstream = Upstream::start_tls(authority.identity().server(&["http/1.1"])).await;
    let gateway = start(&authority, &upstream.url(), CA);
    let mut client = Client::tls(gateway.address(), &authority, &["h2"]).await;
    for _ in 0..20 {
        assert_eq!(client.ask(post("/", "hello")).await.status, 200);
    }
    assert_eq!((upstream.seen().len(), upstream.connections()), (20, 1));
    assert_eq!(upstream.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_https_upstream_of_another_authority_is_not_believed() {
    let (authority, other) = (Authority::default(), Authority::default());
    let upstream = Upstream::start_tls(other.identity().server(&[])).await;
    for tls in [CA, ""] {
        let gateway = start(&authority, &upstream.url(), tls);
        let answer = Client::tls(gateway.address(), &authority, &["h2"]).await.ask(get("/")).await;
        assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_unreachable"), "{tls}");
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_https_upstream_of_another_name_is_not_believed() {
    let authority = Authority::default();
    let upstream = Upstream::start_tls(authority.identity().server(&[])).await;
    let gateway = start(&authority, &upstream.url(), ", tls: { ca: ca.pem, server_name: ip6-localhost }");
    let answer = Client::tls(gateway.address(), &authority, &["h2"]).await.ask(get("/")).await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_unreachable"));
}
