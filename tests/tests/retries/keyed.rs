//! Writes whose key is fenced: sent again as far as the key carries, with one effect.

use sluicegate_tests::{Fenced, Gateway, Raw, Step, Upstream, raw::RawAnswer};

use crate::{FREELY, answers, by_label, first_then, once, retries};

/// A gateway that fences keys.
async fn start(upstream: &str, on_unknown: &str) -> (Upstream, Gateway) {
    let behind = Upstream::start().await;
    let fenced = Fenced {
        upstream: format!("breaker: {{ consecutive: 0 }}{upstream}"),
        idempotency: format!("required: true, wait: 2s{on_unknown}"),
        extra: FREELY.to_owned(),
        ..Fenced::default()
    };
    let gateway = Gateway::start(&fenced.document(&behind.url()));
    (behind, gateway)
}

/// Sends a write under a key.
async fn write(gateway: &Gateway) -> RawAnswer {
    let request =
        "POST /x HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: k\r\nContent-Length: 5\r\n\r\nhello";
    Raw::connect(gateway.address()).await.ask(request).await
}

/// The client got the one effect's answer, and gets it again for the same key.
async fn done_once(upstream: &Upstream, gateway: &Gateway, answer: &RawAnswer, tries: usize, what: &str) {
    assert_eq!((answer.status, answer.text().as_str()), (201, "made"), "{what}");
    let again = write(gateway).await;
    assert_eq!((again.status, again.text().as_str()), (201, "made"), "{what}");
    assert_eq!(again.fields.get("idempotency-replayed"), Some("true"), "{what}");
    let seen = upstream.seen_at("/x");
    assert_eq!(seen.len(), tries, "{what}");
    assert!(
        seen.iter().all(|seen| seen.body == b"hello" && seen.get("idempotency-key").is_some()),
        "{seen:?}"
    );
    assert_eq!(seen[0].get("idempotency-key"), seen[tries - 1].get("idempotency-key"), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_applied_is_sent_again_and_has_one_effect() {
    let made = answers("201 Created", "", "made");
    for status in ["408", "421", "425", "429", "503"] {
        let listed = ", not_applied: [408, 421, 425, 429, 503]";
        let (upstream, gateway) = start(listed, ", on_unknown: refuse").await;
        let failure = answers(&format!("{status} Not Now"), "", "no");
        let answer = first_then(&upstream, "/x", (&failure, &made), write(&gateway)).await;
        done_once(&upstream, &gateway, &answer, 2, status).await;
        let reason = if ["421", "425"].contains(&status) { "other" } else { status };
        assert_eq!(retries(&gateway).await, once(reason, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_applied_is_not_sent_again_under_refuse() {
    let unknown = [
        ("500", answers("500 Broken", "", "")),
        ("503", answers("503 Away", "", "")),
        ("504", answers("504 Late", "", "")),
        ("reset", vec![Step::Reset]),
        ("close", vec![Step::Close]),
    ];
    let made = answers("201 Created", "", "made");
    for (what, ending) in unknown {
        let (upstream, gateway) = start("", ", on_unknown: refuse").await;
        let answer = first_then(&upstream, "/x", (&ending, &made), write(&gateway)).await;
        assert!([500, 502, 503, 504].contains(&answer.status), "{what}: {answer:?}");
        let again = write(&gateway).await;
        assert_eq!((again.status, again.code().as_str()), (409, "idempotency_outcome_unknown"), "{what}");
        assert_eq!((upstream.count("/x"), retries(&gateway).await), (1, vec![]), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_upstream_honours_keys_what_may_have_been_applied_is_sent_again() {
    let unknown = [
        ("500", answers("500 Broken", "", "")),
        ("503", answers("503 Away", "", "")),
        ("reset", vec![Step::Reset]),
        ("reset", vec![Step::Close]),
    ];
    let made = answers("201 Created", "", "made");
    // By default, and in so many words.
    for on_unknown in ["", ", on_unknown: retry"] {
        for (what, ending) in &unknown {
            let (upstream, gateway) = start(", honours_keys: true", on_unknown).await;
            let answer = first_then(&upstream, "/x", (ending, &made), write(&gateway)).await;
            done_once(&upstream, &gateway, &answer, 2, what).await;
            assert_eq!(retries(&gateway).await, once(what, 1));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_try_that_did_nothing_does_not_undo_what_one_before_it_may_have_done() {
    // The first may have been applied; the second was not, which says nothing of the first.
    let (upstream, gateway) = start(", not_applied: [409]", ", on_unknown: retry").await;
    let refused = answers("409 Conflict", "", "no");
    let answer = first_then(&upstream, "/x", (&[Step::Reset], &refused), write(&gateway)).await;
    assert_eq!((answer.status, upstream.count("/x")), (409, 2), "{answer:?}");
    let settles = by_label(&gateway, "sluicegate_fence_settles_total", "outcome").await;
    assert_eq!(settles, once("unknown", 1));
}
