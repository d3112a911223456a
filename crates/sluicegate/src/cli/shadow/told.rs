//! What the gateway tells of shadows, as far as it is shown to people.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use sluicegate_shadow::{Report, Verdict};

/// How a shadow fares, and what its comparisons found.
#[derive(Debug, Deserialize)]
pub(super) struct Told {
    pub(super) route: String,
    pub(super) to: String,
    pub(super) percent: f64,
    pub(super) compares: bool,
    pub(super) in_flight: u64,
    pub(super) copies: BTreeMap<String, u64>,
    pub(super) unpaired: BTreeMap<String, u64>,
    pub(super) verdict: Option<Verdict>,
    pub(super) report: Option<Report>,
}

/// Differing pairs.
#[derive(Debug, Deserialize)]
pub(super) struct ToldPairs {
    pub(super) route: String,
    pub(super) to: String,
    /// How many are kept, shown or not.
    pub(super) kept: usize,
    pub(super) pairs: Vec<ToldPair>,
}

/// One of them.
#[derive(Debug, Deserialize)]
pub(super) struct ToldPair {
    pub(super) at: Timestamp,
    pub(super) against: ToldAgainst,
    pub(super) request: ToldRequest,
    pub(super) primary: ToldSide,
    pub(super) copy: ToldCopy,
    pub(super) comparison: Option<ToldComparison>,
}

/// What the primary's answer was compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ToldAgainst {
    Shadow,
    Own,
}

#[derive(Debug, Deserialize)]
pub(super) struct ToldRequest {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) id: String,
    pub(super) shadow_id: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct ToldSide {
    pub(super) status: u16,
    pub(super) took: f64,
    pub(super) bytes: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ToldCopy {
    Answered(ToldSide),
    Failed(String),
}

#[derive(Debug, Deserialize)]
pub(super) struct ToldComparison {
    pub(super) differences: Vec<ToldDifference>,
    pub(super) more: usize,
    pub(super) ids: Option<ToldIds>,
    pub(super) texts: Option<f64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ToldIds {
    pub(super) overlap: f64,
    pub(super) rank_distance: f64,
    pub(super) missing: Vec<String>,
    pub(super) new: Vec<String>,
    pub(super) order_changed: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct ToldDifference {
    pub(super) class: String,
    pub(super) primary: Option<ToldSeen>,
    pub(super) shadow: Option<ToldSeen>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ToldSeen {
    pub(super) pointer: String,
    pub(super) value: ToldValue,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ToldValue {
    Value(Value),
    Redacted { characters: usize, mark: String },
    Holds { what: String, size: usize },
}
