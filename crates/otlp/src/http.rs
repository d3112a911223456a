//! OTLP over HTTP.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, Request, StatusCode, header};
use opentelemetry_proto::tonic::{collector::trace::v1::ExportTraceServiceResponse, resource::v1::Resource};
use prost::Message;
use sluicegate_core::span::Span;
use sluicegate_outbound as outbound;
use sluicegate_spans::{Carried, Carrier, OtlpSettings, Undelivered, Why};
use ureq::Agent;

use crate::encode::{left_out, request, resource};

/// No answer is as long.
const LONGEST: u64 = 1 << 20;

#[derive(Debug)]
pub(crate) struct Http {
    to: Arc<Address>,
    resource: Resource,
}

#[derive(Debug)]
struct Address {
    agent: Agent,
    url: String,
    headers: HeaderMap,
}

impl Http {
    pub(crate) fn new(settings: &OtlpSettings) -> Result<Self, (&'static str, String)> {
        let (to, named) = (&settings.endpoint, settings.authorities.as_ref());
        let client = outbound::client(to, named, settings.timeout).map_err(|message| ("ca", message))?;
        let agent = client.build().into();
        let url = format!("{}/v1/traces", settings.endpoint);
        let to = Arc::new(Address { agent, url, headers: settings.headers.clone() });
        Ok(Self { to, resource: resource(&settings.service_name) })
    }
}

impl Carrier for Http {
    fn carry<'a>(&'a self, batch: &'a [Span]) -> Carried<'a> {
        let body = request(&self.resource, batch).encode_to_vec();
        let to = self.to.clone();
        Box::pin(async move {
            // On a thread that may block, at most for the timeout.
            let sent = tokio::task::spawn_blocking(move || to.post(&body)).await;
            sent.unwrap_or_else(|_| Err(undelivered(Why::Stopping, "the gateway is stopping".to_owned())))
        })
    }
}

impl Address {
    fn post(&self, body: &[u8]) -> Result<u64, Undelivered> {
        let mut request = Request::post(&self.url).header(header::CONTENT_TYPE, "application/x-protobuf");
        if let Some(headers) = request.headers_mut() {
            headers.extend(self.headers.clone());
        }
        let unreachable =
            |words: String| Undelivered { passes: true, ..undelivered(Why::Unreachable, words) };
        let request = request
            .body(body)
            .map_err(|error| undelivered(Why::Refused, format!("the request cannot be made: {error}")))?;
        let mut answer = self.agent.run(request).map_err(|error| match error {
            ureq::Error::Timeout(_) => {
                let words = "it did not answer in time".to_owned();
                Undelivered { passes: true, ..undelivered(Why::Timeout, words) }
            }
            error => unreachable(format!("it cannot be reached: {error}")),
        })?;
        let status = answer.status();
        if status.is_success() {
            // What cannot be read does not say that anything was left out.
            let read = answer.body_mut().with_config().limit(LONGEST).read_to_vec().unwrap_or_default();
            let answer = ExportTraceServiceResponse::decode(&*read).unwrap_or_default();
            return Ok(left_out(&answer));
        }
        let after = answer.headers().get(header::RETRY_AFTER).and_then(|after| after.to_str().ok());
        Err(Undelivered {
            passes: may_pass(status),
            after: after.and_then(|after| after.trim().parse().ok()).map(Duration::from_secs),
            ..undelivered(Why::Refused, format!("it answered {status}"))
        })
    }
}

/// As the protocol says (OTLP 1.x, "Retryable Response Codes").
fn may_pass(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

fn undelivered(why: Why, words: String) -> Undelivered {
    Undelivered { why, words, passes: false, after: None }
}
