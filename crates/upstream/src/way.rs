//! Finding a connection for a request: which endpoint, which connection, and what next when
//! it cannot be reached. Nothing has been sent before a connection stands, so every request
//! may try another endpoint.

use std::rc::Rc;

use sluicegate_core::Facts;
use tokio::time::{Instant, timeout_at};

use crate::{
    RequestBody,
    affinity::Session,
    endpoint::Trial,
    failure::Failure,
    plan::UpstreamPlan,
    pool::{Lease, Pools},
};

/// Connections that are tried for one request before it is given up.
const CONNECT_TRIES: usize = 3;

/// Which endpoints and connections one request has been through.
pub(crate) struct Way<'a, B> {
    pub(crate) pools: &'a Rc<Pools<B>>,
    pub(crate) plan: &'a UpstreamPlan,
    pub(crate) facts: &'a Facts,
    /// Endpoints that this request has failed at.
    pub(crate) tried: Vec<u64>,
    /// The session that the request belongs to, where its upstream keeps sessions on an endpoint.
    pub(crate) session: Option<Session>,
    /// The request can be sent again, should a pooled connection die under it.
    pub(crate) may_repeat: bool,
    /// Only a new connection will do: a pooled one has just been found dead.
    pub(crate) fresh: bool,
}

impl<'a, B> Way<'a, B>
where
    B: RequestBody,
{
    /// The request is one of those that its upstream's retries are a share of.
    pub(crate) fn enter(&self, now: Instant) {
        if self.plan.retries.tries > 1 {
            self.plan.upstream.budget.request(now);
        }
    }

    /// The way begins anew, by another plan: nothing has been sent by the former.
    pub(crate) fn turn(&mut self, plan: &'a UpstreamPlan) {
        self.plan = plan;
        self.tried.clear();
        self.fresh = false;
    }

    /// Another try begins: at an endpoint that was not tried, if there is one.
    pub(crate) fn again(&mut self) {
        self.fresh = false;
        if !self.plan.upstream.has_other_than(&self.tried) {
            self.tried.clear();
        }
    }

    /// A connection to some endpoint; another endpoint where one cannot be reached.
    pub(crate) async fn lease(&mut self, deadline: Option<Instant>) -> Result<(Trial, Lease<B>), Failure> {
        let upstream = &self.plan.upstream;
        if !self.may_repeat && !self.fresh {
            // It is sent once and no more, so a pooled connection whose close has come in
            // already must be known as closed: this lets the worker read its sockets first.
            tokio::task::yield_now().await;
        }
        let mut last = None;
        for _ in 0..CONNECT_TRIES {
            let mut trial = match self.pools.choose(upstream, (&self.tried, self.session), self.may_repeat) {
                Ok(trial) => trial,
                Err(shut) => return Err(last.unwrap_or(shut)),
            };
            let ready = if self.fresh { None } else { self.pools.ready(&trial, upstream.max_idle) };
            if let Some(lease) = ready {
                return Ok((trial, lease));
            }
            let began = Instant::now();
            let limit = began + self.plan.timeouts.connect;
            let limit = deadline.map_or(limit, |deadline| deadline.min(limit));
            // Boxed: it is rare and large, and its room would be part of every request's future.
            let leasing =
                Box::pin(self.pools.lease(&trial, (upstream.max_idle, upstream.buffer), self.fresh));
            let reason = match timeout_at(limit, leasing).await {
                Ok(Ok(lease)) => return Ok((trial, lease)),
                Ok(Err(error)) => error.to_string(),
                Err(_) if deadline.is_some_and(|deadline| Instant::now() >= deadline) => {
                    if self.plan.timeouts.is_telling(began.elapsed()) {
                        trial.failed(&upstream.breaker, &self.pools.chance);
                    }
                    return Err(Failure::Deadline);
                }
                Err(_) => format!("no connection within {:?}", self.plan.timeouts.connect),
            };
            trial.metrics.unreachable.inc();
            trial.failed(&upstream.breaker, &self.pools.chance);
            tracing::debug!(endpoint = %trial.text, reason, request_id = ?self.facts.request_id(), "endpoint unreachable");
            self.tried.push(trial.id);
            last = Some(Failure::Unreachable(reason));
        }
        Err(last.unwrap_or_else(|| Failure::Unreachable("no endpoint is left to try".into())))
    }
}
