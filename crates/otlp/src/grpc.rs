//! OTLP over gRPC.

use std::{error::Error, sync::OnceLock, time::Duration};

use opentelemetry_proto::tonic::{
    collector::trace::v1::trace_service_client::TraceServiceClient, resource::v1::Resource,
};
use sluicegate_core::{Authorities, span::Span};
use sluicegate_outbound::is_encrypted;
use sluicegate_spans::{Carried, Carrier, OtlpSettings, Undelivered, Why};
use tonic::{
    Code, Request, Status,
    metadata::MetadataMap,
    transport::{Channel, ClientTlsConfig, Endpoint},
};

use crate::encode::{left_out, request, resource};

/// How often a connection that sends is asked whether it still stands, and how long it may think.
const ALIVE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Grpc {
    endpoint: Endpoint,
    /// Made with the first batch: it belongs to the runtime that it is made in.
    client: OnceLock<TraceServiceClient<Channel>>,
    resource: Resource,
    metadata: MetadataMap,
}

impl Grpc {
    pub(crate) fn new(settings: &OtlpSettings) -> Result<Self, (&'static str, String)> {
        let wrong = |error: tonic::transport::Error| ("endpoint", with_causes(&error));
        let mut endpoint = Endpoint::from_shared(settings.endpoint.clone())
            .map_err(wrong)?
            .connect_timeout(settings.timeout)
            // A connection whose other end is gone without a word is opened anew.
            .http2_keep_alive_interval(ALIVE)
            .keep_alive_timeout(ALIVE)
            .user_agent(concat!("sluicegate/", env!("CARGO_PKG_VERSION")))
            .map_err(wrong)?;
        if is_encrypted(&settings.endpoint) {
            let named = settings.authorities.clone().map_or_else(Authorities::of_system, Ok);
            let trusted = named.map_err(|message| ("ca", message))?;
            let tls = ClientTlsConfig::new().trust_anchors(trusted.anchors());
            let wrong = |error| ("ca", format!("cannot be used: {}", with_causes(&error)));
            endpoint = endpoint.tls_config(tls).map_err(wrong)?;
        }
        Ok(Self {
            endpoint,
            client: OnceLock::new(),
            resource: resource(&settings.service_name),
            metadata: MetadataMap::from_headers(settings.headers.clone()),
        })
    }
}

impl Carrier for Grpc {
    fn carry<'a>(&'a self, batch: &'a [Span]) -> Carried<'a> {
        Box::pin(async move {
            let client = self.client.get_or_init(|| TraceServiceClient::new(self.endpoint.connect_lazy()));
            let mut message = Request::new(request(&self.resource, batch));
            *message.metadata_mut() = self.metadata.clone();
            let answer = client.clone().export(message).await.map_err(|status| undelivered(&status))?;
            Ok(left_out(answer.get_ref()))
        })
    }
}

/// Which codes may pass is said by the protocol (OTLP 1.x, "OTLP/gRPC Response"). A server that has
/// run out of something says when to come again in a form that is not read here; it is taken at its
/// word that this passes.
fn undelivered(status: &Status) -> Undelivered {
    if let Some(error) = status.source() {
        let words = format!("it cannot be reached: {}", with_causes(error));
        return Undelivered { why: Why::Unreachable, words, passes: true, after: None };
    }
    let why = match status.code() {
        Code::DeadlineExceeded | Code::Cancelled => Why::Timeout,
        _ => Why::Refused,
    };
    let passes = matches!(
        status.code(),
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss
    );
    let words = format!("it answered {:?}: {}", status.code(), status.message());
    Undelivered { why, words, passes, after: None }
}

/// What an error says, and what its causes do.
fn with_causes(error: &dyn Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !said.ends_with(&more) {
            said = format!("{said}: {more}");
        }
        cause = error.source();
    }
    said
}
