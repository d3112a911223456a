//! Who asked for a change.
//!
//! The gateway knows the peer's address and, where a token is required, that the peer had
//! it. A name is only ever what the caller claims in `X-Sluicegate-Actor`, and is recorded
//! as such.

use std::{fmt, net::SocketAddr};

use http::Request;
use serde::Serialize;

/// The header in which a caller may name who asks.
pub const ACTOR_HEADER: &str = "x-sluicegate-actor";

/// The peer of an admin connection, in the request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Who asked for a change.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Actor {
    /// What the caller calls itself; not verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claimed: Option<String>,
    /// Where the request came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<SocketAddr>,
    /// What made the change where nobody asked over the API: `file`, `signal`, `calendar`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<&'static str>,
}

/// More of a claimed name is cut off: it goes into every log line of the change.
const NAME_CHARS: usize = 128;

impl Actor {
    /// A change that came from the gateway itself, such as `file` or `signal`.
    #[must_use]
    pub const fn cause(cause: &'static str) -> Self {
        Self { claimed: None, peer: None, cause: Some(cause) }
    }

    /// Who sent this request.
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        let claimed = request.headers().get(ACTOR_HEADER).and_then(|name| name.to_str().ok());
        Self {
            claimed: claimed
                .map(|name| name.trim().chars().take(NAME_CHARS).collect::<String>())
                .filter(|name| !name.is_empty()),
            peer: request.extensions().get::<Peer>().map(|peer| peer.0),
            cause: None,
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.claimed, self.peer, self.cause) {
            (Some(name), Some(peer), _) => write!(f, "{name} ({peer})"),
            (Some(name), None, _) => f.write_str(name),
            (None, Some(peer), _) => write!(f, "{peer}"),
            (None, None, Some(cause)) => f.write_str(cause),
            (None, None, None) => f.write_str("unknown"),
        }
    }
}
