//! One request's way to the upstream and back: the innermost service.
//!
//! What it promises:
//!
//! - An attempt that reached nobody (no connection, or a pooled one found closed before the
//!   first byte) goes to another connection, whatever the method. What died on a reused
//!   connection before any byte was answered is sent once more on a new one if it only
//!   reads and its body is still at hand; a write never is.
//! - The request's deadline bounds the time until the response head; it never cuts a body.
//! - The request's [`Attempt`](sluicegate_core::Attempt) is moved forward before the fact:
//!   `sent` before the first byte can leave, so that whoever asks in between is told
//!   "unknown" and never "not applied".

use std::{
    future::Future,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Method, Request, Response, StatusCode, Version, header, request::Parts};
use hyper::body::Incoming;
use sluicegate_body::{Gate, LazyTimer, Outbound};
use sluicegate_core::{Access, Chance, Code, Facts, Refusal};
use tokio::time::Instant;
use tower_service::Service;

use crate::{
    RequestBody,
    body::ResponseBody,
    endpoint::Endpoint,
    failure::{Failure, refusal},
    forward::clean_response,
    head::{address, check_length, copy, expects_continue},
    pool::{Lease, Pools, Sender},
    registry::Upstream,
    send::{Sent, send},
    settings::RouteTimeouts,
    way::Way,
};

/// A read's body is kept for a second sending up to this many bytes.
const KEEP: usize = 64 * 1024;
/// Times a request is handed to a connection. An upstream that accepts and closes at once
/// would otherwise be asked in a tight loop until the deadline.
const SEND_TRIES: usize = 3;

/// A route's part of the plan for this layer.
#[derive(Clone, Debug)]
pub struct UpstreamPlan {
    /// Where its requests go.
    pub upstream: Arc<Upstream>,
    /// The timeouts that hold for them.
    pub timeouts: RouteTimeouts,
    /// Send the client's `Host` on, and not the endpoint's own.
    pub preserve_host: bool,
}

/// The innermost service of a worker: sends requests to upstreams over its own connections.
#[derive(Debug)]
pub struct Proxy<B> {
    pools: Rc<Pools<B>>,
}

impl<B> Clone for Proxy<B> {
    fn clone(&self) -> Self {
        Self { pools: self.pools.clone() }
    }
}

impl<B> Proxy<B>
where
    B: RequestBody,
{
    /// A proxy with an empty pool. Must be called on the worker, inside its local set.
    #[must_use]
    pub fn new(chance: Chance) -> Self {
        Self { pools: Pools::new(chance) }
    }
}

impl<B> Service<Request<B>> for Proxy<B>
where
    B: RequestBody,
{
    type Response = Response<ResponseBody<B>>;
    type Error = Refusal;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Refusal>>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        Box::pin(exchange(self.pools.clone(), request))
    }
}

async fn exchange<B: RequestBody>(
    pools: Rc<Pools<B>>,
    request: Request<B>,
) -> Result<Response<ResponseBody<B>>, Refusal> {
    let (mut head, body) = request.into_parts();
    let facts = head.extensions.remove::<Facts>();
    head.extensions.clear();
    let planned = facts.as_ref().and_then(|facts| Some((facts, facts.part::<UpstreamPlan>()?)));
    let Some((facts, plan)) = planned else {
        return Err(Refusal::new(Code::NoRoute, "the request was matched to no upstream"));
    };
    if head.method == Method::CONNECT {
        return Err(Refusal::new(
            Code::BadRequest,
            "CONNECT is not served: this gateway opens no tunnels by it",
        ));
    }
    check_length(&head, facts)?;
    let settled = facts.classified();
    let mut terms = Terms {
        reads: settled.is_some_and(|it| it.access == Access::Read),
        deadline: settled.and_then(|it| it.deadline),
        upgrade: head.headers.contains_key(header::UPGRADE),
        gate: expects_continue(&head).then(Arc::default),
        facts,
        plan,
    };
    let mut timer = pools.timer(terms.until(facts.received()));
    let body = terms.outbound(body);
    match attempts(&pools, &terms, head, body, &mut timer).await {
        Ok(answered) => Ok(answer(answered, (pools, timer), &mut terms)),
        Err(failed) => {
            pools.keep_timer(timer);
            if let Some(gate) = &terms.gate {
                gate.abort();
            }
            Err(refusal(failed.why, facts, plan, failed.at.as_deref(), terms.deadline))
        }
    }
}

/// What holds for all attempts of one request.
struct Terms<'a> {
    facts: &'a Facts,
    plan: &'a UpstreamPlan,
    reads: bool,
    upgrade: bool,
    deadline: Option<Instant>,
    /// In front of a body that waits for `100 Continue`.
    gate: Option<Arc<Gate>>,
}

