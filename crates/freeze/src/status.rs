//! What `GET /freeze` and `sluicegate status` show.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{scope::Scope, view::Source};

/// The state of all freezes at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FreezeStatus {
    /// Rises with each visible change: a freeze goes on or off, changes its words, or is
    /// drained. It starts anew with the process.
    pub version: u64,
    /// Whether any freeze is on.
    pub active: bool,
    /// The freezes that are on.
    pub freezes: Vec<FreezeRecord>,
    /// What the calendar has to come, soonest first; at most [`NEXT_SHOWN`].
    pub next: Vec<Next>,
}

/// A freeze that is on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FreezeRecord {
    /// Its id.
    pub id: String,
    /// Why.
    pub reason: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// Until when, where that is known.
    pub until: Option<Timestamp>,
    /// What it covers; absent: everything.
    pub scope: Option<Scope>,
    /// The writes it covers that were let through before it and still run.
    pub writes_in_flight: usize,
    /// The attempts it covers whose end cannot be known.
    pub unsettled: usize,
    /// When every write it covers had ended.
    pub drained_at: Option<Timestamp>,
    /// Who said so.
    pub source: Source,
    /// The operator, where it was one who gave a name.
    pub by: Option<String>,
    /// Whether it would come back after a restart.
    pub persisted: bool,
    /// The newest of the unsettled attempts, at most [`UNSETTLED_SHOWN`].
    pub unsettled_attempts: Vec<UnsettledAttempt>,
}

/// How many unsettled attempts a record shows.
pub const UNSETTLED_SHOWN: usize = 20;

/// An attempt whose end cannot be known: bytes went out, and no whole answer came back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UnsettledAttempt {
    /// The route's name; empty where the request was not classified.
    pub route: String,
    /// The upstream's name; empty where the request was not classified.
    pub upstream: String,
    /// The tenant.
    pub tenant: Option<String>,
    /// The request's id, as the logs have it.
    pub request_id: String,
    /// When it went out of sight.
    pub ended_at: Timestamp,
}

/// How many freezes to come are shown.
pub const NEXT_SHOWN: usize = 50;

/// A freeze to come: a time of a window that has not begun.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Next {
    /// Its id.
    pub id: String,
    /// Why.
    pub reason: Option<String>,
    /// When it begins.
    pub starts: Timestamp,
    /// When it ends.
    pub ends: Timestamp,
    /// What it covers; absent: everything.
    pub scope: Option<Scope>,
    /// Whether it has been announced, as far as its window's `announce` says.
    pub announced: bool,
}

/// What waiting for a drain came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DrainReport {
    /// No write that the freeze covers runs, and none can start.
    pub drained: bool,
    /// The writes that were in flight when the freeze began.
    pub waited_for: usize,
    /// The writes that still run.
    pub in_flight: usize,
    /// The attempts whose end cannot be known.
    pub unsettled: usize,
    /// The freeze was lifted, or ended, before it was drained.
    pub ended: bool,
}
