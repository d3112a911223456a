//! The request's own span, where its trace is sampled.
//!
//! It begins with the request's head and ends with its record: with the last byte of the answer, or
//! where the exchange broke off. What goes to the upstream then names it, or the span of the try, as
//! its parent; the trace stays the client's. The attributes are those that the semantic conventions of
//! OpenTelemetry name for HTTP servers, and `sluicegate.*` for what only this gateway knows.

use std::sync::Arc;

use http::{HeaderMap, Request, StatusCode, Version, header, uri::Authority};
use sluicegate_core::{
    Code, Facts, Refusal, Slot, Traced,
    span::{OpenSpan, SpanKind, TRACEPARENT, TRACESTATE, TraceParent, method_name, span_id},
};
use sluicegate_freeze::BANNER;
use sluicegate_idempotency::REPLAYED;
use sluicegate_spans::Tracer;

/// The pattern of a route's paths: a part of its plan where spans are made.
#[derive(Debug)]
pub(crate) struct HttpRoute(pub(crate) Box<str>);

/// How the request ended.
pub(super) struct Ended<'a> {
    pub(super) facts: &'a Facts,
    pub(super) status: Option<StatusCode>,
    pub(super) code: Option<Code>,
    pub(super) whole: bool,
    pub(super) sent: u64,
}

/// A request's span that has begun.
#[derive(Debug)]
pub(super) struct RequestSpan {
    open: Box<OpenSpan>,
    method: &'static str,
}

/// Begins the span of a request whose trace context has been kept or made, where it is sampled.
/// `kept` says that the context is the client's; `bits` are random.
pub(super) fn begin<B>(
    tracer: &Arc<Tracer>,
    request: &mut Request<B>,
    (kept, is_tls): (bool, bool),
    bits: u64,
) -> Option<(RequestSpan, Traced)> {
    let caller = TraceParent::of(request.headers())?;
    if !(if kept { caller.sampled } else { tracer.samples(caller.trace) }) {
        return None;
    }
    let states = request.headers().get_all(TRACESTATE).iter();
    let state = states.filter_map(|state| state.to_str().ok()).collect::<Vec<_>>().join(",");
    // A longer one goes on as it came, but not into the span: nobody needs to keep more (W3C Trace
    // Context section 3.3.1.5).
    let state = if state.len() <= 512 { state } else { String::new() };
    let place =
        Traced { trace: caller.trace, span: span_id(bits), state: state.into(), sink: tracer.clone() };
    let method = method_name(request.method());
    let name = method.unwrap_or("HTTP");
    let mut span = place.begin(kept.then_some(caller.span), SpanKind::Server, name.to_owned());
    if let Some(parent) = span.traceparent() {
        request.headers_mut().insert(TRACEPARENT, parent);
    }
    span.put("http.request.method", method.unwrap_or("_OTHER"));
    if method.is_none() {
        span.put("http.request.method_original", request.method().as_str());
    }
    // Without the query, where secrets travel.
    span.put("url.path", request.uri().path());
    span.put("url.scheme", if is_tls { "https" } else { "http" });
    let protocol = match request.version() {
        Version::HTTP_2 => "2",
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    };
    span.put("network.protocol.version", protocol);
    let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    if let Some(host) = text(header::HOST).and_then(|host| host.parse::<Authority>().ok()) {
        span.put("server.address", host.host());
        span.put("server.port", host.port_u16().unwrap_or(if is_tls { 443 } else { 80 }));
    }
    if let Some(agent) = text(header::USER_AGENT) {
        span.put("user_agent.original", agent);
    }
    Some((RequestSpan { open: span, method: name }, place))
}

impl RequestSpan {
    /// What an answer's head tells besides its status.
    pub(super) fn answered(&mut self, headers: &HeaderMap) {
        let banner = headers.get(&BANNER).and_then(|value| value.to_str().ok());
        if let Some(id) = banner.and_then(|banner| banner.strip_prefix("id=")?.split(';').next()) {
            self.open.put("sluicegate.freeze", id);
        }
        if headers.contains_key(&REPLAYED) {
            self.open.put("sluicegate.replayed", true);
        }
    }

    /// The gateway answers itself.
    pub(super) fn refused(&mut self, refusal: &Refusal) {
        self.open.put("sluicegate.refusal", refusal.code().as_str());
        if let Some(id) = refusal.told("freeze").and_then(|freeze| freeze.get("id")?.as_str()) {
            self.open.put("sluicegate.freeze", id);
        }
    }

    /// Tells how the request ended, and ends its span.
    pub(super) fn end(self, ended: &Ended<'_>) {
        let Self { open: mut span, method } = self;
        let facts = ended.facts;
        if let Ok(id) = facts.request_id().to_str() {
            span.put("sluicegate.request_id", id);
        }
        if let Some(client) = facts.client() {
            span.put("client.address", client.to_string().as_str());
        }
        if let Some(settled) = facts.classified() {
            let (arm, route) = (facts.arm(), &settled.route);
            span.rename(format!("{method} {}", route.name()));
            span.put("sluicegate.route", route.name());
            if let Some(HttpRoute(pattern)) = route.part() {
                span.put("http.route", &**pattern);
            }
            span.put("sluicegate.access", settled.access.as_str());
            span.put("sluicegate.upstream", route.upstream_at(arm.map_or(Slot::First, |arm| arm.slot)));
            if let Some(arm) = arm {
                span.put("sluicegate.arm", arm.role.as_str());
            }
            if facts.fell_back() {
                span.put("sluicegate.fell_back", true);
            }
            if let Some(tenant) = &settled.tenant {
                span.put("sluicegate.tenant", tenant.as_str());
            }
        }
        if let Some(status) = ended.status {
            span.put("http.response.status_code", status.as_u16());
            span.put("http.response.body.size", ended.sent);
        }
        span.put("sluicegate.complete", ended.whole);
        // A client's mistake is no failure of a server; an answer that never was, or broke off, is.
        match (ended.status, ended.code) {
            (Some(status), Some(code)) if status.is_server_error() => span.fail(code.as_str()),
            (Some(status), None) if status.is_server_error() => span.fail(status.as_str()),
            (None, _) => span.fail("aborted"),
            (Some(_), _) if !ended.whole => span.fail("incomplete"),
            (Some(_), _) => {}
        }
    }
}
