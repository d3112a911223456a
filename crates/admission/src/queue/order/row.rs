//! The groups that may run as soon as route and upstream have room, and which is looked at first.
//!
//! [fq_codel](https://www.rfc-editor.org/rfc/rfc8290) (RFC 8290) is the example: groups that have
//! just come and have one waiter stand among the *fresh*, the others take *turns*. Fresh ones go
//! first, so that a tenant with few requests does not wait behind one with many; but after
//! [`FRESH_RUN`] of them one turn is due, so that nobody is shut out.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::{Key, STANDING};
use crate::queue::pace::Pace;

/// After so many hand-overs to fresh groups the next in turn is served: seldom enough that the
/// 95th percentile of waits is that of the fresh.
const FRESH_RUN: u32 = 31;

/// Where a group stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    Fresh(u64),
    Turn(u64),
    Parked,
}

/// The groups of one upstream and lane that may run as soon as route and upstream have room.
#[derive(Debug, Default)]
pub(super) struct Row {
    fresh: BTreeMap<u64, Key>,
    pub(super) turns: BTreeMap<u64, Key>,
    pub(super) fresh_run: u32,
    pub(super) pace: Pace,
}

/// The rows of one upstream, by lane.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) upstream: u64,
    pub(super) lanes: [Row; 2],
}

pub(super) fn row<'a>(rows: &'a [Rows], key: &Key) -> Option<&'a Row> {
    let rows = rows.iter().find(|rows| rows.upstream == key.upstream)?;
    Some(&rows.lanes[lane_index(key.batch)])
}

pub(super) fn row_mut<'a>(rows: &'a mut [Rows], key: &Key) -> Option<&'a mut Row> {
    let rows = rows.iter_mut().find(|rows| rows.upstream == key.upstream)?;
    Some(&mut rows.lanes[lane_index(key.batch)])
}

pub(super) const fn lane_index(batch: bool) -> usize {
    if batch { 1 } else { 0 }
}

impl Row {
    pub(super) fn is_occupied(&self) -> bool {
        !self.fresh.is_empty() || !self.turns.is_empty()
    }

    /// The group to look at first. In a standing row the newest of the fresh, else the oldest.
    pub(super) fn candidate(&self, now: Instant) -> Option<Key> {
        let turn = || self.turns.first_key_value();
        let fresh = || {
            let newest = self.pace.stands(now, STANDING);
            if newest { self.fresh.last_key_value() } else { self.fresh.first_key_value() }
        };
        let turn_is_due = self.fresh_run >= FRESH_RUN;
        let found = if turn_is_due { turn().or_else(fresh) } else { fresh().or_else(turn) };
        found.map(|(_, key)| *key)
    }

    pub(super) fn stand_at(&mut self, key: Key, stand: Stand, now: Instant) {
        self.pace.begin(now);
        match stand {
            Stand::Fresh(at) => self.fresh.insert(at, key),
            Stand::Turn(at) => self.turns.insert(at, key),
            Stand::Parked => None,
        };
    }

    pub(super) fn leave(&mut self, stand: Stand) {
        match stand {
            Stand::Fresh(at) => self.fresh.remove(&at),
            Stand::Turn(at) => self.turns.remove(&at),
            Stand::Parked => None,
        };
    }

    /// Ends the row's time of waiting where nobody stands in it any more.
    pub(super) fn settle(&mut self) {
        if !self.is_occupied() {
            self.pace.rest();
        }
    }
}
