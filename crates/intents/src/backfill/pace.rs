//! So many per second.
//!
//! The next one is due `1/rps` after the one before. Ten milliseconds of it may be made up
//! for, since a timer is no finer than one; a longer lull is not: the upstream never sees a
//! burst.

use std::time::Duration;

use tokio::time::Instant;

const MADE_UP: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(super) struct Pace {
    due: Instant,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { due: Instant::now() }
    }

    /// How many may be taken now, at most `most`.
    pub(super) fn allowed(&mut self, rps: f64, most: usize) -> usize {
        let now = Instant::now();
        // A pace that was slower until a moment ago does not hold up the present one.
        self.due = self.due.min(now + step(rps));
        if let Some(earliest) = now.checked_sub(MADE_UP) {
            self.due = self.due.max(earliest);
        }
        let Some(late) = now.checked_duration_since(self.due) else { return 0 };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        // Casts saturate; neither is negative.
        let more = (late.as_secs_f64() * rps) as usize;
        more.saturating_add(1).min(most)
    }

    /// One was taken.
    pub(super) fn took(&mut self, rps: f64) {
        self.due += step(rps);
    }

    /// One that was taken was not sent.
    pub(super) fn refund(&mut self, rps: f64) {
        self.due = self.due.checked_sub(step(rps)).unwrap_or(self.due);
    }

    /// How long until the next may be taken.
    pub(super) fn next(&self, rps: f64) -> Duration {
        self.due.saturating_duration_since(Instant::now()).min(step(rps))
    }
}

fn step(rps: f64) -> Duration {
    // A rate is checked to be above 0; one below a per-day rate is no slower than that.
    Duration::try_from_secs_f64(1.0 / rps).unwrap_or(Duration::MAX).min(Duration::from_secs(86_400))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Pace;

    async fn advance(millis: u64) {
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn one_comes_after_the_other_and_a_lull_is_not_made_up_for() {
        let mut pace = Pace::new();
        assert_eq!(pace.allowed(20.0, 4), 1);
        pace.took(20.0);
        assert_eq!(pace.allowed(20.0, 4), 0);
        assert_eq!(pace.next(20.0), Duration::from_millis(50));
        advance(50).await;
        assert_eq!(pace.allowed(20.0, 4), 1);
        advance(10_000).await;
        assert_eq!(pace.allowed(20.0, 4), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_fast_pace_is_kept_over_a_coarse_timer() {
        let mut pace = Pace::new();
        let mut taken = 0;
        for _ in 0..1000 {
            for _ in 0..pace.allowed(5000.0, 64) {
                pace.took(5000.0);
                taken += 1;
            }
            advance(1).await;
        }
        assert!((4990..=5060).contains(&taken), "{taken}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_sent_is_given_back() {
        let mut pace = Pace::new();
        pace.took(1.0);
        assert_eq!(pace.allowed(1.0, 4), 0);
        pace.refund(1.0);
        assert_eq!(pace.allowed(1.0, 4), 1);
    }
}
