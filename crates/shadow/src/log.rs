//! The log: a line of JSON for each differing pair, in a file of its own.
//!
//! ```json
//! {"route":"search","to":"lab","at":"2026-03-01T12:00:00Z","against":"shadow",
//!  "request":{"method":"GET","path":"/search","id":"...","hash":"...","shadow_id":"..."},
//!  "primary":{"status":200,"took":0.031,"bytes":512},
//!  "copy":{"answered":{"status":200,"took":0.04,"bytes":498}},
//!  "classes":["ids"],"comparison":{"differences":[...],"more":0,"ids":{...}}}
//! ```
//!
//! (on one line). A copy without an answer has `"copy":{"failed":"timeout"}` and no `comparison`;
//! `against` is `own` for a pair of the route's own upstream.
//!
//! Lines go through a bounded queue to a thread, which writes them one by one. Who hands a line
//! over never waits: past [`MOST_LINES`] or [`MOST_BYTES`] it is counted as dropped. No file is
//! larger than `max_size` and there are at most `files`: `path`, and before it `path.1`,
//! `path.2` and so on. What is no regular file, such as `/dev/stdout`, is not rotated.
//!
//! A line that cannot be written is counted as failed and told in the gateway's log, at most
//! once a minute. With the next line all is tried again, so that the log heals when the disk has
//! room again or its directory is back; a file that was moved away or removed by others is made
//! anew before the next line. Half a line never has another one behind it. Lines are handed to
//! the system and not synced to disk.
//!
//! When the gateway ends, what is queued is written; a disk that hangs is given up after
//! [`LAST_WAIT`].

use std::{path::PathBuf, sync::Arc, thread, time::Duration};

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod file;
mod queue;
mod writer;

use queue::{Order, Queue};
use writer::Writer;

pub use queue::{MOST_BYTES, MOST_LINES};

/// How long a log that is dropped waits for its last lines to be written.
pub const LAST_WAIT: Duration = Duration::from_secs(2);

/// Where a log is, and how large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// The file.
    pub path: PathBuf,
    /// The size in bytes that no file exceeds.
    pub max_size: u64,
    /// How many files there are at most, with the one that is written to; at least 1.
    pub files: u32,
}

/// What became of a log's lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogReport {
    /// The file.
    pub path: PathBuf,
    /// Lines that were written.
    pub written: u64,
    /// Lines that were not, as too many were waiting.
    pub dropped: u64,
    /// Lines that were not, as the file could not be written.
    pub failed: u64,
    /// How often the file was put aside because it was full.
    pub rotations: u64,
    /// Why the last line could not be written; null where it was.
    pub error: Option<String>,
}

/// What the log's owner and its thread share.
#[derive(Debug)]
struct Shared {
    queue: Queue,
    report: Mutex<LogReport>,
}

/// A log. Dropping it writes what is queued.
#[derive(Debug)]
pub struct Log {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Log {
    /// Starts the thread; the file is opened with the first line.
    #[must_use]
    pub fn new(settings: LogSettings) -> Self {
        let report = LogReport { path: settings.path.clone(), ..LogReport::default() };
        let shared = Arc::new(Shared { queue: Queue::default(), report: Mutex::new(report) });
        let of_thread = shared.clone();
        let started = thread::Builder::new().name("shadow-log".to_owned()).spawn(move || {
            let _ended = Ended(&of_thread.queue);
            Writer::new(settings, &of_thread).run();
        });
        let thread = match started {
            Ok(thread) => Some(thread),
            Err(error) => {
                shared.queue.close();
                let reason = format!("cannot start a thread for the shadow log: {error}");
                tracing::error!("{reason}; nothing is written there");
                shared.report.lock().error = Some(reason);
                None
            }
        };
        Self { shared, thread }
    }

    /// Hands a line over (without a line break) and returns at once.
    pub fn write(&self, line: String) {
        if !self.shared.queue.push(line) {
            self.shared.report.lock().dropped += 1;
        }
    }

    /// Moves to other settings, after all lines that were handed over before.
    pub fn set(&self, settings: LogSettings) {
        self.shared.queue.order(Order::Set(settings));
    }

    /// Lets the file be opened anew, after all lines that were handed over before.
    pub fn reopen(&self) {
        self.shared.queue.order(Order::Reopen);
    }

    /// What became of the lines.
    #[must_use]
    pub fn report(&self) -> LogReport {
        self.shared.report.lock().clone()
    }

    /// Ends the log without waiting for its last lines, which are written all the same.
    pub fn leave(mut self) {
        self.shared.queue.close();
        drop(self.thread.take());
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.shared.queue.close();
        let Some(thread) = self.thread.take() else { return };
        if self.shared.queue.wait_for_end(LAST_WAIT) {
            // It has nothing left to do; whether it panicked is of no more use.
            drop(thread.join());
        } else {
            let path = self.shared.report.lock().path.clone();
            tracing::error!("the shadow log {} hangs; its last lines are given up", path.display());
        }
    }
}

/// Tells that the thread is at its end, however it got there.
struct Ended<'a>(&'a Queue);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[cfg(test)]
mod tests;
