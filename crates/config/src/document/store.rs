//! `store`: where state that outlives the process is kept.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicegate_store::redis::RedisInput;

/// The store; exactly one of these.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StoreInput {
    /// On this machine's disk; survives a restart.
    Embedded(EmbeddedInput),
    /// In memory; lost at a restart.
    Memory(MemoryInput),
    /// In Redis or Valkey, shared by many gateways.
    Redis(RedisInput),
}

impl Default for StoreInput {
    fn default() -> Self {
        Self::Embedded(EmbeddedInput::default())
    }
}

/// The store on disk.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EmbeddedInput {
    /// Its folder, made where it is missing.
    pub path: PathBuf,
    /// When fences are on the disk itself: `os` leaves that to the system and survives the end of the process, `always` survives a power cut and costs a sync per write. Intents are always synced.
    pub sync: SyncInput,
}

/// When what is written to the store on disk is there for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SyncInput {
    /// When the system writes it back.
    #[default]
    Os,
    /// Before it is acknowledged.
    Always,
}

impl Default for EmbeddedInput {
    fn default() -> Self {
        Self { path: PathBuf::from("data"), sync: SyncInput::default() }
    }
}

/// The store in memory; it has no settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MemoryInput {}
