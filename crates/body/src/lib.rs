//! Bodies that do more than carry bytes.
//!
//! A body is where a request's life really ends: limits, timers and whatever must be released
//! at the end live in it and not in the future that made it. Each type here wraps another
//! body, streams it without gathering it, and forwards its size hint, so that a length which
//! was known stays known.
//!
//! - [`Inbound`]: a client's request body under its size limit and idle timeout.
//! - [`Outbound`]: what goes to the upstream: nothing, a body that is sent once, a body of
//!   which a copy is kept under a cap so that it can be sent again, or one that waits for
//!   `100 Continue`.
//! - [`gather`]: reads a body that a guard must know whole, under a cap and one [`Budget`].
//! - [`coding`]: a body without its content coding, under a cap.
//! - [`Teed`]: a body to which somebody listens as it passes.
//! - [`LazyTimer`]: the timer all of them use.

mod budget;
pub mod coding;
mod fault;
mod gate;
mod gathered;
mod inbound;
mod outbound;
mod replay;
mod tee;
mod timer;

pub use budget::{Budget, Held};
pub use gate::{Gate, NotWanted};
pub use gathered::{Gather, GatherError, Gathered, Gathering, Whole, gather};
pub use inbound::{BodyLimits, Inbound, InboundError};
pub use outbound::Outbound;
pub use replay::Replay;
pub use tee::{Tap, Teed};
pub use timer::{IdleTimer, LazyTimer};
