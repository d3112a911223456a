//! One try: handing the request to a connection, and what comes of it.

use http::{Request, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use sluicegate_core::Repeat;
use tokio::time::Instant;

use super::{Exchange, until};
use crate::{
    RequestBody,
    endpoint::{Endpoint, Trial},
    failure::Failure,
    head::{address, tell_deadline},
    plan::UpstreamPlan,
    pool::{Lease, Sender},
    retry::policy::Safe,
    send::{Handed, Sent, dispatch, in_time},
    spare::Spare,
    way::Way,
};

/// Times a request is handed to a connection in one try. An upstream that accepts and closes at
/// once would otherwise be asked in a tight loop until the deadline.
const SEND_TRIES: usize = 3;

/// A response head, and the connection its body is on.
pub(super) struct Answered<B> {
    pub(super) response: Response<Incoming>,
    pub(super) trial: Trial,
    pub(super) lease: Lease<B>,
}

/// No response head, and the endpoint that is to blame.
pub(super) struct Failed {
    pub(super) why: Failure,
    pub(super) at: Option<Trial>,
    /// Whether bytes of an answer had come.
    pub(super) answered: bool,
}

impl Failed {
    /// It failed before an endpoint was asked.
    fn nowhere(why: Failure) -> Self {
        Self { why, at: None, answered: false }
    }
}

impl<B: RequestBody> Exchange<B> {
    /// Sends the request, anew where the connection turns out to have been dead, until it has an
    /// answer or somebody may have seen it.
    pub(super) async fn attempt(&mut self, way: &mut Way<'_, B>, tries: u32) -> Result<Answered<B>, Failed> {
        let plan = way.plan;
        way.session = match (&plan.upstream.affinity, &self.unsent) {
            (Some(affinity), Some((head, _))) => affinity.session(&head.headers),
            _ => None,
        };
        for left in (0..SEND_TRIES).rev() {
            self.trail.begin(way.facts, self.unsent.as_ref().map(|(head, _)| head), plan, &way.pools.chance);
            let (mut trial, mut lease) = match way.lease(self.deadline).await {
                Ok(leased) => leased,
                Err(why) => return Err(self.failed(Failed::nowhere(why))),
            };
            if plan.timeouts.per_try.is_some() || tries > 1 {
                self.timer.arm(until(plan, self.deadline, Instant::now()));
            }
            let more = tries < plan.retries.tries;
            let Some(sending) = self.hand_over(&mut lease, &trial, plan, more) else { break };
            match in_time(sending, &mut self.timer, self.gate.as_ref()).await {
                Ok(response) => {
                    self.trail.answered(response.status());
                    if response.status() == StatusCode::SWITCHING_PROTOCOLS && !self.upgrade {
                        let why = Failure::Garbage("it switched protocols without being asked to".to_owned());
                        return Err(self.failed(Failed { why, at: Some(trial), answered: true }));
                    }
                    if let Some(pinned) = &plan.upstream.pinned
                        && let Some(diff) = pinned.hear(&trial, response.headers(), way.facts)
                    {
                        if response.body().is_end_stream() {
                            lease.give_back();
                        }
                        let why = Failure::Mismatch(diff);
                        return Err(self.failed(Failed { why, at: Some(trial), answered: true }));
                    }
                    if let Some(affinity) = &plan.upstream.affinity {
                        affinity.hear(response.headers(), &trial);
                    }
                    return Ok(Answered { response, trial, lease });
                }
                Err(Sent::Not(request)) => {
                    // The connection was closed before it took the request: nobody saw it.
                    self.facts.attempt().not_applied();
                    if let Some(spare) = self.spare.take() {
                        spare.give_back(way.pools);
                    }
                    self.unsent = Some(request.into_parts());
                    if left == 0 {
                        // Not one old connection after another: it takes none.
                        trial.metrics.unreachable.inc();
                        trial.failed(&plan.upstream.breaker, &way.pools.chance);
                        way.tried.push(trial.id);
                    }
                }
                Err(Sent::Maybe(why)) => {
                    // An upstream that does not look at requests may be doing so to all of them:
                    // where retries are on, these are within the budget.
                    let refused = matches!(why, Failure::NotProcessed(_)) && plan.retries.tries > 1;
                    let stale = lease.reused && self.safe == Safe::Read && !refused;
                    if !(stale && why.allows_resend(lease.was_answered(), way.facts) && self.take_back()) {
                        let answered = lease.was_answered_in_part();
                        return Err(self.failed(Failed { why, at: Some(trial), answered }));
                    }
                    self.trail.failed(&why);
                    trial.metrics.resent.inc();
                    tracing::debug!(endpoint = %trial.text, "sent again: a pooled connection had died");
                }
            }
            way.fresh = true;
        }
        let why = Failure::Unreachable("connections are closed before they take a request".to_owned());
        Err(self.failed(Failed::nowhere(why)))
    }

    /// The try's span ends as the try did.
    fn failed(&mut self, failed: Failed) -> Failed {
        self.trail.failed(&failed.why);
        failed
    }

    /// Gives the request to the connection, on the spot. `more` says that tries are left.
    fn hand_over(
        &mut self,
        lease: &mut Lease<B>,
        endpoint: &Endpoint,
        plan: &UpstreamPlan,
        more: bool,
    ) -> Option<impl Handed<B> + use<B>> {
        let (mut head, body) = self.unsent.take()?;
        // Kept only where a second sending is allowed and may be needed.
        let may_repeat = match self.safe {
            Safe::Read => lease.reused || more,
            Safe::Write(Repeat::Never) => false,
            Safe::Write(_) => more,
        };
        self.spare = if may_repeat { Spare::of(&head, &body, &self.pools) } else { None };
        let http2 = matches!(lease.sender, Sender::Http2(_));
        address(&mut head, &body, endpoint, plan, http2, self.upgrade);
        tell_deadline(&mut head, self.deadline, self.facts.is_grpc());
        self.trail.send(&mut head, endpoint);
        self.facts.attempt().sent();
        let request = Request::from_parts(head, body);
        Some(dispatch(&mut lease.sender, request, self.gate.as_ref()))
    }

    /// Puts what was sent in place to be sent again, if all of it is still at hand.
    pub(super) fn take_back(&mut self) -> bool {
        if self.spare.as_ref().is_some_and(Spare::is_whole) {
            self.unsent = self.spare.take().and_then(|spare| spare.restore(&self.pools));
        }
        self.unsent.is_some()
    }
}
