use http::{HeaderMap, HeaderValue, StatusCode};
use prometheus_client::registry::Registry;
use sluicegate_core::Attempt;

use super::{Said, broken, grpc_status, of_status};
use crate::{IdempotencyPlan, IdempotencySettings, UpstreamPromises, home::End, metrics::Metrics};

fn plan(promises: &UpstreamPromises) -> IdempotencyPlan {
    let metrics = Metrics::register(&mut Registry::default()).route("r");
    IdempotencyPlan::new(IdempotencySettings::default(), promises, metrics)
}

#[test]
fn a_status_says_whether_the_write_was_done() {
    let usual = plan(&UpstreamPromises::default());
    let said = |plan: &IdempotencyPlan, status: u16| of_status(StatusCode::from_u16(status).unwrap(), plan);
    for status in [200, 201, 204, 301, 304, 400, 404, 409, 410, 413, 422, 499] {
        assert_eq!(said(&usual, status), Said::Final, "{status}");
    }
    for status in [401, 403, 408, 421, 423, 425, 429] {
        assert_eq!(said(&usual, status), Said::NotApplied, "{status}");
    }
    for status in [500, 502, 503, 504, 599, 600] {
        assert!(matches!(said(&usual, status), Said::Unknown(_)), "{status}");
    }
    let own = plan(&UpstreamPromises { honours_keys: false, not_applied: vec![503] });
    assert_eq!(said(&own, 503), Said::NotApplied);
    assert_eq!(said(&own, 429), Said::Final, "the upstream's list replaces the usual one");
}

#[test]
fn a_grpc_status_is_read_as_the_http_status_it_stands_for() {
    let status = |code: &'static str| {
        grpc_status(&HeaderMap::from_iter([(
            http::HeaderName::from_static("grpc-status"),
            HeaderValue::from_static(code),
        )]))
        .map(|status| status.as_u16())
    };
    for (code, stands_for) in [
        ("0", 200),
        ("3", 400),
        ("5", 404),
        ("7", 403),
        ("8", 429),
        ("10", 409),
        ("13", 500),
        ("14", 503),
        ("16", 401),
        ("99", 500),
    ] {
        assert_eq!(status(code), Some(stands_for), "{code}");
    }
    assert_eq!(status("x"), None);
    assert_eq!(grpc_status(&HeaderMap::new()), None);
}

#[test]
fn an_attempt_without_an_answer_is_released_only_if_nothing_was_sent() {
    let attempt = Attempt::default();
    assert_eq!(broken(&attempt, "why"), End::Released);
    attempt.sent();
    assert_eq!(broken(&attempt, "why"), End::Unknown("why".into()));
    attempt.answering();
    assert_eq!(broken(&attempt, "why"), End::Unknown("why".into()));
    attempt.not_applied();
    assert_eq!(broken(&attempt, "why"), End::Released);
}
