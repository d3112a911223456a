//! The pins that clients send.

use http::Request;
use serde_json::json;
use sluicegate_tests::{
    Answer, Client, Gateway, Raw, Upstream,
    client::{Body, full},
    upstream::response,
};

use crate::{FIELDS, diff_of, document, header, one, upstream};

/// In what the candidate differs.
const NEXT: [(&str, &str); 3] = [("MODEL_VER", "m-2"), ("INDEX_HASH", "b7f3"), ("DOC_COUNT", "51002")];

/// Two upstreams that differ in three pins, one without any, and a gateway with a rollout, a
/// plain route and one to the upstream without pins.
struct Stand {
    stable: Upstream,
    next: Upstream,
    lab: Upstream,
    gateway: Gateway,
}

impl Stand {
    async fn start(rollout: &str) -> Self {
        let (stable, next) = (Upstream::start().await, Upstream::start().await);
        let lab = Upstream::start().await;
        stable.answer("/x", response("200 OK", "", "stable"));
        next.answer("/x", response("200 OK", "", "next"));
        let gateway = Gateway::start(&pair(&stable, &next, &lab, rollout));
        Self { stable, next, lab, gateway }
    }

    fn reached(&self) -> usize {
        self.stable.seen().len() + self.next.seen().len() + self.lab.seen().len()
    }

    async fn ask(&self, method: &str, path: &str, pins: &str, user: usize) -> Answer {
        Client::h1(self.gateway.address()).await.ask(asking(method, path, pins, user)).await
    }
}

fn pair(stable: &Upstream, next: &Upstream, lab: &Upstream, rollout: &str) -> String {
    let owned = |(pin, value): (&str, &str)| (pin.to_owned(), value.to_owned());
    let pins_of = |changed: &[(&str, &str)]| -> Vec<_> {
        let of = |(pin, value)| *changed.iter().find(|it| it.0 == pin).unwrap_or(&(pin, value));
        FIELDS.into_iter().map(|field| owned(of(field))).collect()
    };
    document(
        &[
            upstream("stable", &[stable.url()], &pins_of(&[]), ""),
            upstream("next", &[next.url()], &pins_of(&NEXT), ""),
            upstream("lab", &[lab.url()], &[], ""),
        ],
        &[
            "name: plain, match: { path: \"/plain/{*rest}\" }, upstream: stable",
            "name: lab, match: { path: \"/lab/{*rest}\" }, upstream: lab",
            "name: canary, match: { path: \"/{*rest}\" }, upstream: { rollout: retriever }",
        ],
        &format!(
            "rollouts:\n  retriever: {{ active: stable, candidate: next, sticky: {{ header: x-user-id }}{rollout} }}\n"
        ),
    )
}

fn asking(method: &str, path: &str, pins: &str, user: usize) -> Request<Body> {
    let request = Request::builder().method(method).uri(path).header("x-user-id", format!("u{user}"));
    let request = if pins.is_empty() { request } else { request.header("x-wfgy", pins) };
    request.body(full(if method == "GET" { "" } else { "{}" })).unwrap()
}

fn with(field: &str, value: &'static str) -> String {
    header(FIELDS.map(|(name, is)| (name, if name == field { value } else { is })))
}

