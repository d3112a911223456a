//! W3C Trace Context: what a client sends is kept where it is well formed, all of it.

use sluicegate_tests::{Folder, Gateway, Raw, Seen, Upstream, config, eventually};

use crate::lines::read;

async fn seen(upstream: &Upstream, gateway: &Gateway, lines: &str) -> Seen {
    let before = upstream.seen().len();
    let answer = Raw::connect(gateway.address())
        .await
        .ask(&format!("GET /a HTTP/1.1\r\nHost: a\r\n{lines}\r\n"))
        .await;
    assert_eq!(answer.status, 200, "{lines:?}");
    upstream.seen()[before].clone()
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_is_kept_with_its_state_and_stands_in_the_access_log() {
    let upstream = Upstream::start().await;
    let gateway = Folder::default().start(&config(&upstream.url(), "access_log: { path: access.log }"));
    let log = gateway.folder().path().join("access.log");
    let table = [
        // The parent, the state as it came, and whether they are kept.
        (format!("00-{TRACE}-00f067aa0ba902b7-01"), "a=1,b@v=2", true),
        (format!("00-{TRACE}-00f067aa0ba902b7-00"), "", true),
        // A later version may say more after the flags.
        (format!("cc-{TRACE}-00f067aa0ba902b7-01-what-comes"), "a=1", true),
        // Not of the form, so that nobody could go on with it.
        (format!("00-{TRACE}-00f067aa0ba902b7-01-more"), "a=1", false),
        (format!("ff-{TRACE}-00f067aa0ba902b7-01"), "a=1", false),
        (format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)), "a=1", false),
        (format!("00-{TRACE}-0000000000000000-01"), "a=1", false),
        (format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()), "a=1", false),
        ("00-1234-1234-01".to_owned(), "a=1", false),
    ];
    for (number, (parent, state, kept)) in table.iter().enumerate() {
        let mut lines = format!("traceparent: {parent}\r\n");
        if !state.is_empty() {
            lines.extend(["tracestate: ", *state, "\r\n"]);
        }
        let seen = seen(&upstream, &gateway, &lines).await;
        let sent = seen.get("traceparent").expect("a trace").to_owned();
        assert_eq!(sent == *parent, *kept, "{parent}: {sent}");
        let passed_on = if *kept && !state.is_empty() { Some(*state) } else { None };
        assert_eq!(seen.get("tracestate"), passed_on, "{parent}");
        eventually("its line", || read(&log).len() == number + 1).await;
        assert_eq!(read(&log)[number]["trace_id"], sent[3..35], "{parent}");
    }
}
