//! What the whole-gateway tests share: the gateway as a process, upstreams that write down
//! exactly what reached them, and clients that see exactly what came back.
//!
//! The tests in `tests/` know the gateway only through its sockets, its files, its signals
//! and its command line, as a user does. Two rules keep them honest:
//!
//! - The upstream of the strict path ([`upstream`]) and the raw client ([`raw`]) read HTTP/1.1
//!   with a parser of their own ([`wire`]), so that a fault of the library that the gateway is
//!   built on cannot hide itself on both sides.
//! - Conditions are waited for ([`eventually`]), never a fixed time; order between what the
//!   upstream saw and what a test did is told by one counter ([`tick()`]).
//!
//! Tests that repeat something many times take a short form by default and the full number
//! where `SLUICEGATE_TESTS_LONG=1` is set ([`repeat`]).

// These crates are test code from end to end: a failed expectation is meant to panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc, clippy::must_use_candidate)]

pub mod admin;
pub mod arms;
pub mod audit;
pub mod client;
pub mod fenced;
pub mod fleet;
pub mod gateway;
pub mod grpc;
pub mod h2_upstream;
pub mod intents;
pub mod llm;
pub mod load;
pub mod pattern;
pub mod raw;
pub mod rollouts;
pub mod stats;
pub mod tick;
pub mod tls;
pub mod upstream;
pub mod wire;

use std::time::Duration;

pub use arms::{Arms, Which};
pub use audit::{Audited, Write};
pub use client::{Answer, Client};
pub use fenced::Fenced;
pub use gateway::{Folder, Gateway};
pub use llm::Llm;
pub use raw::Raw;
pub use tick::{Tick, comes_true, eventually, reaches, tick};
pub use upstream::{Gate, Seen, Step, Upstream};

/// Longer than anything here should take, shorter than anybody's patience.
pub const LIMIT: Duration = Duration::from_secs(20);

/// `long` where `SLUICEGATE_TESTS_LONG` is set to anything but 0, else `short`.
pub fn repeat(short: usize, long: usize) -> usize {
    match std::env::var("SLUICEGATE_TESTS_LONG") {
        Ok(value) if value != "0" => long,
        _ => short,
    }
}

/// A configuration with one plain listener, the admin port, a store in memory and the
/// upstream `main` behind a route `all` that takes everything; `extra` follows it as it is.
pub fn config(endpoint: &str, extra: &str) -> String {
    config_where(endpoint, "", extra)
}

/// As [`config`], where the route says `more` besides: `key: value, key: value`.
pub fn config_where(endpoint: &str, more: &str, extra: &str) -> String {
    let more = if more.is_empty() { String::new() } else { format!(", {more}") };
    format!(
        r#"listen: [{{ address: "127.0.0.1:0" }}]
admin: {{ address: "127.0.0.1:0" }}
store: {{ memory: {{}} }}
upstreams: {{ main: {{ endpoints: ["{endpoint}"] }} }}
routes: [{{ name: all, match: {{ path: "/{{*rest}}" }}, upstream: main{more} }}]
{extra}
"#
    )
}
