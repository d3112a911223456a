//! Wall-clock time that is passed in.
//!
//! Durations and deadlines use `tokio::time`, which a test can pause. What an operator
//! writes down (a window's start, a freeze's end) is wall-clock time; it comes from a
//! [`Clock`], so that a paused test moves both together.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Where the present wall-clock time comes from.
#[derive(Clone, Debug, Default)]
pub struct Clock(Source);

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    System,
    Simulated {
        wall: SystemTime,
        since: Instant,
    },
}

impl Clock {
    /// The system's clock.
    #[must_use]
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that shows `start` now and moves with `tokio::time`, paused or not.
    #[must_use]
    pub fn simulated(start: SystemTime) -> Self {
        Self(Source::Simulated { wall: start, since: Instant::now() })
    }

    /// The present time.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        match &self.0 {
            Source::System => SystemTime::now(),
            Source::Simulated { wall, since } => *wall + since.elapsed(),
        }
    }

    /// How long until `then`; zero when it has passed.
    #[must_use]
    pub fn until(&self, then: SystemTime) -> Duration {
        then.duration_since(self.now()).unwrap_or_default()
    }

    /// The present time in milliseconds since 1970, for logs and counters.
    #[must_use]
    pub fn unix_millis(&self) -> u64 {
        let since = self.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::{Clock, Duration, UNIX_EPOCH};

    #[tokio::test(start_paused = true)]
    async fn a_simulated_clock_moves_with_paused_time() {
        let clock = Clock::simulated(UNIX_EPOCH + Duration::from_secs(100));
        let end = clock.now() + Duration::from_secs(30);
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(clock.until(end), Duration::from_secs(20));
        assert_eq!(clock.unix_millis(), 110_000);
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(clock.until(end), Duration::ZERO);
    }
}
