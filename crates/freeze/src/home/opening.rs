//! Since when writes go through again: what a backfill asks before it applies what was kept.
//!
//! A freeze that has ended does not open the way at once. Where it was lifted before it was
//! drained, writes from before it may still be running, and what was kept during it must come
//! after them. So each freeze that has ended is kept in mind, with the writes that it was
//! still waiting for: those that it covers and whose requests came before it began.

use std::sync::Arc;

use parking_lot::Mutex;
use sluicegate_core::Leads;
use tokio::time::Instant;

use super::{Freezes, Home};
use crate::{
    flight::Flight,
    view::{Active, View},
};

/// So many freezes that have ended are told apart; of older ones the last end counts for all.
const REMEMBERED: usize = 64;

/// The freezes that have ended.
#[derive(Debug)]
pub(crate) struct Opening(Mutex<Ends>);

#[derive(Debug)]
struct Ends {
    /// From here on everything is open that no freeze below covers.
    opened: Instant,
    /// The freezes that were on at the last look.
    seen: Vec<Arc<Active>>,
    ended: Vec<Ended>,
}

#[derive(Debug)]
struct Ended {
    active: Arc<Active>,
    at: Instant,
    drained: bool,
}

impl Opening {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Ends { opened: Instant::now(), seen: Vec::new(), ended: Vec::new() }))
    }
}

impl Ends {
    /// Notes which freezes have ended since the last look.
    fn look(&mut self, view: &View) {
        let same = |one: &Active, other: &Active| Arc::ptr_eq(&one.tally, &other.tally);
        let gone = |active: &Arc<Active>| !view.active.iter().any(|now| same(active, now));
        for active in self.seen.drain(..).filter(|active| gone(active)) {
            let drained = active.drained_at.is_some();
            self.ended.push(Ended { active, at: Instant::now(), drained });
        }
        self.seen.extend(view.active.iter().cloned());
        while self.ended.len() > REMEMBERED {
            self.opened = self.opened.max(self.ended.remove(0).at);
        }
    }
}

impl Freezes {
    /// Since when writes of this route and tenant to these upstreams go through; none while a freeze
    /// covers them, and while one that covered them has ended and writes from before it still
    /// run. In a process that has seen no freeze it is when the freezes were opened.
    #[must_use]
    pub fn open_since<'a>(
        &self,
        route: &str,
        upstreams: impl Into<Leads<'a>>,
        tenant: Option<&str>,
    ) -> Option<Instant> {
        let (home, upstreams) = (&self.0, upstreams.into());
        let view = home.live().load_full();
        let mut ends = home.opening.0.lock();
        ends.look(&view);
        if view.covering(route, upstreams, tenant).next().is_some() {
            return None;
        }
        let mut since = ends.opened;
        for ended in &mut ends.ended {
            if ended.active.scope.covers(route, upstreams, tenant) {
                ended.drained |= !home.still_runs(&ended.active);
                if !ended.drained {
                    return None;
                }
                since = since.max(ended.at);
            }
        }
        Some(since)
    }

    /// The earliest that [`Freezes::open_since`] says of anything; none where everything is
    /// frozen.
    #[must_use]
    pub fn opens_earliest(&self) -> Option<Instant> {
        let view = self.0.live().load_full();
        let mut ends = self.0.opening.0.lock();
        ends.look(&view);
        if view.active.iter().any(|active| active.scope.is_everything()) {
            return None;
        }
        let of_all = ends.ended.iter().filter(|ended| ended.active.scope.is_everything());
        of_all.map(|ended| ended.at).chain([ends.opened]).max()
    }
}

impl Home {
    /// Notes the freezes that are on and those that have ended.
    pub(super) fn note_ends(&self, view: &View) {
        self.opening.0.lock().look(view);
    }

    /// Whether a write from before this freeze, which it covers, still runs.
    fn still_runs(&self, active: &Active) -> bool {
        let before =
            |flight: &Arc<Flight>| flight.is_covered(active) && flight.facts().received() <= active.started;
        let mut runs = false;
        self.barrier.survey(|shard| runs |= shard.inside.iter().any(before));
        runs
    }
}

#[cfg(test)]
mod tests {
    use sluicegate_core::Attempt;

    use crate::{
        FreezeOrder,
        testing::{advance, freezes, routes, write},
    };

    #[tokio::test(start_paused = true)]
    async fn what_was_frozen_is_open_since_the_thaw_and_what_was_not_since_the_start() {
        let freezes = freezes();
        let start = freezes.open_since("ingest", "stable", None).unwrap();
        let order = FreezeOrder { scope: routes(&["ingest"]), ..FreezeOrder::default() };
        freezes.put("reindex", order).await.unwrap();
        advance(1000).await;
        assert_eq!(freezes.open_since("ingest", "stable", None), None);
        assert_eq!(freezes.open_since("tools", "stable", None), Some(start));
        assert_eq!(freezes.opens_earliest(), Some(start));
        freezes.remove("reindex", None).await.unwrap();
        let thawed = freezes.open_since("ingest", "stable", None).unwrap();
        assert!(thawed >= start + std::time::Duration::from_secs(1));
        assert_eq!(freezes.open_since("tools", "stable", None), Some(start));
    }

    #[tokio::test(start_paused = true)]
    async fn while_everything_is_frozen_nothing_opens() {
        let freezes = freezes();
        freezes.put("all", FreezeOrder::default()).await.unwrap();
        assert_eq!(freezes.opens_earliest(), None);
        advance(1000).await;
        freezes.remove("all", None).await.unwrap();
        assert_eq!(freezes.opens_earliest(), freezes.open_since("ingest", "stable", None));
        assert!(freezes.opens_earliest().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_freeze_lifted_before_its_drain_opens_when_the_writes_before_it_have_ended() {
        let freezes = freezes();
        let (facts, old) = write(&freezes);
        advance(1).await;
        freezes.put("reindex", FreezeOrder::default()).await.unwrap();
        freezes.remove("reindex", None).await.unwrap();
        advance(1).await;
        let (_, newer) = write(&freezes);
        assert_eq!(freezes.open_since("ingest", "stable", None), None);
        Attempt::ended(facts.attempt());
        drop(old);
        assert!(freezes.open_since("ingest", "stable", None).is_some(), "it does not wait for newer ones");
        drop(newer);
    }
}