fn text(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    String::from_utf8(answer.body.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_the_fourteen_alone_wrong_is_named_and_nothing_is_sent() {
    let mut refusals = 0;
    for weight in [0, 100] {
        let stand = Stand::start(&format!(", weight: {weight}")).await;
        let address = stand.gateway.address();
        for mut client in [Client::h1(address).await, Client::h2c(address).await] {
            for (at, (field, expected)) in FIELDS.into_iter().enumerate() {
                let asked = with(field, "wrong");
                for (path, method) in
                    [("/x", "GET"), ("/x", "POST"), ("/plain/x", "GET"), ("/plain/x", "POST")]
                {
                    let answer = client.ask(asking(method, path, &asked, at)).await;
                    let diff = diff_of(&answer, 409, "pin_mismatch");
                    assert_eq!(diff, one(field, Some(expected), "wrong"), "{method} {path}");
                    refusals += 1;
                }
            }
        }
        assert_eq!(stand.reached(), 0, "something was sent");
        // With all of them right it goes through, and they go with it.
        for path in ["/x", "/plain/x"] {
            let before = stand.stable.seen().len();
            let answer = stand.ask("GET", path, &with("", ""), 7).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(stand.stable.seen().len(), before + 1);
            assert_eq!(stand.stable.seen()[before].get("x-wfgy"), Some(with("", "").as_str()));
        }
        let all = header(FIELDS.map(|(name, _)| (name, "wrong")));
        let diff = diff_of(&stand.ask("GET", "/x", &all, 1).await, 409, "pin_mismatch");
        assert_eq!(diff.as_array().map(Vec::len), Some(14), "{diff}");
    }
    println!("pins asked: 14 fields, {refusals} refusals, each names its field alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn pins_leave_one_arm_or_both_whatever_the_weight() {
    let stand = Stand::start(", weight: 0").await;
    let users = 0..25;
    for weight in [0, 100] {
        if weight > 0 {
            stand.gateway.weigh("retriever", weight).await;
        }
        let by_weight = if weight == 0 { "stable" } else { "next" };
        for user in users.clone() {
            for (pins, expected) in [
                ("", by_weight),
                ("NORM=l2,metric=cosine", by_weight),
                ("INDEX_HASH=a1d9", "stable"),
                ("INDEX_HASH=b7f3", "next"),
                ("INDEX_HASH=b7f3 , MODEL_VER = m-2", "next"),
                ("DOC_COUNT=48210,TOK_VER=bpe-3", "stable"),
            ] {
                let answer = stand.ask("GET", "/x", pins, user).await;
                assert_eq!(text(&answer), expected, "weight {weight}, pins {pins}");
            }
        }
        // A client that pins what no single arm has is told what the active one has.
        let torn = stand.ask("GET", "/x", "INDEX_HASH=a1d9,MODEL_VER=m-2", 1).await;
        assert_eq!(diff_of(&torn, 409, "pin_mismatch"), one("MODEL_VER", Some("m-1"), "m-2"));
        // Writes stay on the active arm unless their pins leave only the other one.
        assert_eq!(text(&stand.ask("POST", "/x", "NORM=l2", 3).await), "stable");
        assert_eq!(text(&stand.ask("POST", "/x", "INDEX_HASH=a1d9", 3).await), "stable");
        assert_eq!(text(&stand.ask("POST", "/x", "INDEX_HASH=b7f3", 3).await), "next");
    }
    // Whose pins have chosen says nothing of a random user: at this weight nobody else was on the
    // active arm.
    let samples = |stand: &sluicegate_tests::rollouts::Stand| stand.shown["progress"]["samples"].clone();
    let counted = |stand: &_| samples(stand)[1].as_u64().is_some_and(|samples| samples > 0);
    let samples = samples(&stand.gateway.until("retriever", "samples are counted", counted).await);
    assert!(samples[0] == 0 && samples[1].as_u64() <= Some(50), "{samples}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_abort_or_a_kill_no_pin_leads_to_the_candidate() {
    let stand = Stand::start(", weight: 50").await;
    assert_eq!(text(&stand.ask("GET", "/x", "INDEX_HASH=b7f3", 1).await), "next");
    let refused = async || {
        let before = stand.next.seen().len();
        for method in ["GET", "POST"] {
            for user in 0..25 {
                let answer = stand.ask(method, "/x", "INDEX_HASH=b7f3", user).await;
                let diff = diff_of(&answer, 409, "pin_mismatch");
                assert_eq!(diff, one("INDEX_HASH", Some("a1d9"), "b7f3"));
                assert_eq!(text(&stand.ask(method, "/x", "INDEX_HASH=a1d9", user).await), "stable");
            }
        }
        assert_eq!(stand.next.seen().len(), before, "the candidate was reached");
    };
    assert_eq!(stand.gateway.steer("retriever", "abort").await.phase, "aborted");
    refused().await;
    stand.gateway.weigh("retriever", 50).await;
    assert_eq!(text(&stand.ask("GET", "/x", "INDEX_HASH=b7f3", 1).await), "next");
    let killed = pair(&stand.stable, &stand.next, &stand.lab, ", weight: 50, kill: true");
    let answer = stand.gateway.put_config("", &killed).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    refused().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_refused_where_pins_count() {
    let stand = Stand::start(", weight: 50").await;
    let many: Vec<_> = (0..65).map(|number| format!("P{number}=1")).collect();
    let long = format!("A={}", "x".repeat(129));
    let table = [
        "X-WFGY: INDEX_HASH",
        "X-WFGY: =a1d9",
        "X-WFGY: INDEX_HASH=",
        "X-WFGY: INDEX HASH=a1d9",
        "X-WFGY: INDEX_HASH=a1 d9",
        "X-WFGY: INDEX_HASH=\"a1d9\"",
        "X-WFGY: INDEX_HASH=a1d9,INDEX_HASH=b7f3",
        "X-WFGY: INDEX_HASH=a1d9\r\nX-WFGY: INDEX_HASH=b7f3",
        "X-WFGY: INDEX_HASH=a1d\u{e9}",
        &format!("X-WFGY: {}", many.join(",")),
        &format!("X-WFGY: {long}"),
    ];
    for line in table {
        for path in ["/x", "/plain/x"] {
            for method in ["GET", "DELETE"] {
                let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{line}\r\n\r\n");
                let answer = Raw::connect(stand.gateway.address()).await.ask(request).await;
                assert_eq!(answer.status, 400, "{line}: {}", answer.text());
                let problem = answer.json();
                assert!(problem["detail"].as_str().unwrap().contains("X-WFGY"), "{line}: {problem}");
            }
        }
    }
    assert_eq!(stand.reached(), 0, "something was sent");
    // Pairs may stand in several lines, with spaces, twice the same, and end in a comma.
    let lines = "X-WFGY: INDEX_HASH=a1d9,\r\nx-wfgy:  NORM = l2 , INDEX_HASH=a1d9";
    for path in ["/x", "/plain/x"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n\r\n");
        let answer = Raw::connect(stand.gateway.address()).await.ask(request).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(stand.stable.seen().len(), 2, "both on the arm that is pinned so");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_that_nobody_declared_is_not_vouched_for() {
    let stand = Stand::start("").await;
    for path in ["/x", "/plain/x"] {
        for (pins, pin, got) in [
            ("SHARD=3", "SHARD", "3"),
            ("index_hash=a1d9", "index_hash", "a1d9"),
            ("METRIC=cosine", "METRIC", "cosine"),
        ] {
            let diff = diff_of(&stand.ask("GET", path, pins, 1).await, 409, "pin_mismatch");
            assert_eq!(diff, json!([{ "pin": pin, "expected": null, "got": got }]), "{path}");
        }
    }
    assert_eq!(stand.reached(), 0, "something was sent");
    // Where the document pins nothing, pins are between the client and the service.
    for pins in ["INDEX_HASH=anything", "no pins at all"] {
        assert_eq!(stand.ask("GET", "/lab/x", pins, 1).await.status, 200);
    }
    let seen: Vec<_> = stand.lab.seen().iter().map(|seen| seen.get("x-wfgy").unwrap().to_owned()).collect();
    assert_eq!(seen, ["INDEX_HASH=anything", "no pins at all"]);
}
