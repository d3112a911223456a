//! The backfill: applies what is kept, once writes go through again.
//!
//! One task per gateway, off the request path. It claims the heads of lines, as many as its
//! pace and its number at one time allow, and gives each to a worker, which sends it and
//! settles it. Claims are exclusive, so that several gateways over one store share the work.
//!
//! | it waits | until |
//! |---|---|
//! | all is frozen, or the thaw is young | the freeze is drained and the soak over |
//! | an operator paused it | it is resumed |
//! | one outcome after the other is unknown | a pause, longer each time, is over: an upstream that is ill must not put every line in doubt |
//! | the store cannot be used | it can |
//!
//! An intent that a freeze covers while others are not is put back where it stood, and left
//! alone until that freeze is over.
//!
//! Nothing here is lost when the task is dropped at any point: what was claimed is found
//! abandoned by the next one.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use sluicegate_store::{Entry, EntryId, EntryState, StoreError, Tag};
use tokio::{task::JoinSet, time::Instant};

use crate::{
    home::{Home, Intents},
    outcome,
    outside::{Freezer, Runner},
};

mod held;
mod pace;
mod sweep;
mod worker;

use held::Held;
use pace::Pace;
use worker::Finished;

/// How often the store is looked at when nothing calls for it.
const LOOK: Duration = Duration::from_secs(1);

/// So many unknown outcomes in a row per intent at one time, and the backfill rests.
const UNKNOWN_IN_A_ROW: usize = 2;

impl Intents {
    /// The backfill. Spawn it once, on a runtime that does not serve requests; it ends only
    /// when it is dropped.
    pub fn run(
        &self,
        freezer: impl Freezer,
        runner: impl Runner,
    ) -> impl Future<Output = Infallible> + Send + 'static {
        let backfill = Backfiller {
            home: self.0.clone(),
            freezer: Arc::new(freezer),
            runner: Arc::new(runner),
            workers: JoinSet::new(),
            pace: Pace::new(),
            asked: Vec::new(),
            held: HashMap::new(),
            unknown: 0,
            looked: None,
        };
        backfill.run()
    }
}

struct Backfiller<F, R> {
    home: Arc<Home>,
    freezer: Arc<F>,
    runner: Arc<R>,
    workers: JoinSet<Finished>,
    pace: Pace,
    /// The tags of a claim that was not answered: it may have been made, so it is asked for
    /// again in the same words.
    asked: Vec<Tag>,
    held: HashMap<EntryId, Held>,
    /// Unknown outcomes in a row.
    unknown: usize,
    looked: Option<Instant>,
}

impl<F, R> Drop for Backfiller<F, R> {
    fn drop(&mut self) {
        // What it asked for and never heard of is found abandoned later.
        self.home.claimed();
    }
}

impl<F: Freezer, R: Runner> Backfiller<F, R> {
    async fn run(mut self) -> Infallible {
        // What a former run in this process had in flight went with it.
        self.home.in_flight.lock().clear();
        let home = self.home.clone();
        tokio::select! {
            never = keep_alive(&home) => never,
            never = self.work() => never,
        }
    }

    async fn work(&mut self) -> Infallible {
        loop {
            let wait = match self.round().await {
                Ok(wait) => wait,
                Err(error) => {
                    self.home.failed(&error);
                    self.looked = None;
                    LOOK
                }
            };
            let wake = async {
                tokio::select! {
                    () = self.home.wake.notified() => {}
                    () = self.freezer.changed() => {}
                }
            };
            tokio::select! {
                Some(finished) = self.workers.join_next() => self.finished(finished.ok()),
                () = wake => {}
                () = tokio::time::sleep(wait) => {}
            }
            while let Some(finished) = self.workers.try_join_next() {
                self.finished(finished.ok());
            }
        }
    }

    /// One look at everything; says how long until the next is worth it.
    async fn round(&mut self) -> Result<Duration, StoreError> {
        let now = Instant::now();
        if self.looked.is_none_or(|at| now.saturating_duration_since(at) >= LOOK) {
            self.home.look().await?;
            self.home.sweep().await?;
            self.looked = Some(now);
        }
        self.let_go().await?;
        let setup = self.home.setup.load_full();
        let soaked = self.freezer.earliest().map(|opened| opened + setup.settings.soak);
        let waits = {
            let mut seen = self.home.seen.lock();
            seen.soaking_until = soaked.filter(|until| *until > now);
            seen.resting_until = seen.resting_until.filter(|until| *until > now);
            let until = seen.soaking_until.max(seen.resting_until);
            match (soaked, &seen.paused, until) {
                (None, ..) | (_, Some(_), _) => Some(LOOK),
                (_, _, Some(until)) => Some((until - now).min(LOOK)),
                _ => None,
            }
        };
        // A claim that was not answered may have been made: it is never left alone.
        if self.asked.is_empty()
            && let Some(wait) = waits
        {
            return Ok(wait);
        }
        self.claim(setup.settings.backfill.rps, setup.settings.backfill.concurrent).await
    }

