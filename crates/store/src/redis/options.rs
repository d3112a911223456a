//! `store.redis:` in the document, and what it means.

use std::{fmt, path::PathBuf, time::Duration};

use ::redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicegate_core::units::Span;

/// The longest prefix or group, in bytes: it is part of every key.
const MAX_NAME: usize = 64;

/// A shorter lease would lapse while a failed connection is made again.
const LEASE: (Span, Span) = (Span::secs(3), Span::secs(600));

/// Longer waits would hold requests up that have long been given up.
const TIMEOUTS: (Span, Span) = (Span::millis(10), Span::secs(60));

/// The store in Redis or Valkey, shared by many gateways.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedisInput {
    /// Where it is: `redis://[user:password@]host[:port][/database]`, `rediss://` for TLS, or `unix:///path`.
    pub url: String,
    /// A file with the password, instead of one in the URL; read at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// What all its keys begin with.
    #[serde(default = "default_prefix")]
    pub prefix: String,
    /// The gateways that share fences and intents; each group has its own.
    #[serde(default = "default_group")]
    pub group: String,
    /// How long a gateway that is not heard of is taken to be at work still.
    #[serde(default = "default_lease")]
    pub lease: Span,
    /// How long a connection may take to be made.
    #[serde(default = "default_connect_timeout")]
    pub connect_timeout: Span,
    /// How long an answer may take.
    #[serde(default = "default_response_timeout")]
    pub response_timeout: Span,
    /// Whether an acknowledged intent has to be on Redis's disk.
    #[serde(default)]
    pub durability: Durability,
}

/// What becomes of intents where Redis may lose what it has acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// They are not accepted.
    #[default]
    OnDisk,
    /// They are accepted, and may be lost.
    AcceptLoss,
}

fn default_prefix() -> String {
    "sluicegate".into()
}

fn default_group() -> String {
    "default".into()
}

const fn default_lease() -> Span {
    Span::secs(10)
}

const fn default_connect_timeout() -> Span {
    Span::millis(500)
}

const fn default_response_timeout() -> Span {
    Span::secs(1)
}

impl RedisInput {
    /// With everything but the URL as it is when nothing is said.
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            password_file: None,
            prefix: default_prefix(),
            group: default_group(),
            lease: default_lease(),
            connect_timeout: default_connect_timeout(),
            response_timeout: default_response_timeout(),
            durability: Durability::default(),
        }
    }

    /// Hides what the URL may hold of secrets.
    pub fn redact(&mut self) {
        self.url = redacted(&self.url);
    }

    /// The options, or everything that is wrong: pairs of a field and a message.
    pub fn check(&self) -> Result<RedisOptions, Vec<(String, String)>> {
        let mut faults = Vec::new();
        let mut fault = |field: &str, message: String| faults.push((field.to_owned(), message));
        for (field, name) in [("prefix", &self.prefix), ("group", &self.group)] {
            if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(is_name) {
                fault(
                    field,
                    format!("`{name}` is not a name; write 1 to {MAX_NAME} letters, digits, `-`, `_` or `.`"),
                );
            }
        }
        for (field, span, (least, most)) in [
            ("lease", self.lease, LEASE),
            ("connect_timeout", self.connect_timeout, TIMEOUTS),
            ("response_timeout", self.response_timeout, TIMEOUTS),
        ] {
            if span < least || span > most {
                fault(field, format!("`{span}` is not between {least} and {most}"));
            }
        }
        if self.response_timeout.0 > self.lease.0 / 3 {
            fault(
                "response_timeout",
                format!(
                    "`{}` is longer than a third of the lease, `{}`, in which a gateway has to be heard of",
                    self.response_timeout, self.lease
                ),
            );
        }
        let server = match server(&self.url) {
            Ok(server) => Some(server),
            Err(message) => {
                fault("url", message);
                None
            }
        };
        let has_password = server.as_ref().is_some_and(|it| it.redis_settings().password().is_some());
        if self.password_file.is_some() && has_password {
            fault("password_file", "the URL has a password as well; remove one of the two".to_owned());
        }
        match server {
            Some(server) if faults.is_empty() => Ok(RedisOptions {
                server,
                prefix: self.prefix.clone(),
                group: self.group.clone(),
                lease: self.lease.0,
                connect_timeout: self.connect_timeout.0,
                response_timeout: self.response_timeout.0,
                durability: self.durability,
            }),
            _ => Err(faults),
        }
    }
}

impl fmt::Debug for RedisInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisInput")
            .field("url", &redacted(&self.url))
            .field("password_file", &self.password_file)
            .field("prefix", &self.prefix)
            .field("group", &self.group)
            .field("lease", &self.lease)
            .field("connect_timeout", &self.connect_timeout)
            .field("response_timeout", &self.response_timeout)
            .field("durability", &self.durability)
            .finish()
    }
}

/// Which Redis, and how it is used.
#[derive(Clone)]
pub struct RedisOptions {
    pub(super) server: ConnectionInfo,
    pub(super) prefix: String,
    pub(super) group: String,
    pub(super) lease: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) response_timeout: Duration,
    pub(super) durability: Durability,
}

impl RedisOptions {
    /// Where it is, for people to read: without names and passwords.
    #[must_use]
    pub fn address(&self) -> String {
        self.server.addr().to_string()
    }

    /// The same with this password.
    #[must_use]
    pub fn with_password(mut self, password: &str) -> Self {
        let settings = self.server.redis_settings().clone().set_password(password);
        self.server = self.server.set_redis_settings(settings);
        self
    }

    /// What every key of the group begins with.
    pub(super) fn key_prefix(&self) -> String {
        format!("{}:{}:", self.prefix, self.group)
    }
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions")
            .field("address", &self.address())
            .field("prefix", &self.prefix)
            .field("group", &self.group)
            .field("lease", &self.lease)
            .field("connect_timeout", &self.connect_timeout)
            .field("response_timeout", &self.response_timeout)
            .field("durability", &self.durability)
            .finish_non_exhaustive()
    }
}

const fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

/// The parts of the URL, or what is wrong with it; a message never holds the URL itself.
fn server(url: &str) -> Result<ConnectionInfo, String> {
    const SCHEMES: [&str; 4] = ["redis", "rediss", "unix", "redis+unix"];
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    if scheme.is_none_or(|scheme| !SCHEMES.contains(&scheme)) {
        let shown = redacted(url);
        return Err(format!(
            "`{shown}` is not the URL of a Redis; write redis://host:6379, rediss://host:6380 for TLS, or unix:///path"
        ));
    }
    let server = url
        .into_connection_info()
        .map_err(|error| format!("`{}` is not the URL of a Redis: {error}", redacted(url)))?;
    if let ConnectionAddr::TcpTls { insecure: true, .. } = server.addr() {
        return Err("`#insecure` is not taken: a certificate that is not checked protects nothing".into());
    }
    // In this protocol the end of a connection is told when it comes, not when it is next used.
    let settings = server.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Ok(server.set_redis_settings(settings))
}

fn redacted(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return if url.contains('@') { "[redacted]".into() } else { url.into() };
    };
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    // A path to a socket takes its password in the query.
    let shown = host.split_once('?').map_or(host, |(shown, _)| shown);
    let hides = if host.len() == rest.len() { "" } else { "[redacted]@" };
    let ends = if shown.len() == host.len() { "" } else { "?[redacted]" };
    format!("{scheme}://{hides}{shown}{ends}")
}

#[cfg(test)]
mod tests;
