//! Spellings of paths and methods, against every preset while everything is frozen.
//!
//! The upstream is taken for the most lenient server there is: one that decodes escapes twice,
//! resolves dots, takes backslashes for slashes, cuts path parameters off, merges slashes and
//! knows no case. Even for that one nothing that it could take for the write may arrive.

use sluicegate_tests::{Raw, Upstream, raw::RawAnswer};

use super::{FROZEN, gateway};

/// Of each preset a read and a write, which are both posted.
const KNOWN: [(&str, &str, &str); 7] = [
    (
        "chroma",
        "/api/v2/tenants/t/databases/d/collections/c/query",
        "/api/v2/tenants/t/databases/d/collections/c/delete",
    ),
    ("qdrant", "/collections/c/points/query", "/collections/c/points/delete"),
    ("qdrant", "/qdrant.Points/Search", "/qdrant.Points/Delete"),
    ("weaviate", "/v1/graphql", "/v1/objects"),
    ("elasticsearch", "/docs/_search", "/docs/_delete_by_query"),
    ("milvus", "/v2/vectordb/entities/search", "/v2/vectordb/entities/delete"),
    ("openai", "/v1/embeddings", "/v1/files"),
];

/// Where a lenient server would look a target up.
fn lenient(target: &str) -> String {
    let target = target.find("://").map_or(target, |at| {
        let rest = &target[at + 3..];
        rest.find('/').map_or("/", |slash| &rest[slash..])
    });
    let mut path = target.split(['?', '#']).next().unwrap().to_owned();
    for _ in 0..2 {
        path = decoded(&path);
    }
    let mut segments: Vec<&str> = Vec::new();
    let path = path.to_ascii_lowercase().replace('\\', "/");
    for segment in path.split('/') {
        match segment.split([';', '\0']).next().unwrap() {
            "" | "." => {}
            ".." => drop(segments.pop()),
            name => segments.push(name),
        }
    }
    format!("/{}", segments.join("/"))
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let escape = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let value = escape.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        out.push(value.unwrap_or(bytes[at]));
        at += if value.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Each byte as an escape.
fn escapes(text: &str, sign: &str) -> String {
    text.bytes().flat_map(|byte| [sign.to_owned(), format!("{byte:02x}")]).collect()
}

/// Targets by which somebody might reach `write` while it looks like `read` or like nothing.
fn spellings(read: &str, write: &str) -> Vec<String> {
    let up = "/..".repeat(read.matches('/').count());
    let inside = &write[1..];
    let (above, last) = write.rsplit_once('/').unwrap();
    let escaped = escapes(last, "%");
    let twice = escapes(last, "%25");
    let all = [
        write.to_owned(),
        format!("{read}{up}{write}"),
        format!("{read}{}{write}", up.replace("..", "%2e%2e")),
        format!("{read}{}{write}", up.replace("..", ".%2E")),
        format!("{read}{}{write}", up.replace("..", "..;x")),
        format!("{read}{}{write}", up.replace('/', "%2f")),
        format!("{read}{}{write}", up.replace('/', "\\")),
        format!("{read}{}{write}", up.replace('/', "%5c")),
        format!("{read}{}{write}", up.replace("..", "%252e%252e")),
        format!("{read}{}{write}", up.replace("..", "%c0%ae%c0%ae")),
        format!("{read}/{up}{write}"),
        format!("/{write}"),
        format!("//{inside}"),
        format!("/.{write}"),
        format!("/%2e{write}"),
        format!("/x/..{write}"),
        format!("{write}/"),
        format!("{write}//"),
        format!("{write}/."),
        format!("{write};x"),
        format!("{write};x=/{read}"),
        format!("{write}%3bx"),
        format!("{write}%00"),
        format!("{write}%00{read}"),
        format!("{write}?{read}"),
        format!("{write}?_method=GET"),
        format!("{write}#{read}"),
        format!("{write}%23{read}"),
        format!("{write}%3f{read}"),
        format!("{above}%2f{last}"),
        format!("{above}%5c{last}"),
        format!("{above}\\{last}"),
        format!("{above}//{last}"),
        format!("{above}/;/{last}"),
        format!("{above};x/{last}"),
        format!("{above}/{escaped}"),
        format!("{above}/{twice}"),
        write.to_ascii_uppercase(),
        format!("{above}/{}", last.to_ascii_uppercase()),
        format!("http://localhost{write}"),
        format!("http://localhost/{write}"),
        format!("http://other.test{write}"),
        format!("http://localhost{read}{up}{write}"),
        inside.to_owned(),
        format!("*{write}"),
        "*".to_owned(),
    ];
    all.into()
}

async fn ask(
    upstream: &Upstream,
    address: std::net::SocketAddr,
    request: String,
) -> (Option<RawAnswer>, usize) {
    let before = upstream.seen().len();
    let mut raw = Raw::connect(address).await;
    raw.send(request).await;
    let answer = raw.answer().await.ok();
    (answer, upstream.seen().len() - before)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_path_reaches_a_write() {
    for (preset, read, write) in KNOWN {
        let upstream = Upstream::start().await;
        let gateway = gateway(&upstream, &format!("preset: {preset}"), FROZEN);
        let post = |target: &str, lines: &str| {
            format!(
                "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{lines}Content-Length: 2\r\n\r\n{{}}"
            )
        };
        let (answer, arrived) = ask(&upstream, gateway.address(), post(read, "")).await;
        assert_eq!((answer.unwrap().status, arrived), (200, 1), "{preset} {read} is a read");
        for target in spellings(read, write) {
            let (answer, arrived) = ask(&upstream, gateway.address(), post(&target, "")).await;
            let status = answer.map_or(0, |answer| answer.status);
            if arrived > 0 {
                let seen = upstream.seen().pop().unwrap();
                assert_ne!(
                    lenient(&seen.target),
                    lenient(write),
                    "{preset} {target} arrived as {}",
                    seen.line()
                );
            } else {
                assert!(matches!(status, 0 | 400 | 404 | 423), "{preset} {target}: {status}");
            }
        }
        assert_eq!(upstream.violations(), Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_method_reaches_a_write() {
    let overrides = [
        "X-HTTP-Method-Override",
        "X-HTTP-Method",
        "X-Method-Override",
        "x-http-METHOD-override",
        "X_HTTP_Method_Override",
        "x-http_method",
    ];
    for (preset, read, write) in KNOWN {
        let upstream = Upstream::start().await;
        let gateway = gateway(&upstream, &format!("preset: {preset}"), FROZEN);
        for name in overrides {
            for (method, target) in [("GET", write), ("GET", read), ("POST", read)] {
                for value in ["POST", "DELETE", "delete"] {
                    let request = format!(
                        "{method} {target} HTTP/1.1\r\nHost: localhost\r\n{name}: {value}\r\n{name}: PUT\r\nContent-Length: 0\r\n\r\n"
                    );
                    ask(&upstream, gateway.address(), request).await;
                }
            }
        }
        for seen in upstream.seen() {
            let overridden = seen.head.to_ascii_lowercase().replace('_', "-");
            assert!(
                !overridden.contains("x-http-method") && !overridden.contains("x-method"),
                "{}",
                seen.head
            );
        }
        let arrived = upstream.seen().len();
        for method in ["post", "Post", "DELETE", "PATCH", "PUT", "LOCK", "PROPPATCH", "GETT", "POST\u{b}"] {
            let request =
                format!("{method} {write} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
            let (answer, new) = ask(&upstream, gateway.address(), request).await;
            let status = answer.map_or(0, |answer| answer.status);
            assert!(new == 0 && matches!(status, 0 | 400 | 423), "{preset} {method}: {status}");
        }
        assert_eq!(upstream.seen().len(), arrived);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_that_writes_is_refused_in_any_spelling() {
    let upstream = Upstream::start().await;
    let gateway = gateway(&upstream, "preset: elasticsearch", FROZEN);
    for target in [
        "/docs/_refresh",
        "/docs/_refresh/",
        "//docs/_refresh",
        "/docs/%5frefresh",
        "/docs/_refresh?x",
        "/_flush",
    ] {
        for method in ["GET", "HEAD", "POST"] {
            let request =
                format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
            let mut raw = Raw::connect(gateway.address()).await;
            assert_eq!(raw.ask(request).await.status, 423, "{method} {target}");
        }
    }
    let mut raw = Raw::connect(gateway.address()).await;
    let answer = raw.ask("GET /docs/_doc/1 HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(answer.status, 200);
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_tunnel_is_opened_in_a_freeze_where_a_preset_reads() {
    for (preset, read, _) in KNOWN.into_iter().chain([("mcp", "/mcp", ""), ("openai", "/v1/realtime", "")]) {
        let upstream = Upstream::start().await;
        let gateway = gateway(&upstream, &format!("preset: {preset}"), FROZEN);
        let mut raw = Raw::connect(gateway.address()).await;
        let request = format!(
            "GET {read} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        );
        assert_eq!(raw.ask(request).await.status, 423, "{preset} {read}");
        assert_eq!(upstream.seen().len(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn access_goes_before_the_presets_and_the_routes_before_the_upstreams() {
    let upstream = Upstream::start().await;
    let url = upstream.url();
    let gateway = sluicegate_tests::Gateway::start(&format!(
        "listen: [{{ address: \"127.0.0.1:0\" }}]\n\
         store: {{ memory: {{}} }}\n\
         upstreams: {{ api: {{ endpoints: [\"{url}\"], preset: qdrant }} }}\n\
         routes:\n\
         \x20 - {{ name: asked, match: {{ path: \"/collections/asked/{{*rest}}\" }}, upstream: api, access: write }}\n\
         \x20 - {{ name: open, match: {{ path: \"/collections/open/{{*rest}}\" }}, upstream: api, access: read }}\n\
         \x20 - {{ name: other, match: {{ path: \"/v1/{{*rest}}\" }}, upstream: api, preset: weaviate }}\n\
         \x20 - {{ name: rest, match: {{ path: \"/{{*rest}}\" }}, upstream: api }}\n\
         {FROZEN}\n"
    ));
    let mut raw = Raw::connect(gateway.address()).await;
    for (path, status) in [
        ("/collections/c/points/query", 200),
        ("/collections/c/points/delete", 423),
        ("/collections/asked/points/query", 423),
        ("/collections/open/points/delete", 200),
        ("/v1/graphql", 200),
        ("/v1/objects", 423),
    ] {
        assert_eq!(super::post(&mut raw, path, "", "{}").await.status, status, "{path}");
    }
}
