//! What cannot be read in one way only never reaches an upstream in a form that could be read
//! in another.
//!
//! [`table`] lists messages; this runs each over a raw socket and holds what the client got
//! and what the strict upstream saw against what the table allows. Where the gateway keeps
//! the connection, a plain request is sent behind the message and must be answered as itself,
//! so that a connection which has lost its step does not go unseen.
//!
//! The results as a document:
//! `cargo test -p sluicegate-tests --test framing -- --nocapture`

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod table;

use std::{fmt::Write as _, time::Duration};

use sluicegate_tests::{
    Gateway, Raw, Upstream, config, eventually,
    tick::within,
    wire::{Fault, text},
};
use table::{Case, Expect};
use tokio::time::timeout;

/// What became of a message.
#[derive(Debug, Default)]
struct Observed {
    /// The statuses that the client got; 0 for bytes that are no HTTP/1.1 answer.
    answers: Vec<u16>,
    /// Whether the gateway closed the connection.
    closed: bool,
    /// The requests that reached the upstream whole: method, target, body.
    whole: Vec<String>,
    /// The requests that were begun at the upstream and broken off.
    broken: Vec<String>,
    /// The heads that the upstream saw, in lower case.
    heads: String,
}

impl Observed {
    /// Why this is not what is allowed; nothing where it is.
    fn wrong(&self, case: &Case) -> Option<String> {
        if let Some(never) = case.never.iter().find(|never| self.heads.contains(&never.to_lowercase())) {
            return Some(format!("the upstream saw `{never}`"));
        }
        (!self.fits(&case.expect)).then(|| format!("allowed was {:?}", case.expect))
    }

    fn fits(&self, expect: &Expect) -> bool {
        let ok = |count: usize| self.answers.iter().take_while(|status| **status == 200).count() == count;
        match expect {
            Expect::Refused(statuses) => {
                let answered = match self.answers.as_slice() {
                    [] => statuses.contains(&0),
                    [status] => statuses.contains(status),
                    _ => false,
                };
                answered && self.closed && self.whole.is_empty() && self.broken.is_empty()
            }
            Expect::Answered(statuses) => {
                let [status] = self.answers[..] else { return false };
                statuses.contains(&status) && self.whole.is_empty() && self.broken.is_empty()
            }
            Expect::AnsweredThen(statuses, requests) => {
                let [status, rest @ ..] = &self.answers[..] else { return false };
                let rest_ok = rest.len() == requests.len() && rest.iter().all(|status| *status == 200);
                statuses.contains(status) && rest_ok && self.whole == *requests && self.broken.is_empty()
            }
            Expect::Forwarded(requests) => {
                self.whole == *requests && self.broken.is_empty() && ok(requests.len())
            }
            Expect::ForwardedThenClosed(requests) => self.closed && self.fits(&Expect::Forwarded(requests)),
            Expect::ThenRefused(requests, statuses) => {
                let rest = &self.answers[requests.len().min(self.answers.len())..];
                let refused = match rest {
                    [] => statuses.contains(&0),
                    [status] => statuses.contains(status),
                    _ => false,
                };
                self.whole == *requests
                    && self.broken.is_empty()
                    && ok(requests.len())
                    && refused
                    && self.closed
            }
            Expect::Broken(line, statuses) => {
                let answered = match self.answers.as_slice() {
                    [] => statuses.contains(&0),
                    [status] => statuses.contains(status),
                    _ => false,
                };
                let only = self.broken.iter().all(|seen| seen.starts_with(line));
                answered && self.closed && self.whole.is_empty() && self.broken.len() < 2 && only
            }
            Expect::OneOf(several) => several.iter().any(|expect| self.fits(expect)),
        }
    }
}

