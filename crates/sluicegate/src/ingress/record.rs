//! The end of a request, told once: counters, latency, one line in the access log.
//!
//! The record lives in the response body. However the request ends (answered, refused, broken
//! off by either side, panicked) it is dropped, and that is when it is written.

use std::{rc::Rc, sync::Arc};

use http::{HeaderMap, Request, StatusCode, Version, header};
use serde::Serialize;
use sluicegate_core::{Code, Facts, Refusal, Slot};
use sluicegate_idempotency::REPLAYED;

use super::{
    identity,
    span::{Ended, RequestSpan},
};
use crate::{
    access_log::AccessLog,
    metrics::{RequestMetrics, RouteMetrics},
};

/// What is told about one request when it ends.
#[derive(Debug)]
pub(crate) struct Record {
    facts: Facts,
    metrics: Rc<RequestMetrics>,
    status: Option<StatusCode>,
    code: Option<Code>,
    sent: u64,
    whole: bool,
    line: Option<Box<AccessLine>>,
    /// Where the request's trace is sampled.
    span: Option<RequestSpan>,
}

impl Record {
    pub(super) fn new(
        facts: Facts,
        metrics: Rc<RequestMetrics>,
        line: Option<Box<AccessLine>>,
        span: Option<RequestSpan>,
    ) -> Self {
        Self { facts, metrics, status: None, code: None, sent: 0, whole: false, line, span }
    }

    pub(super) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The response head is on its way.
    pub(super) fn answered(&mut self, status: StatusCode, headers: &HeaderMap) {
        self.status = Some(status);
        if let Some(line) = &mut self.line {
            line.replayed = headers.contains_key(&REPLAYED);
        }
        if let Some(span) = &mut self.span {
            span.answered(headers);
        }
    }

    /// The gateway answers itself.
    pub(super) fn refused(&mut self, refusal: &Refusal) {
        let code = refusal.code();
        self.code = Some(code);
        if let Some(span) = &mut self.span {
            span.refused(refusal);
        }
        let route = self.facts.classified().map(|it| it.route.name());
        self.metrics.refused(route, code);
    }

    /// So many bytes of body went towards the client.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// The body is complete.
    pub(super) fn whole(&mut self) {
        self.whole = true;
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let elapsed = self.facts.received().elapsed();
        let settled = self.facts.classified();
        let route = settled.and_then(|it| it.route.part::<RouteMetrics>());
        let route = route.unwrap_or_else(|| self.metrics.unmatched());
        route.ended(self.status, elapsed, self.facts.is_covered());
        if let (Some(doubt), Some(settled)) = (self.facts.doubt(), settled) {
            self.metrics.doubted(settled.route.name(), doubt);
        }
        if let Some(span) = self.span.take() {
            let (facts, status, code) = (&self.facts, self.status, self.code);
            span.end(&Ended { facts, status, code, whole: self.whole, sent: self.sent });
        }
        let Some(mut line) = self.line.take() else { return };
        self.facts.request_id().to_str().unwrap_or_default().clone_into(&mut line.request_id);
        line.client = self.facts.client().map(|it| it.to_string());
        line.route = settled.map(|it| it.route.name().to_owned());
        let arm = self.facts.arm();
        let slot = arm.map_or(Slot::First, |arm| arm.slot);
        line.upstream = settled.map(|it| it.route.upstream_at(slot).to_owned());
        line.arm = arm.map(|arm| arm.role.as_str());
        line.fell_back = self.facts.fell_back();
        line.access = settled.map(|it| it.access.as_str());
        line.tenant = settled.and_then(|it| Some(it.tenant.as_ref()?.as_str().to_owned()));
        line.status = self.status.map(|it| it.as_u16());
        line.code = self.code.map(Code::as_str);
        line.complete = self.whole;
        line.bytes_sent = self.sent;
        line.duration_ms = elapsed.as_secs_f64() * 1e3;
        line.write();
    }
}

/// One line of the access log. Its fields and their names are stable; new ones may be added. They
/// stand in `docs/access-log.md` and `docs/access-log.schema.json`, which tests hold against it.
#[derive(Debug, Serialize)]
pub(crate) struct AccessLine {
    #[serde(skip)]
    log: Arc<AccessLog>,
    time: String,
    request_id: String,
    /// The trace it is a part of: the client's, or one that was begun here.
    trace_id: String,
    client: Option<String>,
    method: String,
    /// Without the query, where secrets travel.
    path: String,
    protocol: &'static str,
    host: Option<String>,
    user_agent: Option<String>,
    route: Option<String>,
    /// On a route with a rollout that of the arm; before an arm was chosen the first.
    upstream: Option<String>,
    /// On a route with a rollout, once one was chosen.
    arm: Option<&'static str>,
    /// The active arm answered in place of the candidate.
    fell_back: bool,
    access: Option<&'static str>,
    tenant: Option<String>,
    /// None where the client left before there was one.
    status: Option<u16>,
    /// Why the gateway refused, where it did.
    code: Option<&'static str>,
    /// It is the stored answer of an earlier request under the same idempotency key.
    replayed: bool,
    /// Whether the whole answer went out.
    complete: bool,
    bytes_sent: u64,
    duration_ms: f64,
}

impl AccessLine {
    /// What the request's head tells.
    pub(crate) fn begin<B>(log: Arc<AccessLog>, request: &Request<B>) -> Box<Self> {
        let field =
            |name| request.headers().get(name).map(|it| String::from_utf8_lossy(it.as_bytes()).into_owned());
        Box::new(Self {
            time: jiff::Timestamp::now().to_string(),
            request_id: String::new(),
            trace_id: identity::trace_id(request.headers()).to_owned(),
            client: None,
            method: request.method().as_str().to_owned(),
            path: request.uri().path().to_owned(),
            protocol: match request.version() {
                Version::HTTP_2 => "HTTP/2",
                Version::HTTP_10 => "HTTP/1.0",
                _ => "HTTP/1.1",
            },
            host: field(header::HOST),
            user_agent: field(header::USER_AGENT),
            route: None,
            upstream: None,
            arm: None,
            fell_back: false,
            access: None,
            tenant: None,
            status: None,
            code: None,
            replayed: false,
            complete: false,
            bytes_sent: 0,
            duration_ms: 0.0,
            log,
        })
    }

    fn write(&self) {
        // Nothing in it can fail to be written as JSON.
        if let Ok(mut line) = serde_json::to_string(self) {
            line.push('\n');
            self.log.write(line);
        }
    }
}
