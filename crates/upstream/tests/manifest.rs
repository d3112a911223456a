//! A manifest tells what answers do not: it is found within one look, and what cannot be read is shown.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Duration;

use serde_json::json;
use sluicegate_core::{Outcome, units::Span};
use sluicegate_upstream::{PinFinding, PinSource, PinState, input::RetriesInput};
use tokio::time::Instant;

use crate::support::{
    Gateway, Reply, Upstream, eventually, read_of,
    service::{Manifest, Service},
    worker, write,
};

const ONCE: RetriesInput =
    RetriesInput { tries: 1, base: Span::millis(1), cap: Span::millis(1), budget: 0.0 };

const PINS: &str = r#", "pins": { "INDEX_HASH": "a1", "DOC_COUNT": "1200", "NORM": "true" }"#;
const OFTEN: &str = r#", "manifest": { "path": "/manifest", "interval": "20ms", "timeout": "10s" }"#;
const SELDOM: &str = r#", "manifest": { "path": "/manifest", "interval": "1h", "timeout": "3s" }"#;
const REFUSE: &str = r#", "on_mismatch": "refuse""#;

const RIGHT: &str = r#"{ "INDEX_HASH": "a1", "DOC_COUNT": 1200, "NORM": true, "build_ts": [1] }"#;
const WRONG: &str = r#"{ "INDEX_HASH": "a1", "DOC_COUNT": 1201, "NORM": true }"#;

/// What the manifest of the endpoint in that place has told.
fn found(gateway: &Gateway, at: usize) -> PinFinding {
    let all = gateway.plan.upstream.pin_findings().into_iter();
    all.filter(|finding| finding.source == PinSource::Manifest).nth(at).unwrap()
}

/// Whoever asks may do so on any thread.
fn sent<T: Send>(it: T) -> T {
    it
}

async fn service(manifest: &str) -> Service {
    let service = Service::start("").await;
    service.show_text(manifest);
    service
}

#[test]
fn a_change_is_found_within_one_look_and_so_is_its_end() {
    worker(async {
        let service = service(RIGHT).await;
        let gateway = Gateway::new(&[service.address], &format!("{PINS}{OFTEN}{REFUSE}"), ONCE);
        eventually("it is read", || found(&gateway, 0).state == PinState::Match).await;
        assert_eq!(gateway.ask(read_of()).await.status, 200);
        for round in 1..=3 {
            service.show_text(WRONG);
            let before = service.looks();
            eventually("it is found", || found(&gateway, 0).state == PinState::Mismatch).await;
            // One look may have been under way.
            assert!(service.looks() <= before + 2, "{} after {before}", service.looks());
            let answers = service.answers();
            for ask in [read_of(), write(None)] {
                let refused = gateway.ask(ask).await;
                assert_eq!((refused.code, refused.outcome), ("index_mismatch", Outcome::NotApplied));
                let diff = json!([{ "pin": "DOC_COUNT", "expected": "1200", "got": "1201" }]);
                assert_eq!(refused.problem["diff"], diff);
            }
            assert_eq!(service.answers(), answers, "no request is spent on finding out what it tells itself");
            assert_eq!(gateway.state(), "mismatch");
            service.show_text(RIGHT);
            eventually("it is put right", || gateway.state() == "healthy").await;
            assert_eq!(gateway.ask(read_of()).await.status, 200);
            let counted =
                "sluicegate_pin_mismatches_total{upstream=\"main\",pin=\"DOC_COUNT\",source=\"manifest\"}";
            assert!(gateway.metric(counted) >= f64::from(round));
        }
    });
}

