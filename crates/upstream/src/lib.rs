//! The way to the upstream: connection pools per worker, endpoint health, forwarding rules.
//!
//! This is the innermost part of the stack. [`Proxy`] is a tower service that lives on one
//! worker thread and owns its connections; [`Upstreams`] is the home of what all workers
//! share about the endpoints and what outlives a reload; [`forward`] says which header fields
//! pass. Why an own pool: a client shared between threads costs a third of the CPU of a
//! proxied request, and its retry rules are not ours.
//!
//! What is promised stands in [`exchange`](Proxy), about single attempts, in [`Retries`], about
//! further ones, in [`Endpoint`], about who is used, and in [`PinFinding`], about the versions that
//! an upstream serves. Metrics are listed in [`UpstreamMetrics`].

pub mod affinity;
mod body;
mod breaker;
mod choose;
mod connect;
mod endpoint;
mod exchange;
mod failure;
mod fetch;
pub mod forward;
mod head;
mod health;
pub mod input;
mod local;
mod metrics;
mod pins;
mod plan;
mod pool;
mod registry;
mod retry;
pub mod rewrite;
mod send;
mod settings;
mod spare;
mod tally;
mod tls;
mod way;

pub use body::{ResponseBody, StreamIdle};
pub use endpoint::Endpoint;
pub use exchange::Proxy;
pub use local::LocalExec;
pub use metrics::UpstreamMetrics;
pub use pins::{PinFinding, PinSource, PinState};
pub use plan::{RouteTimeouts, UpstreamPlan};
pub use registry::{Prepared, Upstream, Upstreams};
pub use retry::Retries;
pub use rewrite::Rewrite;
pub use settings::{SettingsError, UpstreamSettings};

/// The bodies that requests may have.
pub trait RequestBody:
    http_body::Body<Data = bytes::Bytes, Error: Into<sluicegate_core::BoxError>> + Unpin + 'static
{
}

impl<B> RequestBody for B where
    B: http_body::Body<Data = bytes::Bytes, Error: Into<sluicegate_core::BoxError>> + Unpin + 'static
{
}
