//! Whether a write may be sent to its upstream again.
//!
//! A write without a key is sent once. Where a guard has fenced a write by its idempotency key,
//! it says in the request's extensions how far that key carries; the proxy path, which alone
//! knows how each try ended, does not send it more often than that.

/// How far the key of a write carries. It stands in the request's extensions; without it a write
/// counts as [`Repeat::Never`]. Reads need none.
///
/// Whoever sets another value than [`Repeat::Never`] has the body in memory already and goes on
/// accounting for it: keeping it for another try then costs nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Repeat {
    /// Only while nothing has reached the upstream.
    #[default]
    Never,
    /// Only after a try that is known to have done nothing.
    NotApplied,
    /// Also after a try of which nobody knows what it did.
    Always,
}
