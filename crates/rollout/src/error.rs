//! Why an operator's command was not carried out, or not everywhere.

use crate::machine::Refused;

/// Why a rollout did not do what an operator asked for. The messages are for operators.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RolloutError {
    /// The document has no such rollout.
    #[error("there is no rollout `{name}`; {}", in_words(.known))]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The command itself is wrong.
    #[error("{0}")]
    Invalid(String),
    /// It is not possible in this phase.
    #[error("{message}")]
    Refused {
        /// The phase.
        phase: &'static str,
        /// Why not, and what is possible.
        message: String,
    },
    /// The arms are not ready, or not what they are pinned to.
    #[error("nothing was changed, because the arms are not ready: {}", .diffs.join("; "))]
    NotReady {
        /// What is not as it should be.
        diffs: Vec<String>,
    },
    /// The record is about other upstreams than this gateway's document.
    #[error(
        "the record of `{name}` is about `{active}` and `{candidate}`, and this gateway's document names \
         others: bring the document up to date and reload it, or ask a gateway that has the newer one"
    )]
    Elsewhere {
        /// The rollout.
        name: String,
        /// The record's active upstream.
        active: String,
        /// The record's candidate.
        candidate: String,
    },
    /// The store cannot be used.
    #[error(
        "the store cannot be used, so nothing was changed, or it is not known whether it was: {0}; look at the status"
    )]
    Store(String),
    /// The abort is in effect on this gateway; the store could not be told.
    #[error(
        "the abort is in effect on this gateway, but the store could not be told, so other gateways do not \
         know; it is tried again until it is: {0}"
    )]
    OnlyHere(String),
    /// The store has no room.
    #[error(
        "the store has no room for the state (its bound on {0} is reached); raise the bound, or free keys"
    )]
    NoRoom(&'static str),
    /// The record kept changing.
    #[error("nothing was changed: the record of the rollout kept changing under this command; try again")]
    Busy,
}

impl RolloutError {
    /// Whether what was asked for holds, at least on this gateway.
    #[must_use]
    pub const fn in_effect(&self) -> bool {
        matches!(self, Self::OnlyHere(_))
    }

    /// A word for it that does not change.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "unknown_rollout",
            Self::Invalid(_) => "invalid",
            Self::Refused { .. } => "refused",
            Self::NotReady { .. } => "not_ready",
            Self::Elsewhere { .. } => "elsewhere",
            Self::Store(_) => "store_unavailable",
            Self::OnlyHere(_) => "only_here",
            Self::NoRoom(_) => "no_room",
            Self::Busy => "busy",
        }
    }
}

impl From<Refused> for RolloutError {
    fn from(refused: Refused) -> Self {
        Self::Refused { phase: refused.phase, message: refused.message }
    }
}

fn in_words(names: &[String]) -> String {
    if names.is_empty() {
        "the document has none".to_owned()
    } else {
        format!("there are: {}", names.join(", "))
    }
}
