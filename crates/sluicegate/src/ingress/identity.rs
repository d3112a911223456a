//! The names a request goes by: `X-Request-Id` and the W3C trace context.
//!
//! What a client sends is kept where it is well formed, and made where it is not. The two that
//! are made share their digits, so that a log line finds its trace. Both are written into one
//! buffer: this runs for each request.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use sluicegate_core::{
    Chance,
    span::{TRACEPARENT, TRACESTATE},
};

/// `X-Request-Id`.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Puts a request id and a trace context into `headers` where there are none that can be
/// used, and returns the id.
pub(super) fn keep_or_make(headers: &mut HeaderMap, chance: &Chance) -> HeaderValue {
    let kept = only(headers, &REQUEST_ID).filter(|id| is_id(id.as_bytes())).cloned();
    let traced = is_traced(headers);
    if let (Some(id), true) = (&kept, traced) {
        return id.clone();
    }
    let trace = (u128::from(chance.bits()) << 64 | u128::from(chance.bits())).max(1);
    let mut text = BytesMut::with_capacity(32 + 55);
    if kept.is_none() {
        put_hex(&mut text, trace, 32);
    }
    let made_id = text.split();
    if !traced {
        text.put_slice(b"00-");
        put_hex(&mut text, trace, 32);
        text.put_u8(b'-');
        put_hex(&mut text, u128::from(chance.bits().max(1)), 16);
        // Not sampled: nobody upstream of here has asked for a trace.
        text.put_slice(b"-00");
        headers.insert(TRACEPARENT, value(text.freeze()));
        // A state belongs to a parent; without one it means nothing.
        headers.remove(TRACESTATE);
    }
    let id = kept.unwrap_or_else(|| value(made_id.freeze()));
    headers.insert(REQUEST_ID, id.clone());
    id
}

/// Whether the client has named a trace, in a form that is kept.
pub(super) fn is_traced(headers: &HeaderMap) -> bool {
    only(headers, &TRACEPARENT).is_some_and(|it| is_traceparent(it.as_bytes()))
}

/// The trace that these headers name; they have been through [`keep_or_make`].
pub(super) fn trace_id(headers: &HeaderMap) -> &str {
    let parent = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok());
    parent.and_then(|parent| parent.get(3..35)).unwrap_or_default()
}

fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

fn value(text: Bytes) -> HeaderValue {
    // Only hexadecimal digits and dashes are ever written.
    HeaderValue::from_maybe_shared(text).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

fn put_hex(text: &mut BytesMut, number: u128, digits: u32) {
    for at in (0..digits).rev() {
        let nibble = (number >> (4 * at)) & 15;
        text.put_u8(b"0123456789abcdef"[usize::try_from(nibble).unwrap_or(0)]);
    }
}

fn is_id(id: &[u8]) -> bool {
    (1..=128).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

/// `version-traceid-parentid-flags` as in W3C Trace Context section 3.2.2; a later version
/// may be longer.
fn is_traceparent(text: &[u8]) -> bool {
    let hex = |part: &[u8]| part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let zero = |part: &[u8]| part.iter().all(|byte| *byte == b'0');
    let Some(rest) = text.get(55..) else { return false };
    let (version, trace, parent, flags) = (&text[..2], &text[3..35], &text[36..52], &text[53..55]);
    let dashes = [text[2], text[35], text[52]] == *b"---";
    let length =
        if version == b"00" { rest.is_empty() } else { rest.first().is_none_or(|byte| *byte == b'-') };
    dashes
        && length
        && [version, trace, parent, flags].into_iter().all(hex)
        && version != b"ff"
        && !zero(trace)
        && !zero(parent)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};
    use sluicegate_core::Chance;

    use super::{is_traceparent, keep_or_make};

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        map
    }

    #[test]
    fn what_is_well_formed_is_kept() {
        let mut map = headers(&[("x-request-id", "job-7"), ("traceparent", TRACE), ("tracestate", "a=b")]);
        let before = map.clone();
        assert_eq!(keep_or_make(&mut map, &Chance::seeded(1)), "job-7");
        assert_eq!(map, before);
    }

    #[test]
    fn what_is_missing_or_malformed_is_made() {
        let long = "x".repeat(129);
        for id in [None, Some(""), Some("a b"), Some("caf\u{e9}"), Some(long.as_str())] {
            let mut map = headers(&[("tracestate", "a=b")]);
            if let Some(id) = id {
                map.insert("x-request-id", HeaderValue::from_bytes(id.as_bytes()).unwrap());
            }
            let made = keep_or_make(&mut map, &Chance::seeded(1));
            assert_eq!(made.len(), 32, "{id:?}");
            assert_eq!(map["x-request-id"], made);
            let trace = map["traceparent"].to_str().unwrap();
            assert!(is_traceparent(trace.as_bytes()));
            assert_eq!(&trace[3..35], made.to_str().unwrap(), "a log line finds its trace");
            assert!(!map.contains_key("tracestate"));
        }
        let mut twice = headers(&[("x-request-id", "a"), ("x-request-id", "b")]);
        assert_eq!(keep_or_make(&mut twice, &Chance::seeded(1)).len(), 32);
        assert_eq!(twice.get_all("x-request-id").iter().count(), 1);
    }

    #[test]
    fn a_trace_parent_is_told_from_what_only_looks_like_one() {
        assert!(is_traceparent(TRACE.as_bytes()));
        assert!(is_traceparent(format!("01{}-more", &TRACE[2..]).as_bytes()));
        for wrong in [
            "",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert!(!is_traceparent(wrong.as_bytes()), "{wrong}");
        }
    }
}
