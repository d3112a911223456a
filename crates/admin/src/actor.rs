//! Who asked for a change.
//!
//! The gateway knows the peer's address and, where a token is required, whose token it sent. Any
//! other name is what the caller claims in `X-Sluicegate-Actor`, and is recorded as such.

use std::{fmt, net::SocketAddr, sync::Arc};

use http::Request;
use schemars::JsonSchema;
use serde::Serialize;

use crate::tokens::Bearer;

/// The header in which a caller may name who asks.
pub const ACTOR_HEADER: &str = "x-sluicegate-actor";

/// The peer of an admin connection, in the request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Who asked for a change.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "AuditActor")]
pub struct Actor {
    /// What the caller calls itself; not verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claimed: Option<String>,
    /// The name of the token that was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Arc<str>>,
    /// Where the request came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub peer: Option<SocketAddr>,
    /// What made the change where nobody asked over the API: `file`, `signal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<&'static str>,
}

/// More of a claimed name is cut off: it goes into every log line of the change.
const NAME_CHARS: usize = 128;

impl Actor {
    /// A change that came from the gateway itself, such as `file` or `signal`.
    #[must_use]
    pub const fn cause(cause: &'static str) -> Self {
        Self { claimed: None, token: None, peer: None, cause: Some(cause) }
    }

    /// Who sent this request.
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        let claimed = request.headers().get(ACTOR_HEADER).and_then(|name| name.to_str().ok());
        Self {
            claimed: claimed
                .map(|name| name.trim().chars().take(NAME_CHARS).collect::<String>())
                .filter(|name| !name.is_empty()),
            token: request.extensions().get::<Bearer>().map(|bearer| bearer.name.clone()),
            peer: request.extensions().get::<Peer>().map(|peer| peer.0),
            cause: None,
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.token.as_ref().map(|token| format!("token {token}"));
        let from = self.peer.map(|peer| peer.to_string());
        let known: Vec<String> = [token, from].into_iter().flatten().collect();
        match (&self.claimed, known.is_empty(), self.cause) {
            (Some(name), false, _) => write!(f, "{name} ({})", known.join(", ")),
            (Some(name), true, _) => f.write_str(name),
            (None, false, _) => f.write_str(&known.join(", ")),
            (None, true, Some(cause)) => f.write_str(cause),
            (None, true, None) => f.write_str("unknown"),
        }
    }
}
