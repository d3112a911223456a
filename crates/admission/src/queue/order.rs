//! Who waits, and who is next. A plain data structure: the lock around it is in `line.rs`.
//!
//! Waiters that need the very same caps (tenant, upstream) in the same lane form a *group*. The
//! groups of one upstream and lane stand in a *row*; one that cannot run because its own
//! tenant is at its cap is *parked* outside, so that nobody looks at it until that changes.
//! Hence the search for the next costs the number of upstreams, whatever the number of waiters.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use sluicegate_core::Lane;
use tokio::time::Instant;

use super::pace::Pace;

mod newcomer;
mod row;
mod waiter;

pub(super) use newcomer::Room;
use row::{Rows, Stand, lane_index, row_mut};
pub(super) use waiter::{Key, Left, Pick, Place, Try, Waiter};

/// How long somebody must have waited at every moment for the queue to be a *standing* one:
/// no burst that is being worked off, but more than can be served. From then on the newest go
/// first. The 100 ms of `CoDel` (RFC 8289 section 4.3) and of Facebook's controlled delay (Ben
/// Maurer, "Fail at Scale", ACM Queue 13(8), 2015), from which this rule is.
const STANDING: Duration = Duration::from_millis(100);

/// After so many hand-overs to interactive waiters one batch waiter is served, if there is
/// one: batch keeps an eighth of the capacity under any load, and an interactive waiter waits
/// for one batch request at most in eight.
pub(super) const INTERACTIVE_RUN: u32 = 7;

/// Those that need the very same caps, in the order of their coming.
#[derive(Debug)]
struct Group<W, C> {
    claim: C,
    waiters: BTreeMap<u64, Waiter<W>>,
    bytes: u64,
    pace: Pace,
    stand: Stand,
    /// Parked at some time since it was formed.
    was_parked: bool,
}

/// The order of all that wait on one route. `W` is how a waiter is told; `C` what it claims.
#[derive(Debug)]
pub(super) struct Order<W, C> {
    groups: HashMap<Key, Group<W, C>>,
    rows: Vec<Rows>,
    /// Which upstream is looked at first.
    turn: usize,
    /// Numbers waiters and stands, in the order of their coming.
    numbers: u64,
    interactive_run: u32,
    waiting: [u64; 2],
    bytes: u64,
    pace: Pace,
}

impl<W, C> Default for Order<W, C> {
    fn default() -> Self {
        Self {
            groups: HashMap::new(),
            rows: Vec::new(),
            turn: 0,
            numbers: 0,
            interactive_run: 0,
            waiting: [0; 2],
            bytes: 0,
            pace: Pace::default(),
        }
    }
}

