//! A request body of which the beginning may have been read already.
//!
//! What was read is given back byte for byte, then the rest streams on: nobody further in
//! can tell, but that the first chunks may come as one. Trailers and errors keep their place.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use sluicegate_body::Held;

pin_project! {
    /// The body that [`Classify`](crate::Classify) hands on: as it came, or replayed.
    #[project = PeekedProj]
    pub struct PeekedBody<B>
    where
        B: Body,
    {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<B>
    where
        B: Body,
    {
        Untouched { #[pin] body: B },
        Replayed { replay: Box<Replay<B>> },
    }
}

/// What has been read of a body, and what has not.
pub(crate) struct Replay<B: Body> {
    /// The data read.
    pub(crate) data: Bytes,
    /// The room it takes, until it is given back.
    pub(crate) held: Option<Held>,
    /// How reading it ended, where it did.
    pub(crate) error: Option<B::Error>,
    /// The trailers, where they have been read.
    pub(crate) trailers: Option<HeaderMap>,
    /// What has not been read; `None` when the end or an error has.
    pub(crate) rest: Option<Pin<Box<B>>>,
}

impl<B: Body> PeekedBody<B> {
    /// A body as it came.
    pub(crate) const fn untouched(body: B) -> Self {
        Self { kind: Kind::Untouched { body } }
    }

    /// A body of which something has been read.
    pub(crate) fn replayed(replay: Replay<B>) -> Self {
        Self { kind: Kind::Replayed { replay: Box::new(replay) } }
    }
}

impl<B: Body<Data = Bytes>> Body for PeekedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            KindProj::Untouched { body } => body.poll_frame(cx),
            KindProj::Replayed { replay } => replay.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Untouched { body } => body.is_end_stream(),
            Kind::Replayed { replay } => replay.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Untouched { body } => body.size_hint(),
            Kind::Replayed { replay } => replay.size_hint(),
        }
    }
}

impl<B: Body<Data = Bytes>> Replay<B> {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if !self.data.is_empty() {
            self.held = None;
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.data)))));
        }
        if let Some(error) = self.error.take() {
            return Poll::Ready(Some(Err(error)));
        }
        if let Some(trailers) = self.trailers.take() {
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        match &mut self.rest {
            Some(rest) => rest.as_mut().poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        let is_given_back = self.data.is_empty() && self.error.is_none() && self.trailers.is_none();
        is_given_back && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let read = u64::try_from(self.data.len()).unwrap_or(u64::MAX);
        if self.error.is_some() {
            // It broke off: how long it would have been is not known.
            let mut hint = SizeHint::new();
            hint.set_lower(read);
            return hint;
        }
        let Some(rest) = &self.rest else { return SizeHint::with_exact(read) };
        let left = rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(left.lower().saturating_add(read));
        if let Some(upper) = left.upper().and_then(|upper| upper.checked_add(read)) {
            hint.set_upper(upper);
        }
        hint
    }
}
