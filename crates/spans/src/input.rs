//! The `telemetry.otlp:` section of the document.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use http::{HeaderName, HeaderValue, Uri};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicegate_core::{secret_file, units::Span};

/// How spans are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OtlpProtocol {
    /// gRPC: port 4317 by custom.
    #[default]
    Grpc,
    /// HTTP with binary protobuf: port 4318 by custom.
    Http,
}

/// `telemetry.otlp:` as it is written.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OtlpInput {
    /// The collector: an http or https URL. With `protocol: http`, `/v1/traces` is added to it.
    pub endpoint: String,
    /// How it is spoken to.
    #[serde(default)]
    pub protocol: OtlpProtocol,
    /// The authorities to trust instead of the system's (PEM).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Header fields of its own, such as the collector's key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The same, their values being in files.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers_file: BTreeMap<String, PathBuf>,
    /// What this gateway is called in traces: `service.name`.
    #[serde(default = "service_name")]
    pub service_name: String,
    /// The share of traces that is sampled, of those that begin here.
    #[serde(default = "sample")]
    #[schemars(range(min = 0, max = 1))]
    pub sample: f64,
    /// Spans that may wait for the collector.
    #[serde(default = "queue")]
    #[schemars(range(min = 1, max = 65536))]
    pub queue: u32,
    /// How long sending a batch may take.
    #[serde(default = "timeout")]
    pub timeout: Span,
}

fn service_name() -> String {
    "sluicegate".to_owned()
}

const fn sample() -> f64 {
    1.0
}

const fn queue() -> u32 {
    4096
}

const fn timeout() -> Span {
    Span::secs(5)
}

/// The most spans that may wait: some tens of MiB.
const MOST: u32 = 65_536;

/// Fields that say how the message itself is read, or belong to the connection.
const OURS: [&str; 12] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "grpc-encoding",
    "grpc-timeout",
    "host",
    "te",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

impl OtlpInput {
    /// Everything wrong with it that shows without looking at files: pairs of a path inside it and
    /// a message.
    #[must_use]
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut fault = |key: &str, message: String| faults.push((key.to_owned(), message));
        if let Some(message) = self.endpoint_fault() {
            fault("endpoint", message);
        }
        if self.ca.is_some() && !self.endpoint.starts_with("https:") {
            let message = "is for https, and `endpoint` is not; write https there, or remove this";
            fault("ca", message.to_owned());
        }
        for name in secret_file::given_twice(&self.headers, &self.headers_file) {
            fault(&format!("headers_file.{name}"), "stands in `headers` too; keep one".to_owned());
        }
        for (name, value) in &self.headers {
            if let Some(message) = name_fault(name) {
                fault(&format!("headers.{name}"), message);
            } else if HeaderValue::from_str(value).is_err() {
                fault(&format!("headers.{name}"), "has a value that no header can have".to_owned());
            }
        }
        for name in self.headers_file.keys() {
            if let Some(message) = name_fault(name) {
                fault(&format!("headers_file.{name}"), message);
            }
        }
        if self.service_name.trim().is_empty() || self.service_name.len() > 255 {
            fault("service_name", "is not a name; use 1 to 255 characters, or leave it out".to_owned());
        }
        if !(0.0..=1.0).contains(&self.sample) {
            let message =
                format!("{} is not a share of traces; write a number from 0 to 1, such as 0.1", self.sample);
            fault("sample", message);
        }
        if !(1..=MOST).contains(&self.queue) {
            fault("queue", format!("{} is not between 1 and {MOST}", self.queue));
        }
        if self.timeout.0 < Duration::from_millis(10) || self.timeout.0 > Duration::from_secs(60) {
            fault("timeout", format!("`{}` is not between 10ms and 1m", self.timeout));
        }
        faults
    }

    fn endpoint_fault(&self) -> Option<String> {
        let known = |uri: &Uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.host().is_some_and(|host| !host.is_empty())
        };
        let uri = self.endpoint.parse().ok().filter(known);
        let Some(uri) = uri else {
            return Some(
                "is not the address of a collector; write one such as http://127.0.0.1:4317".to_owned(),
            );
        };
        let has_user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
        let path = uri.path().trim_end_matches('/');
        match self.protocol {
            _ if has_user => Some(
                "carries a user and a password; put them into `headers_file` as an authorization".to_owned(),
            ),
            _ if uri.query().is_some() => {
                Some("carries a query; keys for a collector go into `headers_file`".to_owned())
            }
            OtlpProtocol::Grpc if !path.is_empty() => Some(format!(
                "has a path, `{}`, which gRPC has none of; remove it, or set `protocol: http`",
                path.escape_debug()
            )),
            OtlpProtocol::Http if path.ends_with("/v1/traces") => {
                Some("ends in /v1/traces, which the gateway adds; write what stands before it".to_owned())
            }
            OtlpProtocol::Grpc | OtlpProtocol::Http => None,
        }
    }

    /// What must not be shown, taken out.
    pub fn redact(&mut self) {
        secret_file::redact(self.headers.values_mut());
    }
}

fn name_fault(name: &str) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Some(format!("`{}` is not a header name", name.escape_debug()));
    }
    if OURS.contains(&lower.as_str()) {
        return Some("is set by the gateway itself; remove it".to_owned());
    }
    lower
        .ends_with("-bin")
        .then(|| "is a binary field of gRPC, which cannot be set here; remove it".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{OtlpInput, OtlpProtocol, Span};

    fn input(endpoint: &str) -> OtlpInput {
        OtlpInput {
            endpoint: endpoint.to_owned(),
            protocol: OtlpProtocol::Grpc,
            ca: None,
            headers: [].into(),
            headers_file: [].into(),
            service_name: super::service_name(),
            sample: 1.0,
            queue: 1,
            timeout: Span::secs(1),
        }
    }

    fn wrong(input: &OtlpInput) -> Vec<String> {
        input.faults().into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn an_address_is_told_from_what_is_none() {
        for good in ["http://127.0.0.1:4317", "https://otel.example.org", "http://[::1]:4317/"] {
            assert!(wrong(&input(good)).is_empty(), "{good}");
        }
        for bad in
            ["", "127.0.0.1:4317", "tcp://a:1", "http://", "http://a/?k=1", "http://u:p@a", "http://a/b"]
        {
            assert_eq!(wrong(&input(bad)), ["endpoint"], "{bad}");
        }
        let http = |endpoint| OtlpInput { protocol: OtlpProtocol::Http, ..input(endpoint) };
        assert!(wrong(&http("http://a/otlp")).is_empty());
        assert_eq!(wrong(&http("http://a/v1/traces")), ["endpoint"]);
    }

    #[test]
    fn each_value_that_makes_no_sense_is_named() {
        let own = |name: &str| (name.to_owned(), "x".to_owned());
        let nonsense = OtlpInput {
            ca: Some("ca.pem".into()),
            headers: [own("x-key"), own("Content-Type"), own("x-bin"), own("a b")].into(),
            headers_file: [("X-Key".to_owned(), "key".into())].into(),
            service_name: " ".to_owned(),
            sample: f64::NAN,
            queue: 0,
            timeout: Span::secs(3600),
            ..input("http://a")
        };
        let expected = [
            "ca",
            "headers_file.X-Key",
            "headers.Content-Type",
            "headers.a b",
            "headers.x-bin",
            "service_name",
            "sample",
            "queue",
            "timeout",
        ];
        assert_eq!(wrong(&nonsense), expected);
        let mut shown = nonsense;
        shown.redact();
        assert!(shown.headers.values().all(|value| value == "[redacted]"));
    }
}
