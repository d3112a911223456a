//! Ports that nobody listens on.

use std::net::TcpListener;

use crate::Result;

/// A free port of 127.0.0.1. It may be taken by somebody else before it is used: whoever
/// starts a server on it tries again with another one.
pub fn free() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
