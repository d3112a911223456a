//! The body of an answer that passed the freeze.
//!
//! For a write it holds the write's place at the barrier until the answer has ended or is
//! dropped, and fails with [`Cut`] when a freeze ends the stream. For a read it passes
//! everything on.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use sluicegate_core::BoxError;

use crate::guard::Guard;

/// Why a body failed that a freeze has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream was ended because writes are frozen")]
pub struct Cut;

pin_project! {
    /// The body of the answers of [`Freeze`](crate::Freeze).
    ///
    /// Under a 101 answer it does not end by itself: whoever runs the tunnel holds it, polls
    /// it beside the tunnel, and closes the tunnel when it fails.
    #[derive(Debug)]
    pub struct FreezeBody<B> {
        // Dropped before the guard: an inner body may yet learn how its attempt ended.
        #[pin]
        inner: B,
        guard: Option<Guard>,
        tunnel: bool,
        finished: bool,
    }
}

impl<B> FreezeBody<B> {
    /// The body of a read.
    pub(crate) fn free(inner: B) -> Self {
        Self { inner, guard: None, tunnel: false, finished: false }
    }
}

impl<B: Body> FreezeBody<B> {
    /// The body of a write's answer.
    pub(crate) fn held(inner: B, guard: Guard, tunnel: bool) -> Self {
        if !tunnel && is_over(&inner) {
            guard.ended();
        }
        Self { inner, guard: Some(guard), tunnel, finished: false }
    }
}

/// Whether nothing more will come; a server does not poll such a body again.
fn is_over<B: Body>(body: &B) -> bool {
    body.is_end_stream() || body.size_hint().exact() == Some(0)
}

impl<B> Body for FreezeBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let mut this = self.project();
        let Some(guard) = this.guard.as_ref() else {
            return this.inner.poll_frame(cx).map_err(Into::into);
        };
        if guard.is_cut() {
            return Poll::Ready(Some(Err(Cut.into())));
        }
        let polled = if *this.finished { Poll::Ready(None) } else { this.inner.as_mut().poll_frame(cx) };
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                if !*this.tunnel && is_over(&*this.inner) {
                    guard.ended();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                *this.guard = None;
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) if !*this.tunnel => {
                guard.ended();
                *this.guard = None;
                Poll::Ready(None)
            }
            // Nothing yet, or a tunnel beside which only a cut is waited for.
            quiet => {
                *this.finished |= quiet.is_ready();
                guard.park(cx.waker());
                if guard.is_cut() { Poll::Ready(Some(Err(Cut.into()))) } else { Poll::Pending }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        !self.holds_a_tunnel() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.holds_a_tunnel() { SizeHint::default() } else { self.inner.size_hint() }
    }
}

impl<B> FreezeBody<B> {
    fn holds_a_tunnel(&self) -> bool {
        self.tunnel && self.guard.is_some()
    }
}

#[cfg(test)]
mod tests;
