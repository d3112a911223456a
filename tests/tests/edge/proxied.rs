use sluicegate_tests::{Client, Folder, Gateway, Raw, Upstream, client::get, tls::Authority};
use tokio::io::AsyncWriteExt;

const V1: &[u8] = b"PROXY TCP4 192.0.2.7 192.0.2.1 4242 80\r\n";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x08\xc0\x00\x02\x01\x10\x92\x00\x50";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 10.9.9.9\r\n\r\n";

fn document(upstream: &Upstream, trusted: &str, tls: &str) -> String {
    format!(
        r#"listen: [{{ address: "127.0.0.1:0", proxy_protocol: true{tls} }}]
admin: {{ address: "127.0.0.1:0" }}
store: {{ memory: {{}} }}
upstreams: {{ main: {{ endpoints: ["{}"] }} }}
routes: [{{ name: all, match: {{ path: "/{{*rest}}" }}, upstream: main }}]
trusted_peers: [{trusted}]
"#,
        upstream.url()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_from_whom_its_header_says() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&document(&upstream, "127.0.0.0/8", ""));
    // The balancer itself is a trusted peer, whose X-Forwarded-For counts.
    for (header, client) in [(V1, "192.0.2.7"), (V2, "192.0.2.8"), (LOCAL, "10.9.9.9, 127.0.0.1")] {
        upstream.forget();
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send(header).await;
        assert_eq!(raw.ask(GET).await.status, 200);
        assert_eq!(raw.ask(GET).await.status, 200, "the header comes once");
        for seen in upstream.seen() {
            assert_eq!(seen.get("x-forwarded-for"), Some(client));
        }
        // In one piece with the request, and byte by byte.
        let whole = [header, GET].concat();
        assert_eq!(Raw::connect(gateway.address()).await.ask(&whole).await.status, 200);
        let mut raw = Raw::connect(gateway.address()).await;
        for byte in header {
            raw.send([*byte]).await;
        }
        assert_eq!(raw.ask(GET).await.status, 200);
    }
    assert_eq!(upstream.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_header_is_closed_and_counted() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&document(&upstream, "127.0.0.0/8", ""));
    for (number, wrong) in [GET, &V1[..20], b"PROXY TCP4 a b c d\r\n", &[b'P'; 300]].into_iter().enumerate() {
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send(wrong).await;
        raw.finish().await;
        assert!(raw.rest().await.is_empty(), "no answer to {}", wrong.escape_ascii());
        let reason = "reason=\"proxy_protocol\"";
        let count = gateway.count("sluicegate_connection_errors_total", reason).await;
        assert_eq!(count, number as u64 + 1, "{}", wrong.escape_ascii());
    }
    // One that never ends is closed as any head is.
    let hurried = format!("timeouts: {{ header_read: 1s }}\n{}", document(&upstream, "127.0.0.0/8", ""));
    assert_eq!(gateway.put_config("", &hurried).await.status, 200);
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send(&V2[..17]).await;
    assert!(raw.rest().await.is_empty());
    assert!(upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_a_trusted_peer_may_say_who_a_connection_is_from() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&document(&upstream, "192.0.2.0/24", ""));
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send([V1, GET].concat()).await;
    assert!(raw.rest().await.is_empty());
    assert_eq!(gateway.count("sluicegate_connection_errors_total", "reason=\"proxy_protocol\"").await, 1);
    assert!(upstream.seen().is_empty());
    let output = Folder::default().refused(&document(&upstream, "", ""));
    assert!(output.code != 0 && output.stderr.contains("listen[0].proxy_protocol: "), "{}", output.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_header_comes_before_tls() {
    let (authority, upstream) = (Authority::default(), Upstream::start().await);
    let (folder, server) = (Folder::default(), authority.identity());
    folder.write("server.pem", &server.cert).write("server.key", &server.key);
    let tls = ", tls: { cert: server.pem, key: server.key }";
    let gateway = folder.start(&document(&upstream, "127.0.0.0/8", tls));
    for alpn in ["h2", "http/1.1"] {
        let mut stream = tokio::net::TcpStream::connect(gateway.address()).await.unwrap();
        stream.write_all(V2).await.unwrap();
        let mut client =
            Client::tls_over(stream, gateway.address(), &authority.client(&[alpn])).await.unwrap();
        assert_eq!(client.ask(get("/")).await.status, 200, "{alpn}");
    }
    for seen in upstream.seen() {
        assert_eq!(seen.get("x-forwarded-for"), Some("192.0.2.8"));
        assert_eq!(seen.get("x-forwarded-proto"), Some("https"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_turns_it_on_and_off() {
    let upstream = Upstream::start().await;
    let with = document(&upstream, "127.0.0.0/8", "");
    let gateway = Gateway::start(&with);
    let address = gateway.address();
    let without = with.replace(", proxy_protocol: true", "");
    assert_eq!(gateway.put_config("", &without).await.status, 200);
    assert_eq!(Raw::connect(address).await.ask(GET).await.status, 200);
    assert_eq!(gateway.put_config("", &with).await.status, 200);
    let mut raw = Raw::connect(address).await;
    raw.send(GET).await;
    assert!(raw.rest().await.is_empty());
    assert_eq!(Raw::connect(address).await.ask([V1, GET].concat()).await.status, 200);
}
