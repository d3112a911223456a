//! The body of an answer that came through the fence.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use sluicegate_core::BoxError;

use super::line::Heard;

pin_project! {
    /// The body of the answers of [`Fence`](crate::Fence): the service's own, or under a key
    /// what the exchange hands over.
    #[derive(Debug)]
    pub struct FenceBody<R> {
        #[pin]
        kind: Kind<R>,
    }
}

pin_project! {
    #[project = KindProjection]
    #[derive(Debug)]
    enum Kind<R> {
        Passed { #[pin] body: R },
        Heard { body: Heard },
    }
}

impl<R> FenceBody<R> {
    pub(super) const fn passed(body: R) -> Self {
        Self { kind: Kind::Passed { body } }
    }

    pub(super) const fn heard(body: Heard) -> Self {
        Self { kind: Kind::Heard { body } }
    }
}

impl<R> Body for FenceBody<R>
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
            KindProjection::Heard { body } => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Passed { body } => body.is_end_stream(),
            Kind::Heard { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Passed { body } => body.size_hint(),
            Kind::Heard { body } => body.size_hint(),
        }
    }
}
