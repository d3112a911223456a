//! The body of an answer that came through the replay layer.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use sluicegate_core::BoxError;

use crate::answer::Stored;

pin_project! {
    /// The body of the answers of [`Replay`](crate::Replay): the service's own, or a stored
    /// one.
    #[derive(Debug)]
    pub struct ReplayBody<R> {
        #[pin]
        kind: Kind<R>,
    }
}

pin_project! {
    #[project = KindProjection]
    #[derive(Debug)]
    enum Kind<R> {
        Passed { #[pin] body: R },
        Stored { body: Stored },
    }
}

impl<R> ReplayBody<R> {
    pub(super) const fn passed(body: R) -> Self {
        Self { kind: Kind::Passed { body } }
    }

    pub(super) const fn stored(body: Stored) -> Self {
        Self { kind: Kind::Stored { body } }
    }
}

impl<R> Body for ReplayBody<R>
where
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().kind.project() {
            KindProjection::Passed { body } => body.poll_frame(cx).map_err(Into::into),
            KindProjection::Stored { body } => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Passed { body } => body.is_end_stream(),
            Kind::Stored { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Passed { body } => body.size_hint(),
            Kind::Stored { body } => body.size_hint(),
        }
    }
}
