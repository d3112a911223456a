//! What a request has to do that found its key known, and how a duplicate waits.
//!
//! A waiter is woken by the end of the attempt where that runs in this process. Where the
//! store is shared the attempt may run elsewhere, so the waiter also looks again by itself,
//! after pauses that grow and are spread, so that many waiters do not look at once.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use sluicegate_core::{Chance, Refusal};
use sluicegate_store::{
    EntryId, RecordKey,
    fence::{Decision, StoredAnswer, decide},
    fingerprint::Fingerprint,
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::{Blind, Found, Home};
use crate::{input::WhenLost, plan::IdempotencyPlan, refuse};

/// The pauses between looks at a shared store, from the first to the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));

/// What a request has to do whose key is known.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Go on: an attempt may begin.
    Pass,
    /// Give this answer.
    Replay(StoredAnswer),
    /// Tell that the write is kept as this intent.
    Deferred(EntryId),
    /// Refuse.
    Refuse(Refusal),
}

/// Who waits for which key.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    keys: Mutex<HashMap<RecordKey, Arc<Notify>>>,
    count: AtomicUsize,
}

/// A waiter's place.
struct Ticket<'a> {
    waiting: &'a Waiting,
    id: RecordKey,
    ended: Arc<Notify>,
}

impl Waiting {
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Wakes those who wait for a key.
    pub(super) fn wake(&self, id: RecordKey) {
        if self.count() > 0
            && let Some(ended) = self.keys.lock().get(&id)
        {
            ended.notify_waiters();
        }
    }

    fn enter(&self, id: RecordKey, max: usize) -> Option<Ticket<'_>> {
        let room = |count: usize| (count < max).then_some(count + 1);
        // Ordered before the look that follows: an end that this does not see is seen there.
        self.count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, room).ok()?;
        let ended = self.keys.lock().entry(id).or_default().clone();
        Some(Ticket { waiting: self, id, ended })
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut keys = self.waiting.keys.lock();
        // The map's own and this one.
        if Arc::strong_count(&self.ended) == 2 {
            keys.remove(&self.id);
        }
        drop(keys);
        self.waiting.count.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What the judge needs to know of a request.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) plan: IdempotencyPlan,
    pub(crate) id: RecordKey,
    pub(crate) print: Fingerprint,
    /// When the client has waited long enough.
    pub(crate) until: Instant,
}

impl Home {
    /// Decides about a request that found its key known, and waits where it has to.
    pub(crate) async fn judge(self: Arc<Self>, case: Case, found: Found) -> Verdict {
        let Case { plan, id, print, until } = &case;
        let results = &plan.metrics().results;
        let mut found = Some(found);
        let mut ticket = None;
        let mut pause = Pause::new(self.store.lease().is_some());
        loop {
            let pair = found.as_ref().map(|found| (&found.record, &found.fence));
            match decide(pair, print, plan.on_unknown()) {
                Decision::Begin(_) => return Verdict::Pass,
                Decision::Replay(answer) => {
                    if ticket.is_some() { &results.waited } else { &results.replayed }.inc();
                    return Verdict::Replay(answer);
                }
                Decision::Deferred(intent) => {
                    results.deferred.inc();
                    return Verdict::Deferred(intent);
                }
                Decision::Conflict(differs) => {
                    results.conflict.inc();
                    return Verdict::Refuse(refuse::conflict(&differs, plan));
                }
                Decision::Unknown(why) => {
                    results.unknown.inc();
                    return Verdict::Refuse(refuse::unknown(&why));
                }
                Decision::Wait => {}
            }
            if Instant::now() >= *until {
                results.in_flight.inc();
                return Verdict::Refuse(refuse::in_flight());
            }
            if ticket.is_none() {
                ticket = self.waiting.enter(*id, self.settings().max_waiters);
            }
            let Some(place) = &ticket else {
                results.in_flight.inc();
                return Verdict::Refuse(refuse::in_flight());
            };
            let mut ended = std::pin::pin!(place.ended.notified());
            ended.as_mut().enable();
            // Once more, now that an end would be heard.
            match self.clone().look(*id).await {
                Ok(now)
                    if now.as_ref().map(|now| now.record.tag) == tag(found.as_ref())
                        && runs(now.as_ref()) =>
                {
                    let next = pause.next(&self.chance, *until);
                    tokio::select! {
                        () = ended => {}
                        () = sleep_until(next) => {}
                    }
                    found = match self.clone().look(*id).await {
                        Ok(now) => now,
                        Err(blind) => return Self::blind(&blind, plan),
                    };
                }
                Ok(now) => found = now,
                Err(blind) => return Self::blind(&blind, plan),
            }
        }
    }

    /// What a request has to do about whose key nothing can be said.
    pub(crate) fn blind(blind: &Blind, plan: &IdempotencyPlan) -> Verdict {
        match (blind, plan.settings().when_lost) {
            // The fence layer will find it lost too, and counts it.
            (Blind::Lost(_), WhenLost::Open) => Verdict::Pass,
            (Blind::Lost(error), WhenLost::Closed) => {
                plan.metrics().results.lost_closed.inc();
                Verdict::Refuse(refuse::lost(error))
            }
            (Blind::Unreadable(error), _) => {
                plan.metrics().results.lost_closed.inc();
                Verdict::Refuse(refuse::unreadable(error))
            }
        }
    }
}

fn tag(found: Option<&Found>) -> Option<sluicegate_store::Tag> {
    found.map(|found| found.record.tag)
}

/// Whether its holder lives: a record may keep its tag and lose its holder.
fn runs(found: Option<&Found>) -> bool {
    found.is_some_and(|found| found.record.holder == sluicegate_store::Holder::Alive)
}

/// The pauses between looks.
struct Pause {
    /// None where every end is heard in this process.
    next: Option<Duration>,
}

impl Pause {
    fn new(shared: bool) -> Self {
        Self { next: shared.then_some(PAUSES.0) }
    }

    /// When to look again: after between half a pause and a whole one, at `until` at the latest.
    fn next(&mut self, chance: &Chance, until: Instant) -> Instant {
        let Some(pause) = self.next else { return until };
        self.next = Some(PAUSES.1.min(pause * 2));
        let half = pause / 2;
        let spread = chance.below(u64::try_from(half.as_micros()).unwrap_or(0) + 1);
        until.min(Instant::now() + half + Duration::from_micros(spread))
    }
}
