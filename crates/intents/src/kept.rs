//! Which headers of a write are kept with it.
//!
//! A list and no filter: what nobody named is not stored. Credentials never are, not even
//! where the operator names them: an intent is sent long after its client has gone, with the
//! gateway's own credentials, and a store of other people's is a thing to steal.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use sluicegate_core::headers::CREDENTIALS;

/// The headers that are kept of every intent: what makes the write the write it is.
///
/// The preconditions belong to it: without `If-Match` a guarded update would overwrite.
pub const ALWAYS_KEPT: [&str; 23] = [
    "accept",
    "accept-language",
    "content-digest",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-location",
    "content-range",
    "content-type",
    "digest",
    "host",
    "idempotency-key",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-unmodified-since",
    "prefer",
    "traceparent",
    "tracestate",
    "user-agent",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
];

/// The headers that belong to one connection or to one message's framing.
const FRAMING: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-request-id",
];

/// Why a header cannot be kept, if it cannot.
pub(crate) fn fault(name: &HeaderName) -> Option<String> {
    if CREDENTIALS.contains(&name.as_str()) {
        return Some(format!(
            "`{name}` carries credentials, which are never stored; set the gateway's own under `headers`"
        ));
    }
    framing_fault(name)
}

/// Why a header can be neither kept nor set, if so.
pub(crate) fn framing_fault(name: &HeaderName) -> Option<String> {
    let text = name.as_str();
    if FRAMING.contains(&text) || text.starts_with("sluicegate-") || text.starts_with("x-sluicegate-") {
        return Some(format!("`{name}` is made by the gateway itself for each message; leave it out"));
    }
    None
}

/// Headers in the form in which they are stored.
pub(crate) type StoredHeaders = Vec<(Box<str>, Bytes)>;

/// What is kept of a write's headers.
pub(crate) fn of_request<'a>(
    headers: &HeaderMap,
    named: impl Iterator<Item = &'a HeaderName>,
) -> StoredHeaders {
    let always = ALWAYS_KEPT.into_iter().map(HeaderName::from_static);
    let mut list: Vec<HeaderName> = always.collect();
    list.extend(named.filter(|name| fault(name).is_none()).cloned());
    let is_kept = |name: &HeaderName| list.contains(name);
    stored(headers.iter().filter(|(name, _)| is_kept(name)))
}

/// What is kept of an answer's headers: all but what belongs to its connection and framing.
pub(crate) fn of_answer(headers: &HeaderMap) -> StoredHeaders {
    let goes = |name: &HeaderName| framing_fault(name).is_none();
    stored(headers.iter().filter(|(name, _)| goes(name)))
}

fn stored<'a>(headers: impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)>) -> StoredHeaders {
    headers.map(|(name, value)| (name.as_str().into(), Bytes::copy_from_slice(value.as_bytes()))).collect()
}

/// Stored headers as they are sent again. What is no header any more is left out.
pub(crate) fn restored(stored: &[(Box<str>, Bytes)]) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(stored.len() + 2);
    for (name, value) in stored {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    headers
}

/// The text of a header's values, joined as a list is; none where it is not there.
pub(crate) fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let mut values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let first = values.next()?.into_owned();
    Some(values.fold(first, |all, next| all + ", " + &next))
}

/// Whether a request wants to speak another protocol: there is nothing to keep of it.
pub(crate) fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(header::UPGRADE)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::{ALWAYS_KEPT, CREDENTIALS, FRAMING, fault, of_answer, of_request, restored, text};

    fn names(stored: &[(Box<str>, bytes::Bytes)]) -> Vec<&str> {
        stored.iter().map(|(name, _)| &**name).collect()
    }

    #[test]
    fn only_what_is_named_is_kept_and_credentials_never() {
        let mut headers = HeaderMap::new();
        let sent = CREDENTIALS.into_iter().chain(FRAMING).chain(["content-type", "x-tenant-id", "x-other"]);
        for name in sent {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static("v"));
        }
        headers.append("content-type", HeaderValue::from_static("w"));
        let named: Vec<HeaderName> =
            ["x-tenant-id", "authorization", "cookie"].map(HeaderName::from_static).into();
        let kept = of_request(&headers, named.iter());
        assert_eq!(names(&kept), ["content-type", "content-type", "x-tenant-id"]);
        assert_eq!(text(&restored(&kept), &HeaderName::from_static("content-type")).unwrap(), "v, w");
    }

    #[test]
    fn the_lists_do_not_contradict_one_another() {
        for name in ALWAYS_KEPT {
            assert_eq!(fault(&HeaderName::from_static(name)), None, "{name}");
        }
        for name in CREDENTIALS.into_iter().chain(FRAMING) {
            assert!(fault(&HeaderName::from_static(name)).is_some(), "{name}");
        }
    }

    #[test]
    fn an_answer_keeps_what_is_its_own() {
        let mut headers = HeaderMap::new();
        for name in
            ["etag", "set-cookie", "connection", "transfer-encoding", "content-length", "sluicegate-x"]
        {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("v"));
        }
        assert_eq!(names(&of_answer(&headers)), ["etag", "set-cookie"]);
    }
}
