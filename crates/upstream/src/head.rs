//! The head of a request, made to fit the connection it goes out on.

use http::{HeaderValue, Uri, Version, header, request::Parts, uri};
use http_body::Body;
use sluicegate_body::{BodyLimits, Outbound};
use sluicegate_core::{Code, Facts, Refusal};

use crate::{RequestBody, endpoint::Endpoint, plan::UpstreamPlan};

/// Refuses a request whose body is announced to be larger than the route takes.
pub(crate) fn check_length(parts: &Parts, facts: &Facts) -> Result<(), Refusal> {
    let Some(max) = facts.part::<BodyLimits>().and_then(|limits| limits.max) else { return Ok(()) };
    let length =
        parts.headers.get(header::CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse::<u64>().ok());
    match length {
        Some(length) if length > max => Err(Refusal::new(
            Code::BodyTooLarge,
            format!("the body has {length} bytes; this route takes at most {max}"),
        )
        .close()),
        _ => Ok(()),
    }
}

/// Whether the client waits for `100 Continue` before it sends the body.
pub(crate) fn expects_continue(parts: &Parts) -> bool {
    parts.headers.get(header::EXPECT).is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Makes the head fit the connection: target form, `Host`, framing.
pub(crate) fn address<B: RequestBody>(
    head: &mut Parts,
    body: &Outbound<B>,
    endpoint: &Endpoint,
    plan: &UpstreamPlan,
    http2: bool,
    upgrade: bool,
) {
    if !plan.preserve_host {
        head.headers.insert(header::HOST, endpoint.host_header.clone());
    }
    let path = head.uri.path_and_query().cloned();
    let mut target = uri::Parts::default();
    if http2 {
        let host = head.headers.remove(header::HOST);
        target.scheme = Some(if endpoint.tls.is_some() { uri::Scheme::HTTPS } else { uri::Scheme::HTTP });
        target.authority = host
            .and_then(|host| uri::Authority::try_from(host.as_bytes()).ok())
            .or_else(|| Some(endpoint.authority.clone()));
        target.path_and_query = path;
        head.version = Version::HTTP_2;
        head.headers.remove(header::UPGRADE);
        head.headers.remove(header::EXPECT);
        head.headers.remove(header::CONNECTION);
        head.headers.remove(header::TRANSFER_ENCODING);
    } else {
        if !head.headers.contains_key(header::HOST) {
            // The connection before this one spoke HTTP/2, where the URI carries it.
            let host = head.uri.authority().and_then(|it| HeaderValue::from_str(it.as_str()).ok());
            head.headers.insert(header::HOST, host.unwrap_or_else(|| endpoint.host_header.clone()));
        }
        target.path_and_query = path;
        head.version = Version::HTTP_11;
        if upgrade {
            head.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        } else if head.headers.contains_key(header::TE) {
            head.headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
        }
        if !body.is_end_stream() && body.size_hint().exact().is_none() {
            // hyper takes a GET of unknown length for one without a body and would drop it.
            head.headers.remove(header::CONTENT_LENGTH);
            head.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
    }
    if let Ok(uri) = Uri::from_parts(target) {
        head.uri = uri;
    }
}
