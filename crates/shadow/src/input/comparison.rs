//! `shadow.compare:` as it is written: what the comparison needs, and what the books need.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicegate_core::units::Size;

use super::{CompareSettings, bytes};
use crate::{
    compare::{AnswersInput, CompareInput},
    ledger::{LedgerInput, LogInput},
};

/// How the answers of a shadow are compared with those of the route's own upstream.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ComparisonInput {
    /// What is not compared: JSON pointers in which `*` is any index or member, and all below them.
    pub ignore: Vec<String>,
    /// By how much numbers may differ: JSON pointers with a share of the larger of both.
    pub tolerance: BTreeMap<String, f64>,
    /// Arrays whose elements are matched by a member and not by place: JSON pointers with its name.
    pub arrays: BTreeMap<String, String>,
    /// The header fields of answers that are compared.
    pub headers: Vec<String>,
    /// How alike texts must be, by their words, from 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub similarity: f64,
    /// JSON pointers whose texts may be kept and shown as they are; others are redacted.
    pub show: Vec<String>,
    /// The largest answer that is compared, encoded or decoded.
    pub max_answer: Size,
    /// How many of the last differing pairs are kept in memory.
    pub keep: usize,
    /// The share of answers that may differ, beyond what differs between two answers of the same version, for the verdict `same`.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub allow: f64,
    /// The fewest pairs of each kind for a verdict.
    #[schemars(range(min = 1))]
    pub pairs: u64,
    /// Where each differing pair is written; without it none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<LogInput>,
}

impl Default for ComparisonInput {
    fn default() -> Self {
        let (compare, ledger) = (CompareInput::default(), LedgerInput::default());
        Self {
            ignore: compare.ignore,
            tolerance: compare.tolerance,
            arrays: compare.arrays,
            headers: compare.headers,
            similarity: compare.similarity,
            show: compare.show,
            max_answer: compare.max_answer,
            keep: ledger.keep,
            allow: ledger.allow,
            pairs: ledger.pairs,
            log: ledger.log,
        }
    }
}

impl ComparisonInput {
    /// The settings, or everything that is wrong, by paths inside `compare`.
    pub(super) fn check(
        &self,
        answers: &AnswersInput,
        resolve: &dyn Fn(&Path) -> PathBuf,
    ) -> Result<CompareSettings, Vec<(String, String)>> {
        let compare = CompareInput {
            ignore: self.ignore.clone(),
            tolerance: self.tolerance.clone(),
            arrays: self.arrays.clone(),
            headers: self.headers.clone(),
            similarity: self.similarity,
            show: self.show.clone(),
            max_answer: self.max_answer,
        };
        let ledger =
            LedgerInput { keep: self.keep, allow: self.allow, pairs: self.pairs, log: self.log.clone() };
        // Every key is text and every number finite, so there is nothing to fail on.
        let rules = serde_json::to_string(&(&compare, answers)).unwrap_or_default();
        let mut faults = Vec::new();
        let comparer = compare.check(answers).map_err(|found| faults.extend(found)).ok();
        // What is relative to the configuration's folder is so to no other.
        let ledger = ledger.check(&resolve(Path::new(""))).map_err(|found| faults.extend(found)).ok();
        match (comparer, ledger) {
            (Some(comparer), Some(ledger)) if faults.is_empty() => Ok(CompareSettings {
                comparer: Arc::new(comparer),
                max_answer: bytes(self.max_answer),
                rules,
                ledger,
            }),
            _ => Err(faults),
        }
    }
}
