//! What was decided, kept for a postmortem.
//!
//! It is a record of its own, since it is larger than the state that every gateway reads four
//! times a second. The state carries its last decision, and those before it that its writer has
//! not seen in the history; each gateway that meets a decision which the history lacks adds it.
//! So none is lost when a gateway dies between the two writes, as long as one of them goes on.
//!
//! Each gateway remembers the end of the history too, and adds what a store has lost of it: Redis
//! may lose what it has acknowledged within its last second (`appendfsync everysec`). What is
//! lost for good is a decision that no living gateway has read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::machine::Decision;

/// The most decisions that are kept.
pub const MOST_DECISIONS: usize = 200;

/// The most bytes that they take.
pub const MOST_BYTES: usize = 256 * 1024;

/// The form of the history that this version writes and reads.
const FORMAT: u8 = 1;

/// The decisions about one rollout, oldest first.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct History {
    /// Of the record.
    pub format: u8,
    /// The last of them; those before are dropped where they would take more than
    /// [`MOST_DECISIONS`] or [`MOST_BYTES`].
    pub decisions: Vec<Decision>,
}

impl Default for History {
    fn default() -> Self {
        Self { format: FORMAT, decisions: Vec::new() }
    }
}

impl History {
    /// Reads a record.
    ///
    /// # Errors
    ///
    /// What cannot be read of it.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let history: Self = serde_json::from_slice(bytes)
            .map_err(|error| format!("the record of the rollout's history cannot be read: {error}"))?;
        if history.format == FORMAT {
            Ok(history)
        } else {
            Err(format!(
                "the record of the rollout's history has form {}, which this version does not know (it knows \
                 {FORMAT})",
                history.format
            ))
        }
    }

    /// The record, with as many decisions as there is room for.
    ///
    /// # Errors
    ///
    /// A decision cannot be written as JSON.
    pub fn encode(&self) -> Result<Vec<u8>, String> {
        let wrong = |error| format!("a rollout's history cannot be written: {error}");
        let written: Vec<Vec<u8>> =
            self.decisions.iter().map(serde_json::to_vec).collect::<Result<_, _>>().map_err(wrong)?;
        // What is around them, and a comma after each.
        let mut left = MOST_BYTES - 64;
        let fit = written.iter().rev().take(MOST_DECISIONS).take_while(|decision| {
            let fits = decision.len() < left;
            left = left.saturating_sub(decision.len() + 1);
            fits
        });
        let kept = written.len() - fit.count();
        let tail = Self { format: self.format, decisions: self.decisions[kept..].to_vec() };
        serde_json::to_vec(&tail).map_err(wrong)
    }

    /// The last of them, as many as this at most.
    #[must_use]
    pub fn last(&self, most: usize) -> &[Decision] {
        &self.decisions[self.decisions.len().saturating_sub(most)..]
    }

    /// Adds decisions that are not there yet; says whether there was one.
    pub fn add(&mut self, decisions: &[Decision]) -> bool {
        let mut added = false;
        for decision in decisions {
            if self.decisions.iter().any(|kept| is_same(kept, decision)) {
                continue;
            }
            // A decision of a gateway that was slow to tell it goes where it belongs.
            let place = self
                .decisions
                .partition_point(|kept| (kept.epoch, kept.seq) <= (decision.epoch, decision.seq));
            self.decisions.insert(place, decision.clone());
            added = true;
        }
        added
    }
}

/// Numbers may be given twice where a store has lost the first.
fn is_same(one: &Decision, other: &Decision) -> bool {
    (one.seq, one.epoch, one.at, one.act, &one.by) == (other.seq, other.epoch, other.at, other.act, &other.by)
}

#[cfg(test)]
mod tests;
