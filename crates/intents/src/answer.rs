//! The upstream's answer to an intent, as it is kept and shown.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use sluicegate_store::fence::{StoredAnswer, StoredBody};

use crate::kept;

/// On an answer of which no body was kept: why.
pub(crate) static BODY_NOT_KEPT: HeaderName = HeaderName::from_static("sluicegate-body-not-kept");

/// What is kept of an answer. Trailers are not: nobody waits for this one who could use them.
pub(crate) fn stored(answer: Response<StoredBody>) -> StoredAnswer {
    let (head, body) = answer.into_parts();
    StoredAnswer {
        status: head.status.as_u16(),
        headers: kept::of_answer(&head.headers),
        body,
        trailers: Vec::new(),
    }
}

/// The answer that was kept.
pub(crate) fn shown(answer: &StoredAnswer) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut headers: HeaderMap = kept::restored(&answer.headers);
    match &answer.body {
        StoredBody::Whole(body) => *response.body_mut() = body.clone(),
        StoredBody::NotKept(why) => {
            let why = HeaderValue::from_str(why).unwrap_or_else(|_| HeaderValue::from_static("not kept"));
            headers.insert(BODY_NOT_KEPT.clone(), why);
            for of_the_body in [header::CONTENT_ENCODING, header::CONTENT_TYPE, header::ETAG] {
                headers.remove(of_the_body);
            }
        }
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    *response.headers_mut() = headers;
    response
}
