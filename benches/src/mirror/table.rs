//! The tables: a line for each kind of copies, medians of the rounds, each round held against its
//! own turn without copies.

use std::{collections::BTreeMap, fmt, time::Duration};

use super::{
    SHARE,
    systems::{Copies, System},
    turn::Turn,
};
use crate::stats::{bounds_of_median, median};

/// Turns with copies, each beside the one without that was taken next to it.
#[derive(Clone, Copy, Debug)]
struct Pairs<'a> {
    with: &'a [Turn],
    without: &'a [Turn],
}

impl Pairs<'_> {
    fn median(self, of: impl Fn(&Turn) -> f64) -> f64 {
        median(&self.with.iter().map(of).collect::<Vec<_>>())
    }

    fn each(self, of: impl Fn(&Turn, &Turn) -> f64) -> Vec<f64> {
        self.with.iter().zip(self.without).map(|(with, without)| of(with, without)).collect()
    }

    fn paired(self, of: impl Fn(&Turn, &Turn) -> f64) -> f64 {
        median(&self.each(of))
    }

    fn ratio(self, of: impl Fn(&Turn) -> f64) -> f64 {
        self.paired(|with, without| of(with) / of(without))
    }

    /// The ratio, and between which bounds chance lets it be.
    fn bounded_ratio(self, of: impl Fn(&Turn) -> f64) -> String {
        let ratios = self.each(|with, without| of(with) / of(without));
        match bounds_of_median(&ratios) {
            Some((low, high)) => format!("{:.3} ({low:.2} to {high:.2})", median(&ratios)),
            None => format!("{:.3}", median(&ratios)),
        }
    }

    fn failed(self) -> u64 {
        self.with.iter().flat_map(|turn| turn.failed.values()).sum()
    }

    /// How many failed, and what came instead of an answer.
    fn failures(self) -> String {
        let mut all = BTreeMap::<&str, u64>::new();
        for (instead, count) in self.with.iter().flat_map(|turn| &turn.failed) {
            *all.entry(instead).or_default() += count;
        }
        let told: Vec<_> = all.iter().map(|(instead, count)| format!("{instead}: {count}")).collect();
        if told.is_empty() { "0".to_owned() } else { told.join(", ") }
    }

    fn requests(self) -> u64 {
        self.with.iter().map(|turn| turn.requests).sum()
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The turns of one system with one kind of copies.
#[derive(Clone, Debug)]
pub struct Line {
    /// The system.
    pub system: System,
    /// What is done with the copies.
    pub copies: Copies,
    /// One of each round.
    pub turns: Vec<Turn>,
}

/// What copies cost.
#[derive(Debug)]
pub struct Costs<'a>(pub &'a [Line]);

impl fmt::Display for Costs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| system | copies | arrived | CPU µs/request | to without | CPU µs/copy | of it beside the workers | p50 ms | to without | p99 ms | to without | failed |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|---|---|---|---|---|")?;
        for line in self.0 {
            let alone = |it: &&Line| it.system == line.system && it.copies == Copies::None;
            let Some(alone) = self.0.iter().find(alone) else { continue };
            let pairs = Pairs { with: &line.turns, without: &alone.turns };
            let copied = line.copies != Copies::None;
            let shown = |text: String| if copied { text } else { "-".to_owned() };
            let ratio = |of: fn(&Turn) -> f64| shown(format!("{:.3}", pairs.ratio(of)));
            let arrived = pairs.median(|turn| 100.0 * turn.copies as f64 / turn.requests as f64);
            let per_copy = pairs.paired(Turn::per_copy);
            let beside = match line.system {
                System::Sluicegate => shown(format!("{:.1}", pairs.median(Turn::beside_per_copy))),
                System::Nginx | System::Envoy => "-".to_owned(),
            };
            writeln!(
                f,
                "| {} | {} | {} | {:.2} | {} | {} | {beside} | {:.3} | {} | {:.3} | {} | {} |",
                line.system.name(),
                line.copies.name(),
                shown(format!("{arrived:.2} %")),
                pairs.median(Turn::per_request),
                ratio(Turn::per_request),
                shown(format!("{per_copy:.1}")),
                pairs.median(|turn| millis(turn.p50)),
                ratio(|turn| millis(turn.p50)),
                pairs.median(|turn| millis(turn.p99)),
                ratio(|turn| millis(turn.p99)),
                pairs.failures(),
            )?;
        }
        Ok(())
    }
}

/// The turns beside one bad shadow.
#[derive(Clone, Debug, Default)]
pub struct Burden {
    /// What is wrong with the shadow; nothing for the gateway without one.
    pub name: &'static str,
    /// One of each round.
    pub with: Vec<Turn>,
    /// The turn without a shadow that was taken next to each.
    pub without: Vec<Turn>,
    /// The most memory that was resident, in KiB.
    pub peak_kib: u64,
    /// What became of the copies.
    pub outcomes: BTreeMap<String, u64>,
}

impl Burden {
    /// Requests that were not answered.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.pairs().failed()
    }

    /// Copies that were let in, whatever became of them.
    #[must_use]
    pub fn copies(&self) -> u64 {
        self.outcomes.values().sum()
    }

    fn pairs(&self) -> Pairs<'_> {
        Pairs { with: &self.with, without: &self.without }
    }

    fn outcomes(&self) -> String {
        let told: Vec<_> =
            self.outcomes.iter().map(|(outcome, count)| format!("{outcome} {count}")).collect();
        if told.is_empty() { "-".to_owned() } else { told.join(", ") }
    }
}

/// What bad shadows do to the requests.
#[derive(Debug)]
pub struct Burdens<'a>(pub &'a [Burden]);

impl fmt::Display for Burdens<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| the shadow | requests | failed | p50 ms | to without | p99 ms | to without | RSS at most | what became of {SHARE} % of the requests |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|---|---|")?;
        for burden in self.0 {
            let pairs = burden.pairs();
            let ratio = |of: fn(&Turn) -> f64| {
                let paired = !pairs.without.is_empty();
                if paired { pairs.bounded_ratio(of) } else { "-".to_owned() }
            };
            writeln!(
                f,
                "| {} | {} | {} | {:.3} | {} | {:.3} | {} | {:.1} MiB | {} |",
                burden.name,
                pairs.requests(),
                pairs.failures(),
                pairs.median(|turn| millis(turn.p50)),
                ratio(|turn| millis(turn.p50)),
                pairs.median(|turn| millis(turn.p99)),
                ratio(|turn| millis(turn.p99)),
                burden.peak_kib as f64 / 1024.0,
                burden.outcomes(),
            )?;
        }
        Ok(())
    }
}
