//! The future of one that waits.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use sluicegate_core::Lane;
use tokio::{
    sync::oneshot,
    time::{Instant, Sleep},
};

use super::{
    atoms::{Atoms, Native},
    cap::Cap,
    line::{Line, Word},
    order::Place,
    verdict::{Ticket, Verdict, Why},
};

/// Waits for a verdict. Dropping it takes the request out of the queue; a permit that was on
/// its way is handed on.
#[derive(Debug)]
#[must_use = "the request has left the queue when this is dropped"]
pub struct Waiting<A: Atoms = Native> {
    line: Arc<Line<A>>,
    place: Place,
    upstream: Option<Arc<Cap<A>>>,
    receiver: oneshot::Receiver<Word<A>>,
    until: Option<(Instant, Why)>,
    /// Made when it is first polled; in a box, so that a request that need not wait does not
    /// carry room for a timer.
    timer: Option<Pin<Box<Sleep>>>,
    lane: Lane,
    since: Instant,
    /// In the order, for all that is known here.
    queued: bool,
}

impl<A: Atoms> Waiting<A> {
    /// One that stands in the order; `until` says when it gives up, and as what.
    pub(super) fn new(
        line: Arc<Line<A>>,
        ticket: &Ticket<'_, A>,
        place: Place,
        receiver: oneshot::Receiver<Word<A>>,
        until: Option<(Instant, Why)>,
        since: Instant,
    ) -> Self {
        Self {
            line,
            place,
            upstream: ticket.upstream.cloned(),
            receiver,
            until,
            timer: None,
            lane: ticket.lane,
            since,
            queued: true,
        }
    }

    /// Whether it has given its verdict; it must not be polled again then.
    #[must_use]
    pub fn is_over(&self) -> bool {
        !self.queued
    }
}

impl<A: Atoms> Future for Waiting<A> {
    type Output = Verdict<A>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Verdict<A>> {
        let this = &mut *self;
        if let Poll::Ready(word) = Pin::new(&mut this.receiver).poll(cx) {
            this.queued = false;
            // The sender is kept in the order until it has spoken; if the order itself is
            // gone there is nothing to wait for.
            let word = word.unwrap_or(Err(Why::Expired));
            return Poll::Ready(this.line.settle(word, this.lane, this.since, Instant::now()));
        }
        let Some((until, why)) = this.until else { return Poll::Pending };
        let timer = this.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        if this.line.leave(&this.place, this.upstream.as_ref(), true) {
            this.queued = false;
            return Poll::Ready(Verdict::Refused(this.line.refused(this.lane, why, Instant::now())));
        }
        // Served at this very moment: the word is on its way.
        this.until = None;
        Poll::Pending
    }
}

impl<A: Atoms> Drop for Waiting<A> {
    fn drop(&mut self) {
        if self.queued {
            self.line.leave(&self.place, self.upstream.as_ref(), false);
        }
    }
}
