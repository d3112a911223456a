//! The server over real sockets, with a handler that echoes.

#![expect(clippy::unwrap_used, reason = "all of this is test code, its helpers too")]

mod drain;
mod listeners;
mod load;
mod protocols;
mod rig;
mod timers;