impl Terms<'_> {
    /// When a try that begins at `from` must have its response head.
    fn until(&self, from: Instant) -> Instant {
        let per_try = self.plan.timeouts.per_try.map(|limit| from + limit);
        let earlier = [self.deadline, per_try].into_iter().flatten().min();
        // Without either, a day stands in for never.
        earlier.unwrap_or_else(|| from + Duration::from_secs(86_400))
    }

    fn outbound<B: RequestBody>(&self, body: B) -> Outbound<B> {
        if body.is_end_stream() {
            return Outbound::empty();
        }
        match &self.gate {
            Some(gate) => Outbound::once(body).behind(gate.clone()),
            None if self.reads => Outbound::kept(body, KEEP),
            None => Outbound::once(body),
        }
    }
}

/// A response head, and the connection its body is on.
struct Answered<B> {
    response: Response<Incoming>,
    endpoint: Arc<Endpoint>,
    lease: Lease<B>,
}

/// No response head, and the endpoint that is to blame.
struct Failed {
    why: Failure,
    at: Option<Arc<Endpoint>>,
}

/// Sends the request until it has an answer or must not be sent again.
async fn attempts<B: RequestBody>(
    pools: &Rc<Pools<B>>,
    terms: &Terms<'_>,
    mut head: Parts,
    mut body: Outbound<B>,
    timer: &mut LazyTimer,
) -> Result<Answered<B>, Failed> {
    let attempt = terms.facts.attempt();
    let mut way = Way { pools, plan: terms.plan, facts: terms.facts, tried: Vec::new(), fresh: false };
    for _ in 0..SEND_TRIES {
        let leased = way.lease(terms.deadline).await;
        let (endpoint, mut lease) = leased.map_err(|why| Failed { why, at: None })?;
        if terms.plan.timeouts.per_try.is_some() {
            timer.arm(terms.until(Instant::now()));
        }
        // Kept only where a second sending is allowed and may be needed.
        let may_repeat = lease.reused && terms.reads && !terms.upgrade;
        let spare = if may_repeat { body.again().map(|again| (copy(&head), again)) } else { None };
        let http2 = matches!(lease.sender, Sender::Http2(_));
        address(&mut head, &body, &endpoint, terms.plan, http2, terms.upgrade);
        attempt.sent();
        match send(&mut lease, Request::from_parts(head, body), timer, terms.gate.as_ref()).await {
            Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS && !terms.upgrade => {
                let why = Failure::Garbage("it switched protocols without being asked to".to_owned());
                return Err(Failed { why, at: Some(endpoint) });
            }
            Ok(response) => return Ok(Answered { response, endpoint, lease }),
            Err(Sent::Not(request)) => {
                // The connection was closed before it took the request: nobody saw it.
                attempt.not_applied();
                (head, body) = request.into_parts();
            }
            Err(Sent::Maybe(why)) => match spare {
                Some((kept, again))
                    if why.allows_resend(lease.was_answered(), terms.facts) && again.can_repeat() =>
                {
                    endpoint.metrics.resent.inc();
                    tracing::debug!(endpoint = %endpoint.text, "sent again: a pooled connection had died");
                    (head, body) = (kept, again);
                }
                _ => {
                    if matches!(why, Failure::NotProcessed(_)) {
                        attempt.not_applied();
                    }
                    return Err(Failed { why, at: Some(endpoint) });
                }
            },
        }
        way.fresh = true;
    }
    let why = Failure::Unreachable("connections are closed before they take a request".to_owned());
    Err(Failed { why, at: None })
}

fn answer<B: RequestBody>(
    answered: Answered<B>,
    (pools, timer): (Rc<Pools<B>>, LazyTimer),
    terms: &mut Terms<'_>,
) -> Response<ResponseBody<B>> {
    let Answered { response, endpoint, mut lease } = answered;
    terms.facts.attempt().answering();
    let (mut head, incoming) = response.into_parts();
    // An HTTP/1.0 upstream must not make an HTTP/1.0 answer of ours.
    head.version = Version::HTTP_11;
    let switching = terms.upgrade && head.status == StatusCode::SWITCHING_PROTOCOLS;
    clean_response(&mut head.headers, switching);
    match head.status {
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            endpoint.failed(&terms.plan.upstream.ejection);
        }
        _ => endpoint.succeeded(),
    }
    if switching {
        lease.sender = Sender::Spent;
        pools.keep_timer(timer);
        return Response::from_parts(head, ResponseBody::tunnel(incoming));
    }
    let gate = terms.gate.take();
    if let (Some(gate), true) = (&gate, head.status.is_success()) {
        gate.open();
    }
    let idle = terms.plan.timeouts.stream_idle;
    let body = ResponseBody::new(incoming, terms.facts.clone(), lease, (pools, timer), idle, gate);
    Response::from_parts(head, body)
}
