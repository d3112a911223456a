//! The shape of a simulation's file.

use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    /// What is simulated, as it stands in the table.
    pub(crate) about: String,
    pub(crate) runs: Runs,
    /// What may come out of a run and be right.
    pub(crate) right: Vec<Ends>,
    /// After so many hours a run is left alone: it is held.
    pub(crate) hours: f64,
    /// How often the judge looks.
    #[serde(default = "a_second")]
    pub(crate) tick_seconds: f64,
    /// How long a step lasts at least, where it is not as long as usual.
    pub(crate) at_least_hours: Option<f64>,
    #[serde(default = "the_steps")]
    pub(crate) steps: Vec<u8>,
    /// The phases of the traffic, one after the other; the last one stays.
    pub(crate) traffic: Vec<Traffic>,
    /// Requests in the first tick, to the active arm and the candidate.
    #[serde(default)]
    pub(crate) at_first: [u64; 2],
    /// How times are spread, of both arms.
    #[serde(default)]
    pub(crate) latency: Spread,
    pub(crate) active: Vec<Phase>,
    pub(crate) candidate: Vec<Phase>,
    /// What an optimal test of the candidate's fault would look at.
    pub(crate) optimal: Option<Optimal>,
    pub(crate) expect: Expect,
}

fn a_second() -> f64 {
    1.0
}

fn the_steps() -> Vec<u8> {
    vec![5, 25, 50, 100]
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Runs {
    pub(crate) short: usize,
    pub(crate) long: usize,
}

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ends {
    /// Every step was passed.
    Passed,
    Aborted,
    Failed,
    /// It still stands on a step.
    Held,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Traffic {
    #[serde(rename = "for")]
    pub(crate) seconds: Option<f64>,
    pub(crate) per_second: f64,
}

/// How times are spread about their median.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Spread {
    /// Lognormal with a sigma of 0.4: the p99 is at 2.5 medians.
    #[default]
    Light,
    /// Lomax with a shape of 2 (no variance): the p99 is at 22 medians, the p99.9 at 74.
    Heavy,
}

/// What an arm does for a while.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Phase {
    #[serde(rename = "for")]
    pub(crate) seconds: Option<f64>,
    /// The share of requests that are errors, at its beginning.
    #[serde(default)]
    pub(crate) errors: f64,
    /// The share at its end, where it changes.
    pub(crate) errors_to: Option<f64>,
    /// Errors come in heaps of this mean size.
    #[serde(default = "one")]
    pub(crate) heaps_of: f64,
    /// By what all times are multiplied, at its beginning.
    #[serde(default = "one")]
    pub(crate) slower: f64,
    pub(crate) slower_to: Option<f64>,
    /// The p99 as a multiple, where only the slowest 1.5% are slower.
    #[serde(default = "one")]
    pub(crate) p99_times: f64,
}

fn one() -> f64 {
    1.0
}

/// A test of two known rates with the same probabilities of being wrong.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Optimal {
    /// The gate's error rate against the candidate's.
    Errors,
    /// 5% of the answers beyond the line of the p95 gate, against the candidate's share.
    P95,
    /// 1% beyond the line of the p99 that aborts, against the candidate's share.
    P99,
}

/// Ranges of the outcome, in percent of the runs.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expect {
    pub(crate) passed: Option<[f64; 2]>,
    pub(crate) aborted: Option<[f64; 2]>,
    pub(crate) failed: Option<[f64; 2]>,
    pub(crate) held: Option<[f64; 2]>,
    pub(crate) right: Option<[f64; 2]>,
    /// The median of the candidate's requests until it was stopped.
    pub(crate) requests: Option<[f64; 2]>,
}