    /// Takes up as many heads of lines as may be applied now.
    async fn claim(&mut self, rps: f64, concurrent: usize) -> Result<Duration, StoreError> {
        if self.asked.is_empty() {
            let free = concurrent.saturating_sub(self.workers.len());
            if free == 0 {
                return Ok(LOOK);
            }
            let allowed = self.pace.allowed(rps, free);
            if allowed == 0 {
                return Ok(self.pace.next(rps));
            }
            self.home.claiming.store(true, Ordering::SeqCst);
            if self.home.stopped.load(Ordering::SeqCst) {
                self.home.claimed();
                return Ok(LOOK);
            }
            self.asked = (0..allowed).map(|_| Tag::draw(&self.home.chance)).collect();
        }
        let entries = self.home.store.claim(self.asked.clone()).await?;
        let all = entries.len() == self.asked.len();
        self.asked.clear();
        for entry in entries {
            self.pace.took(rps);
            self.take_up(entry);
        }
        self.home.claimed();
        // More may be due, or else what comes in, ends or thaws wakes this; a pause that is
        // over is seen within a look.
        Ok(if all { self.pace.next(rps).min(LOOK) } else { LOOK })
    }

    fn take_up(&mut self, entry: Entry) {
        self.held.remove(&entry.id);
        self.home.in_flight.lock().insert(entry.id, entry.tag);
        let (home, freezer, runner) = (self.home.clone(), self.freezer.clone(), self.runner.clone());
        self.workers.spawn(async move { worker::work(&home, &*freezer, &*runner, entry).await });
    }

    /// What a worker has left behind; none where it panicked, whose claim is then swept up.
    fn finished(&mut self, finished: Option<Finished>) {
        let Some(finished) = finished else { return };
        let home = &self.home;
        if !finished.sent {
            self.pace.refund(home.setup.load().settings.backfill.rps);
        }
        if let Some(held) = finished.held {
            self.held.insert(finished.id, held);
        }
        if finished.unknown {
            self.unknown += 1;
            let settings = home.setup.load().settings.clone();
            let most = UNKNOWN_IN_A_ROW * settings.backfill.concurrent;
            if let Some(past) = self.unknown.checked_sub(most) {
                let times = u32::try_from(past + 1).unwrap_or(u32::MAX);
                let pause =
                    outcome::pause(settings.backfill.base, settings.backfill.cap, times, &home.chance);
                home.seen.lock().resting_until = Some(Instant::now() + pause);
            }
        } else if finished.sent {
            self.unknown = 0;
            home.seen.lock().resting_until = None;
        }
    }

    /// Lets go of what was held back by a freeze that is over.
    async fn let_go(&mut self) -> Result<(), StoreError> {
        if self.held.is_empty() {
            return Ok(());
        }
        let (now, soak) = (Instant::now(), self.home.setup.load().settings.soak);
        let freezer = &*self.freezer;
        self.held.retain(|_, held| held.until > now);
        let open: Vec<EntryId> = self
            .held
            .iter()
            .filter(|(_, held)| held.is_open(freezer, soak, now))
            .map(|(id, _)| *id)
            .collect();
        for id in open {
            if let Some(held) = self.held.get(&id) {
                held.let_go(&self.home, id).await?;
            }
            self.held.remove(&id);
        }
        Ok(())
    }
}

/// Tells the store that what is in flight is still being worked on.
async fn keep_alive(home: &Home) -> Infallible {
    let Some(lease) = home.store.lease() else { return std::future::pending().await };
    let mut beats = tokio::time::interval(lease / 3);
    beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        beats.tick().await;
        let held: Vec<(EntryId, Tag)> = home.in_flight.lock().iter().map(|(id, tag)| (*id, *tag)).collect();
        if held.is_empty() {
            continue;
        }
        match home.store.beat_entries(held).await {
            Ok(alive) => {
                // The attempt is out already; what it comes to is told, or refused, when it
                // is settled.
                let lost = alive.iter().filter(|alive| !**alive).count();
                if lost > 0 {
                    tracing::debug!(lost, "claims were given up by others");
                }
            }
            Err(error) => home.failed(&error),
        }
    }
}

impl Home {
    /// Looks at how many stand where, and whether an operator paused the backfill.
    async fn look(&self) -> Result<(), StoreError> {
        let before = self.quiet.before();
        let tally = self.store.tally().await?;
        self.quiet.tallied(before, tally.open());
        let paused = self.paused().await?;
        let mut seen = self.seen.lock();
        seen.tally = tally;
        seen.paused = paused;
        Ok(())
    }

    /// No claim is asked for any more.
    fn claimed(&self) {
        self.claiming.store(false, Ordering::SeqCst);
        if self.is_idle() {
            self.idle.notify_waiters();
        }
    }

    /// What is in flight here no longer.
    fn settled(&self, id: EntryId) {
        self.in_flight.lock().remove(&id);
        if self.is_idle() {
            self.idle.notify_waiters();
        }
    }

    /// Whether more is being applied than this process knows of.
    fn others_apply(&self) -> bool {
        let applying = self.seen.lock().tally.of(EntryState::Applying);
        applying > self.in_flight.lock().len() as u64
    }
}

#[cfg(test)]
mod tests;
