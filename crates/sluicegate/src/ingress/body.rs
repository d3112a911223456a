//! The body of an answer on its way to the client.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use pin_project_lite::pin_project;
use sluicegate_core::BoxError;

use super::record::Record;

pin_project! {
    /// What the client gets: the upstream's body, a refusal, or nothing after a switch of
    /// protocols. It holds the request's record.
    #[derive(Debug)]
    pub struct IngressBody<B> {
        #[pin]
        kind: Kind<B>,
        record: Option<Record>,
    }
}

pin_project! {
    #[project = KindProjection]
    #[derive(Debug)]
    enum Kind<B> {
        Stream { #[pin] body: B },
        Refusal { body: Full<Bytes> },
    }
}

impl<B: Body> IngressBody<B> {
    pub(super) fn stream(body: B, mut record: Record) -> Self {
        if body.is_end_stream() {
            record.whole();
        }
        Self { kind: Kind::Stream { body }, record: Some(record) }
    }

    pub(super) fn refusal(body: Full<Bytes>, mut record: Record) -> Self {
        record.whole();
        Self { kind: Kind::Refusal { body }, record: Some(record) }
    }

    /// Nothing: the bytes that follow are a tunnel's, and its record is kept there.
    pub(super) fn nothing() -> Self {
        Self { kind: Kind::Refusal { body: Full::default() }, record: None }
    }
}

impl<B> Body for IngressBody<B>
where
    B: Body<Data = Bytes, Error = BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        let frame = match this.kind.as_mut().project() {
            KindProjection::Stream { body } => ready!(body.poll_frame(cx)),
            KindProjection::Refusal { body } => {
                ready!(Pin::new(body).poll_frame(cx)).map(|frame| frame.map_err(|never| match never {}))
            }
        };
        if let Some(record) = this.record {
            match &frame {
                Some(Ok(frame)) => record.sent(frame.data_ref().map_or(0, Bytes::len)),
                Some(Err(_)) => {}
                None => record.whole(),
            }
            if this.kind.is_end_stream() && !matches!(frame, Some(Err(_))) {
                record.whole();
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.kind.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Stream { body } => body.size_hint(),
            Kind::Refusal { body } => body.size_hint(),
        }
    }
}

impl<B: Body> Kind<B> {
    fn is_end_stream(&self) -> bool {
        match self {
            Self::Stream { body } => body.is_end_stream(),
            Self::Refusal { body } => body.is_end_stream(),
        }
    }
}
