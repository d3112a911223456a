//! The request body as it goes to the upstream.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use sluicegate_core::BoxError;

use crate::{gate::Gate, replay::Replay};

pin_project! {
    /// A request body on its way to the upstream.
    #[derive(Debug)]
    pub struct Outbound<B> {
        #[pin]
        kind: Kind<B>,
        gate: Option<Arc<Gate>>,
    }
}

pin_project! {
    #[project = KindProjection]
    #[derive(Debug)]
    enum Kind<B> {
        Empty,
        Once { #[pin] body: B },
        Again { #[pin] body: Replay<B> },
    }
}

impl<B: Body<Data = Bytes>> Outbound<B> {
    /// No body: it can be sent any number of times.
    #[must_use]
    pub const fn empty() -> Self {
        Self { kind: Kind::Empty, gate: None }
    }

    /// A body that is sent once.
    pub const fn once(body: B) -> Self {
        Self { kind: Kind::Once { body }, gate: None }
    }

    /// A body that can be sent again while what was read of it fits under `cap` bytes.
    pub fn kept(body: B, cap: usize) -> Self {
        Self { kind: Kind::Again { body: Replay::new(body, cap) }, gate: None }
    }

    /// Holds the body back until `gate` opens.
    #[must_use]
    pub fn behind(mut self, gate: Arc<Gate>) -> Self {
        self.gate = Some(gate);
        self
    }

    /// A second sending from the start, if the first leaves that possible. Ask before the
    /// first is given away, and [`Outbound::can_repeat`] before the second is used.
    #[must_use]
    pub fn again(&self) -> Option<Self> {
        let kind = match &self.kind {
            Kind::Empty => Kind::Empty,
            Kind::Once { .. } => return None,
            Kind::Again { body } => Kind::Again { body: body.again() },
        };
        Some(Self { kind, gate: None })
    }

    /// Whether this sending would be whole.
    #[must_use]
    pub fn can_repeat(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Once { .. } => false,
            Kind::Again { body } => body.is_whole(),
        }
    }
}

impl<B> Body for Outbound<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        if let Some(gate) = this.gate {
            if let Err(not_wanted) = ready!(gate.poll_open(cx)) {
                return Poll::Ready(Some(Err(not_wanted.into())));
            }
            *this.gate = None;
        }
        let frame = match this.kind.project() {
            KindProjection::Empty => return Poll::Ready(None),
            KindProjection::Once { body } => ready!(body.poll_frame(cx)),
            KindProjection::Again { body } => ready!(body.poll_frame(cx)),
        };
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Once { body } => body.is_end_stream(),
            Kind::Again { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Once { body } => body.size_hint(),
            Kind::Again { body } => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use http_body_util::{BodyExt, Full};
    use tokio_test::{assert_pending, assert_ready, task};

    use super::{Gate, Outbound};

    fn full() -> Full<Bytes> {
        Full::new(Bytes::from_static(b"body"))
    }

    #[tokio::test]
    async fn only_what_was_kept_can_be_sent_again() {
        assert!(Outbound::once(full()).again().is_none());
        let first = Outbound::kept(full(), 64);
        let second = first.again().unwrap();
        assert_eq!(first.collect().await.unwrap().to_bytes(), "body");
        assert!(second.can_repeat());
        assert_eq!(second.collect().await.unwrap().to_bytes(), "body");

        let first = Outbound::kept(full(), 3);
        let second = first.again().unwrap();
        assert_eq!(first.collect().await.unwrap().to_bytes(), "body", "past the cap it still streams");
        assert!(!second.can_repeat());
    }

    #[test]
    fn a_shut_gate_holds_the_body_back() {
        let gate = Arc::new(Gate::default());
        let mut body = task::spawn(Outbound::once(full()).behind(gate.clone()).collect());
        assert_pending!(body.poll());
        gate.open();
        assert!(body.is_woken());
        assert_eq!(assert_ready!(body.poll()).unwrap().to_bytes(), "body");
    }
}
