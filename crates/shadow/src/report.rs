//! What is told of a shadow's comparisons.
//!
//! The names are a stable form: they are what the admin API and `shadow report` put out as JSON.
//! Shares are from 0 to 1, times in seconds; what is not known is null.

use std::{fmt, sync::Arc};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    log::LogReport,
    noise::{Counts, Interval},
};

/// What is proven of the shadow's answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "ShadowVerdict")]
pub enum Verdict {
    /// They differ from the primary's beyond noise in no more than is allowed.
    Same,
    /// They differ beyond noise in more than is allowed.
    Different,
    /// Neither is proven yet.
    Undecided,
    /// There are too few pairs.
    InsufficientData,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Same, Self::Different, Self::Undecided, Self::InsufficientData];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Different => "different",
            Self::Undecided => "undecided",
            Self::InsufficientData => "insufficient_data",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What is known of one class of differences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// Proven: the shadow differs in it more often than the own upstream does from itself.
    Different,
    /// The own upstream differs in it from itself, and nothing beyond that is proven.
    Noise,
    /// Proven: the shadow differs in it in no more than is allowed.
    Same,
    /// Nothing is proven.
    Unknown,
}

impl Finding {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Different => "different",
            Self::Noise => "noise",
            Self::Same => "same",
            Self::Unknown => "unknown",
        }
    }
}

/// All that is known of a route's shadow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ComparisonReport")]
pub struct Report {
    /// The route.
    pub route: Box<str>,
    /// The upstream that gets the copies.
    pub to: Box<str>,
    /// Since when pairs are counted.
    pub since: Timestamp,
    /// What is proven.
    pub verdict: Verdict,
    /// The verdict and its reason in a sentence.
    pub says: String,
    /// How many more pairs a verdict would need: without enough of them what is short of
    /// `pairs`, while it is open how many if all goes on as it did; null where there is a verdict
    /// or none is in sight.
    pub missing: Option<Missing>,
    /// The share of answers that may differ beyond noise.
    pub allow: f64,
    /// The fewest pairs of each kind for a verdict.
    pub pairs: u64,
    /// By how much differing pairs of the shadow exceed those of the own upstream.
    pub excess: Excess,
    /// The pairs with the shadow.
    pub shadow: KindReport,
    /// The pairs of the route's own upstream with itself: the noise.
    pub own: KindReport,
    /// The classes of differences: first those that are proven, then by their excess. At most
    /// 200, and `other` for all further ones.
    pub classes: Vec<ClassReport>,
    /// Where differing pairs are written; null without a log.
    pub log: Option<LogReport>,
}

/// How many pairs are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Missing {
    /// Of the shadow.
    pub shadow: u64,
    /// Of the own upstream.
    pub own: u64,
}

/// By how much one share exceeds another; from -1 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Excess {
    /// As it was seen: the shadow's share less the own one. Without pairs of the own upstream
    /// these are taken to be alike.
    pub estimate: f64,
    /// What it is proven not to be below, as needed for `different`; noise is exceeded where
    /// this is above 0.
    pub at_least: f64,
    /// What it is proven not to be above, as needed for `same`.
    pub at_most: f64,
}

impl Excess {
    pub(crate) fn new([shadow, own]: [Counts; 2], known: Interval) -> Self {
        let estimate = shadow.share().unwrap_or(0.0) - own.share().unwrap_or(0.0);
        Self { estimate, at_least: known.lower, at_most: known.upper }
    }
}

/// The pairs of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KindReport {
    /// How many there are.
    pub pairs: u64,
    /// How many of them differ.
    pub differing: u64,
    /// The share of those; null without pairs.
    pub share: Option<f64>,
    /// The copies that got no answer, by reason; each is a differing pair of the class `answer`.
    pub failed: FailedReport,
    /// How long the answers took; null where no copy was answered.
    pub latency: Option<LatencyReport>,
    /// How alike the retrieved ids are; null where there were none.
    pub ids: Option<IdsReport>,
    /// How alike the texts are; null where there were none.
    pub texts: Option<TextsReport>,
}

/// Copies that got no answer, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailedReport {
    /// It took too long.
    pub timeout: u64,
    /// There was no connection.
    pub unreachable: u64,
    /// The connection or the answer broke off.
    pub reset: u64,
    /// The breaker did not let it through.
    pub breaker: u64,
    /// The answer was larger than what is compared.
    pub too_large: u64,
}

/// How long both sides of the same requests took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LatencyReport {
    /// How many pairs this is of: those in which both sides were answered.
    pub pairs: u64,
    /// The primary's answers.
    pub primary: Quantiles,
    /// The answers to the copies.
    pub copy: Quantiles,
    /// The share of pairs in which the copy took longer.
    pub copy_slower: f64,
}

/// Times in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Quantiles {
    /// The median.
    pub p50: f64,
    /// What 95 of 100 do not exceed.
    pub p95: f64,
    /// What 99 of 100 do not exceed.
    pub p99: f64,
}

/// How numbers from 0 to 1 are spread.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Spread {
    /// Their mean.
    pub mean: f64,
    /// How many lie in each tenth: from 0 to below 0.1, and so on; the eleventh are those at 1.
    pub tenths: [u64; 11],
}

/// How alike retrieved ids are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IdsReport {
    /// How many pairs have any.
    pub pairs: u64,
    /// How long the longer list is, on average.
    pub mean_length: f64,
    /// The share of ids that both have; 1 is best.
    pub overlap: Spread,
    /// How far their ranks are apart; 0 is best.
    pub rank_distance: Spread,
    /// How many pairs have other ids.
    pub other_ids: u64,
    /// How many have the same ids in another order.
    pub other_order: u64,
}

/// How alike texts are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TextsReport {
    /// How many pairs have any.
    pub pairs: u64,
    /// How alike they are; 1 is best.
    pub similarity: Spread,
    /// How many are less alike than they should be.
    pub differing: u64,
}

/// One class of differences.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClassReport {
    /// Its name: `answer`, `status`, `header/NAME`, `format`, `body`, `ids`, `order`, `text`, a
    /// JSON pointer with `*` for each index, or `other`.
    pub class: Arc<str>,
    /// What is known of it.
    pub finding: Finding,
    /// The pairs with the shadow that show it.
    pub shadow: ClassCounts,
    /// The pairs of the own upstream that show it.
    pub own: ClassCounts,
    /// By how much the shadow's share exceeds the own one. `at_least` is proven by the pairs after
    /// the one that showed the class first.
    pub excess: Excess,
}

/// How many pairs show a class.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClassCounts {
    /// So many.
    pub differing: u64,
    /// Their share of all pairs of the kind; null without pairs.
    pub share: Option<f64>,
}
