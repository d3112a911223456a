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
//! - What failed otherwise is sent again where [`retry`](crate::retry) says so.
//! - All tries go to the arm that the request is on. Only a read that its candidate lets nothing
//!   through to falls back to the other one, before anything has been sent to the candidate.
//! - An answer that was made with other versions than the upstream is pinned to is treated as
//!   [`pins`](crate::pins) say.
//! - The request's deadline bounds the time until the response head, all tries and the pauses
//!   between them included; it never cuts a body.
//! - The request's [`Attempt`](sluicegate_core::Attempt) is moved forward before the fact:
//!   `sent` before the first byte can leave, so that whoever asks in between is told
//!   "unknown" and never "not applied".

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Method, Request, Response, StatusCode, Version, header, request::Parts};
use sluicegate_body::{Gate, LazyTimer, Outbound};
use sluicegate_core::{Access, Chance, Code, Facts, Outcome, Refusal, Repeat};
use tokio::time::Instant;
use tower_service::Service;

use self::{
    again::give_up,
    attempt::{Answered, Failed},
    trail::Trail,
};
use crate::{
    RequestBody,
    body::{Judged, ResponseBody},
    failure::{Failure, refusal},
    forward::clean_response,
    head::{check_length, expects_continue},
    plan::UpstreamPlan,
    pool::{Pools, Sender},
    retry::policy::Safe,
    spare::Spare,
    way::Way,
};

mod again;
mod attempt;
mod trail;

/// A read's body is kept for a second sending up to this many bytes.
const KEEP: usize = 64 * 1024;

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
    /// What is needed to send again what an attempt has, where that is allowed.
    spare: Option<Spare<B>>,
    timer: LazyTimer,
    deadline: Option<Instant>,
    safe: Safe,
    upgrade: bool,
    /// In front of a body that waits for `100 Continue`.
    gate: Option<Arc<Gate>>,
    trail: Trail,
}

impl<B: RequestBody> Exchange<B> {
    /// Everything that can be settled on the spot.
    fn begin(pools: Rc<Pools<B>>, request: Request<B>) -> Result<Self, Refusal> {
        let (mut head, body) = request.into_parts();
        let facts = head.extensions.remove::<Facts>();
        let Some(facts) = facts else { return Err(unmatched()) };
        if head.method == Method::CONNECT {
            let detail = "CONNECT is not served: this gateway opens no tunnels by it";
            return Err(Refusal::new(Code::BadRequest, detail));
        }
        check_length(&head, &facts)?;
        let settled = facts.classified();
        let deadline = settled.and_then(|it| it.deadline);
        let reads = settled.is_some_and(|it| it.access == Access::Read);
        let upgrade = head.headers.contains_key(header::UPGRADE);
        let safe = match head.extensions.remove::<Repeat>() {
            _ if upgrade => Safe::Write(Repeat::Never),
            _ if reads => Safe::Read,
            repeat => Safe::Write(repeat.unwrap_or_default()),
        };
        head.extensions.clear();
        let Some(plan) = facts.part::<UpstreamPlan>() else { return Err(unmatched()) };
        if let Some(rewrite) = &plan.rewrite {
            rewrite.request(&mut head);
        }
        let timer = pools.timer(until(plan.at(&facts), deadline, facts.received()));
        let gate: Option<Arc<Gate>> = expects_continue(&head).then(Arc::default);
        let body = match (&gate, safe) {
            _ if body.is_end_stream() => Outbound::empty(),
            (Some(gate), _) => Outbound::once(body).behind(gate.clone()),
            (None, Safe::Read) => Outbound::kept(body, KEEP),
            (None, Safe::Write(Repeat::Never)) => Outbound::once(body),
            // It is in memory already, and accounted for.
            (None, Safe::Write(_)) => Outbound::kept(body, usize::MAX),
        };
        let (unsent, spare) = (Some((head, body)), None);
        let trail = Trail::default();
        Ok(Self { pools, facts, unsent, spare, timer, deadline, safe, upgrade, gate, trail })
    }

