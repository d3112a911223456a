//! What became of the requests of some time.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use super::client::{End, Shot};

/// Requests of some time, by how they ended.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How long the time was.
    pub lasted: Duration,
    /// Requests that were due in it.
    pub offered: u64,
    /// Latencies of the good answers, sorted: 200 before the deadline, from when it was due.
    pub latencies: Vec<Duration>,
    /// How long requests waited before they were worked on, of all that were answered 200;
    /// sorted.
    pub waits: Vec<Duration>,
    /// Answers that are not 200, by status.
    pub refused: BTreeMap<u16, u64>,
    /// Answers 200 after the deadline.
    pub late: u64,
    /// Requests whose client left.
    pub gave_up: u64,
    /// Requests whose connection could not be made, or broke.
    pub broke: u64,
}

impl Tally {
    /// Counts these.
    pub fn of<'a>(shots: impl IntoIterator<Item = &'a Shot>, lasted: Duration, deadline: Duration) -> Self {
        let mut tally = Self { lasted, ..Self::default() };
        for shot in shots {
            tally.offered += 1;
            match shot.end {
                End::Answered { status: 200, after, waited } => {
                    tally.waits.extend(waited);
                    if after <= deadline {
                        tally.latencies.push(after);
                    } else {
                        tally.late += 1;
                    }
                }
                End::Answered { status, .. } => *tally.refused.entry(status).or_default() += 1,
                End::GaveUp => tally.gave_up += 1,
                End::Broke => tally.broke += 1,
            }
        }
        tally.latencies.sort_unstable();
        tally.waits.sort_unstable();
        tally
    }

    /// So many, per second.
    #[must_use]
    pub fn rate(&self, count: u64) -> f64 {
        count as f64 / self.lasted.as_secs_f64()
    }

    /// Good answers.
    #[must_use]
    pub const fn good(&self) -> u64 {
        self.latencies.len() as u64
    }
}

/// The value that `percent` of 100 do not pass; zero of none.
#[must_use]
pub fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// Latency is looked at over windows of this length.
const WINDOW: Duration = Duration::from_millis(250);

/// How long it took from the start of `after` until the 95th percentile of a window, and of the
/// next, was back within 15% or 10 ms of `unloaded`. What was not answered in time counts as
/// having taken for ever. Told is the end of the window, so never less than one.
#[must_use]
pub fn recovery(
    shots: &[Shot],
    after: Range<Duration>,
    unloaded: Duration,
    deadline: Duration,
) -> Option<Duration> {
    let bound = unloaded.mul_f64(1.15).max(unloaded + Duration::from_millis(10));
    let window = |at: Duration| {
        usize::try_from(at.saturating_sub(after.start).as_millis() / WINDOW.as_millis()).unwrap_or(usize::MAX)
    };
    let mut latencies = vec![Vec::new(); window(after.end)];
    for shot in shots.iter().filter(|shot| after.contains(&shot.at)) {
        let took = match shot.end {
            End::Answered { status: 200, after, .. } if after <= deadline => after,
            _ => Duration::MAX,
        };
        if let Some(window) = latencies.get_mut(window(shot.at)) {
            window.push(took);
        }
    }
    let good: Vec<bool> = latencies
        .into_iter()
        .map(|mut window| {
            window.sort_unstable();
            !window.is_empty() && percentile(&window, 95) <= bound
        })
        .collect();
    let first = good.windows(2).position(|two| two[0] && two[1])?;
    Some(WINDOW * (u32::try_from(first).unwrap_or(u32::MAX).saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use sluicegate_core::Lane;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(1);

    fn shot(at: u64, end: End) -> Shot {
        Shot { at: Duration::from_millis(at), lane: Lane::Interactive, end }
    }

    fn answered(status: u16, after: u64) -> End {
        End::Answered { status, after: Duration::from_millis(after), waited: None }
    }

    #[test]
    fn each_request_is_counted_once_as_what_it_is() {
        let ends = [answered(200, 1000), answered(200, 1001), answered(503, 1), End::GaveUp, End::Broke];
        let shots = ends.map(|end| shot(0, end));
        let tally = Tally::of(&shots, 2 * DEADLINE, DEADLINE);
        assert_eq!((tally.offered, tally.good(), tally.late), (5, 1, 1));
        assert_eq!((tally.gave_up, tally.broke, tally.refused[&503]), (1, 1, 1));
        assert!((tally.rate(5) - 2.5).abs() < 1e-9);
    }

    #[test]
    fn a_percentile_is_a_value_that_was_there() {
        let values: Vec<_> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(percentile(&values, 95), Duration::from_millis(95));
        assert_eq!(percentile(&values[..1], 50), Duration::from_millis(1));
        assert_eq!(percentile(&[], 95), Duration::ZERO);
    }

    /// One request each 10 ms: slow for a second, refused for another, then as before.
    #[test]
    fn recovery_is_when_latency_is_back_and_stays() {
        let shots: Vec<_> = (0..400)
            .map(|number| match number * 10 {
                at @ 0..1000 => shot(at, answered(200, 100)),
                at @ 1000..2000 => shot(at, answered(503, 1)),
                at => shot(at, answered(200, 30)),
            })
            .collect();
        let unloaded = Duration::from_millis(25);
        let until = |end| recovery(&shots, Duration::ZERO..Duration::from_millis(end), unloaded, DEADLINE);
        assert_eq!(until(4000), Some(Duration::from_millis(2250)));
        assert_eq!(until(2000), None);
    }
}
