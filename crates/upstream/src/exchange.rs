//! One request's way to the upstream and back: the innermost service.
//!
//! What it promises:
//!
//! - An attempt that reached nobody (no connection, or a pooled one found closed before the
//!   first byte) goes to another connection, whatever the method. What died on a reused
//!   connection before any byte was answered is sent once more on a new one if it only
//!   reads and its body is still at hand; a write never is. A write therefore takes a pooled
//!   connection only after the worker has read its sockets once more: one that the upstream
//!   has closed by then is not used.
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
    head::{address, check_length, expects_continue},
    plan::UpstreamPlan,
    pool::{Lease, Pools, Sender},
    send::{Handed, Sent, dispatch, in_time},
    spare::Spare,
    way::Way,
};

/// A read's body is kept for a second sending up to this many bytes.
const KEEP: usize = 64 * 1024;
/// Times a request is handed to a connection. An upstream that accepts and closes at once
/// would otherwise be asked in a tight loop until the deadline.
const SEND_TRIES: usize = 3;

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

impl<B: RequestBody> Service<Request<B>> for Proxy<B> {
    type Response = Response<ResponseBody<B>>;
    type Error = Refusal;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Refusal>>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match Exchange::begin(self.pools.clone(), request) {
            Ok(exchange) => Box::pin(exchange.run()),
            Err(refusal) => Box::pin(std::future::ready(Err(refusal))),
        }
    }
}

/// One request on its way. What is sent lies here and not in the futures below, which would
/// each keep a copy of the room for it.
struct Exchange<B> {
    pools: Rc<Pools<B>>,
    facts: Facts,
    /// Taken while an attempt has them.
    unsent: Option<(Parts, Outbound<B>)>,
    timer: LazyTimer,
    deadline: Option<Instant>,
    reads: bool,
    upgrade: bool,
    /// In front of a body that waits for `100 Continue`.
    gate: Option<Arc<Gate>>,
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

impl<B: RequestBody> Exchange<B> {
    /// Everything that can be settled on the spot.
    fn begin(pools: Rc<Pools<B>>, request: Request<B>) -> Result<Self, Refusal> {
        let (mut head, body) = request.into_parts();
        let facts = head.extensions.remove::<Facts>();
        head.extensions.clear();
        let Some(facts) = facts else { return Err(unmatched()) };
        if head.method == Method::CONNECT {
            let detail = "CONNECT is not served: this gateway opens no tunnels by it";
            return Err(Refusal::new(Code::BadRequest, detail));
        }
        check_length(&head, &facts)?;
        let settled = facts.classified();
        let deadline = settled.and_then(|it| it.deadline);
        let reads = settled.is_some_and(|it| it.access == Access::Read);
        let Some(plan) = facts.part::<UpstreamPlan>() else { return Err(unmatched()) };
        let timer = pools.timer(until(plan, deadline, facts.received()));
        let gate: Option<Arc<Gate>> = expects_continue(&head).then(Arc::default);
        let body = match &gate {
            _ if body.is_end_stream() => Outbound::empty(),
            Some(gate) => Outbound::once(body).behind(gate.clone()),
            None if reads => Outbound::kept(body, KEEP),
            None => Outbound::once(body),
        };
        let upgrade = head.headers.contains_key(header::UPGRADE);
        Ok(Self { pools, facts, unsent: Some((head, body)), timer, deadline, reads, upgrade, gate })
    }

    async fn run(mut self) -> Result<Response<ResponseBody<B>>, Refusal> {
        // Borrowed from a handle of its own, so that the exchange can be changed meanwhile.
        let facts = self.facts.clone();
        let Some(plan) = facts.part::<UpstreamPlan>() else { return Err(unmatched()) };
        match self.attempts(&facts, plan).await {
            Ok(answered) => Ok(self.answer(answered, plan)),
            Err(failed) => {
                self.pools.keep_timer(self.timer);
                if let Some(gate) = &self.gate {
                    gate.abort();
                }
                Err(refusal(failed.why, &facts, plan, failed.at.as_deref(), self.deadline))
            }
        }
    }

