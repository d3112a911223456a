//! What a connection is held to.

use std::time::Duration;

use sluicegate_core::TrustedPeers;

/// The least that `max_header_bytes` can be: what the HTTP/1.1 parser needs to work.
const LEAST_HEADER_BYTES: usize = 8192;

/// The settings of connections. New connections take the ones of the last commit, open ones
/// keep theirs; `max_connections` holds at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnSettings {
    /// From the first byte of a request's head (for the first request: from the accept, or
    /// the end of the TLS handshake) until the head is whole. Also bounds the TLS handshake.
    pub header_read: Duration,
    /// How long a connection may rest with no request in flight.
    pub idle: Duration,
    /// How long the client may take no byte of what waits to be sent to it.
    pub write_stall: Duration,
    /// Bytes of a request's head; beyond it the answer is 431. Below 8192 it counts as 8192.
    pub max_header_bytes: usize,
    /// Open connections in total. Beyond it clients wait in the kernel's backlog.
    pub max_connections: usize,
    /// Whose PROXY headers are believed.
    pub trusted_peers: TrustedPeers,
}

impl Default for ConnSettings {
    fn default() -> Self {
        Self {
            header_read: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            write_stall: Duration::from_secs(60),
            max_header_bytes: 64 * 1024,
            max_connections: 10_000,
            trusted_peers: TrustedPeers::default(),
        }
    }
}

impl ConnSettings {
    pub(crate) fn header_bytes(&self) -> usize {
        self.max_header_bytes.max(LEAST_HEADER_BYTES)
    }
}
