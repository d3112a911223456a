//! What must happen by itself.

use std::{convert::Infallible, future::Future, sync::atomic::Ordering, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::{Fences, Home, late::Late};

/// How many attempts one beat speaks for.
const BEAT: usize = 500;
/// From one question for the store's usage to the next.
const USAGE: Duration = Duration::from_secs(5);
/// The pauses between tries to write ends down, from the first to the longest. They are short:
/// until an end is on record, a client that has its answer finds its key running.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));

impl Fences {
    /// The keeper. Spawn it once, off the request path; it ends only when it is dropped.
    pub fn run(&self) -> impl Future<Output = Infallible> + Send + 'static {
        let home = self.0.clone();
        async move {
            // Each of the three never ends.
            let (never, _, _) = tokio::join!(home.beats(), home.settles(), home.usage());
            never
        }
    }
}

impl Home {
    /// Says for all attempts that they live, three times in each lease.
    async fn beats(&self) -> Infallible {
        let Some(lease) = self.store.lease() else { return std::future::pending().await };
        let mut ticks = interval(lease / 3);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let held: Vec<_> = self.held.lock().iter().map(|(id, tag)| (*id, *tag)).collect();
            for part in held.chunks(BEAT) {
                match self.store.beat(part.to_vec()).await {
                    Ok(alive) => {
                        for ((id, tag), _) in part.iter().zip(alive).filter(|(_, alive)| !alive) {
                            self.lapsed(*id, *tag);
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the store did not hear that attempts are running");
                        break;
                    }
                }
            }
        }
    }

    /// An attempt is no longer taken to be alive. It is out already and goes on; if no newer
    /// one begins, its end will still be taken.
    fn lapsed(&self, id: sluicegate_store::RecordKey, tag: sluicegate_store::Tag) {
        // It may have ended while the beat was on its way.
        if self.held.lock().get(&id) == Some(&tag) {
            self.let_go(id, tag);
            self.metrics.lapsed.inc();
            tracing::warn!(key = ?id, "the lease of a running attempt has lapsed");
        }
    }

    /// Writes down what the store did not take at once.
    async fn settles(&self) -> Infallible {
        let mut waiting = self.late.subscribe();
        let (first, longest) = PAUSES;
        let mut pause = first;
        loop {
            let Some(Late { settle, held }) = self.late.next() else {
                // The sender lives in the home.
                drop(waiting.changed().await);
                continue;
            };
            match self.try_settle(settle).await {
                Ok(()) => {
                    pause = first;
                    self.metrics.settled_late.inc();
                    self.late.done();
                }
                Err(settle) => {
                    self.late.put_back(Late { settle, held });
                    let jitter = self.chance.below(u64::try_from(pause.as_millis()).unwrap_or(0) / 2);
                    sleep(pause + Duration::from_millis(jitter)).await;
                    pause = longest.min(pause * 2);
                }
            }
        }
    }

    async fn usage(&self) -> Infallible {
        loop {
            let asked = Instant::now();
            self.look_at_usage().await;
            tokio::time::sleep_until(asked + USAGE).await;
        }
    }

    /// Notes how much the store keeps, where it says so.
    pub(super) async fn look_at_usage(&self) {
        if let Ok((keys, bytes)) = self.store.usage().await {
            self.keys.store(keys, Ordering::Relaxed);
            self.bytes.store(bytes, Ordering::Relaxed);
        }
    }
}
