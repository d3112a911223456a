//! Holding a request body back until the upstream asks for it.
//!
//! `Expect: 100-continue` (RFC 9110 section 10.1.1): the body waits for the upstream's 100, a
//! final status, or a second. Where the upstream answered without the body, the gate is
//! aborted: the body then ends in an error, never in a clean end that would make a message
//! without its body look whole.

use std::{
    sync::atomic::{AtomicU8, Ordering},
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;

/// A gate in front of a body. Shut until [`Gate::open`] or [`Gate::abort`] is called; the
/// first of the two holds.
#[derive(Debug, Default)]
pub struct Gate {
    state: AtomicU8,
    waiting: Mutex<Option<Waker>>,
}

/// The body is not wanted any more.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the upstream answered without asking for the body")]
pub struct NotWanted;

const SHUT: u8 = 0;
const OPEN: u8 = 1;
const ABORTED: u8 = 2;

impl Gate {
    /// Lets the body flow.
    pub fn open(&self) {
        self.settle(OPEN);
    }

    /// Ends the body in an error, unless it flows already.
    pub fn abort(&self) {
        self.settle(ABORTED);
    }

    fn settle(&self, state: u8) {
        let first = self.state.compare_exchange(SHUT, state, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if let (true, Some(waker)) = (first, self.waiting.lock().take()) {
            waker.wake();
        }
    }

    /// Ready once the gate is open or aborted.
    pub fn poll_open(&self, cx: &mut Context<'_>) -> Poll<Result<(), NotWanted>> {
        if let Some(settled) = self.settled() {
            return Poll::Ready(settled);
        }
        let mut waiting = self.waiting.lock();
        // Looked at again under the lock: one that settled between the look above and here
        // has found no waker to wake.
        if let Some(settled) = self.settled() {
            return Poll::Ready(settled);
        }
        *waiting = Some(cx.waker().clone());
        Poll::Pending
    }

    fn settled(&self) -> Option<Result<(), NotWanted>> {
        match self.state.load(Ordering::Acquire) {
            OPEN => Some(Ok(())),
            ABORTED => Some(Err(NotWanted)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};

    use super::Gate;

    #[test]
    fn opening_wakes_the_one_who_waits() {
        let gate = Gate::default();
        let mut wait = task::spawn(());
        assert_pending!(wait.enter(|cx, _| gate.poll_open(cx)));
        gate.open();
        assert!(wait.is_woken());
        gate.abort();
        assert_ready_ok!(wait.enter(|cx, _| gate.poll_open(cx)), "what flows goes on");
    }

    #[test]
    fn an_aborted_gate_is_an_error() {
        let gate = Gate::default();
        let mut wait = task::spawn(());
        assert_pending!(wait.enter(|cx, _| gate.poll_open(cx)));
        gate.abort();
        assert!(wait.is_woken());
        assert_ready_err!(wait.enter(|cx, _| gate.poll_open(cx)));
    }
}