#[test]
fn texts_numbers_and_booleans_are_compared_as_they_are_written() {
    worker(async {
        for (manifest, pin, got) in [
            (r#"{ "DOC_COUNT": 1200.0 }"#, "DOC_COUNT", "1200.0"),
            (r#"{ "DOC_COUNT": "1201" }"#, "DOC_COUNT", "1201"),
            (r#"{ "NORM": false }"#, "NORM", "false"),
            (r#"{ "INDEX_HASH": "" }"#, "INDEX_HASH", ""),
        ] {
            let service = service(manifest).await;
            let gateway = Gateway::new(&[service.address], &format!("{PINS}{SELDOM}"), ONCE);
            eventually("it is found", || found(&gateway, 0).state == PinState::Mismatch).await;
            let finding = found(&gateway, 0);
            assert_eq!(json!(finding.diff)[0]["pin"], pin);
            assert_eq!((json!(finding.diff)[0]["got"].as_str(), finding.untold.len()), (Some(got), 2));
            assert_eq!(gateway.ask(read_of()).await.status, 200, "it is passed on");
        }
        for same in [RIGHT, r#"{ "DOC_COUNT": "1200", "NORM": "true", "INDEX_HASH": "\u00611" }"#, "{}"] {
            let service = service(same).await;
            let gateway = Gateway::new(&[service.address], &format!("{PINS}{SELDOM}"), ONCE);
            eventually("it is read", || found(&gateway, 0).state == PinState::Match).await;
        }
    });
}

#[test]
fn one_that_cannot_be_read_changes_nothing_is_shown_and_grows_old() {
    worker(async {
        let huge = format!("{{ \"note\": \"{}\" }}", "x".repeat(64 * 1024));
        for (manifest, said) in [
            (Manifest::Text("{ \"INDEX_HASH\": ".into()), "/manifest: it is not a JSON object: "),
            (Manifest::Text("[\"a1\"]".into()), "/manifest: it is not a JSON object: "),
            (Manifest::Status(404), "/manifest: status 404"),
            (Manifest::Status(302), "/manifest: status 302"),
            (Manifest::Text(huge), "/manifest: it has more than 65536 bytes"),
            (Manifest::Hang, "/manifest: no answer within 500ms"),
        ] {
            let service = service(RIGHT).await;
            let quick = r#", "manifest": { "path": "/manifest", "interval": "20ms", "timeout": "500ms" }"#;
            let gateway = Gateway::new(&[service.address], &format!("{PINS}{quick}{REFUSE}"), ONCE);
            eventually("it is read", || found(&gateway, 0).state == PinState::Match).await;
            let read = found(&gateway, 0).at;
            service.show(manifest);
            let is_old = |finding: PinFinding| finding.state == PinState::Stale && finding.failed.is_some();
            eventually("it grows old", || is_old(found(&gateway, 0))).await;
            let finding = found(&gateway, 0);
            assert!(finding.failed.as_deref().unwrap().starts_with(said), "{finding:?}");
            assert!(finding.to_string().contains(said), "{finding}");
            assert!(finding.at >= read && finding.diff.is_empty());
            assert!(gateway.metric("sluicegate_manifest_failures_total{upstream=\"main\"}") > 0.0);
            assert_eq!(gateway.ask(read_of()).await.status, 200, "it stays in use");
            assert_eq!(gateway.plan.upstream.check_pins().await.unwrap_err().len(), 1);
            service.show_text(RIGHT);
            assert_eq!(gateway.plan.upstream.check_pins().await, Ok(()));
            assert_eq!((found(&gateway, 0).state, found(&gateway, 0).failed), (PinState::Match, None));
        }
    });
}

#[test]
fn what_it_contradicted_stands_while_it_cannot_be_read() {
    worker(async {
        let service = service(WRONG).await;
        let gateway = Gateway::new(&[service.address], &format!("{PINS}{OFTEN}{REFUSE}"), ONCE);
        eventually("it is found", || gateway.state() == "mismatch").await;
        service.show(Manifest::Status(500));
        eventually("it is not read", || found(&gateway, 0).failed.is_some()).await;
        assert_eq!(gateway.ask(read_of()).await.code, "index_mismatch");
        assert_eq!(found(&gateway, 0).state, PinState::Mismatch);
    });
}

#[test]
fn one_that_hangs_holds_up_no_other() {
    worker(async {
        let (hanging, fine) = (service(RIGHT).await, service(RIGHT).await);
        hanging.show(Manifest::Hang);
        let endpoints = [hanging.address, fine.address];
        let gateway = Gateway::new(&endpoints, &format!("{PINS}{OFTEN}{REFUSE}"), ONCE);
        eventually("the other is read", || found(&gateway, 1).state == PinState::Match).await;
        fine.show_text(WRONG);
        eventually("it is found", || found(&gateway, 1).state == PinState::Mismatch).await;
        eventually("the one that hangs is asked", || hanging.looks() > 0).await;
        assert_eq!((found(&gateway, 0).state, hanging.looks()), (PinState::Unknown, 1));
        for _ in 0..20 {
            assert_eq!(gateway.ask(write(None)).await.status, 200);
        }
        assert_eq!((hanging.answers(), fine.answers()), (20, 0), "the one that contradicts is left out");
    });
}

#[test]
fn who_asks_now_is_told_what_is_so_now() {
    worker(async {
        let (one, other) = (service(RIGHT).await, service(RIGHT).await);
        let gateway = Gateway::new(&[one.address, other.address], &format!("{PINS}{SELDOM}"), ONCE);
        let all_read = || (0..2).all(|at| found(&gateway, at).state == PinState::Match);
        eventually("both are read", all_read).await;
        assert_eq!(sent(gateway.plan.upstream.check_pins()).await, Ok(()));
        other.show_text(WRONG);
        let found = gateway.plan.upstream.check_pins().await.unwrap_err();
        assert_eq!(found.len(), 1);
        assert_eq!(*found[0].endpoint, *format!("http://{}", other.address));
        other.show(Manifest::Hang);
        let found = gateway.plan.upstream.check_pins().await.unwrap_err();
        assert_eq!((found[0].state, found[0].failed.is_some()), (PinState::Mismatch, true), "the last word");
        other.show_text(RIGHT);
        assert_eq!(gateway.plan.upstream.check_pins().await, Ok(()));
    });
}

#[test]
fn it_puts_right_what_an_answer_told() {
    worker(async {
        let service = service(RIGHT).await;
        let gateway = Gateway::new(&[service.address], &format!("{PINS}{SELDOM}{REFUSE}"), ONCE);
        eventually("it is read", || found(&gateway, 0).state == PinState::Match).await;
        service.tell("INDEX_HASH=b7");
        assert_eq!(gateway.ask(write(None)).await.status, 200);
        assert_eq!(gateway.ask(write(None)).await.code, "index_mismatch");
        service.tell("");
        assert_eq!(gateway.plan.upstream.check_pins().await, Ok(()));
        assert_eq!(gateway.ask(write(None)).await.status, 200);
    });
}

#[test]
fn an_answer_that_was_under_way_must_tell_for_itself() {
    worker(async {
        for (told, passes) in [("", false), ("INDEX_HASH=a1", false), ("DOC_COUNT=1200", true)] {
            let service = service(RIGHT).await;
            let gateway = Gateway::new(&[service.address], &format!("{PINS}{SELDOM}{REFUSE}"), ONCE);
            eventually("it is read", || found(&gateway, 0).state == PinState::Match).await;
            service.tell(told);
            service.hold();
            let changed = async {
                eventually("they are under way", || service.answers() == 2).await;
                service.show_text(WRONG);
                assert!(gateway.plan.upstream.check_pins().await.is_err());
                service.release();
            };
            let (read, write, ()) = tokio::join!(gateway.ask(read_of()), gateway.ask(write(None)), changed);
            assert_eq!(
                (read.code, write.status),
                (if passes { "" } else { "index_mismatch" }, 200),
                "{told}"
            );
        }
    });
}

#[test]
fn over_http2_and_over_a_connection_that_ends_with_it() {
    worker(async {
        let service = Service::speaking("", true).await;
        service.show_text(WRONG);
        let settings = format!("{PINS}{SELDOM}, \"protocol\": \"http2\"");
        let gateway = Gateway::new(&[service.address], &settings, ONCE);
        eventually("it is found", || found(&gateway, 0).state == PinState::Mismatch).await;
        for end in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.0 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n",
        ] {
            let upstream = Upstream::start(move |_| Reply::Last(format!("{end}{RIGHT}")));
            let gateway = Gateway::new(&[upstream.address], &format!("{PINS}{SELDOM}"), ONCE);
            for _ in 0..20 {
                assert_eq!(gateway.plan.upstream.check_pins().await, Ok(()));
            }
        }
        // Cut off: what has come looks whole only without a length.
        let cut = Upstream::start(|_| {
            Reply::Last(format!("HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{RIGHT}"))
        });
        let gateway = Gateway::new(&[cut.address], &format!("{PINS}{SELDOM}"), ONCE);
        assert!(gateway.plan.upstream.check_pins().await.is_err());
    });
}

#[test]
fn after_a_reload_the_last_manifest_is_judged_by_the_new_pins() {
    worker(async {
        let service = service(WRONG).await;
        let mut gateway = Gateway::new(&[service.address], &format!("{PINS}{SELDOM}{REFUSE}"), ONCE);
        eventually("it is found", || gateway.state() == "mismatch").await;
        service.show(Manifest::Hang);
        gateway.load(&format!(", \"pins\": {{ \"DOC_COUNT\": \"1201\" }}{SELDOM}{REFUSE}"));
        assert_eq!((gateway.state(), found(&gateway, 0).state), ("healthy", PinState::Match));
        gateway.load(&format!("{PINS}{SELDOM}{REFUSE}"));
        assert_eq!((gateway.state(), found(&gateway, 0).state), ("mismatch", PinState::Mismatch));
        gateway.load(&format!("{PINS}{REFUSE}"));
        assert_eq!(gateway.state(), "healthy", "there is no manifest any more");
    });
}

#[test]
fn only_the_present_document_has_manifests_read() {
    worker(async {
        let service = service(RIGHT).await;
        let mut gateway = Gateway::new(&[service.address], &format!("{PINS}{OFTEN}"), ONCE);
        // Requests that go on keep what they began with.
        let mut former = Vec::new();
        for _ in 0..10 {
            former.push(gateway.plan.upstream.clone());
            gateway.reload();
        }
        let (began, looks) = (Instant::now(), service.looks());
        eventually("it is read often", || service.looks() >= looks + 60).await;
        // Each of the ten looks at most once more before it finds that it is not heeded any more.
        assert!(began.elapsed() >= Duration::from_millis(20) * 45, "{:?}", began.elapsed());
    });
}
