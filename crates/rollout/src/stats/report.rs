//! What a judge found, to act on, to show and to keep as evidence.

use std::{fmt, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicegate_core::Role;

use super::{found::is_inside, words};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "RolloutVerdict")]
pub enum Verdict {
    /// Go on: every gate is passed.
    Pass,
    /// Go back: a gate is failed.
    Fail,
    /// Go back at once.
    Abort,
    /// Hold: there are samples enough, and nothing is proven.
    Inconclusive,
    /// Hold: there are too few samples.
    InsufficientData,
}

impl Verdict {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Abort => "abort",
            Self::Inconclusive => "inconclusive",
            Self::InsufficientData => "insufficient_data",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A thing that is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// The error rate that passes a step.
    ErrorRate,
    /// The p95 that passes a step.
    LatencyP95,
    /// The error rate that aborts a run.
    AbortErrors,
    /// The p99 that aborts a run.
    AbortP99,
}

impl Gate {
    /// All, in the order in which they are reported.
    pub const ALL: [Self; 4] = [Self::ErrorRate, Self::LatencyP95, Self::AbortErrors, Self::AbortP99];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ErrorRate => "error_rate",
            Self::LatencyP95 => "latency_p95",
            Self::AbortErrors => "abort_errors",
            Self::AbortP99 => "abort_p99",
        }
    }

    /// Whether a step waits for it. The others only speak when they find something.
    #[must_use]
    pub const fn holds_a_step(self) -> bool {
        matches!(self, Self::ErrorRate | Self::LatencyP95)
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The arm that was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Judged {
    /// The active arm, after a switch.
    Active,
    /// The candidate.
    Candidate,
}

impl From<Role> for Judged {
    fn from(role: Role) -> Self {
        match role {
            Role::Active => Self::Active,
            Role::Candidate => Self::Candidate,
        }
    }
}

/// What was found in a window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "RolloutReport")]
pub struct Report {
    /// What is to be done.
    pub verdict: Verdict,
    /// Which arm it is about.
    pub judged: Judged,
    /// One of each gate, in the order of [`Gate::ALL`].
    pub gates: Vec<GateReport>,
    /// The requests of the active arm and of the candidate.
    pub samples: [u64; 2],
    /// Those of them that were errors.
    pub errors: [u64; 2],
    /// The samples that a step is short of, of each arm.
    pub short_of: [u64; 2],
    /// How long the window lasted, in seconds.
    #[serde(with = "seconds")]
    #[schemars(with = "f64")]
    pub elapsed: Duration,
    /// How long a step must still last, in seconds.
    #[serde(with = "seconds")]
    #[schemars(with = "f64")]
    pub remaining: Duration,
    /// Which window of the run it was, from zero.
    pub window: u32,
}

/// What was found of one gate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GateReport {
    /// Which one.
    pub gate: Gate,
    /// What it says. A gate that does not hold a step says `pass` when it found nothing.
    pub verdict: Verdict,
    /// Of the active arm: a rate from 0 to 1, or seconds. At a weight of 100 its latency is
    /// that of the windows before.
    pub active: Option<f64>,
    /// The same of the candidate.
    pub candidate: Option<f64>,
    /// Up to where it is good.
    pub bound: Option<f64>,
    /// The decimal logarithm of the e-value that decides.
    pub evidence: f64,
    /// The one at which it does.
    pub needed: f64,
    /// The samples that are missing, of each arm, as far as that can be told.
    pub missing: Option<[u64; 2]>,
    /// The same in words.
    pub says: String,
}

impl Report {
    /// The verdict where some gates are only looked at.
    #[must_use]
    pub fn verdict_without(&self, dry: &[Gate]) -> Verdict {
        let counts = self.gates.iter().filter(|report| !dry.contains(&report.gate));
        verdict_of(counts.map(|report| (report.gate, report.verdict)), self.short_of, self.remaining)
    }

    /// The samples of each arm that a step is still waiting for, as far as that can be told.
    #[must_use]
    pub fn missing(&self) -> [u64; 2] {
        let gates = self.gates.iter().filter(|report| report.gate.holds_a_step());
        let more = gates.filter_map(|report| report.missing);
        more.fold(self.short_of, |[a, c], [active, candidate]| [a.max(active), c.max(candidate)])
    }

    /// Whether there are at least so many samples of the candidate and its estimate is beyond
    /// a gate: reason enough not to go on, though it may not be proven.
    #[must_use]
    pub fn objects(&self, samples: u64) -> bool {
        let [_, candidate] = self.samples;
        let beyond = |report: &GateReport| match (report.candidate, report.bound) {
            (Some(candidate), Some(bound)) => !is_inside(candidate, bound),
            _ => false,
        };
        candidate >= samples && self.gates.iter().any(|report| report.gate.holds_a_step() && beyond(report))
    }

    /// A line of words: the gates that decide.
    #[must_use]
    pub fn says(&self) -> String {
        words::of_report(self)
    }
}

/// What gates say together.
pub(super) fn verdict_of(
    gates: impl IntoIterator<Item = (Gate, Verdict)>,
    short_of: [u64; 2],
    remaining: Duration,
) -> Verdict {
    let waits = short_of != [0; 2] || !remaining.is_zero();
    let begin = if waits { Verdict::InsufficientData } else { Verdict::Pass };
    gates.into_iter().fold(begin, |worst, (gate, verdict)| {
        let counts = gate.holds_a_step() || verdict == Verdict::Abort;
        if counts && weight(verdict) > weight(worst) { verdict } else { worst }
    })
}

/// Which verdict goes before which.
const fn weight(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Pass => 0,
        Verdict::InsufficientData => 1,
        Verdict::Inconclusive => 2,
        Verdict::Fail => 3,
        Verdict::Abort => 4,
    }
}

/// Durations as seconds, for people who read the evidence.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(value.as_secs_f64())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        Duration::try_from_secs_f64(seconds).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Gate, Verdict, verdict_of};

    const OVER: Duration = Duration::ZERO;

    #[test]
    fn the_worst_gate_decides() {
        use Verdict::{Abort, Fail, Inconclusive, InsufficientData, Pass};
        let of = |gates: [Verdict; 4]| verdict_of(Gate::ALL.into_iter().zip(gates), [0; 2], OVER);
        assert_eq!(of([Pass, Pass, Pass, Pass]), Pass);
        assert_eq!(of([Pass, Pass, Pass, InsufficientData]), Pass);
        assert_eq!(of([Pass, InsufficientData, Pass, Pass]), InsufficientData);
        assert_eq!(of([Inconclusive, InsufficientData, Pass, Pass]), Inconclusive);
        assert_eq!(of([Inconclusive, Fail, Pass, Pass]), Fail);
        assert_eq!(of([Fail, Pass, Pass, Abort]), Abort);
    }

    #[test]
    fn a_step_is_not_passed_before_its_time_or_without_its_samples() {
        let gates = || Gate::ALL.map(|gate| (gate, Verdict::Pass));
        assert_eq!(verdict_of(gates(), [0; 2], Duration::from_millis(1)), Verdict::InsufficientData);
        assert_eq!(verdict_of(gates(), [0, 1], OVER), Verdict::InsufficientData);
        assert_eq!(verdict_of([], [1, 0], OVER), Verdict::InsufficientData);
        assert_eq!(verdict_of([(Gate::AbortErrors, Verdict::Abort)], [9, 9], OVER), Verdict::Abort);
    }
}
