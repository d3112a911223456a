//! What a request is told, counted as it is told.

use std::time::Duration;

use sluicegate_core::Lane;
use tokio::time::Instant;

use super::{Line, Word};
use crate::queue::{
    atoms::{Atoms, Lock},
    verdict::{Entry, Refused, Verdict, Why},
};

/// The bounds of a `Retry-After`: below a second it cannot be said, and past half a minute the
/// present pace tells little.
const RETRY_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

impl<A: Atoms> Line<A> {
    /// The verdict for a word that reached its waiter.
    pub(in crate::queue) fn settle(
        &self,
        word: Word<A>,
        lane: Lane,
        since: Instant,
        now: Instant,
    ) -> Verdict<A> {
        match word {
            Ok(permit) => {
                let waited = now.saturating_duration_since(since);
                self.admitted(lane, Some(waited));
                Verdict::Admitted(permit, waited)
            }
            Err(why) => Verdict::Refused(self.refused(lane, why, now)),
        }
    }

    pub(super) fn admitted(&self, lane: Lane, waited: Option<Duration>) {
        match waited {
            Some(waited) => self.metrics.waited(lane, waited),
            None => self.shed.at_once(),
        }
        self.metrics.admitted(lane);
    }

    pub(in crate::queue) fn refused(&self, lane: Lane, why: Why, now: Instant) -> Refused {
        self.metrics.refused(lane, why);
        let queue = self.state.with(|state| {
            let waiting = u32::try_from(state.order.waiting()).unwrap_or(u32::MAX);
            state.order.pace().guessed(now).map(|pace| pace.saturating_mul(waiting.saturating_add(1)))
        });
        let (least, most) = RETRY_AFTER;
        let served = queue.unwrap_or(least).clamp(least, most);
        let spread = u64::try_from(served.as_millis() / 2).unwrap_or_default();
        Refused { why, retry_after: served + Duration::from_millis(self.chance.below(spread + 1)) }
    }

    pub(super) fn turned_away(&self, lane: Lane, why: Why, now: Instant) -> Entry<A> {
        Entry::Settled(Verdict::Refused(self.refused(lane, why, now)))
    }
}
