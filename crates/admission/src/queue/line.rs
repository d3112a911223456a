//! One route's queue: who is let in at once, who waits, who is let in when a permit comes back.
//!
//! # The protocol
//!
//! The counts of the caps are atomics; those who wait stand in an [`Order`] under the line's
//! lock. No permit may stay free while somebody waits for it, and nobody may be told twice:
//!
//! - who finds its caps free and nobody waiting takes them without the lock;
//! - anybody else, holding the lock, is *first* counted as waiting and put into the order, and
//!   *then* the order is served: whoever's caps are free is let in, perhaps itself;
//! - who gives a permit back *first* counts it down and *then* looks whether anybody is counted
//!   as waiting; if so it takes the lock and serves the order.
//!
//! Both counts are sequentially consistent, so one of the two sees the other: either the one
//! that waits sees the place, or the one that gives it back sees the waiter. A taker that got
//! only some of its caps gives them back and then takes the lock and serves, so whoever was
//! turned away by those it held for a moment is looked at again.
//!
//! A permit travels to its waiter through a one-shot channel after the lock is released. If
//! the waiter has gone meanwhile, the permit is dropped there, which hands it on: it cannot be
//! lost. The lock of one line is never held while that of another is taken.

use std::{sync::Arc, time::Duration};

use sluicegate_core::{Chance, Lane};
use tokio::{sync::oneshot, time::Instant};

use super::{
    atoms::{Atoms, Count, Lock, Native},
    cap::{Tally, UNLIMITED, but_spared},
    lately::Lately,
    limits::Limits,
    metrics::LineMetrics,
    order::{Order, Try},
    permit::{Claim, Ended, Permit},
    shed::Shed,
    tenants::{MOST_TENANTS, Tenants},
    verdict::{Entry, Ticket, Verdict, Why},
};

mod look;
mod telling;
mod waiters;

pub(super) use waiters::Word;

/// The queue of one route, with the caps of the route and of its tenants.
#[derive(Debug)]
pub struct Line<A: Atoms = Native> {
    name: Box<str>,
    route: Tally<A>,
    route_limit: A::Count,
    tenants: Tenants<A>,
    /// How many wait. Changed under the lock, read without it.
    waiting: A::Count,
    state: A::Lock<State<A>>,
    interactive: Lately,
    shed: Shed,
    chance: Arc<Chance>,
    metrics: LineMetrics,
}

/// What the lock is around.
#[derive(Debug)]
struct State<A: Atoms> {
    order: Order<oneshot::Sender<Word<A>>, Claim<A>>,
    limits: Limits,
}

impl<A: Atoms> Line<A> {
    pub(super) fn new(name: &str, limits: Limits, chance: Arc<Chance>, metrics: LineMetrics) -> Self {
        Self {
            name: name.into(),
            route: Tally::default(),
            route_limit: A::Count::new(limits.concurrent.unwrap_or(UNLIMITED)),
            tenants: Tenants::new(limits.per_tenant, MOST_TENANTS),
            waiting: A::Count::new(0),
            state: A::Lock::new(State { order: Order::default(), limits }),
            interactive: Lately::new(),
            shed: Shed::new(limits.shed),
            chance,
            metrics,
        }
    }

    /// The route's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Lets a request in, or into the queue, or refuses it.
    pub fn enter(self: &Arc<Self>, ticket: &Ticket<'_, A>, now: Instant) -> Entry<A> {
        self.shed.beat(now);
        if ticket.deadline.is_some_and(|deadline| deadline <= now) {
            return self.turned_away(ticket.lane, Why::Expired, now);
        }
        if self.shed.refuses(ticket.lane, &self.chance) {
            return self.turned_away(ticket.lane, Why::Shed, now);
        }
        let claim = Claim {
            tenant: ticket.tenant.map(|name| self.tenants.of(name)),
            upstream: ticket.upstream.cloned(),
        };
        let nobody_waits =
            self.waiting.load() == 0 && ticket.upstream.is_none_or(|upstream| upstream.waiting.load() == 0);
        if ticket.lane == Lane::Interactive {
            self.interactive.comes(now);
            if let Some(upstream) = ticket.upstream {
                upstream.interactive.comes(now);
            }
        }
        if nobody_waits && claim.take(self, ticket.lane == Lane::Batch, now) == Try::Taken {
            self.admitted(ticket.lane, None);
            let permit = Permit::of_taken(self.clone(), claim);
            return Entry::Settled(Verdict::Admitted(permit, Duration::ZERO));
        }
        self.queue(ticket, &claim, now)
    }

    /// [`enter`](Self::enter), and waits.
    pub async fn acquire(self: &Arc<Self>, ticket: &Ticket<'_, A>) -> Verdict<A> {
        match self.enter(ticket, Instant::now()) {
            Entry::Settled(verdict) => verdict,
            Entry::Waits(waiting) => waiting.await,
        }
    }

    pub(super) fn note(&self, ended: Ended) {
        self.shed.ended(ended);
    }

    /// With `spare`, places are left for interactive requests while such come.
    pub(super) fn take_route(&self, spare: bool, now: Instant) -> bool {
        let limit = self.route_limit.load();
        let spare = spare && self.interactive.came(now);
        self.route.take(if spare { but_spared(limit) } else { limit })
    }

    pub(super) fn give_route(&self) {
        self.route.give();
    }

    pub(super) fn tenant_limit(&self) -> u32 {
        self.tenants.limit()
    }
}

#[cfg(test)]
mod tests;