    /// Sends the request until it has an answer or must not be sent again.
    async fn attempts(&mut self, facts: &Facts, plan: &UpstreamPlan) -> Result<Answered<B>, Failed> {
        let pools = self.pools.clone();
        let may_repeat = self.may_repeat();
        let mut way = Way { pools: &pools, plan, facts, tried: Vec::new(), may_repeat, fresh: false };
        for _ in 0..SEND_TRIES {
            let leased = way.lease(self.deadline).await;
            let (endpoint, mut lease) = leased.map_err(|why| Failed { why, at: None })?;
            if plan.timeouts.per_try.is_some() {
                self.timer.arm(until(plan, self.deadline, Instant::now()));
            }
            let Some((sending, spare)) = self.hand_over(&mut lease, &endpoint, plan) else { break };
            match in_time(sending, &mut self.timer, self.gate.as_ref()).await {
                Ok(response) => {
                    if let Some(spare) = spare {
                        spare.give_back(&pools);
                    }
                    if response.status() == StatusCode::SWITCHING_PROTOCOLS && !self.upgrade {
                        let why = Failure::Garbage("it switched protocols without being asked to".to_owned());
                        return Err(Failed { why, at: Some(endpoint) });
                    }
                    return Ok(Answered { response, endpoint, lease });
                }
                Err(Sent::Not(request)) => {
                    // The connection was closed before it took the request: nobody saw it.
                    facts.attempt().not_applied();
                    self.unsent = Some(request.into_parts());
                }
                Err(Sent::Maybe(why)) => match spare {
                    Some(spare) if why.allows_resend(lease.was_answered(), facts) && spare.is_whole() => {
                        endpoint.metrics.resent.inc();
                        tracing::debug!(endpoint = %endpoint.text, "sent again: a pooled connection had died");
                        self.unsent = spare.restore(&pools);
                    }
                    _ => {
                        if matches!(why, Failure::NotProcessed(_)) {
                            facts.attempt().not_applied();
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

    /// Gives the request to the connection, on the spot.
    fn hand_over(
        &mut self,
        lease: &mut Lease<B>,
        endpoint: &Endpoint,
        plan: &UpstreamPlan,
    ) -> Option<(impl Handed<B> + use<B>, Option<Spare<B>>)> {
        let (mut head, body) = self.unsent.take()?;
        // Kept only where a second sending is allowed and may be needed.
        let spare =
            if lease.reused && self.may_repeat() { Spare::of(&head, &body, &self.pools) } else { None };
        let http2 = matches!(lease.sender, Sender::Http2(_));
        address(&mut head, &body, endpoint, plan, http2, self.upgrade);
        self.facts.attempt().sent();
        let request = Request::from_parts(head, body);
        Some((dispatch(&mut lease.sender, request, self.gate.as_ref()), spare))
    }

    /// Whether a second sending is allowed by what the request is.
    fn may_repeat(&self) -> bool {
        self.reads && !self.upgrade
    }

    fn answer(self, answered: Answered<B>, plan: &UpstreamPlan) -> Response<ResponseBody<B>> {
        let Answered { response, endpoint, mut lease } = answered;
        self.facts.attempt().answering();
        let (mut head, incoming) = response.into_parts();
        // An HTTP/1.0 upstream must not make an HTTP/1.0 answer of ours.
        head.version = Version::HTTP_11;
        let switching = head.status == StatusCode::SWITCHING_PROTOCOLS;
        clean_response(&mut head.headers, switching);
        match head.status {
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                endpoint.failed(&plan.upstream.ejection);
            }
            _ => endpoint.succeeded(),
        }
        if switching {
            lease.sender = Sender::Spent;
            self.pools.keep_timer(self.timer);
            return Response::from_parts(head, ResponseBody::tunnel(incoming));
        }
        if let (Some(gate), true) = (&self.gate, head.status.is_success()) {
            gate.open();
        }
        let idle = plan.timeouts.stream_idle;
        let body = ResponseBody::new(incoming, self.facts, lease, (self.pools, self.timer), idle, self.gate);
        Response::from_parts(head, body)
    }
}

fn unmatched() -> Refusal {
    Refusal::new(Code::NoRoute, "the request was matched to no upstream")
}

/// When a try that begins at `from` must have its response head.
fn until(plan: &UpstreamPlan, deadline: Option<Instant>, from: Instant) -> Instant {
    let per_try = plan.timeouts.per_try.map(|limit| from + limit);
    // Without either, a day stands in for never.
    [deadline, per_try].into_iter().flatten().min().unwrap_or_else(|| from + Duration::from_secs(86_400))
}
