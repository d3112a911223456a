//! The tables: a system a line, medians of the rounds.

use std::{collections::BTreeSet, fmt, time::Duration};

use super::{
    Setting,
    phase::{Phase, Seen},
    systems::System,
    tally::{Tally, percentile},
};
use crate::stats::median;
use sluicegate_core::Lane;

/// The rounds of one phase on one system.
#[derive(Clone, Debug)]
pub struct Line {
    /// The system.
    pub system: System,
    /// What came of each round.
    pub rounds: Vec<Seen>,
}

impl Line {
    fn median(&self, of: impl Fn(&Seen) -> f64) -> f64 {
        median(&self.rounds.iter().map(of).collect::<Vec<_>>())
    }

    /// In milliseconds.
    fn latency(&self, percent: usize, of: impl Fn(&Seen) -> &Tally) -> f64 {
        self.median(|seen| millis(percentile(&of(seen).latencies, percent)))
    }

    /// How much was not answered with 200, per second, by what came instead.
    fn refused(&self) -> String {
        let statuses: BTreeSet<u16> =
            self.rounds.iter().flat_map(|seen| seen.all.refused.keys().copied()).collect();
        let mut told: Vec<_> = statuses
            .into_iter()
            .map(|status| {
                let rate =
                    |seen: &Seen| seen.all.rate(seen.all.refused.get(&status).copied().unwrap_or_default());
                format!("{status}: {:.0}", self.median(rate))
            })
            .collect();
        for (what, count) in [("left", (|it| it.gave_up) as fn(&Tally) -> u64), ("broke", |it| it.broke)] {
            let rate = self.median(|seen| seen.all.rate(count(&seen.all)));
            if rate > 0.0 {
                told.push(format!("{what}: {rate:.1}"));
            }
        }
        if told.is_empty() { "none".to_owned() } else { told.join(", ") }
    }

    fn recovered(&self) -> String {
        let seconds = self.median(|seen| seen.recovered.map_or(f64::INFINITY, |it| it.as_secs_f64()));
        let watched = self.median(|seen| seen.watched.as_secs_f64());
        if seconds.is_finite() { format!("{seconds:.2} s") } else { format!("> {watched:.0} s") }
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The table of one phase.
#[derive(Debug)]
pub struct Table<'a> {
    /// The phase.
    pub phase: Phase,
    /// What the service can do.
    pub setting: Setting,
    /// The lines.
    pub lines: &'a [Line],
}

impl Table<'_> {
    /// Good answers as a share of what could have been served: all of it, or the capacity.
    fn goodput(&self, seen: &Seen) -> f64 {
        let possible = seen.all.rate(seen.all.offered).min(self.setting.capacity());
        100.0 * seen.all.rate(seen.all.good()) / possible
    }

    fn overload(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| in front | offered/s | goodput | p50 | p95 | p99 | unloaded p95 | wait p95 | not 200, per second | late/s | wasted | recovery |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|---|---|---|---|---|")?;
        for line in self.lines {
            let name = line.system.name();
            let offered = line.median(|seen| seen.all.rate(seen.all.offered));
            let goodput = line.median(|seen| self.goodput(seen));
            let [p50, p95, p99] = [50, 95, 99].map(|percent| line.latency(percent, |seen| &seen.all));
            let unloaded = line.median(|seen| millis(seen.unloaded));
            let wait = line.median(|seen| millis(percentile(&seen.all.waits, 95)));
            let late = line.median(|seen| seen.all.rate(seen.all.late));
            let wasted = line.median(|seen| 100.0 * seen.counts.wasted());
            let (refused, recovered) = (line.refused(), line.recovered());
            writeln!(
                f,
                "| {name} | {offered:.0} | {goodput:.1}% | {p50:.0} | {p95:.0} | {p99:.0} | {unloaded:.0} | {wait:.0} | {refused} | {late:.1} | {wasted:.1}% | {recovered} |"
            )?;
        }
        Ok(())
    }

    fn flood(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| in front | people's p95 unloaded | in the flood | ratio | people answered in time | goodput | jobs answered/s | not 200, per second | late/s | wasted | recovery |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|---|---|---|---|")?;
        for line in self.lines {
            let name = line.system.name();
            let unloaded = line.median(|seen| millis(seen.unloaded));
            let flooded = line.latency(95, |seen| &seen.interactive);
            let ratio = line.median(|seen| {
                percentile(&seen.interactive.latencies, 95).as_secs_f64() / seen.unloaded.as_secs_f64()
            });
            let people =
                line.median(|seen| 100.0 * seen.interactive.good() as f64 / seen.interactive.offered as f64);
            let goodput = line.median(|seen| self.goodput(seen));
            let jobs = line.median(|seen| seen.all.rate(seen.all.good() - seen.interactive.good()));
            let late = line.median(|seen| seen.all.rate(seen.all.late));
            let wasted = line.median(|seen| 100.0 * seen.counts.wasted());
            let (refused, recovered) = (line.refused(), line.recovered());
            writeln!(
                f,
                "| {name} | {unloaded:.1} | {flooded:.1} | {ratio:.2} | {people:.1}% | {goodput:.1}% | {jobs:.0} | {refused} | {late:.1} | {wasted:.1}% | {recovered} |"
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.phase.lane {
            Lane::Interactive => {
                writeln!(f, "**{}**, all from people\n", self.phase.name)?;
                self.overload(f)
            }
            Lane::Batch => {
                writeln!(
                    f,
                    "**{}**: people at half of C, jobs at {} C on top\n",
                    self.phase.name, self.phase.extra
                )?;
                self.flood(f)
            }
        }
    }
}
