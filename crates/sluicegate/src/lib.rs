//! Sluicegate: the gateway that makes a RAG service safe to operate.
//!
//! This crate is the binary: the order of the stack ([`gateway`]), the way in ([`ingress`]),
//! how a document is taken while it runs, and the command line ([`cli`]). Each guard is a
//! crate of its own that an axum or tonic service can use without the gateway.

mod access_log;
mod admin_port;
mod backfill;
pub mod cli;
mod control;
mod demo;
pub mod gateway;
pub mod ingress;
mod logging;
mod metrics;
pub mod own;
mod rollouts;
mod say;
mod sections;
mod serve;
mod signals;
pub mod snapshot;
mod store_sections;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::Command;

pub use logging::LogSwitch;
pub use metrics::{RequestMetrics, RouteMetrics};

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    match cli::Cli::parse().command {
        Command::Serve(args) => serve::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Client(command) => cli::run_client(&command),
    }
}
