//! Carries spans to a collector by OTLP.
//!
//! [`connect`] makes a [`Carrier`] for `sluicegate-spans`, which decides
//! what is sent and when. gRPC goes over one HTTP/2 connection that is opened with the first batch
//! and anew after it broke; HTTP is a `POST` of binary protobuf to `/v1/traces`. Over TLS the system's
//! authorities are trusted, or those of `ca` alone; no redirect is followed and no proxy is used.
//!
//! What may pass (the collector cannot be reached, or answers one of the codes that the protocol
//! calls retryable) is told apart from what may not, such as a missing key. Spans that a collector
//! leaves out of a batch (`partial_success`) are told too.
//!
//! This crate is linked into the gateway by its feature `otlp` alone.

mod encode;
mod grpc;
mod http;

use sluicegate_spans::{Carrier, OtlpProtocol, OtlpSettings};

/// A carrier for these settings; no connection is opened yet.
pub fn connect(settings: &OtlpSettings) -> Result<Box<dyn Carrier>, (&'static str, String)> {
    Ok(match settings.protocol {
        OtlpProtocol::Grpc => Box::new(grpc::Grpc::new(settings)?),
        OtlpProtocol::Http => Box::new(http::Http::new(settings)?),
    })
}
