//! The body of an answer that was let in.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{StatusCode, response::Parts};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use sluicegate_core::BoxError;

use super::held::Holding;
use crate::{budget::Metered, queue::Ended};

pin_project! {
    /// The body of the answers of [`Admit`](crate::Admit): holds the request's permit, and counts
    /// its tokens, until it has ended or is dropped.
    pub struct AdmissionBody<B>
    where
        B: Body,
    {
        // Dropped before the permit: whoever is let in next finds the work done.
        #[pin]
        inner: Metered<B>,
        held: Option<Box<Holding>>,
    }

    impl<B> PinnedDrop for AdmissionBody<B>
    where
        B: Body,
    {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            // The model goes on working where nobody reads along any more: what came so far is not
            // all that it will have taken.
            if let Some(holding) = this.held.as_mut().filter(|holding| holding.facts.outlives()) {
                holding.reservation = this.inner.unsettled();
            }
        }
    }
}

impl<B: Body> AdmissionBody<B> {
    pub(super) const fn passed(inner: B) -> Self {
        Self { inner: Metered::free(inner), held: None }
    }

    pub(super) fn held(head: &mut Parts, inner: B, mut holding: Box<Holding>) -> Self {
        if let Some(permit) = &holding.permit {
            // What the gateway refused itself further in says nothing of the upstream; those are
            // no answers here.
            permit.note(if head.status.is_server_error() { Ended::Failed } else { Ended::Well });
        }
        holding.tell(&mut head.headers);
        let inner = match holding.reservation.take() {
            Some(reservation) if head.status != StatusCode::SWITCHING_PROTOCOLS => {
                let metered = Metered::new(head, inner, reservation, holding.strip);
                match holding.cuts() {
                    Some(dialect) => metered.cutting(head, dialect, Some(holding.facts.clone())),
                    None => metered,
                }
            }
            reservation => {
                holding.reservation = reservation;
                Metered::free(inner)
            }
        };
        Self { inner, held: Some(holding) }
    }
}

impl<B> Body for AdmissionBody<B>
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
        let polled = this.inner.poll_frame(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            *this.held = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
