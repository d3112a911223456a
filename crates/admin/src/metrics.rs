//! `GET /metrics`: what the registry holds, in the form the scraper reads.
//!
//! The registry writes `OpenMetrics` 1.0, which Prometheus asks for by name. A scraper that
//! asks only for `text/plain` gets the classic exposition (version 0.0.4): the same lines,
//! with a counter's `# TYPE` and `# HELP` under the name its sample has.

use std::{fmt::Write, sync::Arc};

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};
use parking_lot::Mutex;
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use crate::problem::Problem;

/// What Prometheus asks for.
pub(crate) const OPEN_METRICS_KIND: &str = "application/openmetrics-text";
/// What older scrapers ask for.
pub(crate) const CLASSIC_KIND: &str = "text/plain";

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    endpoint: String,
    status: u16,
}

/// `sluicegate_admin_requests_total{endpoint,status}`: answers of the admin API itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Requests(Family<RequestLabels, Counter>);

impl Requests {
    pub(crate) fn registered(registry: &mut Registry) -> Self {
        let requests = Self::default();
        registry.register("sluicegate_admin_requests", "Answers of the admin API", requests.0.clone());
        requests
    }

    /// Counts one answer. `endpoint` is a path as the router has it, never one as it came.
    pub(crate) fn count(&self, endpoint: &str, status: u16) {
        self.0.get_or_create(&RequestLabels { endpoint: endpoint.to_owned(), status }).inc();
    }
}

pub(crate) fn answer(registry: &Arc<Mutex<Registry>>, headers: &HeaderMap) -> Response {
    let mut body = String::with_capacity(16 << 10);
    if text::encode(&mut body, &registry.lock()).is_err() {
        return Problem::internal("a metric could not be written; the log says which part failed")
            .into_response();
    }
    let (kind, body) = if wants_classic(headers) { (CLASSIC, classic(&body)) } else { (OPEN_METRICS, body) };
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store")], body).into_response()
}

/// Only who names `text/plain` and not `OpenMetrics`.
fn wants_classic(headers: &HeaderMap) -> bool {
    let accepts = |kind: &str| {
        headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|v| v.contains(kind))
    };
    accepts("text/plain") && !accepts("application/openmetrics-text")
}

/// `OpenMetrics` names a counter's family without `_total`; the classic form knows no family
/// names but those of samples. Units and the end mark are
/// comments to it and left out. The registry holds no exemplars.
fn classic(open: &str) -> String {
    // Writing to a string cannot fail.
    let mut classic = String::with_capacity(open.len());
    let mut help = None;
    for line in open.lines() {
        if let Some(described) = line.strip_prefix("# HELP ") {
            help = described.split_once(' ');
        } else if let Some(typed) = line.strip_prefix("# TYPE ") {
            let (name, kind) = typed.split_once(' ').unwrap_or((typed, "untyped"));
            let (suffix, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                _ => ("", kind),
            };
            if let Some((_, about)) = help.take().filter(|(described, _)| *described == name) {
                let _ = writeln!(classic, "# HELP {name}{suffix} {about}");
            }
            let _ = writeln!(classic, "# TYPE {name}{suffix} {kind}");
        } else if !line.starts_with('#') {
            classic.push_str(line);
            classic.push('\n');
        }
    }
    classic
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header};
    use prometheus_client::{encoding::text, metrics::gauge::Gauge, registry::Registry};

    use super::{Requests, classic, wants_classic};

    #[test]
    fn counters_keep_their_type_and_help_in_the_classic_form() {
        let mut registry = Registry::default();
        let requests = Requests::registered(&mut registry);
        requests.count("/status", 200);
        registry.register("open", "Open things", Gauge::<i64>::default());
        let mut open = String::new();
        text::encode(&mut open, &registry).unwrap();
        assert!(open.ends_with("# EOF\n"), "{open}");
        assert_eq!(
            classic(&open),
            "# HELP sluicegate_admin_requests_total Answers of the admin API.\n\
             # TYPE sluicegate_admin_requests_total counter\n\
             sluicegate_admin_requests_total{endpoint=\"/status\",status=\"200\"} 1\n\
             # HELP open Open things.\n# TYPE open gauge\nopen 0\n"
        );
    }

    #[test]
    fn open_metrics_goes_to_whoever_does_not_ask_for_the_classic_form_alone() {
        for (accept, expected) in [
            ("*/*", false),
            ("text/plain", true),
            ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", true),
            ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(wants_classic(&headers), expected, "{accept}");
        }
    }
}
