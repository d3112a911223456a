//! What shadow traffic costs: a share of the requests is copied to a second upstream, by the
//! gateway and by other proxies, and each is held against itself without copies.
//!
//! [`service`] is behind every proxy twice, as the primary and as the shadow, and counts what it
//! is asked: so it is known that the copies were sent, and how many. [`bad`] are shadows as nobody
//! wants them, and [`outcomes`] what the gateway says became of their copies. [`systems`] starts the proxies, [`turn`] is one measurement: the requests
//! come in an open loop at a fixed rate (the [clients](crate::overload::client) of the overload
//! bench), so a slow answer does not hold back the next request. [`table`] prints what came of it.
//!
//! In the [`course`] of a run a system with copies and the same without take their turns side by
//! side, and what is told is the median of the rounds' own ratios.

pub mod bad;
pub mod course;
pub mod outcomes;
pub mod service;
pub mod systems;
pub mod table;
pub mod turn;

/// The share of the requests that is copied, in percent.
pub const SHARE: u32 = 10;
