//! The shape of a simulation's file.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;
use sluicegate_admission::queue::{Limits, ShedLimits};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    /// What is shown, in a sentence.
    pub(crate) about: String,
    pub(crate) seconds: u64,
    /// The cap of the upstream that all routes share.
    pub(crate) upstream: Option<u32>,
    pub(crate) routes: BTreeMap<String, Route>,
    /// What the upstream does; the phases are gone through again and again.
    pub(crate) service: Vec<Service>,
    pub(crate) streams: Vec<Stream>,
    pub(crate) expect: Vec<Expect>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Route {
    concurrent: Option<u32>,
    per_tenant: Option<u32>,
    queue: u32,
    #[serde(default)]
    shed: bool,
}

impl Route {
    pub(crate) fn limits(self) -> Limits {
        Limits {
            concurrent: self.concurrent,
            per_tenant: self.per_tenant,
            queue: self.queue,
            shed: self.shed.then(ShedLimits::default),
            ..Limits::default()
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Service {
    #[serde(rename = "for")]
    pub(crate) seconds: Option<f64>,
    /// The mean time it takes.
    pub(crate) ms: u64,
    #[serde(default)]
    pub(crate) spread: Spread,
    /// The share of answers that are errors.
    #[serde(default)]
    pub(crate) fails: f64,
}

/// How times are spread about their mean.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Spread {
    #[default]
    Fixed,
    /// From half the mean to one and a half.
    Uniform,
    Exponential,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) route: Option<String>,
    #[serde(default)]
    pub(crate) batch: bool,
    /// The tenants its requests are for, at random; none where it is 0.
    #[serde(default)]
    pub(crate) tenants: u64,
    pub(crate) deadline_ms: u64,
    /// Requests per second, at random moments; gone through again and again.
    pub(crate) rate: Vec<Rate>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rate {
    #[serde(rename = "for")]
    pub(crate) seconds: Option<f64>,
    pub(crate) per_second: f64,
}

/// Ranges for what came within a span, both ends included. `admitted` and `refused` are shares
/// of what came, in percent; `good_per_second` counts what was finished within its deadline.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expect {
    /// A stream; all of them where it is absent.
    pub(crate) of: Option<String>,
    #[serde(default)]
    pub(crate) from: f64,
    pub(crate) until: Option<f64>,
    pub(crate) admitted: Option<[f64; 2]>,
    pub(crate) refused: Option<[f64; 2]>,
    pub(crate) good_per_second: Option<[f64; 2]>,
    pub(crate) wait_p50_ms: Option<[f64; 2]>,
    pub(crate) wait_p95_ms: Option<[f64; 2]>,
    pub(crate) latency_p95_ms: Option<[f64; 2]>,
    /// The most that ran at once, of all streams, in the whole run.
    pub(crate) in_flight: Option<[f64; 2]>,
}

/// The phase in which a moment lies, and where phases without a length last for ever.
pub(crate) fn phase<T: Copy>(phases: &[T], length: impl Fn(&T) -> Option<f64>, at: Duration) -> T {
    let whole: f64 = phases.iter().map(|phase| length(phase).unwrap_or(f64::INFINITY)).sum();
    let mut rest = if whole.is_finite() { at.as_secs_f64() % whole } else { at.as_secs_f64() };
    for phase in phases {
        match length(phase) {
            Some(length) if rest >= length => rest -= length,
            _ => return *phase,
        }
    }
    phases[phases.len() - 1]
}
