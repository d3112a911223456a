//! Whether this gateway should get traffic, and what of it is degraded.
//!
//! `/readyz` answers 200 while the gateway can serve by its rules and 503 before it serves
//! and once it drains. What is merely degraded (a lost store, an audit file that cannot be
//! written) is named in the answer and never turns it: otherwise one outage of a shared
//! store would take every gateway out of rotation at once.

use std::{collections::BTreeMap, fmt::Write};

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use parking_lot::RwLock;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

/// Shared by all who know something about it; starts as not yet serving.
#[derive(Debug, Default)]
pub struct Readiness(RwLock<Inner>);

#[derive(Debug, Default)]
struct Inner {
    phase: Phase,
    degraded: BTreeMap<String, String>,
}

/// Whether this gateway should get traffic.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Readiness")]
pub(crate) struct View {
    /// Whether it should.
    pub(crate) ready: bool,
    /// `starting`, `serving` or `draining`.
    pub(crate) phase: &'static str,
    /// What works less than it should, and why.
    pub(crate) degraded: BTreeMap<String, String>,
}

/// Where the process is in its life. It moves forward only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Listeners are not open yet.
    #[default]
    Starting,
    /// Requests are served.
    Serving,
    /// A stop was asked for: what runs is finished, new traffic should go elsewhere.
    Draining,
}

impl Phase {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Serving => "serving",
            Self::Draining => "draining",
        }
    }
}

impl Readiness {
    /// The listeners accept: `/readyz` turns 200.
    pub fn set_serving(&self) {
        self.advance(Phase::Serving);
    }

    /// A stop was asked for: `/readyz` turns 503 for good.
    pub fn set_draining(&self) {
        self.advance(Phase::Draining);
    }

    fn advance(&self, phase: Phase) {
        let mut inner = self.0.write();
        inner.phase = inner.phase.max(phase);
    }

    /// Names something that works less than it should, with the reason; `None` when it is
    /// well again.
    pub fn set_degraded(&self, name: &str, reason: Option<String>) {
        let mut inner = self.0.write();
        match reason {
            Some(reason) => inner.degraded.insert(name.to_owned(), reason),
            None => inner.degraded.remove(name),
        };
    }

    /// The present phase.
    pub fn phase(&self) -> Phase {
        self.0.read().phase
    }

    /// As it stands in `/readyz` and `/status`.
    pub(crate) fn view(&self) -> View {
        let inner = self.0.read();
        View {
            ready: inner.phase == Phase::Serving,
            phase: inner.phase.as_str(),
            degraded: inner.degraded.clone(),
        }
    }

    /// The answer to `GET /readyz`: JSON when asked for, else lines of text.
    pub(crate) fn answer(&self, as_json: bool) -> Response {
        let status = match self.phase() {
            Phase::Serving => StatusCode::OK,
            Phase::Starting | Phase::Draining => StatusCode::SERVICE_UNAVAILABLE,
        };
        let (kind, body) = if as_json {
            ("application/json", json!(self.view()).to_string())
        } else {
            ("text/plain; charset=utf-8", self.text())
        };
        (status, [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store")], body).into_response()
    }

    fn text(&self) -> String {
        let inner = self.0.read();
        let mut text = match inner.phase {
            Phase::Serving => "ready\n".to_owned(),
            phase => format!("not ready: {}\n", phase.as_str()),
        };
        for (name, reason) in &inner.degraded {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "degraded: {name}: {reason}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::Readiness;

    #[test]
    fn what_is_degraded_is_named_and_turns_nothing() {
        let readiness = Readiness::default();
        assert_eq!(readiness.answer(false).status(), StatusCode::SERVICE_UNAVAILABLE);
        readiness.set_serving();
        readiness.set_degraded("store", Some("no answer".to_owned()));
        assert_eq!(readiness.answer(false).status(), StatusCode::OK);
        assert_eq!(readiness.text(), "ready\ndegraded: store: no answer\n");
        readiness.set_degraded("store", None);
        assert_eq!(readiness.text(), "ready\n");
    }

    #[test]
    fn draining_is_not_taken_back() {
        let readiness = Readiness::default();
        readiness.set_draining();
        readiness.set_serving();
        assert_eq!(readiness.text(), "not ready: draining\n");
    }
}
