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
mod cors;
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
mod telemetry;
mod webhooks;

use std::process::ExitCode;

use crate::cli::Command;

pub use logging::LogSwitch;
pub use metrics::{RequestMetrics, RouteMetrics};
pub use sluicegate_spans::Connect;

/// Runs the command line of this process. Spans are sent by `connect`'s carriers; without it a
/// document that asks for that is refused.
#[must_use]
pub fn main(connect: Option<Connect>) -> ExitCode {
    match cli::typed() {
        (Command::Serve(args), _) => serve::run(&args, connect),
        (Command::Demo(args), _) => demo::run(&args),
        (Command::Client(command), for_a_program) => cli::run_client(&command, for_a_program, connect),
    }
}
