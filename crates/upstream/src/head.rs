//! The head of a request, made to fit the connection it goes out on.

use http::{HeaderName, HeaderValue, Uri, Version, header, request::Parts, uri};
use http_body::Body;
use sluicegate_body::{BodyLimits, Outbound};
use sluicegate_core::{Code, Facts, Refusal};
use tokio::time::Instant;

use crate::{RequestBody, endpoint::Endpoint, plan::UpstreamPlan};

const REQUEST_DEADLINE: HeaderName = HeaderName::from_static("x-request-deadline");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

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

/// Tells the upstream what is left of the request's time, in the form that clients tell it to the
/// gateway, so that it need not work for an answer that nobody waits for.
pub(crate) fn tell_deadline(head: &mut Parts, deadline: Option<Instant>, grpc: bool) {
    let Some(deadline) = deadline else { return };
    let left = deadline.saturating_duration_since(Instant::now());
    let millis = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
    head.headers.insert(REQUEST_DEADLINE, HeaderValue::from(millis));
    if grpc {
        // Eight digits are all that the field can hold.
        let (number, unit) = if millis < 100_000_000 { (millis, 'm') } else { (left.as_secs(), 'S') };
        if let Ok(value) = HeaderValue::try_from(format!("{}{unit}", number.min(99_999_999))) {
            head.headers.insert(GRPC_TIMEOUT, value);
        }
    }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Request;
    use tokio::time::{Instant, advance};

    use super::tell_deadline;

    #[tokio::test(start_paused = true)]
    async fn what_is_left_is_told_in_milliseconds_and_to_grpc_in_its_own_form() {
        let told = |deadline, grpc| {
            let (mut head, ()) =
                Request::builder().header("x-request-deadline", "9").body(()).unwrap().into_parts();
            tell_deadline(&mut head, deadline, grpc);
            let of = |name| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
            (of("x-request-deadline").unwrap(), of("grpc-timeout"))
        };
        let deadline = Some(Instant::now() + Duration::from_millis(1500));
        advance(Duration::from_millis(400)).await;
        assert_eq!(told(None, true), ("9".into(), None));
        assert_eq!(told(deadline, false), ("1100".into(), None));
        assert_eq!(told(deadline, true), ("1100".into(), Some("1100m".into())));
        let far = Some(Instant::now() + Duration::from_secs(200_000));
        assert_eq!(told(far, true), ("200000000".into(), Some("200000S".into())));
        advance(Duration::from_secs(2)).await;
        assert_eq!(told(deadline, false).0, "0");
    }
}
