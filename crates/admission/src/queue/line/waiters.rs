//! Into the queue and out of it: the part of the protocol that runs under the line's lock.

use std::{sync::Arc, time::Duration};

use sluicegate_core::Lane;
use tokio::{sync::oneshot, time::Instant};

use super::{Line, State};
use crate::queue::{
    atoms::{Atoms, Count, Lock},
    cap::{Cap, UNLIMITED},
    limits::Limits,
    order::{Key, Pick, Place, Room, Try, Waiter},
    permit::{Claim, Permit},
    verdict::{Entry, Ticket, Why},
    waiting::Waiting,
};

/// What a waiter is told.
pub(in crate::queue) type Word<A> = Result<Permit<A>, Why>;

/// Words to be said once the lock is released.
type Said<A> = Vec<(oneshot::Sender<Word<A>>, Word<A>)>;

impl<A: Atoms> Line<A> {
    pub(super) fn queue(
        self: &Arc<Self>,
        ticket: &Ticket<'_, A>,
        claim: &Claim<A>,
        now: Instant,
    ) -> Entry<A> {
        let key = Key {
            tenant: claim.tenant.as_ref().map_or(0, |tenant| tenant.id),
            capped: claim.tenant.as_ref().is_some_and(|tenant| tenant.tally.is_some()),
            upstream: claim.upstream.as_ref().map_or(0, |upstream| upstream.id()),
            batch: ticket.lane == Lane::Batch,
        };
        let (sender, mut receiver) = oneshot::channel();
        let mut said = Said::new();
        let (placed, patience, freed) = self.state.with(|state| {
            let order = &mut state.order;
            let room = Room { places: state.limits.queue.into(), bytes: state.limits.queue_bytes };
            let fits = order.has_room(&key, ticket.bytes, room);
            let patience = order.patience(&key, now);
            let least = order.least_wait(&key, now);
            if let Some(upstream) = &claim.upstream
                && !order.knows_upstream(key.upstream)
            {
                upstream.wanted_by(self);
            }
            self.waiting.up();
            if let Some(upstream) = &claim.upstream {
                upstream.waiting.up();
            }
            let waiter = Waiter { value: sender, since: now, deadline: ticket.deadline, bytes: ticket.bytes };
            let place = order.push(key, waiter, claim.clone(), now);
            // It may itself have made its tenant's cap look full for a moment.
            order.unpark(key.tenant, now);
            let freed = self.serve(state, now, Pick::Next, &mut said);
            // Only now, for who can run at once needs no place.
            let doomed = least.is_some_and(|least| ticket.deadline.is_some_and(|end| now + least > end));
            let no = if !fits {
                Some(Why::Full)
            } else if doomed {
                Some(Why::Doomed)
            } else {
                None
            };
            let removed =
                no.and_then(|why| self.take_out(state, &place, claim.upstream.as_ref()).map(|_| why));
            (removed.map_or(Ok(place), Err), patience, freed)
        });
        say(said, freed);
        let place = match placed {
            Err(why) => return self.turned_away(ticket.lane, why, now),
            Ok(place) => place,
        };
        if let Ok(word) = receiver.try_recv() {
            return Entry::Settled(self.settle(word, ticket.lane, now, now));
        }
        let expires = ticket.deadline.map(|deadline| (deadline, Why::Expired));
        let gives_up = patience.map(|patience| (now + patience, Why::Overtaken));
        let until = [expires, gives_up].into_iter().flatten().min_by_key(|(at, _)| *at);
        Entry::Waits(Waiting::new(self.clone(), ticket, place, receiver, until, now))
    }

    /// Lets in whoever can run now. The lock is held; what is to be told is told after it. The
    /// upstreams that are returned have got a place back that others may want.
    fn serve(
        self: &Arc<Self>,
        state: &mut State<A>,
        now: Instant,
        pick: Pick,
        said: &mut Said<A>,
    ) -> Vec<Arc<Cap<A>>> {
        let mut freed = Vec::new();
        let mut taken = None;
        while let Some(left) = state.order.next(now, pick, |claim: &Claim<A>, spare| {
            let outcome = claim.take(self, spare, now);
            if outcome == Try::Taken {
                taken = Some(claim.clone());
            }
            outcome
        }) {
            let Some(claim) = taken.take() else { break };
            self.waiting.down();
            if let Some(upstream) = &claim.upstream {
                upstream.waiting.down();
            }
            self.shed.waited(now.saturating_duration_since(left.waiter.since), left.held_by_tenant);
            let word = if left.waiter.deadline.is_some_and(|deadline| deadline <= now) {
                claim.give(self);
                freed.extend(claim.upstream);
                Err(Why::Expired)
            } else {
                Ok(Permit::of_taken(self.clone(), claim))
            };
            said.push((left.waiter.value, word));
            if pick == Pick::Batch {
                break;
            }
        }
        freed
    }

    /// Serves the order after something was given back; `tenant` is whose. Says how many were
    /// served.
    pub(in crate::queue) fn hand_over(self: &Arc<Self>, tenant: Option<u64>, pick: Pick) -> u32 {
        if self.waiting.load() == 0 {
            return 0;
        }
        let now = Instant::now();
        let mut said = Said::new();
        let freed = self.state.with(|state| {
            if let Some(tenant) = tenant {
                state.order.unpark(tenant, now);
            }
            self.serve(state, now, pick, &mut said)
        });
        let served = u32::try_from(said.len()).unwrap_or(u32::MAX);
        say(said, freed);
        served
    }

    /// Takes a waiter out that does not wait any more. False when it has been served already.
    pub(in crate::queue) fn leave(
        &self,
        place: &Place,
        upstream: Option<&Arc<Cap<A>>>,
        gave_up: bool,
    ) -> bool {
        let left = self.state.with(|state| self.take_out(state, place, upstream));
        let Some((waited, held_by_tenant)) = left else { return false };
        if gave_up {
            self.shed.waited(waited, held_by_tenant);
        }
        true
    }

    fn take_out(
        &self,
        state: &mut State<A>,
        place: &Place,
        upstream: Option<&Arc<Cap<A>>>,
    ) -> Option<(Duration, bool)> {
        let left = state.order.remove(place)?;
        self.waiting.down();
        if let Some(upstream) = upstream {
            upstream.waiting.down();
        }
        Some((left.waiter.since.elapsed(), left.held_by_tenant))
    }

    /// Takes these limits. Counts and waiters stay: a smaller cap drains down as permits come
    /// back, a larger one lets waiters in now; waiters past a smaller queue stay in it. The
    /// limits that it has already change nothing.
    pub fn set(self: &Arc<Self>, limits: Limits) {
        let now = Instant::now();
        let mut said = Said::new();
        // All under the lock, so that of two reloads at once one holds, and not some of each.
        let freed = self.state.with(|state| {
            if state.limits == limits {
                return Vec::new();
            }
            state.limits = limits;
            self.shed.set(limits.shed);
            self.route_limit.store(limits.concurrent.unwrap_or(UNLIMITED));
            self.tenants.set_limit(limits.per_tenant);
            state.order.unpark_all(now);
            self.serve(state, now, Pick::Next, &mut said)
        });
        say(said, freed);
    }
}

/// Tells those who were served, without the lock.
fn say<A: Atoms>(said: Said<A>, freed: Vec<Arc<Cap<A>>>) {
    for (waiter, word) in said {
        // Who has gone leaves its permit here to be dropped, and so to be handed on.
        drop(waiter.send(word));
    }
    for upstream in freed {
        upstream.hand_over();
    }
}
