//! When a request's response head must have come.
//!
//! The route's own deadline, or what the client says remains if that is less: in
//! `X-Request-Deadline` (milliseconds) or `grpc-timeout` (gRPC over HTTP/2, "Requests": up to
//! eight digits and a unit). A value that cannot be read is refused rather than guessed:
//! ignoring it would let a client wait for less than the service works for.

use std::time::Duration;

use http::{HeaderMap, HeaderName};
use sluicegate_core::{Code, Refusal};

const REQUEST_DEADLINE: HeaderName = HeaderName::from_static("x-request-deadline");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// How long the response head may take; `None` is forever.
pub(crate) fn allowance(route: Option<Duration>, headers: &HeaderMap) -> Result<Option<Duration>, Refusal> {
    let remaining =
        asked(headers, &REQUEST_DEADLINE, millis, "send the milliseconds that remain, such as 1500")?;
    let timeout = asked(
        headers,
        &GRPC_TIMEOUT,
        grpc_timeout,
        "send up to 8 digits and one of H M S m u n, such as 1500m",
    )?;
    Ok([route, remaining, timeout].into_iter().flatten().min())
}

/// What a client asks for in one header.
fn asked(
    headers: &HeaderMap,
    name: &HeaderName,
    read: fn(&str) -> Option<Duration>,
    advice: &str,
) -> Result<Option<Duration>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let refused = |what| Refusal::new(Code::BadRequest, format!("{name} {what}; {advice}"));
    if values.next().is_some() {
        return Err(refused("is there more than once"));
    }
    match value.to_str().ok().and_then(read) {
        Some(allowance) => Ok(Some(allowance)),
        None => Err(refused("cannot be read")),
    }
}

fn digits(text: &str) -> Option<u64> {
    // `parse` would take a sign, too.
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

fn millis(text: &str) -> Option<Duration> {
    digits(text).map(Duration::from_millis)
}

fn grpc_timeout(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if number.len() > 8 {
        return None;
    }
    let number = digits(number)?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use sluicegate_core::Code;

    use super::{Duration, HeaderMap, allowance};

    fn of(route: Option<u64>, fields: &[(&'static str, &'static str)]) -> Result<Option<Duration>, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        allowance(route.map(Duration::from_millis), &headers).map_err(|refusal| {
            assert_eq!(refusal.code(), Code::BadRequest);
            refusal.to_string()
        })
    }

    #[test]
    fn the_least_of_what_is_said_holds() {
        let ms = |millis| Ok(Some(Duration::from_millis(millis)));
        assert_eq!(of(None, &[]), Ok(None));
        assert_eq!(of(Some(800), &[]), ms(800));
        assert_eq!(of(Some(800), &[("x-request-deadline", "500")]), ms(500));
        assert_eq!(of(Some(800), &[("x-request-deadline", "5000")]), ms(800));
        assert_eq!(of(None, &[("x-request-deadline", "0")]), ms(0));
        assert_eq!(of(Some(800), &[("grpc-timeout", "2S"), ("x-request-deadline", "700")]), ms(700));
        for (text, nanos) in [
            ("1H", 3_600_000_000_000),
            ("1M", 60_000_000_000),
            ("1S", 1_000_000_000),
            ("1m", 1_000_000),
            ("1u", 1000),
            ("1n", 1),
            ("99999999H", 359_999_996_400_000_000_000),
        ] {
            let got = of(None, &[("grpc-timeout", text)]).unwrap().unwrap();
            assert_eq!(got.as_nanos(), nanos, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for text in ["", "-1", "+1", "1.5", "1s", "1 ", "a", "18446744073709551616"] {
            let error = of(Some(800), &[("x-request-deadline", text)]).unwrap_err();
            assert!(error.contains("x-request-deadline"), "{error}");
        }
        for text in ["", "S", "5", "1s", "+1S", "123456789S", "1 S", "1h"] {
            let error = of(Some(800), &[("grpc-timeout", text)]).unwrap_err();
            assert!(error.contains("grpc-timeout"), "{error}");
        }
        let twice = [("x-request-deadline", "1"), ("x-request-deadline", "1")];
        assert!(of(None, &twice).unwrap_err().contains("more than once"));
    }
}
