//! An answer as it is kept and as it is given again.
//!
//! Kept are the status, the header fields but for those that belong to one connection or one
//! message, the body up to a cap, and the trailers, in which a gRPC answer has its status.
//! Given again, it says `Idempotency-Replayed: true`, and where the body was not kept also
//! `Sluicegate-Replay: without-body`; the fields that describe a body are then left out.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header, response::Parts};
use http_body::{Body, Frame, SizeHint};
use sluicegate_store::fence::{StoredAnswer, StoredBody};

/// Says that an answer is the stored one of an earlier request.
pub static REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Says `without-body` on a replay whose body was not kept.
pub static WITHOUT_BODY: HeaderName = HeaderName::from_static("sluicegate-replay");

/// Fields of one connection (RFC 9110 section 7.6.1), of one message's framing and time, and
/// the id of the request itself.
const NOT_KEPT: [HeaderName; 9] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::TRAILER,
    header::TE,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
    header::CONTENT_LENGTH,
    header::DATE,
    HeaderName::from_static("x-request-id"),
];

/// Fields that would promise a body which is not there.
const OF_A_BODY: [&str; 6] =
    ["content-type", "content-encoding", "content-range", "content-digest", "content-md5", "repr-digest"];

/// The fields of an answer that are kept.
pub(crate) fn kept_fields(headers: &HeaderMap) -> Vec<(Box<str>, Bytes)> {
    let named_by_connection = |name: &HeaderName| {
        headers.get_all(header::CONNECTION).iter().any(|value| {
            let tokens = value.as_bytes().split(|byte| *byte == b',');
            tokens.map(<[u8]>::trim_ascii).any(|token| token.eq_ignore_ascii_case(name.as_str().as_bytes()))
        })
    };
    headers
        .iter()
        .filter(|(name, _)| {
            !NOT_KEPT.contains(name)
                && !matches!(name.as_str(), "keep-alive" | "proxy-connection")
                && !named_by_connection(name)
        })
        .map(|(name, value)| (name.as_str().into(), Bytes::copy_from_slice(value.as_bytes())))
        .collect()
}

/// What of a head is needed once it has gone to the client.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) fields: Vec<(Box<str>, Bytes)>,
}

impl Head {
    pub(crate) fn of(parts: &Parts) -> Self {
        Self { status: parts.status, fields: kept_fields(&parts.headers) }
    }

    /// The answer as it is kept.
    pub(crate) fn answer(self, body: StoredBody, trailers: Option<&HeaderMap>) -> StoredAnswer {
        StoredAnswer {
            status: self.status.as_u16(),
            headers: self.fields,
            body,
            trailers: trailers.map(kept_fields).unwrap_or_default(),
        }
    }
}

/// The body of an answer that the guard gives itself.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    data: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

/// The answer to a duplicate.
pub(crate) fn replay(answer: StoredAnswer) -> Response<Stored> {
    let StoredAnswer { status, headers, body, trailers } = answer;
    let (data, kept) = match body {
        StoredBody::Whole(bytes) => (Some(bytes).filter(|bytes| !bytes.is_empty()), true),
        StoredBody::NotKept(_) => (None, false),
    };
    let mut response = Response::new(Stored { data, trailers: fields(trailers, true) });
    // What is stored was a status once.
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    *response.headers_mut() = fields(headers, kept).unwrap_or_default();
    if !kept {
        response.headers_mut().insert(WITHOUT_BODY.clone(), HeaderValue::from_static("without-body"));
    }
    mark(&mut response);
    response
}

/// The answer to a duplicate of a write that is kept as an intent.
pub(crate) fn deferred(accepted: Response<Bytes>) -> Response<Stored> {
    let mut response = accepted.map(|data| Stored { data: Some(data), trailers: None });
    mark(&mut response);
    response
}

fn mark<B>(response: &mut Response<B>) {
    response.headers_mut().insert(REPLAYED.clone(), HeaderValue::from_static("true"));
}

fn fields(kept: Vec<(Box<str>, Bytes)>, of_a_body: bool) -> Option<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(kept.len());
    for (name, value) in kept {
        if (of_a_body || !OF_A_BODY.contains(&&*name))
            && let Ok(name) = HeaderName::from_bytes(name.as_bytes())
            && let Ok(value) = HeaderValue::from_maybe_shared(value)
        {
            headers.append(name, value);
        }
    }
    (!headers.is_empty()).then_some(headers)
}

impl Body for Stored {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(data) = self.data.take() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.data.as_ref().map_or(0, |data| data.len() as u64))
    }
}

#[cfg(test)]
mod tests;
