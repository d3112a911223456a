//! An answer that tells other pins than the document: what becomes of it, and of its endpoint.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Duration;

use serde_json::json;
use sluicegate_core::{Outcome, units::Span};
use sluicegate_upstream::{PinSource, PinState, input::RetriesInput};
use tokio::time::{Instant, sleep};

use crate::support::{Gateway, eventually, read_of, service::Service, worker, write};

const ONCE: RetriesInput =
    RetriesInput { tries: 1, base: Span::millis(1), cap: Span::millis(1), budget: 0.0 };
const AGAIN: RetriesInput =
    RetriesInput { tries: 3, base: Span::millis(2), cap: Span::millis(5), budget: 1.0 };

const PINS: &str = r#", "pins": { "INDEX_HASH": "a1", "MODEL_VER": "m-1" }"#;
const REFUSE: &str = r#", "pins": { "INDEX_HASH": "a1", "MODEL_VER": "m-1" }, "on_mismatch": "refuse""#;
const RIGHT: &str = "INDEX_HASH=a1,MODEL_VER=m-1";
const WRONG: &str = "INDEX_HASH=b7,MODEL_VER=m-1";

/// The names of the runbooks.
const NAMES: [&str; 14] = [
    "MODEL_VER",
    "PROMPT_VER",
    "EMBED_MODEL_VER",
    "EMBED_DIM",
    "NORM",
    "metric",
    "RERANK_CONF",
    "TOK_VER",
    "ANALYZER_CONF",
    "CHUNK_SCHEMA_VER",
    "INDEX_HASH",
    "DOC_COUNT",
    "BUILD_ID",
    "GIT_SHA",
];

fn mismatches(gateway: &Gateway, pin: &str) -> f64 {
    let name = "sluicegate_pin_mismatches_total";
    gateway.metric(&format!("{name}{{upstream=\"main\",pin=\"{pin}\",source=\"answer\"}}"))
}

fn stands(gateway: &Gateway) -> bool {
    gateway.metric("sluicegate_pin_mismatch{") > 0.0
}

fn states(gateway: &Gateway) -> Vec<&'static str> {
    gateway.plan.upstream.endpoints().map(|(_, state)| state).collect()
}

#[track_caller]
fn same(counted: f64, expected: usize) {
    assert!((counted - expected as f64).abs() < 0.1, "{counted} and not {expected}");
}

#[test]
fn each_pin_that_alone_is_wrong_is_told_to_the_client() {
    worker(async {
        let right: serde_json::Map<_, _> =
            NAMES.iter().map(|name| ((*name).into(), json!("right"))).collect();
        let settings = format!(", \"pins\": {}, \"on_mismatch\": \"refuse\"", json!(right));
        for wrong in NAMES {
            let told = NAMES.map(|name| format!("{name}={}", if name == wrong { "wrong" } else { "right" }));
            let service = Service::start(&told.join(", ")).await;
            let gateway = Gateway::new(&[service.address], &settings, AGAIN);
            let refused = gateway.ask(read_of()).await;
            assert_eq!((refused.status, refused.code), (503, "index_mismatch"));
            let diff = json!([{ "pin": wrong, "expected": "right", "got": "wrong" }]);
            assert_eq!((&refused.problem["diff"], &refused.problem["upstream"]), (&diff, &json!("main")));
            assert!(refused.problem["detail"].as_str().unwrap().contains(wrong), "{}", refused.problem);
            assert_eq!(service.answers(), 1, "there is no other endpoint to ask");
            for (name, count) in NAMES.map(|name| (name, usize::from(name == wrong))) {
                same(mismatches(&gateway, name), count);
            }
            let finding = &gateway.plan.upstream.pin_findings()[0];
            assert_eq!((finding.source, finding.state), (PinSource::Answer, PinState::Mismatch));
            assert_eq!(json!(finding.diff), diff);
            let unready = gateway.plan.upstream.readiness().unwrap_err();
            assert!(unready.ends_with(" is mismatch"), "{unready}");
            let write = gateway.ask(write(None)).await;
            assert_eq!((write.code, write.outcome), ("index_mismatch", Outcome::NotApplied));
            assert_eq!((&write.problem["diff"], service.answers()), (&diff, 1));
        }
    });
}

