use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use prometheus_client::{encoding::text::encode, registry::Registry};
use sluicegate_core::{Chance, Lane};
use tokio::time::Instant;

use super::Queues;
use crate::queue::{Entry, Limits, Ticket, Verdict};

fn home() -> (Arc<Queues>, Registry) {
    let mut registry = Registry::default();
    (Queues::new(Arc::new(Chance::seeded(1)), &mut registry), registry)
}

#[tokio::test(start_paused = true)]
async fn what_no_plan_names_is_forgotten_after_ten_minutes_and_not_before() {
    let (home, _registry) = home();
    let held = home.line("held", Limits::default());
    drop(home.line("gone", Limits::default()));
    drop(home.upstream("gone", None));
    let start = Instant::now();
    home.sweep(start);
    home.sweep(start + Duration::from_secs(599));
    let known = || (home.lines.lock().0.len(), home.caps.lock().0.len());
    assert_eq!(known(), (2, 1));
    assert_eq!((home.lines().len(), home.caps().len()), (1, 0), "what is used is shown");
    home.sweep(start + Duration::from_secs(600));
    assert_eq!(known(), (1, 0));
    assert!(Arc::ptr_eq(&held, &home.line("held", Limits::default())));
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_is_built_and_given_up_changes_no_limit_in_use() {
    let (home, _registry) = home();
    let limits = Limits { concurrent: Some(1), queue: 1, ..Limits::default() };
    let (line, cap) = (home.line("ask", limits), home.upstream("llm", Some(1)));
    let ticket = || Ticket { upstream: Some(&cap), ..Ticket::default() };
    let Entry::Settled(Verdict::Admitted(_permit, _)) = line.enter(&ticket(), Instant::now()) else {
        panic!()
    };
    let Entry::Waits(mut waiting) = line.enter(&ticket(), Instant::now()) else { panic!() };
    let wider = Limits { concurrent: Some(2), per_tenant: Some(9), ..Limits::default() };
    let planned = (home.line("ask", wider), home.upstream("llm", Some(2)));
    assert!(Arc::ptr_eq(&line, &planned.0) && Arc::ptr_eq(&cap, &planned.1));
    let status = line.status();
    assert_eq!(
        (status.concurrent, status.per_tenant, status.queue, cap.limit()),
        (Some(1), None, 1, Some(1))
    );
    assert!((&mut waiting).now_or_never().is_none());
    // The plan is taken; to take it again is nothing.
    for _ in 0..2 {
        planned.0.set(wider);
        planned.1.set_limit(Some(2));
    }
    assert!(matches!((&mut waiting).now_or_never(), Some(Verdict::Admitted(..))));
    assert_eq!((line.status().concurrent, cap.limit()), (Some(2), Some(2)));
}

#[tokio::test(start_paused = true)]
async fn a_scrape_shows_queues_and_caps() {
    let (home, registry) = home();
    let line = home.line("ask", Limits { concurrent: Some(1), queue: 1, ..Limits::default() });
    let upstream = home.upstream("llm", Some(4));
    let ticket = || Ticket { upstream: Some(&upstream), bytes: 7, ..Ticket::default() };
    let Entry::Settled(Verdict::Admitted(_permit, _)) = line.enter(&ticket(), Instant::now()) else {
        panic!()
    };
    let Entry::Waits(_waiting) = line.enter(&ticket(), Instant::now()) else { panic!() };
    let refused = line.enter(&Ticket { lane: Lane::Batch, ..ticket() }, Instant::now());
    assert!(matches!(refused, Entry::Settled(Verdict::Refused(_))));
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    for shown in [
        r#"sluicegate_permits_in_use{kind="route",name="ask"} 1"#,
        r#"sluicegate_permits_in_use{kind="upstream",name="llm"} 1"#,
        r#"sluicegate_permits_limit{kind="upstream",name="llm"} 4"#,
        r#"sluicegate_queue_waiting{route="ask",lane="interactive"} 1"#,
        r#"sluicegate_queue_bytes{route="ask"} 7"#,
        r#"sluicegate_queue_admitted_total{route="ask",lane="interactive"} 1"#,
        r#"sluicegate_queue_refused_total{route="ask",lane="batch",reason="full"} 1"#,
        r#"sluicegate_pressure{route="ask"} 1"#,
    ] {
        assert!(text.contains(shown), "{shown} is not in\n{text}");
    }
}
