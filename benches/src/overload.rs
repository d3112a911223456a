//! Real overload: a service with a capacity, more work than that, and a proxy between.
//!
//! [`service`] is what is behind every proxy: so many places, a time that each request holds
//! one, and a queue without bounds for those that find none free, as most services have. What
//! it can do, `places / time`, is the capacity `C`. It is low on purpose: places are what runs
//! out, not the cores that all processes share.
//!
//! [`client`] sends requests when they are due, whether or not earlier ones were answered, and
//! times each from the moment it was due. A generator that waits for answers asks less of a
//! slow server than of a fast one, and then leaves out just the requests that would have been
//! slow (coordinated omission).
//!
//! Each [`phase`] begins calm, at half of `C`, then adds load for a while, then is calm again.
//! The same arrivals, drawn from the same seed, go to every one of the [`systems`]. [`tally`]
//! says what became of them, [`table`] prints it.

pub mod arrivals;
pub mod client;
pub mod clock;
pub mod phase;
pub mod service;
pub mod systems;
pub mod table;
pub mod tally;

use std::time::Duration;

/// What the service can do, and how long its clients want to wait.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Requests it works on at one time.
    pub places: u32,
    /// How long each holds its place, in the mean.
    pub holds: Duration,
    /// From the moment a request is due to the moment its answer is worthless.
    pub deadline: Duration,
}

impl Setting {
    /// Requests a second that it can serve.
    #[must_use]
    pub fn capacity(&self) -> f64 {
        f64::from(self.places) / self.holds.as_secs_f64()
    }

    /// As many as it serves in the time that a request may spend in a queue: the length of the
    /// queue for proxies that bound it by count.
    #[must_use]
    pub fn queue(&self) -> u32 {
        let served = u128::from(self.places) * PATIENCE.as_nanos() / self.holds.as_nanos().max(1);
        u32::try_from(served).unwrap_or(u32::MAX)
    }
}

/// How long a request may spend in a queue.
pub const PATIENCE: Duration = Duration::from_millis(200);

/// The path of the requests that people wait for.
pub const ASK: &str = "/v1/ask";
/// The path of those that jobs send.
pub const BULK: &str = "/v1/bulk";
/// Where the service tells its counts.
pub const COUNTS: &str = "/counts";

/// The field that says when a request was due, in nanoseconds of [`clock::now`].
pub const SENT: &str = "bench-sent";
/// The field that says when its answer is worthless, counted from when it was in fact sent.
pub const DUE: &str = "bench-due";
/// The answer's field that says how long the request was under way until a place took it, in
/// nanoseconds.
pub const WAITED: &str = "bench-waited";
