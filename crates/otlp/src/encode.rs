//! Spans as OTLP writes them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{
        ResourceSpans, ScopeSpans, Span as Written, Status, span::SpanKind as Kind, status::StatusCode,
    },
};
use sluicegate_core::span::{Span, SpanKind, SpanValue};

/// The trace is sampled: bit 0 of the flags, as `traceparent` has them.
const SAMPLED: u32 = 1;

/// Whose spans they are.
pub(crate) fn resource(service: &str) -> Resource {
    let text = |key: &str, text: &str| attribute(key, &SpanValue::from(text));
    Resource {
        attributes: vec![text("service.name", service), text("service.version", env!("CARGO_PKG_VERSION"))],
        ..Resource::default()
    }
}

/// A batch.
pub(crate) fn request(resource: &Resource, batch: &[Span]) -> ExportTraceServiceRequest {
    let scope = InstrumentationScope {
        name: "sluicegate".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let spans = ScopeSpans {
        scope: Some(scope),
        spans: batch.iter().map(written).collect(),
        ..ScopeSpans::default()
    };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource.clone()),
            scope_spans: vec![spans],
            ..ResourceSpans::default()
        }],
    }
}

/// How many spans of a batch the collector has left out.
pub(crate) fn left_out(answer: &ExportTraceServiceResponse) -> u64 {
    let partial = answer.partial_success.as_ref();
    partial.and_then(|partial| u64::try_from(partial.rejected_spans).ok()).unwrap_or(0)
}

fn written(span: &Span) -> Written {
    let kind = match span.kind {
        SpanKind::Server => Kind::Server,
        SpanKind::Client => Kind::Client,
    };
    let failed = Status { code: StatusCode::Error.into(), message: String::new() };
    Written {
        trace_id: span.trace.to_be_bytes().to_vec(),
        span_id: span.id.get().to_be_bytes().to_vec(),
        parent_span_id: span.parent.map(|id| id.get().to_be_bytes().to_vec()).unwrap_or_default(),
        trace_state: span.state.to_string(),
        flags: SAMPLED,
        name: span.name.clone(),
        kind: kind.into(),
        start_time_unix_nano: nanos(span.began, Duration::ZERO),
        end_time_unix_nano: nanos(span.began, span.took),
        attributes: span.attributes.iter().map(|(key, value)| attribute(key, value)).collect(),
        status: span.failed.then_some(failed),
        ..Written::default()
    }
}

fn attribute(key: &str, value: &SpanValue) -> KeyValue {
    let value = match value {
        SpanValue::Text(text) => Value::StringValue(text.to_string()),
        SpanValue::Number(number) => Value::IntValue(*number),
        SpanValue::Flag(flag) => Value::BoolValue(*flag),
    };
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn nanos(began: SystemTime, took: Duration) -> u64 {
    let since = began.duration_since(UNIX_EPOCH).unwrap_or_default().saturating_add(took);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
