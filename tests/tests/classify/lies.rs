//! Bodies that lie about themselves, on a route whose bodies tell what is a write.

use std::{io::Write, sync::Arc};

use flate2::{Compression, write};
use sluicegate_tests::{Raw, Upstream};
use tokio::{sync::Barrier, task::JoinSet};

use super::{FROZEN, gateway, post};

/// So many send at one time, a mebibyte each.
const SENDERS: usize = 240;

/// The gateway's resident memory grows by less than this: half of what is sent, and a sixtieth of what
/// the bombs would be. What all bodies may take together is an eighth of it.
const GROWTH: u64 = SENDERS as u64 * (1 << 20) / 2;
const MCP: &str = "preset: mcp, read_tools: [search]";
const JSON: &str = "Content-Type: application/json\r\n";

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = write::GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn call(tool: &str, argument: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}","arguments":{{"x":"{argument}"}}}}}}"#
    )
}

/// Each with its field lines and why it is in doubt; none where it is plainly a write.
fn lies() -> Vec<(&'static str, String, Vec<u8>, Option<&'static str>)> {
    let read = call("search", "y");
    let head = call("search", "").len();
    let zipped = |body: &[u8], coding: &str| (format!("{JSON}Content-Encoding: {coding}\r\n"), gzip(body));
    let (coded, bomb) = zipped(&vec![b' '; 32 << 20], "gzip");
    let (unknown, known) = zipped(read.as_bytes(), "lzma");
    let twice = format!("{JSON}Content-Encoding: gzip\r\nContent-Encoding: gzip\r\n");
    let deep = format!(r#"{{"method":"ping","params":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    let utf8 = [&read.as_bytes()[..head - 5], b"\xff\xfe\"}}}"].concat();
    let plain = JSON.to_owned();
    let batch = format!("[{read},{}]", call("delete", ""));
    vec![
        ("a gzip bomb", coded, bomb, Some("large")),
        (
            "64 KiB and one",
            plain.clone(),
            call("search", &"x".repeat(64 * 1024 + 1 - head)).into(),
            Some("large"),
        ),
        ("no UTF-8", plain.clone(), utf8, Some("form")),
        ("10,000 deep", plain.clone(), deep.into(), Some("form")),
        ("method twice", plain.clone(), read.replacen('{', r#"{"method":"ping","#, 1).into(), Some("form")),
        (
            "Method beside method",
            plain.clone(),
            read.replacen('{', r#"{"Method":"x","#, 1).into(),
            Some("form"),
        ),
        (
            "name twice",
            plain.clone(),
            read.replacen(r#""name""#, r#""name":"search","name""#, 1).into(),
            Some("form"),
        ),
        ("a byte order mark", plain.clone(), format!("\u{feff}{read}").into(), Some("form")),
        ("two messages", plain.clone(), format!("{read}{read}").into(), Some("form")),
        ("a batch of a read and a write", plain, batch.into(), None),
        ("another content type", "Content-Type: text/plain\r\n".into(), read.clone().into(), Some("form")),
        ("no content type", String::new(), read.clone().into(), Some("form")),
        (
            "another charset",
            "Content-Type: application/json; charset=utf-7\r\n".into(),
            read.clone().into(),
            Some("form"),
        ),
        ("an unknown coding", unknown, known.clone(), Some("coding")),
        ("one coding twice", twice, gzip(&known), Some("coding")),
        (
            "a coding that it has not",
            format!("{JSON}Content-Encoding: gzip\r\n"),
            read.into(),
            Some("coding"),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lie_is_refused_while_frozen_and_says_why() {
    let upstream = Upstream::start().await;
    let gateway = gateway(&upstream, MCP, FROZEN);
    for (what, lines, body, why) in lies() {
        let mut raw = Raw::connect(gateway.address()).await;
        let answer = post(&mut raw, "/mcp", &lines, &body).await;
        assert_eq!(answer.status, 423, "{what}: {}", answer.text());
        let problem = answer.json();
        // A message with an id that can be read gets its refusal as JSON-RPC.
        let problem = if problem.is_array() { problem[0].clone() } else { problem };
        let problem = if problem["error"].is_null() { problem } else { problem["error"]["data"].clone() };
        assert_eq!(problem["code"], "read_only", "{what}");
        let told = problem["detail"].as_str().unwrap().contains("counts as a write");
        assert_eq!(told, why.is_some(), "{what}: {problem}");
    }
    assert_eq!(upstream.seen().len(), 0);
    for (why, count) in [("large", 2.0), ("form", 10.0), ("coding", 3.0)] {
        let series = gateway.metric("sluicegate_doubts_total").await;
        let labels = format!("route=\"all\",why=\"{why}\"");
        let found = series.iter().find(|(at, _)| *at == labels).map(|(_, value)| *value);
        assert_eq!(found, Some(count), "{why}: {series:?}");
    }
    let mut raw = Raw::connect(gateway.address()).await;
    let truth = call("search", &"x".repeat(64 * 1024 - call("search", "").len()));
    assert_eq!(truth.len(), 64 * 1024);
    assert_eq!(post(&mut raw, "/mcp", JSON, truth).await.status, 200, "64 KiB are read");
    let lines = format!("{JSON}Content-Encoding: gzip\r\n");
    assert_eq!(post(&mut raw, "/mcp", &lines, gzip(call("search", "").as_bytes())).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_freeze_a_lie_passes_byte_for_byte() {
    let upstream = Upstream::start().await;
    let gateway = gateway(&upstream, MCP, "");
    for (what, lines, body, _) in lies() {
        upstream.forget();
        let mut raw = Raw::connect(gateway.address()).await;
        assert_eq!(post(&mut raw, "/mcp", &lines, &body).await.status, 200, "{what}");
        let seen = upstream.seen();
        assert_eq!((seen.len(), seen[0].length), (1, body.len() as u64), "{what}");
        assert!(seen[0].complete && body.starts_with(&seen[0].body), "{what}");
    }
    assert_eq!(upstream.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_waits_for_100_is_not_asked_for() {
    let upstream = Upstream::start().await;
    let gateway = gateway(&upstream, MCP, FROZEN);
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send(format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\n{JSON}Expect: 100-continue\r\nContent-Length: 100\r\n\r\n"
    ))
    .await;
    let answer = raw.answer().await.unwrap();
    assert_eq!((answer.status, answer.interim.len()), (423, 0));
    assert!(answer.text().contains("100 Continue"), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_stays_bounded_whatever_is_sent() {
    let upstream = Upstream::start().await;
    let gateway = gateway(
        &upstream,
        "preset: mcp, peek: 1MiB",
        &format!("{FROZEN}\nfences: {{ max_buffered: 16MiB }}"),
    );
    let address = gateway.address();
    // The second one is 16 MiB of zeros, in a window of that size.
    let brotli = b"\xcf\xff\xff\x7f\0\x24\0\xe2\xb1\x40\x72\xef\xff\x07";
    let bombs: Arc<[(&str, Vec<u8>)]> =
        [("gzip", gzip(&vec![b' '; 32 << 20])), ("br", brotli.to_vec())].into();
    let long: Arc<[u8]> = call("search", &"x".repeat(1000 * 1024)).into_bytes().into();
    // What a gateway takes that has read a body or two: its own pages first of all.
    let mut raw = Raw::connect(address).await;
    assert_eq!(post(&mut raw, "/mcp", JSON, call("search", "").as_bytes()).await.status, 423);
    let before = gateway.peak_memory();
    let all_sent = Arc::new(Barrier::new(SENDERS));
    let mut tasks = JoinSet::new();
    for _ in 0..SENDERS {
        let (bombs, long, all_sent) = (bombs.clone(), long.clone(), all_sent.clone());
        tasks.spawn(async move {
            let mut raw = Raw::connect(address).await;
            for (coding, bomb) in &*bombs {
                let lines = format!("{JSON}Content-Encoding: {coding}\r\n");
                assert_eq!(post(&mut raw, "/mcp", &lines, bomb).await.status, 423);
            }
            // All but the last byte, and then nothing until all others have sent as much.
            let mut raw = Raw::connect(address).await;
            let length = long.len();
            let head =
                format!("POST /mcp HTTP/1.1\r\nHost: localhost\r\n{JSON}Content-Length: {length}\r\n\r\n");
            raw.send(head).await;
            raw.send(&long[..length - 1]).await;
            all_sent.wait().await;
            raw.send("}").await;
            // Where there was no room for it the answer came before the body had ended.
            assert!(raw.answer().await.is_ok_and(|answer| answer.status == 423));
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let growth = gateway.peak_memory() - before;
    println!("{} MiB resident, and at most {} MiB more", before >> 20, growth >> 20);
    assert!(growth < GROWTH, "the gateway grew by {} MiB", growth >> 20);
    assert_eq!(upstream.seen().len(), 0);
    let doubts = gateway.metric("sluicegate_doubts_total").await;
    assert!(doubts.iter().any(|(labels, count)| labels.contains("no_room") && *count > 0.0), "{doubts:?}");
}
