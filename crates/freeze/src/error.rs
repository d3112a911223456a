//! What can go wrong when an operator changes a freeze.

use sluicegate_core::BoxError;
use sluicegate_store::StateError;

use crate::input::CONFIG_ID;

/// Why a freeze could not be put or removed, or was so without being written down.
#[derive(Debug, thiserror::Error)]
pub enum FreezeError {
    /// The order cannot be used; pairs of a field and what is wrong with it.
    #[error("{}", in_words(.0))]
    Invalid(Vec<(String, String)>),
    /// The id belongs to the configuration.
    #[error("`{id}` is the id of a freeze of the configuration; choose another id")]
    Reserved {
        /// The id.
        id: String,
    },
    /// The configuration's own switch cannot be lifted from outside.
    #[error(
        "`{CONFIG_ID}` is the configuration's own freeze; set `freeze.read_only: false` there and reload to lift it"
    )]
    Configured,
    /// No such freeze is on.
    #[error("no freeze `{id}` is on; {}", on_now(.active))]
    Unknown {
        /// The id that was asked for.
        id: String,
        /// The ids that are on.
        active: Vec<String>,
    },
    /// The change is in effect, and was not written to disk.
    #[error(
        "the change is in effect, but could not be written down and would be forgotten by a restart; \
         it is tried again every few seconds: {source}"
    )]
    NotPersisted {
        /// The version with the change.
        version: u64,
        /// What stood in the way.
        source: BoxError,
    },
}

impl FreezeError {
    /// Whether the change was made nonetheless.
    #[must_use]
    pub fn in_effect(&self) -> bool {
        matches!(self, Self::NotPersisted { .. })
    }
}

/// Why the home of the freezes could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The state file cannot be used. Going on without it could let through writes that an
    /// operator has frozen.
    #[error("the freezes set before cannot be read: {0}")]
    State(#[from] StateError),
}

fn in_words(faults: &[(String, String)]) -> String {
    let words: Vec<_> = faults.iter().map(|(field, message)| format!("{field}: {message}")).collect();
    words.join("; ")
}

fn on_now(active: &[String]) -> String {
    if active.is_empty() { "none is".to_owned() } else { format!("on are: {}", active.join(", ")) }
}
