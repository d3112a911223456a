//! One order for everything that happens in a test process.
//!
//! The upstream and the clients of a test run in one process, so a single counter can say
//! which of two events came first, without asking any clock.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::LIMIT;

/// A place in the order of events.
pub type Tick = u64;

static TICKS: AtomicU64 = AtomicU64::new(1);

/// The next place in the order of events. An event that happens after this call returns,
/// as seen by any thread, gets a higher one.
pub fn tick() -> Tick {
    TICKS.fetch_add(1, Ordering::SeqCst)
}

/// Microseconds since the first call in this process: a clock that both ends of a
/// connection share.
pub fn micros() -> u64 {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    u64::try_from(EPOCH.get_or_init(Instant::now).elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// Waits until `condition` holds and panics, naming `what`, when it has not after the limit.
pub async fn eventually(what: &str, condition: impl FnMut() -> bool) {
    assert!(within(LIMIT, condition).await, "never came true within {LIMIT:?}: {what}");
}

/// Waits until `count` has reached `goal`, however long that takes while it grows; panics,
/// naming `what`, when it has not grown for the limit.
pub async fn reaches(what: &str, goal: usize, mut count: impl AsyncFnMut() -> usize) {
    let (mut last, mut grown) = (count().await, Instant::now());
    while last < goal {
        let now = count().await;
        if now > last {
            (last, grown) = (now, Instant::now());
        }
        assert!(grown.elapsed() < LIMIT, "{what}: {last} of {goal}, and no more within {LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// As [`eventually`], for a condition that has to be asked for.
pub async fn comes_true(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !condition().await {
        assert!(Instant::now() < end, "never came true within {LIMIT:?}: {what}");
    }
}

/// Waits up to `limit` until `condition` holds and says whether it did.
pub async fn within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    while !condition() {
        if Instant::now() >= end {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    true
}
