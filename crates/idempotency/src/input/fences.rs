//! The bounds of all fences together.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicegate_core::units::{Size, Span};
use sluicegate_store::Bounds;

use super::Faults;

/// `idempotency:` at the top level, as it is written: what all keys together may take.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FencesInput {
    /// The most keys that are remembered; when they are reached, new ones are refused.
    #[schemars(range(min = 1))]
    pub max_keys: u64,
    /// The most bytes of answers and what else is remembered of keys.
    pub max_bytes: Size,
    /// The part of both that one tenant may take, above 0 and up to 1.
    pub tenant_share: f64,
    /// The most duplicates that wait at one time; further ones are told to come back.
    pub max_waiters: usize,
    /// The most bytes of request bodies and answers that are held in memory at one time.
    pub max_buffered: Size,
    /// The most writes that go on at one time after their clients have left; further ones are broken off.
    pub max_detached: usize,
    /// How long a write goes on after its client has left.
    pub detached_limit: Span,
}

impl Default for FencesInput {
    fn default() -> Self {
        let bounds = Bounds::default();
        Self {
            max_keys: bounds.max_keys,
            max_bytes: Size(bounds.max_bytes),
            tenant_share: bounds.share,
            max_waiters: 1000,
            max_buffered: Size(64 << 20),
            max_detached: 1000,
            detached_limit: Span::secs(60),
        }
    }
}

/// The checked bounds.
#[derive(Clone, Debug, PartialEq)]
pub struct FencesSettings {
    /// What the store keeps at most.
    pub bounds: Bounds,
    /// The most duplicates that wait.
    pub max_waiters: usize,
    /// The most bytes that are held in memory.
    pub max_buffered: usize,
    /// The most writes that go on without their clients.
    pub max_detached: usize,
    /// How long one does.
    pub detached_limit: Duration,
}

impl Default for FencesSettings {
    fn default() -> Self {
        let input = FencesInput::default();
        Self {
            bounds: Bounds::default(),
            max_waiters: input.max_waiters,
            max_buffered: 64 << 20,
            max_detached: input.max_detached,
            detached_limit: input.detached_limit.0,
        }
    }
}

impl FencesInput {
    /// The settings, or everything that is wrong: pairs of a path inside the section and a
    /// message.
    pub fn check(&self) -> Result<FencesSettings, Vec<(String, String)>> {
        let mut faults = Faults(Vec::new());
        if self.max_keys == 0 {
            faults.add("max_keys", "0 would refuse every key; write at least 1".to_owned());
        }
        if self.max_bytes.0 == 0 {
            faults.add("max_bytes", "0B would refuse every key; write a size such as 1GiB".to_owned());
        }
        if !(self.tenant_share > 0.0 && self.tenant_share <= 1.0) {
            let share = self.tenant_share;
            faults.add("tenant_share", format!("{share} is not a share; write a number above 0 and up to 1"));
        }
        faults.span("detached_limit", self.detached_limit, true);
        let max_buffered = faults.size("max_buffered", self.max_buffered);
        faults.or(FencesSettings {
            bounds: Bounds { max_keys: self.max_keys, max_bytes: self.max_bytes.0, share: self.tenant_share },
            max_waiters: self.max_waiters,
            max_buffered,
            max_detached: self.max_detached,
            detached_limit: self.detached_limit.0,
        })
    }
}
