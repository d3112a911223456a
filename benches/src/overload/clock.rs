//! A clock that all processes of the machine share.

use std::{thread, time::Duration};

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds since some moment that is the same for all processes.
#[must_use]
pub fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// The moment that is `later` than `moment`.
#[must_use]
pub fn after(moment: u64, later: Duration) -> u64 {
    moment.saturating_add(u64::try_from(later.as_nanos()).unwrap_or(u64::MAX))
}

/// How long it is from one moment to another; zero if it is the earlier one.
#[must_use]
pub const fn between(from: u64, to: u64) -> Duration {
    Duration::from_nanos(to.saturating_sub(from))
}

/// Blocks this thread until then. Timers of the runtime count in milliseconds, which is too
/// coarse for what is measured here.
pub fn sleep_until(moment: u64) {
    thread::sleep(between(now(), moment));
}
