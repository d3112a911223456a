//! What a newcomer is told of the queue: whether it has a place for it, and how long it may wait.

use std::time::Duration;

use sluicegate_core::Lane;
use tokio::time::Instant;

use super::{Key, Order, STANDING, row::row};

/// How much of the free places a group may hold: `places held < share x places free` (dynamic
/// thresholds: Choudhury and Hahne, IEEE/ACM Transactions on Networking 6(2), 1998). A single
/// interactive tenant can fill 8/9 of the queue and a single batch tenant one half; what is
/// left is there for the others, at no cost of keeping track.
const fn share(lane: Lane) -> u64 {
    match lane {
        Lane::Interactive => 8,
        Lane::Batch => 1,
    }
}

/// The most that may wait.
#[derive(Clone, Copy, Debug)]
pub(in crate::queue) struct Room {
    pub(in crate::queue) places: u64,
    pub(in crate::queue) bytes: u64,
}

/// How long a newcomer to a standing queue waits at least before it is given up: what the
/// service promises for the 95th percentile of waits under overload.
const PATIENCE: Duration = Duration::from_millis(200);

/// ... and at least for the time of so many hand-overs, so that slow upstreams (few and long
/// requests, as of language models) do not lose what would soon be served.
const PATIENT_HAND_OVERS: u32 = 16;

impl<W, C> Order<W, C> {
    /// Whether there is room for one more of that group and size.
    pub(in crate::queue) fn has_room(&self, key: &Key, bytes: u64, room: Room) -> bool {
        let share = share(if key.batch { Lane::Batch } else { Lane::Interactive });
        let (held, held_bytes) =
            self.groups.get(key).map_or((0, 0), |group| (group.waiters.len() as u64, group.bytes));
        let free = room.places.saturating_sub(self.waiting());
        let free_bytes = room.bytes.saturating_sub(self.bytes);
        free > 0
            && held < share * free
            && bytes <= free_bytes
            && (bytes == 0 || held_bytes < share.saturating_mul(free_bytes))
    }

    /// How long a newcomer to that group will wait before it is given up; `None`: as long as
    /// its deadline allows.
    pub(in crate::queue) fn patience(&self, key: &Key, now: Instant) -> Option<Duration> {
        let group = self.groups.get(key).map(|group| &group.pace);
        let row = row(&self.rows, key).map(|row| &row.pace);
        let pace = [group, row].into_iter().flatten().find(|pace| pace.stands(now, STANDING))?;
        Some(PATIENCE.max(pace.guessed(now)? * PATIENT_HAND_OVERS))
    }

    /// The wait that a newcomer to that group will have to bear with a probability of 95%, if
    /// there is a measure of it. Newest go first, so how many are ahead tells nothing; but one
    /// hand-over it must wait for, and a gap between random releases (exponential, of mean
    /// `m`) is shorter than `m / 20` in 5% of the cases only.
    pub(in crate::queue) fn least_wait(&self, key: &Key, now: Instant) -> Option<Duration> {
        Some(row(&self.rows, key)?.pace.measured(now)? / 20)
    }
}
