//! The task that takes spans out of the queue and has them carried.

use std::time::Duration;

use sluicegate_core::span::Span;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, timeout, timeout_at},
};

use crate::{
    carrier::{Carrier, Undelivered, Why},
    metrics::Metrics,
};

/// Spans of one batch: what collectors take at once, at a few KiB each.
const BATCH: usize = 512;

/// How long a span waits for others to go with it.
const LINGER: Duration = Duration::from_secs(1);

/// The pauses before a batch is sent again.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];

/// A collector may ask for longer ones, up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

pub(crate) struct Exporter {
    pub(crate) waiting: mpsc::Receiver<Span>,
    pub(crate) carrier: Box<dyn Carrier>,
    /// True from when the gateway stops.
    pub(crate) closing: watch::Receiver<bool>,
    pub(crate) metrics: Metrics,
    pub(crate) timeout: Duration,
    /// Whether the last batch was not taken.
    pub(crate) is_away: bool,
}

impl Exporter {
    /// Sends until nobody can hand over any more, or the gateway stops.
    pub(crate) async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut closing = self.closing.clone();
        loop {
            let is_over = tokio::select! {
                any = self.gather(&mut batch) => !any,
                _ = closing.wait_for(|closing| *closing) => break,
            };
            if is_over {
                return;
            }
            self.deliver(&batch).await;
            batch.clear();
        }
        // From here on nothing comes in any more; what did is sent, as long as it is taken.
        self.waiting.close();
        loop {
            while batch.len() < BATCH
                && let Ok(span) = self.waiting.try_recv()
            {
                batch.push(span);
            }
            if batch.is_empty() {
                return;
            }
            self.deliver(&batch).await;
            batch.clear();
        }
    }

    /// Takes a batch out of the queue. False where there will be none.
    async fn gather(&mut self, batch: &mut Vec<Span>) -> bool {
        if batch.is_empty() && self.waiting.recv_many(batch, BATCH).await == 0 {
            return false;
        }
        let until = Instant::now() + LINGER;
        while batch.len() < BATCH {
            let room = BATCH - batch.len();
            match timeout_at(until, self.waiting.recv_many(batch, room)).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => break,
            }
        }
        true
    }

    /// Has a batch carried, again where that may help; counts what became of it.
    async fn deliver(&mut self, batch: &[Span]) {
        let count = batch.len() as u64;
        let mut pauses = PAUSES.into_iter();
        loop {
            let failed = match timeout(self.timeout, self.carrier.carry(batch)).await {
                Ok(Ok(unwanted)) => {
                    let unwanted = unwanted.min(count);
                    self.metrics.sent.inc_by(count - unwanted);
                    self.metrics.dropped(Why::Refused, unwanted);
                    if std::mem::take(&mut self.is_away) {
                        tracing::info!("the collector takes spans again");
                    }
                    return;
                }
                Ok(Err(failed)) => failed,
                Err(_) => Undelivered {
                    why: Why::Timeout,
                    words: format!("no answer within {:?}", self.timeout),
                    passes: true,
                    after: None,
                },
            };
            // Said once per outage; each batch would say the same.
            if !std::mem::replace(&mut self.is_away, true) {
                tracing::warn!(
                    reason = failed.words,
                    "the collector of `telemetry.otlp` does not take spans; they are lost until it does"
                );
            }
            let pause = if failed.passes && !*self.closing.borrow() { pauses.next() } else { None };
            let Some(pause) = pause else {
                self.metrics.dropped(failed.why, count);
                return;
            };
            let pause = pause.max(failed.after.unwrap_or_default().min(LONGEST_PAUSE));
            tokio::select! {
                () = sleep(pause) => {}
                _ = self.closing.wait_for(|closing| *closing) => {}
            }
        }
    }
}
