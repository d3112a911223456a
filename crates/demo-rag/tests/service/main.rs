//! The service over real sockets, path by path.

// Helpers outside of test functions; a panic is how a test fails.
#![allow(clippy::unwrap_used)]

mod answers;
mod client;
mod documents;
mod faults;
mod idempotency;
mod instance;
mod retrieval;
mod writes;
