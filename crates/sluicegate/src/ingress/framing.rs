//! Framing and addressing that can be read in one way only.
//!
//! The HTTP parser refuses most of what is malformed by itself (differing lengths, obs-fold,
//! bare CR, NUL, a transfer coding that does not end in `chunked`). What it lets through and
//! an upstream might read otherwise is refused here: no `Host`, two of them, one that is no
//! authority, and any `Transfer-Encoding` but exactly `chunked`. Such a request ends its
//! connection, since what follows on it cannot be trusted. A target that carries an
//! authority overrides `Host` (RFC 9112 section 3.2.2).

use http::{HeaderMap, HeaderValue, Method, Request, Version, header, uri::Authority};
use sluicegate_core::{Code, Refusal};

/// Refuses what is ambiguous; afterwards the request has exactly one `Host`, if any.
pub(super) fn check<B>(request: &mut Request<B>) -> Result<(), Refusal> {
    if request.method() == Method::CONNECT {
        // Its content, if it has any, is no message's (RFC 9110 section 9.3.6).
        return Err(refuse("CONNECT is not served: this gateway opens no tunnels by it"));
    }
    let (version, authority) = (request.version(), request.uri().authority().cloned());
    let headers = request.headers_mut();
    transfer_encoding(headers)?;
    host(headers, version, authority.as_ref())
}

fn refuse(detail: &'static str) -> Refusal {
    Refusal::new(Code::BadRequest, detail).close()
}

fn transfer_encoding(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut values = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(()),
        (Some(only), None) if only.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(refuse("the only Transfer-Encoding taken is exactly `chunked`")),
    }
}

fn host(headers: &mut HeaderMap, version: Version, authority: Option<&Authority>) -> Result<(), Refusal> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(refuse("there is more than one Host field"));
    }
    if let Some(host) = first {
        // An empty Host is legal where the target has no authority, but names nothing.
        if !is_authority(host.as_bytes()) {
            return Err(refuse("the Host field is not a host, or host and port"));
        }
    }
    let Some(authority) = authority else {
        return match (first, version) {
            (None, Version::HTTP_11 | Version::HTTP_2) => Err(refuse("there is no Host field")),
            _ => Ok(()),
        };
    };
    let target = authority.as_str().as_bytes();
    if !is_authority(target) {
        return Err(refuse("the request target's authority is not a host, or host and port"));
    }
    // HTTP/2 may carry both; RFC 9113 section 8.3.1 makes a difference malformed.
    if let (Some(host), Version::HTTP_2) = (first, version)
        && !host.as_bytes().eq_ignore_ascii_case(target)
    {
        return Err(refuse("`:authority` and Host differ"));
    }
    let value = HeaderValue::from_str(authority.as_str())
        .map_err(|_| refuse("the request target's authority cannot be sent on"))?;
    headers.insert(header::HOST, value);
    Ok(())
}

/// `host` or `host:port`, without user information (RFC 9110 section 7.2).
fn is_authority(text: &[u8]) -> bool {
    let fast = !text.is_empty()
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    if fast {
        return true;
    }
    let Ok(authority) = Authority::try_from(text) else { return false };
    let text = authority.as_str();
    let port = text.strip_prefix(authority.host()).unwrap_or_default();
    !text.contains('@')
        && !authority.host().is_empty()
        && (port.is_empty() || port == ":" || authority.port_u16().is_some())
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Request, Version};

    use super::check;

    type Fields<'a> = &'a [(&'a str, &'a str)];

    fn request(version: Version, target: &str, fields: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().version(version).uri(target);
        for (name, value) in fields {
            request = request.header(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        request.body(()).unwrap()
    }

    #[test]
    fn what_can_be_read_in_one_way_passes_with_one_host() {
        let table: &[(Version, &str, Fields<'_>, Option<&str>)] = &[
            (Version::HTTP_11, "/", &[("host", "a.example")], Some("a.example")),
            (Version::HTTP_11, "/", &[("host", "a_b:8080")], Some("a_b:8080")),
            (Version::HTTP_11, "/", &[("host", "[::1]:80")], Some("[::1]:80")),
            (Version::HTTP_10, "/", &[], None),
            (Version::HTTP_11, "http://b/x", &[("host", "a")], Some("b")),
            (Version::HTTP_2, "http://b/x", &[], Some("b")),
            (Version::HTTP_2, "http://b/x", &[("host", "B")], Some("b")),
            (Version::HTTP_11, "/", &[("host", "a"), ("transfer-encoding", "Chunked")], Some("a")),
        ];
        for (version, target, fields, host) in table {
            let mut request = request(*version, target, fields);
            check(&mut request).unwrap();
            let got = request.headers().get("host").map(|it| it.to_str().unwrap());
            assert_eq!(got, *host, "{target} {fields:?}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        let table: &[(Version, &str, Fields<'_>)] = &[
            (Version::HTTP_11, "/", &[]),
            (Version::HTTP_11, "/", &[("host", "a"), ("host", "a")]),
            (Version::HTTP_11, "/", &[("host", "")]),
            (Version::HTTP_11, "/", &[("host", "a b")]),
            (Version::HTTP_11, "/", &[("host", "user@a")]),
            (Version::HTTP_11, "/", &[("host", "a/b")]),
            (Version::HTTP_11, "/", &[("host", "a:port")]),
            (Version::HTTP_11, "/", &[("host", "a:99999")]),
            (Version::HTTP_11, "http://u@b/x", &[("host", "b")]),
            (Version::HTTP_2, "http://b/x", &[("host", "c")]),
            (Version::HTTP_2, "/x", &[]),
            (Version::HTTP_11, "/", &[("host", "a"), ("transfer-encoding", "gzip, chunked")]),
            (
                Version::HTTP_11,
                "/",
                &[("host", "a"), ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
            ),
            (Version::HTTP_11, "/", &[("host", "a"), ("transfer-encoding", " chunked;x")]),
        ];
        for (version, target, fields) in table {
            let refusal = check(&mut request(*version, target, fields)).unwrap_err();
            assert_eq!(refusal.code().as_str(), "bad_request", "{target} {fields:?}");
        }
    }
}
