//! The one place that makes refusals.
//!
//! A refusal is an answer the gateway makes itself. Guards and the proxy path return a typed
//! [`Refusal`]; [`Refusal::into_response`] words it in the form that the client speaks:
//!
//! - HTTP: `application/problem+json` (RFC 9457);
//! - gRPC: a trailers-only answer with `grpc-status`, `grpc-message` and
//!   `grpc-retry-pushback-ms`;
//! - JSON-RPC: an error object under the request's own id, the problem in `error.data`; of a batch
//!   an array of them, one for each of its requests that has an id.
//!
//! `code` is stable: clients and runbooks branch on it. [`Code::ALL`] is the whole list. A
//! refusal is never stored for replay and never retried by the gateway.

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde_json::{Map, Value, json};

use crate::facts::{Facts, Rpc, RpcId};

macro_rules! codes {
    ($($name:ident, $text:literal, $status:literal, $grpc:literal, $title:literal;)*) => {
        /// Why the gateway refused: the stable word in `code`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $(#[doc = $title] $name,)* }

        impl Code {
            /// Every code there is.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word itself, as it stands in `code`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The HTTP status it has unless the guard gives another.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// The gRPC status (the numbers of `google.rpc.Code`).
            #[must_use]
            pub const fn grpc(self) -> u8 {
                match self { $(Self::$name => $grpc,)* }
            }

            /// A title that does not change from one occurrence to the next.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

codes! {
    ReadOnly, "read_only", 423, 14, "Writes are frozen";
    RateLimited, "rate_limited", 429, 8, "Too many requests";
    Overloaded, "overloaded", 503, 14, "The service is at its limit";
    DeadlineExceeded, "deadline_exceeded", 504, 4, "The deadline passed";
    IdempotencyKeyMissing, "idempotency_key_missing", 400, 3, "An idempotency key is required";
    IdempotencyKeyInvalid, "idempotency_key_invalid", 400, 3, "The idempotency key cannot be used";
    IdempotencyConflict, "idempotency_conflict", 422, 9, "The idempotency key belongs to another request";
    IdempotencyInFlight, "idempotency_in_flight", 409, 10, "The first request is still running";
    IdempotencyOutcomeUnknown, "idempotency_outcome_unknown", 409, 10, "The first attempt's outcome is unknown";
    PinMissing, "pin_missing", 400, 9, "A version pin is required";
    PinMismatch, "pin_mismatch", 409, 9, "No version matches the pins";
    IndexMismatch, "index_mismatch", 503, 14, "The index is not the pinned one";
    TokenMissing, "token_missing", 401, 16, "A token is required";
    TokenInvalid, "token_invalid", 401, 16, "The token is not valid";
    KeysUnavailable, "keys_unavailable", 503, 14, "Tokens cannot be verified now";
    NoRoute, "no_route", 404, 12, "No route matches";
    BadRequest, "bad_request", 400, 3, "The request cannot be understood";
    RequestTimeout, "request_timeout", 408, 4, "The request did not arrive in time";
    BodyTooLarge, "body_too_large", 413, 8, "The body is too large";
    HeadersTooLarge, "headers_too_large", 431, 8, "The headers are too large";
    UpstreamUnreachable, "upstream_unreachable", 502, 14, "The upstream cannot be reached";
    UpstreamReset, "upstream_reset", 502, 14, "The upstream broke off";
    UpstreamTimeout, "upstream_timeout", 504, 14, "The upstream did not answer in time";
    StoreUnavailable, "store_unavailable", 503, 14, "The store cannot be used";
}

/// In the extensions of an answer that is no refusal and that the gateway made itself: an
/// upstream had no part in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnAnswer;

/// A typed reason not to serve a request.
#[derive(Debug, thiserror::Error)]
#[error("{}: {}", .0.code.as_str(), .0.detail)]
pub struct Refusal(Box<Reason>);

#[derive(Debug)]
struct Reason {
    code: Code,
    status: StatusCode,
    detail: Cow<'static, str>,
    retry_after: Option<Duration>,
    members: Map<String, Value>,
    headers: HeaderMap,
    close: bool,
}

impl Refusal {
    /// A refusal with the code's own status. `detail` says what was wrong with this request
    /// and what to do.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Reason {
            code,
            status: StatusCode::from_u16(code.status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
            detail: detail.into(),
            retry_after: None,
            members: Map::new(),
            headers: HeaderMap::new(),
            close: false,
        }))
    }

    /// Another status than the code's own.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.0.status = status;
        self
    }

    /// When a retry is worth it. `Retry-After` says it in whole seconds, rounded up and never
    /// below 1; what is in milliseconds (`retry_after_ms`, `grpc-retry-pushback-ms`) says it
    /// exactly, rounded up.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// One more sentence of the detail.
    #[must_use]
    pub fn also(mut self, sentence: &str) -> Self {
        let detail = self.0.detail.to_mut();
        detail.push(' ');
        detail.push_str(sentence);
        self
    }

    /// A member of the problem's own.
    #[must_use]
    pub fn member(mut self, name: &str, value: Value) -> Self {
        self.0.members.insert(name.to_owned(), value);
        self
    }

    /// A header on the answer.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// Closes an HTTP/1.1 connection after the answer: what follows on it cannot be trusted.
    #[must_use]
    pub fn close(mut self) -> Self {
        self.0.close = true;
        self
    }

    /// Why it was refused.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// What the member of that name says, if it has one.
    #[must_use]
    pub fn told(&self, name: &str) -> Option<&Value> {
        self.0.members.get(name)
    }

    /// The answer in the form that this client speaks.
    #[must_use]
    pub fn into_response(self, facts: &Facts) -> Response<Full<Bytes>> {
        if facts.is_grpc() {
            return self.grpc();
        }
        let problem = self.problem(facts.request_id());
        if let Some(rpc) = facts.classified().and_then(|settled| settled.rpc.as_ref()) {
            return self.json_rpc(rpc, &problem);
        }
        let status = self.0.status;
        self.answer(status, "application/problem+json", &problem)
    }

    fn problem(&self, request_id: &HeaderValue) -> Value {
        let reason = &self.0;
        let mut problem = Map::new();
        problem.insert("type".into(), format!("urn:sluicegate:problem:{}", reason.code.as_str()).into());
        problem.insert("title".into(), reason.code.title().into());
        problem.insert("status".into(), reason.status.as_u16().into());
        problem.insert("detail".into(), reason.detail.clone().into());
        problem.insert("code".into(), reason.code.as_str().into());
        problem.insert("request_id".into(), request_id.to_str().unwrap_or_default().into());
        if let Some(after) = reason.retry_after {
            problem.insert("retry_after_ms".into(), millis(after).into());
        }
        problem.extend(reason.members.clone());
        Value::Object(problem)
    }

    fn json_rpc(self, rpc: &Rpc, problem: &Value) -> Response<Full<Bytes>> {
        // -32000..-32099 is the range JSON-RPC 2.0 leaves to servers; the stable word for
        // the client is `data.code`.
        let error = |id: &Value| {
            json!({
                "jsonrpc": "2.0",
                "id": id,
                "error": { "code": -32000, "message": self.0.detail, "data": problem },
            })
        };
        let error = match &rpc.id {
            RpcId::One(id) => error(id),
            RpcId::Batch(ids) => ids.iter().map(error).collect(),
        };
        let status = if rpc.always_ok { StatusCode::OK } else { self.0.status };
        self.answer(status, "application/json", &error)
    }

    fn answer(self, status: StatusCode, content_type: &'static str, body: &Value) -> Response<Full<Bytes>> {
        let reason = *self.0;
        let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        *headers = reason.headers;
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(after) = reason.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(after)));
        }
        if reason.close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    fn grpc(self) -> Response<Full<Bytes>> {
        let reason = *self.0;
        let mut response = Response::new(Full::default());
        let headers = response.headers_mut();
        *headers = reason.headers;
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert("grpc-status", HeaderValue::from(u16::from(reason.code.grpc())));
        let message = percent_encoded(&format!("{}: {}", reason.code.as_str(), reason.detail));
        if let Ok(message) = HeaderValue::try_from(message) {
            headers.insert("grpc-message", message);
        }
        if let Some(after) = reason.retry_after {
            headers.insert("grpc-retry-pushback-ms", HeaderValue::from(millis(after)));
        }
        response
    }
}

fn whole_seconds(after: Duration) -> u64 {
    after.as_secs().saturating_add(u64::from(after.subsec_nanos() > 0)).max(1)
}

fn millis(after: Duration) -> u64 {
    u64::try_from(after.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX).max(1)
}

/// `grpc-message` is percent-encoded: all but printable ASCII, and the percent sign
/// (gRPC over HTTP/2, "Responses").
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(char::from(byte)),
            _ => {
                let digit = |nibble: u8| char::from(b"0123456789ABCDEF"[usize::from(nibble)]);
                encoded.extend(['%', digit(byte >> 4), digit(byte & 15)]);
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests;
