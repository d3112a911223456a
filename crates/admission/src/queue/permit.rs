//! The right to run: a place under each of a request's caps.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    atoms::{Atoms, Native},
    cap::Cap,
    line::Line,
    order::{Pick, Try},
    tenants::Tenant,
};

/// The caps of one request.
#[derive(Debug)]
pub(super) struct Claim<A: Atoms> {
    pub(super) tenant: Option<Tenant<A>>,
    pub(super) upstream: Option<Arc<Cap<A>>>,
}

impl<A: Atoms> Clone for Claim<A> {
    fn clone(&self) -> Self {
        Self { tenant: self.tenant.clone(), upstream: self.upstream.clone() }
    }
}

impl<A: Atoms> Claim<A> {
    /// Takes a place under each cap, or under none. The upstream's comes last: it is never
    /// given back again here, so that no other route can have missed it. With `spare`, places
    /// are left for interactive requests while such come.
    pub(super) fn take(&self, line: &Line<A>, spare: bool, now: Instant) -> Try {
        if !line.take_route(spare, now) {
            return Try::RouteFull;
        }
        let tally = self.tenant.as_ref().and_then(|tenant| tenant.tally.as_ref());
        if tally.is_some_and(|tally| !tally.take(line.tenant_limit())) {
            line.give_route();
            return Try::TenantFull;
        }
        if self.upstream.as_ref().is_some_and(|upstream| !upstream.take(spare, now)) {
            if let Some(tally) = tally {
                tally.give();
            }
            line.give_route();
            return Try::UpstreamFull;
        }
        Try::Taken
    }

    /// Gives all places back, and tells nobody.
    pub(super) fn give(&self, line: &Line<A>) {
        if let Some(upstream) = &self.upstream {
            upstream.tally.give();
        }
        if let Some(tally) = self.tenant.as_ref().and_then(|tenant| tenant.tally.as_ref()) {
            tally.give();
        }
        line.give_route();
    }
}

/// How what a permit was for has ended, for the route's error rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The upstream answered, if only with a 4xx.
    Well,
    /// A 5xx of the upstream, a timeout, no connection.
    Failed,
}

/// The right to run. Dropping it hands it on to whoever waits: hold it in the response body,
/// so that a stream counts until it ends.
#[derive(Debug)]
#[must_use = "dropping a permit gives it back"]
pub struct Permit<A: Atoms = Native> {
    line: Arc<Line<A>>,
    claim: Claim<A>,
}

impl<A: Atoms> Permit<A> {
    /// For caps that have been taken.
    pub(super) fn of_taken(line: Arc<Line<A>>, claim: Claim<A>) -> Self {
        Self { line, claim }
    }

    /// Notes how it ended. Say nothing of what cannot be known: a client that left, a refusal
    /// of the gateway.
    pub fn note(&self, ended: Ended) {
        self.line.note(ended);
    }
}

impl<A: Atoms> Drop for Permit<A> {
    fn drop(&mut self) {
        self.claim.give(&self.line);
        // First the upstream's place, which routes take in turn; the line would take it back.
        if let Some(upstream) = &self.claim.upstream {
            upstream.hand_over();
        }
        self.line.hand_over(self.claim.tenant.as_ref().map(|tenant| tenant.id), Pick::Next);
    }
}
