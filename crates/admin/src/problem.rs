//! How the admin API says no: one type, one shape.
//!
//! Every error is `application/problem+json` (RFC 9457) with `type`, `title`, `status`,
//! `detail` and a stable `code` that scripts can branch on, and members of its own where
//! they help (`problems` of a refused document, `freeze` of one that could not be kept).

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};
use sluicegate_store::StoreError;

/// An error answer.
#[derive(Debug)]
pub(crate) struct Problem(Box<Parts>);

#[derive(Debug)]
struct Parts {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: Cow<'static, str>,
    members: Map<String, Value>,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// `detail` says what was wrong with this request and what to do.
    pub(crate) fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        let detail = detail.into();
        Self(Box::new(Parts { status, code, title, detail, members: Map::new(), header: None }))
    }

    /// 400: the request cannot be understood.
    pub(crate) fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", "The request cannot be understood", detail)
    }

    /// 500: the gateway failed at something it should have been able to do.
    pub(crate) fn internal(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The gateway failed", detail)
    }

    /// 503: the store could not be asked.
    pub(crate) fn store(error: &StoreError) -> Self {
        Self::without_store(format!(
            "the store cannot be asked: {error}; `GET /status` tells how it is doing"
        ))
    }

    /// 503: the store did not say whether it made a change.
    pub(crate) fn store_on_change(error: &StoreError) -> Self {
        Self::without_store(format!(
            "the store did not confirm it: {error}; it may or may not have been done, so look before you repeat it; \
             `GET /status` tells how the store is doing"
        ))
    }

    fn without_store(detail: String) -> Self {
        let (status, title) = (StatusCode::SERVICE_UNAVAILABLE, "The store cannot be used");
        Self::new(status, "store_unavailable", title, detail)
            .header(header::RETRY_AFTER, HeaderValue::from_static("5"))
    }

    /// A member of the problem's own.
    #[must_use]
    pub(crate) fn member(mut self, name: &str, value: Value) -> Self {
        self.0.members.insert(name.to_owned(), value);
        self
    }

    /// A header on the answer.
    #[must_use]
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.header = Some((name, value));
        self
    }

    /// The stable word.
    pub(crate) fn code(&self) -> &'static str {
        self.0.code
    }

    /// What was wrong with this request.
    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Parts { status, code, title, detail, members, header } = *self.0;
        let mut body = json!({
            "type": format!("urn:sluicegate:problem:{code}"),
            "title": title,
            "status": status.as_u16(),
            "detail": detail,
            "code": code,
        });
        if let Value::Object(body) = &mut body {
            body.extend(members);
        }
        let content =
            [(header::CONTENT_TYPE, "application/problem+json"), (header::CACHE_CONTROL, "no-store")];
        let mut response = (status, content, body.to_string()).into_response();
        if let Some((name, value)) = header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// A JSON answer that no cache keeps.
pub(crate) fn fresh_json(value: &Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (headers, value.to_string()).into_response()
}
