//! What a request holds of the guards, from its first charge to the end of its answer.

use http::{HeaderMap, Request};
use sluicegate_core::{Facts, Lane, Refusal, Tenant};
use tokio::time::Instant;

use crate::{
    buckets::{Ask, Charged, Class, RATE_LIMIT, RATE_LIMIT_POLICY},
    budget::{Ask as TokenAsk, Dialect, Overrun, Reservation},
    plan::AdmissionPlan,
    queue::{Entry, Permit, Ticket},
    refuse,
};

/// What a request has been charged and given so far.
///
/// Dropped before the request goes out, everything is given back. After that the charge
/// stands, and permit and reservation are handed to the exchange where it goes on without its
/// client.
#[derive(Debug)]
pub(super) struct Holding {
    pub(super) plan: AdmissionPlan,
    pub(super) facts: Facts,
    charged: Option<Charged>,
    class: Class,
    pub(super) reservation: Option<Reservation>,
    /// The answer's usage was asked for by the gateway and not by the client.
    pub(super) strip: bool,
    /// The API that it speaks; none where no model works for it.
    pub(super) dialect: Option<Dialect>,
    pub(super) permit: Option<Permit>,
    sent: bool,
}

impl Holding {
    /// Charges the buckets.
    pub(super) fn charge(plan: AdmissionPlan, facts: Facts, now: Instant) -> Result<Self, Refusal> {
        let settled = facts.classified();
        let tenant = settled.and_then(|settled| settled.tenant.as_ref());
        let (class, _) = plan.0.tenants.of(tenant);
        let pays = settled.is_none_or(|settled| settled.cost > 0);
        let charged = match &plan.0.buckets {
            Some(set) if pays => {
                let ask = Ask {
                    cost: settled.map_or(1, |settled| settled.cost),
                    tenant: tenant.map(Tenant::as_str),
                    class,
                    lane: settled.map_or(Lane::Interactive, |settled| settled.lane),
                };
                Some(set.charge(&ask, now).map_err(|denied| refuse::rate(&denied, set, class))?)
            }
            _ => None,
        };
        Ok(Self {
            plan,
            facts,
            charged,
            class,
            reservation: None,
            strip: false,
            dialect: None,
            permit: None,
            sent: false,
        })
    }

    fn tenant(&self) -> Option<&str> {
        self.facts.classified().and_then(|settled| settled.tenant.as_ref()).map(Tenant::as_str)
    }

    /// Reserves the tokens that a request may use.
    pub(super) fn reserve(&mut self, ask: &TokenAsk, now: Instant) -> Result<(), Refusal> {
        let Some(budget) = &self.plan.0.budget else { return Ok(()) };
        let tenant = self.facts.classified().and_then(|settled| settled.tenant.as_ref());
        let (_, factor) = self.plan.0.tenants.of(tenant);
        let ledger = budget.ledger.under(budget.ledger.rule().times(factor));
        let reservation = if self.plan.0.enforce {
            ledger.reserve(self.tenant(), ask.estimate(), now).map_err(|denied| refuse::budget(&denied))?
        } else {
            ledger.reserve_unenforced(self.tenant(), ask.estimate(), now).0
        };
        self.reservation = Some(reservation);
        Ok(())
    }

    /// How a stream is told that it is cut, where it is to be when its tenant's budget is used up.
    pub(super) fn cuts(&self) -> Option<Dialect> {
        let budget = self.plan.0.budget.as_ref().filter(|_| self.plan.0.enforce)?;
        self.dialect.filter(|_| budget.overrun == Overrun::Cut)
    }

    /// Asks for a place, at once or in the queue.
    pub(super) fn enter(&self, bytes: u64, now: Instant) -> Entry {
        let settled = self.facts.classified();
        let ticket = Ticket {
            tenant: self.tenant(),
            upstream: self.plan.0.upstream(&self.facts),
            lane: settled.map_or(Lane::Interactive, |settled| settled.lane),
            deadline: settled.and_then(|settled| settled.deadline),
            bytes,
        };
        self.plan.0.line.enter(&ticket, now)
    }

    /// The request goes out.
    pub(super) fn send<B>(&mut self, request: &mut Request<B>) {
        self.sent = true;
        if let Some(reservation) = &mut self.reservation {
            reservation.sent();
        }
        let upstream = self.plan.0.upstream(&self.facts).map(|cap| &**cap);
        let pressure = self.plan.0.line.pressure(upstream);
        if pressure > 0.0 {
            request.headers_mut().insert(crate::queue::PRESSURE, crate::queue::pressure_value(pressure));
        }
    }

    /// Tells the client what its buckets hold.
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        let (Some(set), Some(charged)) = (&self.plan.0.buckets, &self.charged) else { return };
        if let Some(policy) = set.policy(self.class) {
            headers.append(RATE_LIMIT_POLICY, policy.clone());
        }
        if let Some(told) = set.rate_limit(charged.told()) {
            headers.append(RATE_LIMIT, told);
        }
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        if !self.sent {
            if let (Some(set), Some(charged)) = (&self.plan.0.buckets, self.charged.take()) {
                set.refund(charged, Instant::now());
            }
            return;
        }
        // An exchange that outlives its client goes on holding them; else they are dropped.
        if let Some(permit) = self.permit.take() {
            self.facts.keep(permit);
        }
        if let Some(reservation) = self.reservation.take() {
            self.facts.keep(reservation);
        }
    }
}
