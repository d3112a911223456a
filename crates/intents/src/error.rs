//! What can go wrong when an operator changes an intent.

use sluicegate_store::{EntryState, StoreError};

/// Why an intent was not changed, or the backfill not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntentError {
    /// There is none of this id.
    #[error("there is no intent `{0}`; what is over is kept for `intents.keep` and then gone")]
    Unknown(String),
    /// It stands where this cannot be done to it.
    #[error("intent `{id}` is {}; only one that is {} can be {done}", .state.as_str(), in_words(.allowed))]
    WrongState {
        /// Its id.
        id: String,
        /// Where it stands.
        state: EntryState,
        /// Where it would have to stand.
        allowed: &'static [EntryState],
        /// What was to be done.
        done: &'static str,
    },
    /// Its key has been used, or settled by an operator, since: applying it could do the
    /// write twice.
    #[error(
        "the key of intent `{0}` has been used or resolved since, so that to apply it could do the write twice; \
         look at the key with `keys show`, then drop the intent, or settle it"
    )]
    KeyTaken(String),
    /// It moved while this was done.
    #[error("intent `{0}` moved while this was done; look at it again")]
    Moved(String),
    /// What was asked for cannot be used: why.
    #[error("{0}")]
    Invalid(String),
    /// The store could not be asked. The change may or may not have been made.
    #[error("the store cannot be used: {0}")]
    Store(#[from] StoreError),
}

fn in_words(states: &[EntryState]) -> String {
    let words: Vec<_> = states.iter().map(|state| state.as_str()).collect();
    words.join(" or ")
}
