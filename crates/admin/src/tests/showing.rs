use std::{sync::Arc, time::Duration};

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use sluicegate_core::Clock;
use sluicegate_store::{Store, memory::Memory};
use tower::ServiceExt;

use super::{Hung, Listeners, make_over, port};

#[tokio::test]
async fn the_status_says_what_runs() {
    let port = port().await;
    port.readiness.set_degraded("store", Some("no answer".into()));
    let status = port.get("/status").await.json();
    assert_eq!(status["version"], "0.0.0-test");
    assert_eq!(status["listeners"], json!([{ "address": "127.0.0.1:8080", "tls": false }]));
    assert_eq!(status["freeze"]["active"], false);
    let readiness = json!({ "ready": false, "phase": "starting", "degraded": { "store": "no answer" } });
    assert_eq!(status["readiness"], readiness);
    assert!(status["started_at"].as_str().unwrap().ends_with('Z'), "{status}");
    let index = port.get("/").await.json();
    assert!(index["endpoints"].as_object().unwrap().len() >= 20);
}

#[tokio::test(start_paused = true)]
async fn a_section_that_does_not_come_hides_nothing_else() {
    let store = Store::new(Memory::new(Clock::system()));
    let made = make_over(None, store, vec![Arc::new(Hung), Arc::new(Listeners)]);
    let began = tokio::time::Instant::now();
    let request = Request::get("/status").body(Body::empty()).unwrap();
    let response = made.admin.router().oneshot(request).await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_secs(5));
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let status: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(status["hung"], json!({ "error": "nothing came within 5 s" }));
    assert_eq!(status["listeners"][0]["address"], "127.0.0.1:8080");
}

#[tokio::test]
async fn probes_follow_the_life_of_the_gateway_and_name_what_is_degraded() {
    let port = port().await;
    assert_eq!(port.get("/livez").await.status, 200);
    let answer = port.get("/readyz").await;
    assert_eq!((answer.status, answer.body.as_str()), (503, "not ready: starting\n"));
    port.readiness.set_serving();
    port.readiness.set_degraded("store", Some("no answer".into()));
    let answer = port.get("/readyz").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "ready\ndegraded: store: no answer\n"));
    let answer = port.ask("GET", "/readyz", &[("accept", "application/json")], "").await;
    assert_eq!(
        answer.json(),
        json!({ "ready": true, "phase": "serving", "degraded": { "store": "no answer" } })
    );
    port.readiness.set_draining();
    assert_eq!(port.get("/readyz").await.status, 503);
    assert_eq!(port.get("/livez").await.status, 200);
}

#[tokio::test]
async fn metrics_come_in_the_form_that_the_scraper_asks_for() {
    let port = port().await;
    port.get("/status").await;
    port.get("/wherever").await;
    port.get("/freeze/../../x").await;
    let open = port.get("/metrics").await;
    let kind = open.header("content-type").unwrap();
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(open.body.ends_with("# EOF\n"));
    assert!(open.body.contains("# TYPE sluicegate_admin_requests counter"), "{}", open.body);

    let classic = port.ask("GET", "/metrics", &[("accept", "text/plain;version=0.0.4")], "").await;
    assert_eq!(classic.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(!classic.body.contains("EOF"));
    for line in [
        "# TYPE sluicegate_admin_requests_total counter",
        "sluicegate_admin_requests_total{endpoint=\"/status\",status=\"200\"} 1",
        "sluicegate_admin_requests_total{endpoint=\"other\",status=\"404\"} 2",
        "sluicegate_admin_requests_total{endpoint=\"/metrics\",status=\"200\"} 1",
        "sluicegate_admin_audit_failures_total 0",
    ] {
        assert!(classic.body.lines().any(|have| have == line), "{line}\n{}", classic.body);
    }
}
