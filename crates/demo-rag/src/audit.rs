//! What arrived, kept so that a test can prove what did not.
//!
//! Every write is recorded when its head has been read, before its body and before any
//! delay, and is running until it ended: by its answer, or because its client went away and
//! the work was given up. Start, end and the count of running ones change under one lock, so
//! one look shows a state that was true at one moment. The last [`KEPT_WRITES`] are listed;
//! all are counted, and `last_started_ms` and `last_ended_ms` cover those no longer listed.
//!
//! Times are Unix milliseconds with a fraction, never going backwards within one instance.

mod requests;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use http::{StatusCode, request::Parts};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

pub(crate) use requests::{InFlight, Requests};
pub use requests::{RequestCounts, RouteCounts};

/// How many writes the list keeps.
pub const KEPT_WRITES: usize = 10_000;
/// The longest path, key or request id that is kept, in bytes; the rest is cut off.
const KEPT_TEXT: usize = 256;

/// One write, as it arrived.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WriteRecord {
    /// Its place in the order of arrival, from 1.
    pub seq: u64,
    /// The request method.
    pub method: String,
    /// The request path.
    pub path: String,
    /// Its `Idempotency-Key`.
    pub key: Option<String>,
    /// Its `X-Request-Id`.
    pub request_id: Option<String>,
    /// When its head had been read, in Unix milliseconds.
    pub started_ms: f64,
    /// When it ended; `None` while it runs.
    pub ended_ms: Option<f64>,
    /// The status of its answer; `None` where it runs or was given up.
    pub status: Option<u16>,
    /// Whether it changed the documents. An answer given again under a key is not applied.
    pub applied: bool,
}

/// A look at the writes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Writes {
    /// Writes that arrived since the start.
    pub count: u64,
    /// Those that were applied.
    pub applied: u64,
    /// Those that run now.
    pub running: u64,
    /// When the last one arrived, in Unix milliseconds.
    pub last_started_ms: Option<f64>,
    /// When one last ended.
    pub last_ended_ms: Option<f64>,
    /// The instance's clock at this look.
    pub now_ms: f64,
    /// The newest writes, oldest first.
    pub writes: Vec<WriteRecord>,
}

impl Writes {
    /// Whether no write arrived or ran after the given moment.
    #[must_use]
    pub fn quiet_since(&self, ms: f64) -> bool {
        let before = |last: Option<f64>| last.is_none_or(|at| at <= ms);
        self.running == 0 && before(self.last_started_ms) && before(self.last_ended_ms)
    }
}

/// The record of writes of one instance; clones share it.
#[derive(Clone, Debug)]
pub struct Audit(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    started: Instant,
    started_ms: f64,
    state: Mutex<State>,
}

/// The counts live in a look whose own list stays empty; the list is the ring beside it.
#[derive(Debug, Default)]
struct State {
    counts: Writes,
    ring: VecDeque<WriteRecord>,
}

impl Audit {
    pub(crate) fn new() -> Self {
        let started_ms =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64() * 1000.0);
        Self(Arc::new(Shared { started: Instant::now(), started_ms, state: Mutex::default() }))
    }

    /// The present time of this record, in Unix milliseconds.
    #[must_use]
    pub fn now_ms(&self) -> f64 {
        self.0.started_ms + self.0.started.elapsed().as_secs_f64() * 1000.0
    }

    /// The counts, and the newest writes whose `seq` is above `after`, at most `limit`.
    #[must_use]
    pub fn writes(&self, after: u64, limit: usize) -> Writes {
        let state = self.0.state.lock();
        let newer = state.ring.iter().filter(|write| write.seq > after).count();
        let skipped = state.ring.len() - newer.min(limit);
        Writes {
            now_ms: self.now_ms(),
            writes: state.ring.iter().skip(skipped).cloned().collect(),
            ..state.counts.clone()
        }
    }

    /// The counts alone.
    #[must_use]
    pub fn counts(&self) -> Writes {
        self.writes(u64::MAX, 0)
    }

    /// Records a write whose head has arrived.
    pub(crate) fn arrived(&self, head: &Parts) -> Ticket {
        let text = |name: &str| {
            head.headers.get(name).map(|value| short(&String::from_utf8_lossy(value.as_bytes())))
        };
        let mut record = WriteRecord {
            seq: 0,
            method: short(head.method.as_str()),
            path: short(head.uri.path()),
            key: text("idempotency-key"),
            request_id: text("x-request-id"),
            started_ms: 0.0,
            ended_ms: None,
            status: None,
            applied: false,
        };
        let mut state = self.0.state.lock();
        // Read under the lock: the order of `seq` is then the order of the times.
        let now = self.now_ms();
        state.counts.count += 1;
        state.counts.running += 1;
        state.counts.last_started_ms = Some(now);
        record.seq = state.counts.count;
        record.started_ms = now;
        if state.ring.len() == KEPT_WRITES {
            state.ring.pop_front();
        }
        let seq = record.seq;
        state.ring.push_back(record);
        Ticket { audit: self.clone(), seq, status: None }
    }
}

/// A running write. Dropping it ends the write.
#[derive(Debug)]
pub(crate) struct Ticket {
    audit: Audit,
    seq: u64,
    status: Option<u16>,
}

impl Ticket {
    /// Says that the documents have been changed.
    pub(crate) fn applied(&self) {
        let mut state = self.audit.0.state.lock();
        state.counts.applied += 1;
        if let Some(record) = state.record(self.seq) {
            record.applied = true;
        }
    }

    /// Ends it with an answer.
    pub(crate) fn end(mut self, status: StatusCode) {
        self.status = Some(status.as_u16());
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.audit.0.state.lock();
        let now = self.audit.now_ms();
        state.counts.running -= 1;
        state.counts.last_ended_ms = Some(now);
        let status = self.status;
        if let Some(record) = state.record(self.seq) {
            record.ended_ms = Some(now);
            record.status = status;
        }
    }
}

impl State {
    /// A write that is still listed; `seq` counts up by one, so its place is known.
    fn record(&mut self, seq: u64) -> Option<&mut WriteRecord> {
        let first = self.ring.front()?.seq;
        let place = usize::try_from(seq.checked_sub(first)?).ok()?;
        self.ring.get_mut(place)
    }
}

fn short(text: &str) -> String {
    let end = text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= KEPT_TEXT).last();
    text[..end.unwrap_or(0)].to_owned()
}

#[cfg(test)]
mod tests;
