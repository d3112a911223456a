//! How fast a queue is served: the mean time between two hand-overs.
//!
//! Only time in which somebody waits counts, so that a quiet route does not look like a slow
//! one. A finished measure is [`BATCH`] hand-overs; one that is stale tells nothing.

use std::time::Duration;

use tokio::time::Instant;

/// Hand-overs per measure: few enough to follow a change within the time of 16 releases, many
/// enough that the mean of exponential gaps is within a factor of 2 of the truth in 99.7%
/// of the measures (Erlang distribution, k = 16).
const BATCH: u32 = 16;

/// How long a finished measure is believed.
const FRESH: Duration = Duration::from_secs(2);

/// The pace of one queue; `begin` and `rest` tell it when somebody waits and when nobody does.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// Since when somebody waits.
    since: Option<Instant>,
    /// When the present measure began.
    mark: Option<Instant>,
    handed: u32,
    last: Option<(Instant, Duration)>,
}

impl Pace {
    /// Somebody waits, from now on.
    pub(super) fn begin(&mut self, now: Instant) {
        if self.since.is_none() {
            (self.since, self.mark, self.handed) = (Some(now), Some(now), 0);
        }
    }

    /// Nobody waits.
    pub(super) fn rest(&mut self) {
        (self.since, self.mark, self.handed) = (None, None, 0);
    }

    /// One was handed over.
    pub(super) fn handed(&mut self, now: Instant) {
        let Some(mark) = self.mark else { return };
        self.handed += 1;
        if self.handed == BATCH {
            self.last = Some((now, now.saturating_duration_since(mark) / BATCH));
            (self.mark, self.handed) = (Some(now), 0);
        }
    }

    /// Whether somebody has waited at every moment of the last `span`.
    pub(super) fn stands(&self, now: Instant, span: Duration) -> bool {
        self.since.is_some_and(|since| now.saturating_duration_since(since) >= span)
    }

    /// The time per hand-over as measured over a whole batch, of late; longer where the present
    /// measure already shows that it is longer.
    pub(super) fn measured(&self, now: Instant) -> Option<Duration> {
        let running = self.mark.map(|mark| now.saturating_duration_since(mark) / (self.handed + 1));
        let (at, last) = self.last?;
        let fresh = now.saturating_duration_since(at) <= FRESH.max(last * BATCH * 2);
        fresh.then(|| last.max(running.unwrap_or_default()))
    }

    /// A guess at the time per hand-over while somebody waits, from whatever there is.
    pub(super) fn guessed(&self, now: Instant) -> Option<Duration> {
        let mark = self.mark?;
        let running = now.saturating_duration_since(mark) / (self.handed + 1);
        match self.last {
            Some((_, last)) => Some(last.max(running)),
            None => (self.handed > 0).then_some(running),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Pace;

    const TENTH: Duration = Duration::from_millis(100);

    #[test]
    fn a_pace_is_known_after_a_whole_batch_and_forgotten_when_it_is_old() {
        let start = Instant::now();
        let mut pace = Pace::default();
        pace.begin(start);
        for n in 1..=15 {
            pace.handed(start + TENTH * n);
        }
        assert_eq!(pace.measured(start + TENTH * 15), None);
        pace.handed(start + TENTH * 16);
        assert_eq!(pace.measured(start + TENTH * 16), Some(TENTH));
        pace.rest();
        assert_eq!(pace.measured(start + TENTH * 16 + Duration::from_secs(3)), Some(TENTH));
        assert_eq!(pace.measured(start + TENTH * 16 + Duration::from_secs(4)), None);
    }

    #[test]
    fn time_without_waiters_does_not_count_and_a_stall_shows_at_once() {
        let start = Instant::now();
        let mut pace = Pace::default();
        pace.begin(start);
        for n in 1..=16 {
            pace.handed(start + TENTH * n);
        }
        pace.rest();
        let later = start + Duration::from_secs(3);
        pace.begin(later);
        assert_eq!(pace.measured(later), Some(TENTH));
        assert_eq!(pace.measured(later + Duration::from_secs(1)), Some(Duration::from_secs(1)));
        assert!(pace.stands(later + TENTH, TENTH) && !pace.stands(later + TENTH / 2, TENTH));
    }
}