impl<W, C> Order<W, C> {
    /// How many wait, in one lane.
    pub(super) fn waiting_in(&self, lane: Lane) -> u64 {
        self.waiting[lane_index(lane == Lane::Batch)]
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> u64 {
        self.waiting.iter().sum()
    }

    /// The bytes that wait with them.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The pace of the whole queue.
    pub(super) fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Whether somebody already waits for that upstream.
    pub(super) fn knows_upstream(&self, upstream: u64) -> bool {
        self.rows.iter().any(|rows| rows.upstream == upstream)
    }

    /// Puts a waiter into its group.
    pub(super) fn push(&mut self, key: Key, waiter: Waiter<W>, claim: C, now: Instant) -> Place {
        if !self.knows_upstream(key.upstream) {
            // Upstreams come and go with reloads; those that nobody waits for are forgotten.
            let groups = &self.groups;
            self.rows.retain(|rows| groups.keys().any(|key| key.upstream == rows.upstream));
            self.rows.push(Rows { upstream: key.upstream, ..Rows::default() });
        }
        self.numbers += 1;
        let number = self.numbers;
        self.waiting[lane_index(key.batch)] += 1;
        self.bytes += waiter.bytes;
        self.pace.begin(now);
        let group = self.groups.entry(key).or_insert_with(|| Group {
            claim,
            waiters: BTreeMap::new(),
            bytes: 0,
            pace: Pace::default(),
            stand: Stand::Fresh(number),
            was_parked: false,
        });
        group.bytes += waiter.bytes;
        group.pace.begin(now);
        let comes = group.waiters.is_empty();
        group.waiters.insert(number, waiter);
        if let Some(row) = row_mut(&mut self.rows, &key) {
            match group.stand {
                Stand::Fresh(_) if comes => row.stand_at(key, group.stand, now),
                // No longer one of few.
                Stand::Fresh(_) => {
                    row.leave(group.stand);
                    group.stand = Stand::Turn(number);
                    row.stand_at(key, group.stand, now);
                }
                Stand::Turn(_) | Stand::Parked => {}
            }
        }
        Place { key, number }
    }

    /// Takes out a waiter that does not wait any more; `None` when it has been taken already.
    pub(super) fn remove(&mut self, place: &Place) -> Option<Left<W>> {
        let group = self.groups.get_mut(&place.key)?;
        let waiter = group.waiters.remove(&place.number)?;
        Some(self.left(place.key, waiter))
    }

    /// Lets the groups of a tenant be looked at again: it may have room.
    pub(super) fn unpark(&mut self, tenant: u64, now: Instant) {
        for batch in [false, true] {
            for capped in [false, true] {
                for at in 0..self.rows.len() {
                    let upstream = self.rows[at].upstream;
                    self.unpark_group(Key { tenant, capped, upstream, batch }, now);
                }
            }
        }
    }

    /// Lets every group be looked at again: caps have changed.
    pub(super) fn unpark_all(&mut self, now: Instant) {
        let keys: Vec<_> = self.groups.keys().copied().collect();
        for key in keys {
            self.unpark_group(key, now);
        }
    }

    fn unpark_group(&mut self, key: Key, now: Instant) {
        if let Some(group) = self.groups.get_mut(&key)
            && group.stand == Stand::Parked
            && let Some(row) = row_mut(&mut self.rows, &key)
        {
            self.numbers += 1;
            group.stand = Stand::Turn(self.numbers);
            row.stand_at(key, group.stand, now);
        }
    }

    /// The next one whose caps `attempt` could take; `None` when nobody can run. It is also told
    /// whether places must be spared: for batch whose turn is not due.
    pub(super) fn next(
        &mut self,
        now: Instant,
        pick: Pick,
        mut attempt: impl FnMut(&C, bool) -> Try,
    ) -> Option<Left<W>> {
        let batch_first = match pick {
            Pick::Next => self.interactive_run >= INTERACTIVE_RUN,
            Pick::Interactive => false,
            Pick::Batch => true,
        };
        let lanes = [batch_first, !batch_first];
        for batch in lanes.into_iter().take(if pick == Pick::Next { 2 } else { 1 }) {
            for step in 0..self.rows.len() {
                let at = (self.turn + step) % self.rows.len();
                let found = loop {
                    let Some(key) = self.rows[at].lanes[lane_index(batch)].candidate(now) else { break None };
                    let Some(group) = self.groups.get_mut(&key) else { break None };
                    match attempt(&group.claim, batch && !batch_first) {
                        Try::Taken => break Some(key),
                        Try::RouteFull => return None,
                        Try::UpstreamFull => break None,
                        Try::TenantFull => {
                            let row = &mut self.rows[at].lanes[lane_index(batch)];
                            row.leave(group.stand);
                            row.settle();
                            group.stand = Stand::Parked;
                            group.was_parked = true;
                        }
                    }
                };
                if let Some(key) = found {
                    self.turn = at + 1;
                    let others = self.rows.iter().any(|rows| rows.lanes[1].is_occupied());
                    self.interactive_run = if batch || !others { 0 } else { self.interactive_run + 1 };
                    return self.hand(key, now);
                }
            }
        }
        None
    }

    /// Takes the next of a group out, oldest first or newest first.
    fn hand(&mut self, key: Key, now: Instant) -> Option<Left<W>> {
        self.pace.handed(now);
        let group = self.groups.get_mut(&key)?;
        let row = row_mut(&mut self.rows, &key)?;
        row.pace.handed(now);
        row.fresh_run = match group.stand {
            Stand::Fresh(_) if !row.turns.is_empty() => row.fresh_run + 1,
            _ => 0,
        };
        let newest = group.pace.stands(now, STANDING);
        let (_, waiter) = if newest { group.waiters.pop_last() } else { group.waiters.pop_first() }?;
        group.pace.handed(now);
        row.leave(group.stand);
        self.numbers += 1;
        group.stand = Stand::Turn(self.numbers);
        if !group.waiters.is_empty() {
            row.stand_at(key, group.stand, now);
        }
        Some(self.left(key, waiter))
    }

    /// Settles the counts for a waiter that was taken out of its group.
    fn left(&mut self, key: Key, waiter: Waiter<W>) -> Left<W> {
        self.waiting[lane_index(key.batch)] -= 1;
        self.bytes -= waiter.bytes;
        if self.waiting() == 0 {
            self.pace.rest();
        }
        let mut held_by_tenant = false;
        if let Some(group) = self.groups.get_mut(&key) {
            group.bytes -= waiter.bytes;
            held_by_tenant = group.was_parked;
            if group.waiters.is_empty() {
                if let Some(row) = row_mut(&mut self.rows, &key) {
                    row.leave(group.stand);
                    row.settle();
                }
                self.groups.remove(&key);
            }
        }
        Left { waiter, held_by_tenant }
    }
}

#[cfg(test)]
mod tests;