async fn observe(gateway: &Gateway, upstream: &Upstream, case: &Case) -> Observed {
    let before = upstream.seen().len();
    let mut observed = Observed::default();
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send(case.bytes()).await;
    if case.end {
        raw.finish().await;
    }
    while !observed.closed && observed.answers.len() < case.expect.most_answers() {
        match timeout(Duration::from_secs(8), raw.answer()).await {
            Ok(Ok(answer)) => {
                observed.answers.push(answer.status);
                if answer.closes() {
                    observed.closed = raw.closed_within(Duration::from_secs(8)).await;
                    break;
                }
            }
            Ok(Err(fault)) => {
                // What is no HTTP/1.1 answer counts as one with status 0.
                let bytes = !raw.some_now().is_empty() || matches!(fault, Fault::Invalid(_));
                observed.answers.extend(bytes.then_some(0));
                observed.closed =
                    !matches!(fault, Fault::Invalid(_)) || raw.closed_within(Duration::from_secs(8)).await;
            }
            Err(_) => break,
        }
    }
    if !observed.closed && !case.end {
        raw.send("GET /behind HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        match raw.answer().await {
            Ok(answer) => assert_eq!(answer.status, 200, "{}: the request behind it: {answer:?}", case.name),
            Err(_) => observed.closed = true,
        }
    } else {
        observed.closed = observed.closed || raw.closed_within(Duration::from_secs(8)).await;
    }
    if matches!(case.expect, Expect::Broken(..)) {
        // What was broken off may be on its way to the upstream while the client has its answer
        // already. Whether it gets there is left open; it must not be taken for the next case's.
        within(Duration::from_secs(2), || upstream.seen().len() > before).await;
    }
    eventually("the upstream is idle", || upstream.running() == 0).await;
    for seen in upstream.seen().into_iter().skip(before).filter(|seen| seen.target != "/behind") {
        let shown = [seen.line(), text(&seen.body)].join(" ").trim_end().to_owned();
        observed.heads.push_str(&seen.head.to_lowercase());
        for (name, value) in &seen.trailers.0 {
            let _ = write!(observed.heads, "{}: {}", name.to_lowercase(), value.to_lowercase());
        }
        if seen.complete { observed.whole.push(shown) } else { observed.broken.push(shown) }
    }
    observed
}

/// Bytes as a person reads them, in one line of a table.
fn shown(bytes: &[u8]) -> String {
    let mut shown: String = bytes
        .iter()
        .flat_map(|byte| std::ascii::escape_default(*byte))
        .map(char::from)
        .collect::<String>()
        .replace('|', "\\|")
        .replace('`', "'");
    if shown.len() > 200 {
        shown = format!("{}...{}", &shown[..120], &shown[shown.len() - 60..]);
    }
    shown
}

fn row(case: &Case, observed: &Observed) -> String {
    let mut client: Vec<String> = observed.answers.iter().map(u16::to_string).collect();
    client.extend(observed.closed.then(|| "closed".to_owned()));
    let whole = observed.whole.iter().map(|seen| format!("`{}`", shown(seen.as_bytes())));
    let broken = observed.broken.iter().map(|seen| format!("broken off: `{}`", shown(seen.as_bytes())));
    let upstream: Vec<String> = whole.chain(broken).collect();
    let upstream = if upstream.is_empty() { "nothing".to_owned() } else { upstream.join(", ") };
    format!("| {} | `{}` | {} | {upstream} |", case.name, shown(&case.bytes()), client.join(", "))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_message_reaches_the_upstream_in_another_meaning() {
    let upstream = Upstream::start().await;
    let timeouts = "timeouts: { header_read: 1s, body_idle: 1s }\nlimits: { max_headers: 64KiB }";
    let gateway = Gateway::start(&config(&upstream.url(), timeouts));
    let cases = table::cases();
    assert!(cases.len() >= 80, "{} messages", cases.len());
    let mut wrong = Vec::new();
    println!("| message | sent | the client got | the upstream saw |\n|---|---|---|---|");
    for case in &cases {
        let observed = observe(&gateway, &upstream, case).await;
        println!("{}", row(case, &observed));
        if let Some(why) = observed.wrong(case) {
            wrong.push(format!("{}: {why}\n    but: {observed:?}", case.name));
        }
    }
    wrong.extend(upstream.violations());
    assert!(wrong.is_empty(), "{} of {} wrong:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
