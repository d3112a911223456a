//! The spans of a request's tries, where its trace is sampled; nothing where it is not.
//!
//! Each sending is a try here, the one after a dead pooled connection too, and so is each time that
//! no connection could be had; not where the breakers or the pins let nobody be asked. Its span begins before the connection is looked for and ends with
//! the answer's last byte, or where another try takes its place. What is sent names it as its
//! parent, so that an upstream that traces continues it.

use http::{StatusCode, request::Parts};
use sluicegate_core::{
    Chance, Facts,
    span::{OpenSpan, SpanKind, TRACEPARENT, method_name},
};

use crate::{endpoint::Endpoint, failure::Failure, plan::UpstreamPlan};

/// The span of the running try, and how often the request has been sent.
#[derive(Debug, Default)]
pub(super) struct Trail {
    span: Option<Box<OpenSpan>>,
    sent: u32,
    /// Whether the running try has got as far as an endpoint.
    asks: bool,
}

impl Trail {
    /// A try begins.
    pub(super) fn begin(
        &mut self,
        facts: &Facts,
        head: Option<&Parts>,
        plan: &UpstreamPlan,
        chance: &Chance,
    ) {
        let (Some(traced), Some(head)) = (facts.traced(), head) else { return };
        if let Some(mut span) = self.span.take() {
            // The connection did not take it: this try is that one still.
            span.forget();
            self.sent = self.sent.saturating_sub(1);
        }
        let method = method_name(&head.method);
        let mut span = traced.child(chance.bits(), SpanKind::Client, method.unwrap_or("HTTP").to_owned());
        span.put("http.request.method", method.unwrap_or("_OTHER"));
        span.put("sluicegate.upstream", plan.upstream.name());
        (self.span, self.asks) = (Some(span), false);
    }

    /// It goes to this endpoint: what is sent names its span.
    pub(super) fn send(&mut self, head: &mut Parts, endpoint: &Endpoint) {
        let Some(span) = &mut self.span else { return };
        self.asks = true;
        if self.sent > 0 {
            span.put("http.request.resend_count", u64::from(self.sent));
        }
        self.sent += 1;
        let scheme = if endpoint.tls.is_some() { "https" } else { "http" };
        span.put("server.address", &*endpoint.host);
        span.put("server.port", endpoint.port);
        // Without the query, where secrets travel.
        span.put("url.full", format!("{scheme}://{}{}", endpoint.authority, head.uri.path()).as_str());
        if let Some(parent) = span.traceparent() {
            head.headers.insert(TRACEPARENT, parent);
        }
    }

    /// It was answered.
    pub(super) fn answered(&mut self, status: StatusCode) {
        let Some(span) = &mut self.span else { return };
        span.put("http.response.status_code", status.as_u16());
        if status.is_client_error() || status.is_server_error() {
            span.fail(status.as_str());
        }
    }

    /// It ended without an answer that can be passed on.
    pub(super) fn failed(&mut self, why: &Failure) {
        let Some(mut span) = self.span.take() else { return };
        match why {
            Failure::Open(_) | Failure::Mismatch(_) if !self.asks => span.forget(),
            Failure::Open(_) => span.fail("breaker_open"),
            Failure::Unreachable(_) => span.fail("unreachable"),
            Failure::Reset(_) => span.fail("reset"),
            Failure::NotProcessed(_) => span.fail("not_processed"),
            Failure::Garbage(_) => span.fail("invalid_answer"),
            Failure::Deadline => span.fail("timeout"),
            Failure::Mismatch(_) => span.fail("pin_mismatch"),
        }
    }

    /// What is left of it goes on with the answer's body, or ends where that is given up.
    pub(super) fn take(&mut self) -> Option<Box<OpenSpan>> {
        self.span.take()
    }
}
