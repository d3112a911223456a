//! Request bodies, and work that outlives its request.

use std::time::Duration;

use axum::{body::Body, extract::Request};
use bytes::Bytes;
use http::StatusCode;
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::problem::Problem;

/// A whole body must have come by then: the largest is a few MiB from close by.
const BODY_LIMIT: Duration = Duration::from_secs(30);

/// The whole body, at most `limit` bytes of it.
pub(crate) async fn read(request: Request<Body>, limit: usize) -> Result<Bytes, Problem> {
    let too_large = || {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            "The body is too large",
            format!("the body is larger than the {limit} bytes that this endpoint takes"),
        )
    };
    let body = request.into_body();
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    match tokio::time::timeout(BODY_LIMIT, Limited::new(body, limit).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => Err(Problem::bad_request(format!("the body broke off: {error}"))),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "request_timeout",
            "The request did not arrive in time",
            format!("the body had not come after {} s", BODY_LIMIT.as_secs()),
        )),
    }
}

/// A small order in JSON. It must be an object: serde would read the members of a struct from
/// a list, too.
pub(crate) fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err("it is not a JSON object".to_owned());
    }
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

/// A whole number: JSON does not tell 14 from 14.0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is whole, and within the bounds"
)]
pub(crate) fn whole(value: &Value) -> Option<u64> {
    /// Up to here floating point has every whole number.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let exact = |number: &f64| number.fract() == 0.0 && (0.0..EXACT).contains(number);
    value.as_u64().or_else(|| value.as_f64().filter(exact).map(|number| number as u64))
}

/// No words at all.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// An order that needs no words takes none: a reason sent to `promote` was meant for another.
pub(crate) fn nothing(body: &[u8]) -> Result<(), Problem> {
    let empty =
        body.trim_ascii().is_empty() || object::<Map<String, Value>>(body).is_ok_and(|body| body.is_empty());
    if empty {
        return Ok(());
    }
    Err(Problem::bad_request("this takes no body, or {}, and nothing was changed"))
}

/// Runs a change on a task of its own: a client that goes away does not leave it half done
/// or unrecorded.
pub(crate) async fn to_the_end<T: Send + 'static>(
    change: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::spawn(change).await {
        Ok(answer) => answer,
        Err(_) => Err(Problem::internal("the change was broken off; ask for the status to see what holds")),
    }
}

#[cfg(test)]
mod tests {
    use super::nothing;

    #[test]
    fn what_takes_no_words_is_not_done_with_them() {
        for body in ["", " \n", "{}", " { }"] {
            nothing(body.as_bytes()).unwrap();
        }
        for body in [r#"{"reason": "x"}"#, "[]", "null", "{"] {
            assert!(nothing(body.as_bytes()).unwrap_err().detail().contains("nothing was changed"), "{body}");
        }
    }
}
