//! What survives a restart: the freezes that operators set, and the windows they dismissed.
//!
//! The document's part is not saved; it comes back with the document.

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sluicegate_store::{StateError, StateFile};

use crate::{
    scope::Scope,
    view::{Active, Source, Wanted},
};

/// The state file's content.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Saved {
    pub(crate) freezes: Vec<SavedFreeze>,
    pub(crate) dismissed: Vec<Dismissed>,
}

/// An operator's freeze.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedFreeze {
    id: String,
    reason: Option<String>,
    pub(crate) since: Timestamp,
    until: Option<Timestamp>,
    scope: Scope,
    by: Option<String>,
}

impl SavedFreeze {
    pub(crate) fn of(active: &Active) -> Self {
        Self {
            id: active.id.to_string(),
            reason: active.reason.as_deref().map(str::to_owned),
            since: active.since,
            until: active.until,
            scope: active.scope.as_ref().clone(),
            by: active.by.as_deref().map(str::to_owned),
        }
    }

    pub(crate) fn wanted(&self) -> Wanted<'_> {
        Wanted {
            id: &self.id,
            reason: self.reason.as_deref(),
            until: self.until,
            scope: &self.scope,
            source: Source::Operator,
            by: self.by.as_deref(),
            window: None,
        }
    }
}

/// A window that an operator thawed while it ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Dismissed {
    pub(crate) id: String,
    /// The window's start: a later occurrence under the same id is another one.
    pub(crate) start: Timestamp,
    /// The window's end when it was dismissed.
    pub(crate) until: Timestamp,
    pub(crate) at: Timestamp,
    pub(crate) by: Option<String>,
}

impl Dismissed {
    /// Whether it is of the window of this id, at the time that begins then.
    pub(crate) fn is_of(&self, id: &str, start: Timestamp) -> bool {
        self.start == start && self.id == id
    }
}

/// Writes the state to its file, one write after another.
#[derive(Debug)]
pub(crate) struct Saver {
    /// `None`: the state is kept in memory alone. Locked for the length of a write, by
    /// threads that may block.
    file: Option<Mutex<StateFile<Saved>>>,
    /// What the file holds.
    written: Mutex<Saved>,
}

impl Saver {
    pub(crate) fn new(file: Option<StateFile<Saved>>, written: Saved) -> Self {
        Self { file: file.map(Mutex::new), written: Mutex::new(written) }
    }

    /// Whether there is a file at all.
    pub(crate) fn is_durable(&self) -> bool {
        self.file.is_some()
    }

    /// Whether the file lacks something of this state.
    pub(crate) fn lacks(&self, state: &Saved) -> bool {
        self.is_durable() && *self.written.lock() != *state
    }

    /// Whether the file holds this freeze as it is.
    pub(crate) fn holds(&self, active: &Active) -> bool {
        self.is_durable() && self.written.lock().freezes.contains(&SavedFreeze::of(active))
    }

    /// Writes what `state` gives, unless it is there already. The state is asked for once the
    /// file is ours: of several writers the last one to write has the latest state.
    pub(crate) fn save(&self, state: impl FnOnce() -> Saved) -> Result<(), StateError> {
        let Some(file) = &self.file else { return Ok(()) };
        let mut file = file.lock();
        let state = state();
        if *self.written.lock() != state {
            file.write(&state)?;
            *self.written.lock() = state;
        }
        Ok(())
    }
}
