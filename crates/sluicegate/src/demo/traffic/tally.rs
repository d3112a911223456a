//! What the traffic met: counts, latencies, and the live line made of them.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::{RATE, client::Outcome, mix::Ask};

/// The percentiles are those of the last requests, about ten seconds of them: in one second
/// there are too few for a p99.
const LATENCIES: usize = 10 * RATE as usize;

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::demo) struct Totals {
    pub(in crate::demo) reads: u64,
    /// Writes that were done.
    pub(in crate::demo) writes: u64,
    /// Writes that a freeze refused.
    pub(in crate::demo) refused: u64,
    /// Refused ones that were told when to come back.
    pub(in crate::demo) retry_afters: u64,
    pub(in crate::demo) errors: u64,
}

/// Gathers how requests end.
#[derive(Debug)]
pub(super) struct Tally {
    now: Totals,
    /// The counts when the last line was made.
    then: Totals,
    since: Instant,
    latencies: VecDeque<Duration>,
    freeze: Option<String>,
    retry_after: Option<u64>,
    error: Option<String>,
}

impl Tally {
    /// An empty one, of traffic that starts `now`.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            now: Totals::default(),
            then: Totals::default(),
            since: now,
            latencies: VecDeque::with_capacity(LATENCIES),
            freeze: None,
            retry_after: None,
            error: None,
        }
    }

    pub(super) fn add(&mut self, ask: &Ask, outcome: &Outcome, took: Duration) {
        match outcome {
            Outcome::Done { freeze } => {
                if ask.write {
                    self.now.writes += 1;
                } else {
                    self.now.reads += 1;
                    // Reads carry the word of a freeze, writes are stopped by it.
                    self.freeze.clone_from(freeze);
                }
            }
            Outcome::Refused { retry_after } => {
                self.now.refused += 1;
                self.now.retry_afters += u64::from(retry_after.is_some());
                self.retry_after = *retry_after;
            }
            Outcome::Failed(reason) => {
                self.now.errors += 1;
                self.error = Some(reason.clone());
            }
        }
        if self.latencies.len() == LATENCIES {
            self.latencies.pop_front();
        }
        self.latencies.push_back(took);
    }

    /// What happened since the last line, at `at`.
    pub(super) fn line(&mut self, at: Instant) -> String {
        let (now, then) = (self.now, std::mem::replace(&mut self.then, self.now));
        let passed = at.duration_since(std::mem::replace(&mut self.since, at)).as_secs_f64();
        let rate = |count: u64| (count as f64 / passed.max(0.001)).round();
        let refused = now.refused - then.refused;
        let mut line = format!(
            "reads {}/s  writes {}/s  refused {}/s  errors {}  p50 {}  p99 {}  ",
            rate(now.reads - then.reads),
            rate(now.writes - then.writes),
            rate(refused),
            now.errors,
            self.percentile(50),
            self.percentile(99),
        );
        line += &match &self.freeze {
            Some(freeze) => ["FROZEN by ", freeze].concat(),
            None => "writes let through".to_owned(),
        };
        if refused > 0 {
            line += "  Retry-After ";
            line += &self
                .retry_after
                .map_or_else(|| "missing".to_owned(), |after| [&after.to_string(), " s"].concat());
        }
        if now.errors > then.errors
            && let Some(error) = &self.error
        {
            line += "  ERROR ";
            line += error;
        }
        line
    }

    /// How it was from the start to the end.
    pub(super) fn summary(&self) -> String {
        let Totals { reads, writes, refused, retry_afters, errors } = self.now;
        let mut text = format!(
            "sent: {reads} reads, {writes} writes done, {refused} refused ({retry_afters} with Retry-After), \
             {errors} errors"
        );
        if let Some(error) = &self.error {
            text += "; the last: ";
            text += error;
        }
        text
    }

    #[cfg(test)]
    pub(super) fn totals(&self) -> Totals {
        self.now
    }

    fn percentile(&self, percent: usize) -> String {
        let mut sorted: Vec<_> = self.latencies.iter().collect();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1).min(last);
        sorted.get(at).map_or_else(|| "-".to_owned(), |took| format!("{:.1} ms", took.as_secs_f64() * 1000.0))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{super::mix::Mix, Outcome, Tally};

    #[test]
    fn a_line_tells_what_happened_since_the_last_one() {
        let start = Instant::now();
        let line_at = |tally: &mut Tally, seconds| tally.line(start + Duration::from_secs(seconds));
        let mut tally = Tally::new(start);
        let mut mix = Mix::reads_and_writes(1);
        let read = std::iter::repeat_with(|| mix.ask()).find(|ask| !ask.write).unwrap();
        let write = std::iter::repeat_with(|| mix.ask()).find(|ask| ask.write).unwrap();
        let done = Outcome::Done { freeze: None };
        for ms in 1..=99 {
            tally.add(&read, &done, Duration::from_millis(ms));
        }
        tally.add(&write, &done, Duration::from_millis(100));
        assert_eq!(
            line_at(&mut tally, 1),
            "reads 99/s  writes 1/s  refused 0/s  errors 0  p50 50.0 ms  p99 99.0 ms  writes let through"
        );

        let frozen = Outcome::Done { freeze: Some("manual".to_owned()) };
        tally.add(&read, &frozen, Duration::from_millis(1));
        for _ in 0..4 {
            tally.add(&write, &Outcome::Refused { retry_after: Some(90) }, Duration::from_millis(1));
        }
        let line = line_at(&mut tally, 3);
        assert!(line.starts_with("reads 1/s  writes 0/s  refused 2/s  errors 0 "), "{line}");
        assert!(line.ends_with("  FROZEN by manual  Retry-After 90 s"), "{line}");

        tally.add(&read, &done, Duration::from_millis(1));
        tally.add(&read, &Outcome::Failed("GET /x: reset".to_owned()), Duration::from_millis(1));
        assert!(line_at(&mut tally, 4).ends_with("  writes let through  ERROR GET /x: reset"));
        let line = line_at(&mut tally, 5);
        assert!(line.starts_with("reads 0/s  writes 0/s  refused 0/s  errors 1 "), "{line}");
        assert!(line.ends_with("  writes let through"), "{line}");
        let summary = tally.summary();
        assert!(summary.starts_with("sent: 101 reads, 1 writes done, 4 refused (4 with"), "{summary}");
    }

    #[test]
    fn without_a_request_there_is_no_percentile() {
        assert!(Tally::new(Instant::now()).line(Instant::now()).contains("p50 -  p99 -"));
    }
}
