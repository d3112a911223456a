//! How the fences are doing, against their bounds.

use std::sync::atomic::Ordering;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Fences;

/// How the fences are doing, against their bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct FencesStatus {
    /// Keys that the store remembers; where it cannot be asked, as it last said. Where gateways
    /// share a store, theirs are among them.
    pub keys: u64,
    /// The most that it may.
    pub max_keys: u64,
    /// Bytes that it keeps of keys and answers.
    pub bytes: u64,
    /// The most that it may.
    pub max_bytes: u64,
    /// Attempts of this gateway that have not ended.
    pub running: usize,
    /// Duplicates that wait for a first attempt.
    pub waiting: usize,
    /// The most that may.
    pub max_waiting: usize,
    /// Attempts that go on after their clients have left.
    pub detached: usize,
    /// The most that may.
    pub max_detached: usize,
    /// Bytes of request bodies and answers held in memory.
    pub buffered: usize,
    /// The most that may be.
    pub max_buffered: usize,
    /// Ends of attempts that the store has not taken yet.
    pub settles_waiting: usize,
}

impl Fences {
    /// How the fences of this gateway are doing.
    pub async fn status(&self) -> FencesStatus {
        let home = &*self.0;
        home.look_at_usage().await;
        let settings = home.settings();
        FencesStatus {
            keys: home.keys.load(Ordering::Relaxed),
            max_keys: settings.bounds.max_keys,
            bytes: home.bytes.load(Ordering::Relaxed),
            max_bytes: settings.bounds.max_bytes,
            running: home.running.load(Ordering::Relaxed),
            waiting: home.waiting.count(),
            max_waiting: settings.max_waiters,
            detached: *home.detached.borrow(),
            max_detached: settings.max_detached,
            buffered: home.budget.taken(),
            max_buffered: settings.max_buffered,
            settles_waiting: home.late.len(),
        }
    }
}