    /// The whole way.
    #[expect(clippy::manual_async_fn, reason = "the future of an async fn would hold the exchange twice")]
    fn run(mut self) -> impl Future<Output = Result<Response<ResponseBody<B>>, Refusal>> {
        async move {
            // Borrowed from a handle of its own, so that the exchange can be changed meanwhile.
            let facts = self.facts.clone();
            let Some(plan) = facts.part::<UpstreamPlan>() else { return Err(unmatched()) };
            match self.tries(&facts, plan).await {
                Ok(answered) => Ok(self.answer(answered, plan.at(&facts))),
                Err(failed) => {
                    self.pools.keep_timer(self.timer);
                    if let Some(gate) = &self.gate {
                        gate.abort();
                    }
                    Err(refusal(failed.why, &facts, plan.at(&facts), self.deadline))
                }
            }
        }
    }

    /// Tries until there is an answer to pass on, or none is to be had. `arms` is the plan for both
    /// of them.
    async fn tries(&mut self, facts: &Facts, arms: &UpstreamPlan) -> Result<Answered<B>, Failed> {
        let pools = self.pools.clone();
        let may_repeat = self.safe == Safe::Read;
        let plan = arms.at(facts);
        let mut way =
            Way { pools: &pools, plan, facts, tried: Vec::new(), session: None, may_repeat, fresh: false };
        let mut began = Instant::now();
        way.enter(began);
        let mut tries = 1;
        loop {
            let mut ended = self.attempt(&mut way, tries).await;
            if tries == 1 && self.falls_back(&ended) {
                way.turn(arms.at(facts));
                began = Instant::now();
                way.enter(began);
                self.timer.arm(until(way.plan, self.deadline, began));
                continue;
            }
            let reason = self.tell(&mut ended, way.plan, began);
            let again = reason.and_then(|reason| self.again(reason, &ended, way.plan, tries));
            let Some(pause) = again else {
                if let Some(spare) = self.spare.take() {
                    spare.give_back(&pools);
                }
                return ended;
            };
            give_up(ended, &mut way.tried);
            drop(self.trail.take());
            self.timer.arm(Instant::now() + pause);
            poll_fn(|cx| self.timer.poll_passed(cx)).await;
            way.again();
            began = Instant::now();
            tries += 1;
        }
    }

    /// Whether the other arm answers from here on: the candidate lets nothing through, the request
    /// only reads, and nothing of it has been sent.
    fn falls_back(&self, ended: &Result<Answered<B>, Failed>) -> bool {
        let Err(Failed { why: Failure::Open(_) | Failure::Mismatch(_), at: None, .. }) = ended else {
            return false;
        };
        let facts = &self.facts;
        let reads = facts.classified().is_some_and(|settled| settled.access == Access::Read);
        if !reads || facts.fell_back() || facts.attempt().outcome() != Outcome::NotApplied {
            return false;
        }
        let Some(candidate) = facts.part::<UpstreamPlan>().map(|arms| arms.at(facts)) else { return false };
        facts.fall_back();
        if facts.fell_back() {
            candidate.upstream.metrics.fallbacks.inc();
        }
        facts.fell_back()
    }

    fn answer(mut self, answered: Answered<B>, plan: &UpstreamPlan) -> Response<ResponseBody<B>> {
        let Answered { response, mut lease, trial } = answered;
        self.facts.attempt().answering();
        let (mut head, incoming) = response.into_parts();
        // An HTTP/1.0 upstream must not make an HTTP/1.0 answer of ours.
        head.version = Version::HTTP_11;
        let switching = head.status == StatusCode::SWITCHING_PROTOCOLS;
        clean_response(&mut head.headers, switching);
        if let Some(rewrite) = &plan.rewrite {
            rewrite.response(&mut head.headers);
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
        let span = self.trail.take();
        let ends = (self.gate, span);
        let mut body = ResponseBody::new(incoming, self.facts, lease, (self.pools, self.timer), idle, ends);
        if plan.whole {
            body.judge(Judged { trial, rule: plan.upstream.breaker });
        }
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

#[cfg(test)]
mod tests;