#[test]
fn it_is_passed_on_and_counted_where_that_is_the_setting() {
    worker(async {
        let service = Service::start(RIGHT).await;
        let gateway = Gateway::new(&[service.address], PINS, AGAIN);
        assert!(gateway.has_metric("sluicegate_pin_mismatches_total{upstream=\"main\",pin=\"INDEX_HASH\""));
        for _ in 0..3 {
            assert_eq!(gateway.ask(read_of()).await.status, 200);
        }
        same(mismatches(&gateway, "INDEX_HASH"), 0);
        assert_eq!(gateway.plan.upstream.pin_findings()[0].state, PinState::Match);
        service.tell("INDEX_HASH=b7,BUILD_ID=7");
        for _ in 0..3 {
            assert_eq!(gateway.ask(read_of()).await.status, 200);
            assert_eq!(gateway.ask(write(None)).await.status, 200);
        }
        same(mismatches(&gateway, "INDEX_HASH"), 6);
        same(mismatches(&gateway, "MODEL_VER"), 0);
        assert!(stands(&gateway) && gateway.state() == "healthy");
        let found = gateway.plan.upstream.check_pins().await.unwrap_err();
        assert_eq!(found.len(), 1);
        let untold = ["MODEL_VER".into()];
        assert_eq!((&found[0].state, &found[0].untold[..]), (&PinState::Mismatch, &untold[..]));
        let words = format!(
            "endpoint http://{}, by its answer: INDEX_HASH is \"b7\" and pinned to \"a1\"",
            service.address
        );
        assert_eq!(found[0].to_string(), words);
        service.tell(RIGHT);
        assert_eq!(gateway.ask(read_of()).await.status, 200);
        assert!(!stands(&gateway) && gateway.plan.upstream.check_pins().await.is_ok());
    });
}

#[test]
fn a_write_is_answered_and_what_follows_is_refused_unsent() {
    worker(async {
        let service = Service::start(WRONG).await;
        let gateway = Gateway::new(&[service.address], REFUSE, AGAIN);
        let answer = gateway.ask(write(None)).await;
        assert_eq!((answer.status, answer.outcome), (200, Outcome::Final), "it tells what was done");
        for ask in [write(None), read_of(), write(None)] {
            let refused = gateway.ask(ask).await;
            assert_eq!((refused.code, refused.outcome), ("index_mismatch", Outcome::NotApplied));
        }
        assert_eq!((service.answers(), gateway.state()), (1, "mismatch"));
        same(gateway.metric("sluicegate_upstream_endpoint_available{"), 0);
        assert!(stands(&gateway));
    });
}

