//! `store`: where state that outlives the process is kept.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The store; exactly one of these.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StoreInput {
    /// On this machine's disk; survives a restart.
    Embedded(EmbeddedInput),
    /// In memory; lost at a restart.
    Memory(MemoryInput),
    /// Not available yet. In Redis, shared by many gateways.
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
}

impl Default for EmbeddedInput {
    fn default() -> Self {
        Self { path: PathBuf::from("data") }
    }
}

/// The store in memory; it has no settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MemoryInput {}

/// Not available yet. The store in Redis.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedisInput {
    /// Where it is: `redis://host:port`.
    pub url: String,
}

impl RedisInput {
    /// Hides a password in the URL.
    pub(crate) fn redact(&mut self) {
        if let Some((scheme, rest)) = self.url.split_once("://")
            && let Some((_, host)) = rest.rsplit_once('@')
        {
            self.url = format!("{scheme}://[redacted]@{host}");
        }
    }
}
