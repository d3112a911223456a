use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use prometheus_client::{encoding::text::encode, registry::Registry};
use sluicegate_body::Teed;
use sluicegate_core::{Chance, Refusal};
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::{
    CopyTap, ShadowLayer, ShadowPlan,
    outcome::{Outcome, Unpaired},
    runner::Runner,
    testing::Rig,
};

#[tokio::test]
async fn what_is_not_taken_is_not_shown_and_what_is_gone_is_forgotten() {
    let rig = Rig::new();
    let plan = rig.shadowing("retrieve", "lab", r#"{ "percent": 10 }"#);
    assert!(rig.shadows.status().is_empty(), "the document may still be refused");
    rig.shadows.apply(std::slice::from_ref(&plan));
    plan.state.counts.add(Outcome::Rate);
    let status = rig.shadows.status();
    assert_eq!((status.len(), status[0].copies["rate"], status[0].percent), (1, 1, 10.0));
    assert!(rig.scrape().contains(r#"requests_total{route="retrieve",to="lab",outcome="rate"} 1"#));

    // A reload that changes it.
    let next = rig.shadowing("retrieve", "lab", r#"{ "percent": 20, "compare": {} }"#);
    rig.shadows.apply(&[next]);
    let status = rig.shadows.status();
    assert_eq!((status[0].copies["rate"], status[0].percent, status[0].compares), (1, 20.0, true));
    assert!(rig.shadows.verdict("retrieve", "lab").is_some());
    assert!(rig.shadows.reset("retrieve", "lab") && !rig.shadows.reset("retrieve", "else"));

    rig.shadows.apply(&[]);
    assert!(rig.shadows.status().is_empty() && rig.shadows.report("retrieve").is_empty());
    assert!(!rig.scrape().contains("retrieve"), "{}", rig.scrape());
}

#[tokio::test]
async fn a_copy_that_the_sending_thread_has_no_place_for_is_let_go_and_counted() {
    let rig = Rig::new();
    let shadowing = rig.shadowing("retrieve", "lab", r#"{ "percent": 100 }"#);
    let (runner, inbox) = Runner::stalled(2);
    rig.shadows.home().runner.set(runner).unwrap();
    let layer = ShadowLayer::new(rig.shadows.clone(), Chance::seeded(3));
    let service = service_fn(async |request: Request<_>| {
        let body: Teed<Full<Bytes>, CopyTap> = request.into_body();
        body.collect().await.map(|_| Response::new(Empty::<Bytes>::new())).map_err(|never| match never {})
    });
    let mut service = layer.with_plan(ShadowPlan([shadowing.clone()].into())).layer(service);
    for _ in 0..5 {
        let request = Request::get("/search").body(Full::new(Bytes::from_static(b"wombats"))).unwrap();
        let answer: Result<_, Refusal> = service.ready().await.unwrap().call(request).await;
        answer.unwrap();
    }
    let state = &shadowing.state;
    assert_eq!((state.counts.of(Outcome::QueueFull), state.in_flight()), (3, 2));
    assert_eq!(rig.shadows.home().room.taken(), 2 * "wombats".len());
    drop(inbox);
    assert_eq!((rig.shadows.home().room.taken(), state.in_flight()), (0, 0));
}

#[tokio::test]
async fn places_are_given_back() {
    let rig = Rig::new();
    let state = rig.shadowing("retrieve", "lab", r#"{ "percent": 10 }"#).state.clone();
    let places: Vec<_> = std::iter::from_fn(|| state.place(3)).collect();
    assert_eq!((places.len(), state.in_flight()), (3, 3));
    drop(places);
    assert_eq!(state.in_flight(), 0);
}

#[test]
fn every_series_is_there_from_the_start() {
    let mut registry = Registry::default();
    let metrics = crate::metrics::Metrics::register(&mut registry, std::sync::Weak::new());
    let counts = Arc::new(metrics.counts("r", "lab"));
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    for outcome in Outcome::ALL {
        assert!(text.contains(&format!(r#"outcome="{}"}} 0"#, outcome.as_str())), "{outcome:?}: {text}");
    }
    for why in Unpaired::ALL {
        assert!(text.contains(&format!(r#"why="{}"}} 0"#, why.as_str())), "{why:?}: {text}");
    }
    assert_eq!(counts.of(Outcome::Answered), 0);
}

#[tokio::test]
async fn what_was_found_by_other_rules_says_nothing() {
    let rig = Rig::new();
    let since = || rig.shadows.report("retrieve")[0].report.as_ref().unwrap().since;
    let compares = |rules: &str| {
        let settings = format!(r#"{{ "percent": 10, "compare": {{ {rules} }} }}"#);
        rig.shadows.apply(&[rig.shadowing("retrieve", "lab", &settings)]);
    };
    compares("");
    let first = since();
    compares(r#""keep": 5"#);
    assert_eq!(since(), first, "what is kept is no rule");
    compares(r#""ignore": ["/took"]"#);
    let second = since();
    assert!(second > first);
    // Also where nothing was compared in between.
    rig.shadows.apply(&[rig.shadowing("retrieve", "lab", r#"{ "percent": 10 }"#)]);
    compares(r#""ignore": ["/took"]"#);
    assert_eq!(since(), second);
    rig.shadows.apply(&[rig.shadowing("retrieve", "lab", r#"{ "percent": 10 }"#)]);
    compares("");
    assert!(since() > second);
}
