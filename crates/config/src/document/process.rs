//! What concerns the process: how it stops, what it logs, whom it believes.

use std::{borrow::Cow, net::IpAddr, path::PathBuf};

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sluicegate_core::units::Span;

/// How the gateway stops at SIGTERM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ShutdownInput {
    /// How long the listeners go on while `/readyz` already says no.
    pub drain_delay: Span,
    /// How long after that requests may still run.
    pub limit: Span,
}

impl Default for ShutdownInput {
    fn default() -> Self {
        Self { drain_delay: Span::secs(5), limit: Span::secs(30) }
    }
}

/// The access log.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AccessLogInput {
    /// The file it is appended to; `-` is standard output.
    pub path: PathBuf,
}

impl Default for AccessLogInput {
    fn default() -> Self {
        Self { path: PathBuf::from("-") }
    }
}

impl AccessLogInput {
    /// Whether it goes to standard output.
    #[must_use]
    pub fn is_stdout(&self) -> bool {
        self.path.as_os_str() == "-"
    }
}

/// The gateway's own log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogInput {
    /// What is worth a line.
    pub level: LogLevel,
    /// For people or for machines.
    pub format: LogFormat,
}

/// What is worth a line in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Only what failed.
    Error,
    /// Also what looks wrong.
    Warn,
    /// Also what happened: starts, reloads, freezes.
    #[default]
    Info,
    /// Also connections and tries.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The level as `tracing` filters name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// The form of the log's lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// A network whose peers are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerInput(pub IpNet);

impl<'de> Deserialize<'de> for PeerInput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let whole = text.parse::<IpAddr>().map(IpNet::from);
        text.parse().or(whole).map(Self).map_err(|_| {
            de::Error::custom(format_args!(
                "`{text}` is not a network; write 10.0.0.0/8, ::1/128 or one address"
            ))
        })
    }
}

impl Serialize for PeerInput {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl JsonSchema for PeerInput {
    fn schema_name() -> Cow<'static, str> {
        "PeerInput".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "A network or an address: 10.0.0.0/8, ::1/128, 192.0.2.7." })
    }
}
