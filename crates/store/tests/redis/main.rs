//! The Redis engine against real servers.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../engines/mod.rs"]
mod engines;
mod fake;
mod proxy;
mod support;

mod disk;
mod failover;
mod gateways;
mod outage;
mod promises;
mod refused;
