//! Single values that have the right type and make no sense.

use sluicegate_core::units::{Size, Span};

use super::Findings;
use crate::Document;

/// A request head below this could not carry what browsers send of themselves.
const LEAST_HEADERS: Size = Size::kib(1);
/// The parser keeps a head in memory; past this it is no head any more.
const MOST_HEADERS: Size = Size::kib(1024);

pub(super) fn check(document: &Document, found: &mut Findings) {
    let timeouts = &document.timeouts;
    let spans = [
        ("timeouts.header_read", Some(timeouts.header_read)),
        ("timeouts.body_idle", Some(timeouts.body_idle)),
        ("timeouts.idle", Some(timeouts.idle)),
        ("timeouts.connect", Some(timeouts.connect)),
        ("timeouts.per_try", timeouts.per_try),
        ("timeouts.stream_idle", Some(timeouts.stream_idle)),
        ("limits.deadline", Some(document.limits.deadline)),
        ("shutdown.limit", Some(document.shutdown.limit)),
    ];
    for (path, span) in spans.into_iter().filter_map(|(path, span)| Some((path, span?))) {
        positive(found, path, span);
    }
    let headers = document.limits.max_headers;
    if !(LEAST_HEADERS..=MOST_HEADERS).contains(&headers) {
        let message = format!("`{headers}` is out of range; {LEAST_HEADERS} to {MOST_HEADERS} can be had");
        found.fault("limits.max_headers", message);
    }
    if document.max_connections == 0 {
        found.fault("max_connections", "0 would let nobody in; write 1 or more");
    }
    if let Some(workers @ (0 | 1025..)) = document.workers {
        let message =
            format!("{workers} workers cannot be had; write 1 to 1024, or remove the key for one per core");
        found.fault("workers", message);
    }
}

/// A time that must not be zero: zero would end everything at once, and never means "no limit".
pub(super) fn positive(found: &mut Findings, path: &str, span: Span) {
    if span == Span::default() {
        found.fault(path, "0s would end everything at once; write a longer time");
    }
}
