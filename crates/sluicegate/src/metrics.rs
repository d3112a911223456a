//! What is counted about requests as a client sees them.
//!
//! | metric | says |
//! |---|---|
//! | `rag_request_count_total{route,status}` | requests ended, by class of status; `aborted` where the client left before there was one |
//! | `rag_error_count_total{route}` | those that ended in a 5xx |
//! | `rag_e2e_latency_seconds{route}` | from the request's head to the end of the answer |
//! | `sluicegate_freeze_read_seconds{route}` | the same of reads that a freeze covered |
//! | `sluicegate_refusals_total{route,code}` | answers the gateway made itself |
//! | `sluicegate_doubts_total{route,why}` | requests that counted as writes because their bodies could not be read |
//!
//! Routes come from the configuration, statuses and codes from fixed lists, so the number of
//! series is bounded. The handles are made with a route's plan.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};
use sluicegate_core::{Code, Doubt};

/// How requests that matched no route are called.
const UNMATCHED: &str = "(none)";
const CLASSES: [&str; 6] = ["aborted", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// Bounds in seconds: dense where a retriever answers, wide where a model writes.
const BUCKETS: [f64; 16] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.8, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByRoute {
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByStatus {
    route: String,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCode {
    route: String,
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByDoubt {
    route: String,
    why: &'static str,
}

/// Times from the request's head to the end of the answer.
type Latencies = Family<ByRoute, Histogram, fn() -> Histogram>;

/// The families, and the handles of requests without a route.
#[derive(Clone, Debug)]
pub struct RequestMetrics(Arc<Families>);

#[derive(Debug)]
struct Families {
    requests: Family<ByStatus, Counter>,
    errors: Family<ByRoute, Counter>,
    latency: Latencies,
    frozen: Latencies,
    refusals: Family<ByCode, Counter>,
    doubts: Family<ByDoubt, Counter>,
    unmatched: RouteMetrics,
}

/// One route's handles; a part of its plan.
#[derive(Clone, Debug)]
pub struct RouteMetrics {
    requests: [Counter; 6],
    errors: Counter,
    latency: Histogram,
    frozen: Histogram,
}

impl RequestMetrics {
    /// Registers the families.
    pub fn register(registry: &mut Registry) -> Self {
        let (requests, errors, refusals) = (Family::default(), Family::default(), Family::default());
        let doubts = Family::default();
        let [latency, frozen]: [Latencies; 2] =
            [(); 2].map(|()| Family::new_with_constructor((|| Histogram::new(BUCKETS)) as fn() -> _));
        registry.register("rag_request_count", "Requests ended, by class of status", requests.clone());
        registry.register("rag_error_count", "Requests that ended in a 5xx", errors.clone());
        registry.register(
            "rag_e2e_latency_seconds",
            "From the request's head to the end of the answer",
            latency.clone(),
        );
        registry.register(
            "sluicegate_freeze_read_seconds",
            "From the head of a read that a freeze covered to the end of the answer",
            frozen.clone(),
        );
        registry.register("sluicegate_refusals", "Answers the gateway made itself", refusals.clone());
        registry.register(
            "sluicegate_doubts",
            "Requests that counted as writes because their bodies could not be read",
            Family::clone(&doubts),
        );
        let unmatched = handles(&requests, &errors, [&latency, &frozen], UNMATCHED);
        Self(Arc::new(Families { requests, errors, latency, frozen, refusals, doubts, unmatched }))
    }

    /// The handles of a route.
    #[must_use]
    pub fn route(&self, name: &str) -> RouteMetrics {
        handles(&self.0.requests, &self.0.errors, [&self.0.latency, &self.0.frozen], name)
    }

    /// The handles of requests that matched no route.
    pub(crate) fn unmatched(&self) -> &RouteMetrics {
        &self.0.unmatched
    }

    /// A request counted as a write since it could not be told what it does.
    pub(crate) fn doubted(&self, route: &str, doubt: Doubt) {
        let by = ByDoubt { route: route.to_owned(), why: doubt.as_str() };
        self.0.doubts.get_or_create(&by).inc();
    }

    /// The gateway answers itself.
    pub(crate) fn refused(&self, route: Option<&str>, code: Code) {
        let by = ByCode { route: route.unwrap_or(UNMATCHED).to_owned(), code: code.as_str() };
        self.0.refusals.get_or_create(&by).inc();
    }
}

fn handles(
    requests: &Family<ByStatus, Counter>,
    errors: &Family<ByRoute, Counter>,
    [latency, frozen]: [&Latencies; 2],
    route: &str,
) -> RouteMetrics {
    let by = ByRoute { route: route.to_owned() };
    RouteMetrics {
        requests: CLASSES
            .map(|status| requests.get_or_create(&ByStatus { route: route.to_owned(), status }).clone()),
        errors: errors.get_or_create(&by).clone(),
        latency: latency.get_or_create(&by).clone(),
        frozen: frozen.get_or_create(&by).clone(),
    }
}

impl RouteMetrics {
    /// A request has ended; `covered` where a freeze covers what it reads.
    pub(crate) fn ended(&self, status: Option<StatusCode>, elapsed: Duration, covered: bool) {
        let class = status.map_or(0, |status| usize::from(status.as_u16() / 100));
        if let Some(counter) = self.requests.get(class) {
            counter.inc();
        }
        if class == 5 {
            self.errors.inc();
        }
        self.latency.observe(elapsed.as_secs_f64());
        if covered {
            self.frozen.observe(elapsed.as_secs_f64());
        }
    }
}
