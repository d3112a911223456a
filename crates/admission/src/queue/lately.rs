//! Whether interactive requests have come lately, to a route or to all that share an upstream, which is when batch leaves places for them.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use tokio::time::Instant;

/// For how long after an interactive request batch leaves places for the next.
const LATELY: Duration = Duration::from_secs(1);

/// How exactly the last is known, in milliseconds. Written down ten times a second at most, so
/// that workers do not fight for it.
const EXACTLY: u64 = 100;

/// When an interactive request last came.
#[derive(Debug)]
pub(in crate::queue) struct Lately {
    origin: Instant,
    /// In milliseconds since the origin, plus one; 0 for never.
    seen: AtomicU64,
}

impl Lately {
    pub(in crate::queue) fn new() -> Self {
        Self { origin: Instant::now(), seen: AtomicU64::new(0) }
    }

    /// One comes.
    pub(in crate::queue) fn comes(&self, now: Instant) {
        let now = self.passed(now);
        let seen = self.seen.load(Relaxed);
        if seen == 0 || now.saturating_sub(seen) >= EXACTLY {
            self.seen.store(now, Relaxed);
        }
    }

    /// Whether one has come lately.
    pub(in crate::queue) fn came(&self, now: Instant) -> bool {
        let seen = self.seen.load(Relaxed);
        seen > 0 && u128::from(self.passed(now).saturating_sub(seen)) < LATELY.as_millis()
    }

    fn passed(&self, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.origin).as_millis();
        u64::try_from(passed).unwrap_or(u64::MAX).saturating_add(1)
    }
}