#[test]
fn one_read_per_second_finds_out_that_it_was_put_right() {
    worker(async {
        let service = Service::start(WRONG).await;
        // That it serves the wrong thing is no failure for its breaker.
        let settings = format!(r#"{REFUSE}, "breaker": {{ "consecutive": 1, "base": "10m", "max": "10m" }}"#);
        let gateway = Gateway::new(&[service.address], &settings, AGAIN);
        let began = Instant::now();
        assert_eq!(gateway.ask(read_of()).await.code, "index_mismatch");
        while service.answers() < 3 {
            assert_eq!(gateway.ask(write(None)).await.code, "index_mismatch", "a write finds out nothing");
            assert_eq!(gateway.ask(read_of()).await.code, "index_mismatch");
            sleep(Duration::from_millis(5)).await;
        }
        assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
        service.tell("");
        eventually_asked(&gateway, &service, 4).await;
        assert_eq!(gateway.state(), "mismatch", "an answer without pins proves nothing");
        service.tell("INDEX_HASH=a1");
        while gateway.ask(read_of()).await.status != 200 {
            sleep(Duration::from_millis(5)).await;
        }
        assert_eq!((gateway.state(), service.answers()), ("healthy", 5));
        assert_eq!(gateway.ask(write(None)).await.status, 200);
        assert!(!stands(&gateway));
    });
}

async fn eventually_asked(gateway: &Gateway, service: &Service, times: usize) {
    while service.answers() < times {
        assert_eq!(gateway.ask(read_of()).await.code, "index_mismatch");
        sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn of_two_endpoints_the_one_that_contradicts_is_left_out() {
    worker(async {
        let (wrong, right) = (Service::start(WRONG).await, Service::start(RIGHT).await);
        let gateway = Gateway::new(&[wrong.address, right.address], REFUSE, AGAIN);
        let began = Instant::now();
        for _ in 0..200 {
            assert_eq!(gateway.ask(read_of()).await.status, 200, "the other one is asked instead");
            assert_eq!(gateway.ask(write(None)).await.status, 200);
        }
        let probes = 1 + usize::try_from(began.elapsed().as_secs()).unwrap();
        // A write may have been the first to meet it.
        assert!((1..=1 + probes).contains(&wrong.answers()), "{}", wrong.answers());
        assert_eq!(states(&gateway), ["mismatch", "healthy"]);
        assert!(gateway.plan.upstream.readiness().is_ok());
        assert_eq!(gateway.plan.upstream.check_pins().await.unwrap_err().len(), 1);
        let again = "sluicegate_upstream_retries_total{upstream=\"main\",reason=\"index_mismatch\"}";
        assert!(gateway.metric(again) <= probes as f64);
        wrong.tell(RIGHT);
        while states(&gateway) != ["healthy", "healthy"] {
            assert_eq!(gateway.ask(read_of()).await.status, 200);
            sleep(Duration::from_millis(5)).await;
        }
    });
}

#[test]
fn without_further_tries_the_read_that_finds_it_is_refused_and_the_next_goes_elsewhere() {
    worker(async {
        let (wrong, right) = (Service::start(WRONG).await, Service::start(RIGHT).await);
        let gateway = Gateway::new(&[wrong.address, right.address], REFUSE, ONCE);
        let began = Instant::now();
        let mut refused = 0;
        while began.elapsed() < Duration::from_millis(1500) || refused == 0 {
            let answer = gateway.ask(read_of()).await;
            assert!(answer.status == 200 || answer.code == "index_mismatch", "{answer:?}");
            refused += usize::from(answer.status != 200);
        }
        assert_eq!(refused, wrong.answers(), "no answer of it has reached a client");
        let seconds = usize::try_from(began.elapsed().as_secs()).unwrap();
        assert!(refused <= 1 + seconds, "{refused} in {seconds} s");
        assert!(right.answers() > 10 * refused, "{} and {refused}", right.answers());
    });
}

#[test]
fn what_cannot_be_read_is_not_trusted() {
    worker(async {
        let service = Service::start("INDEX_HASH=a1\nINDEX_HASH=b7").await;
        let gateway = Gateway::new(&[service.address], REFUSE, AGAIN);
        let refused = gateway.ask(read_of()).await;
        assert_eq!(refused.code, "index_mismatch");
        let diff = json!([{ "pin": "X-WFGY", "expected": RIGHT, "got": "INDEX_HASH=a1" }]);
        assert_eq!(refused.problem["diff"], diff);
        let finding = gateway.plan.upstream.pin_findings().remove(0);
        assert!(finding.failed.unwrap().contains("twice"));
        same(mismatches(&gateway, "X-WFGY"), 1);
    });
}

#[test]
fn over_http2_as_well() {
    worker(async {
        let service = Service::speaking(RIGHT, true).await;
        let settings = format!("{REFUSE}, \"protocol\": \"http2\"");
        let gateway = Gateway::new(&[service.address], &settings, AGAIN);
        assert_eq!(gateway.ask(read_of()).await.status, 200);
        service.tell(WRONG);
        let refused = gateway.ask(read_of()).await;
        assert_eq!((refused.code, service.answers()), ("index_mismatch", 2));
        assert_eq!(refused.problem["diff"], json!([{ "pin": "INDEX_HASH", "expected": "a1", "got": "b7" }]));
    });
}

#[test]
fn an_upstream_without_pins_tells_what_it_likes() {
    worker(async {
        let service = Service::start("nonsense").await;
        let gateway = Gateway::new(&[service.address], "", AGAIN);
        assert_eq!(gateway.ask(read_of()).await.status, 200);
        assert!(gateway.plan.upstream.pins().is_empty() && gateway.plan.upstream.pin_findings().is_empty());
        assert!(gateway.plan.upstream.check_pins().await.is_ok());
        assert!(!gateway.has_metric("sluicegate_pin_mismatch"));
    });
}

#[test]
fn a_reload_keeps_what_is_known_until_the_pins_are_others() {
    worker(async {
        let service = Service::start(WRONG).await;
        let mut gateway = Gateway::new(&[service.address], REFUSE, AGAIN);
        assert_eq!(gateway.ask(read_of()).await.code, "index_mismatch");
        gateway.reload();
        assert_eq!((gateway.ask(write(None)).await.code, service.answers()), ("index_mismatch", 1));
        gateway.load(PINS);
        assert_eq!(gateway.ask(write(None)).await.status, 200);
        assert!(stands(&gateway));
        gateway.load(REFUSE);
        assert_eq!((gateway.ask(write(None)).await.code, service.answers()), ("index_mismatch", 2));
        gateway.load(r#", "pins": { "INDEX_HASH": "b7" }, "on_mismatch": "refuse""#);
        assert_eq!(gateway.ask(read_of()).await.status, 200);
        assert!(!stands(&gateway));
        gateway.load("");
        assert_eq!(gateway.ask(write(None)).await.status, 200);
        assert!(!gateway.has_metric("sluicegate_pin_mismatch{"), "its series is gone");
    });
}

#[test]
fn an_endpoint_that_is_healed_by_a_reload_of_the_settings_is_used_at_once() {
    worker(async {
        let service = Service::start(WRONG).await;
        let mut gateway = Gateway::new(&[service.address], REFUSE, AGAIN);
        assert_eq!(gateway.ask(write(None)).await.status, 200);
        assert_eq!(gateway.state(), "mismatch");
        gateway.load("");
        eventually("it is used", || gateway.state() == "healthy").await;
        assert_eq!(gateway.ask(write(None)).await.status, 200);
    });
}
