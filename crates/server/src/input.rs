//! What the document says of listeners.
//!
//! These types only read; [`Server::prepare`](crate::Server::prepare) checks them, because an
//! address or a certificate is right only if it can be bound or loaded.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An entry of `listen`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenInput {
    /// `IP:PORT` (`127.0.0.1:8080`, `[::]:8443`; port 0 takes a free one), or `systemd:NAME`
    /// for a socket passed in by socket activation under that name.
    pub address: String,
    /// Serve TLS (HTTP/2 and HTTP/1.1 by ALPN). Without it: HTTP/1.1, and HTTP/2 with prior
    /// knowledge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsInput>,
    /// Whether each connection begins with a header of the PROXY protocol, version 1 or 2, which a
    /// load balancer puts there. It is taken from `trusted_peers` alone; anybody else is closed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub proxy_protocol: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// The certificate of a listener. Relative paths start at the document's directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsInput {
    /// PEM file with the certificate, followed by its intermediates.
    pub cert: PathBuf,
    /// PEM file with the unencrypted private key of the certificate.
    pub key: PathBuf,
}
