//! How an attempt at the upstream ended, and how far one has got.
//!
//! Whether a write may be repeated, whether a fence may be released, whether a freeze is
//! drained: each hangs on one question, *did the upstream do it?* The proxy path moves the
//! request's [`Attempt`] forward; whoever holds it can ask at any moment, also from a `Drop`.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The upstream answered to the end: what it did is known.
    Final,
    /// Nothing reached the upstream, or it promised that nothing was done.
    NotApplied,
    /// Bytes went out and no whole answer came back: it may or may not have been done.
    Unknown,
    /// Kept for later; nothing has been sent yet.
    Deferred,
}

/// How far the request has got on its way to the upstream and back.
///
/// States move forward only, but for [`Attempt::not_applied`], which takes back an attempt
/// that provably sent nothing.
#[derive(Debug, Default)]
pub struct Attempt {
    state: AtomicU8,
    doubtful: AtomicBool,
}

const NOT_SENT: u8 = 0;
const SENT: u8 = 1;
const ANSWERING: u8 = 2;
const ENDED: u8 = 3;

impl Attempt {
    /// Bytes of the request may have gone out from here on.
    pub fn sent(&self) {
        self.state.store(SENT, Ordering::Release);
    }

    /// The attempt provably sent nothing: a connect failure, or a pooled connection that was
    /// found closed before the first byte.
    pub fn not_applied(&self) {
        self.state.store(NOT_SENT, Ordering::Release);
    }

    /// The upstream's response head has come.
    pub fn answering(&self) {
        self.state.store(ANSWERING, Ordering::Release);
    }

    /// The upstream's answer is complete, or its tunnel was closed by both sides.
    pub fn ended(&self) {
        self.state.store(ENDED, Ordering::Release);
    }

    /// It is sent again although this try may have been carried out: whatever the tries after it
    /// come to, that stays so.
    pub fn doubted(&self) {
        self.doubtful.store(true, Ordering::Release);
    }

    /// Whether a try before the present one may have been carried out.
    #[must_use]
    pub fn is_doubtful(&self) -> bool {
        self.doubtful.load(Ordering::Acquire)
    }

    /// Whether the response head has come and the answer has not ended: a stream.
    #[must_use]
    pub fn is_answering(&self) -> bool {
        self.state.load(Ordering::Acquire) == ANSWERING
    }

    /// What is known if the attempt were to end now.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self.state.load(Ordering::Acquire) {
            NOT_SENT if !self.is_doubtful() => Outcome::NotApplied,
            ENDED => Outcome::Final,
            _ => Outcome::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Attempt, Outcome};

    #[test]
    fn only_bytes_without_a_whole_answer_are_unknown() {
        let attempt = Attempt::default();
        assert_eq!(attempt.outcome(), Outcome::NotApplied);
        attempt.sent();
        assert_eq!(attempt.outcome(), Outcome::Unknown);
        attempt.not_applied();
        assert_eq!(attempt.outcome(), Outcome::NotApplied);
        attempt.sent();
        attempt.answering();
        assert!(attempt.is_answering());
        assert_eq!(attempt.outcome(), Outcome::Unknown);
        attempt.ended();
        assert_eq!(attempt.outcome(), Outcome::Final);
    }

    #[test]
    fn what_one_try_may_have_done_another_does_not_undo() {
        let attempt = Attempt::default();
        attempt.sent();
        attempt.doubted();
        attempt.not_applied();
        assert_eq!((attempt.is_doubtful(), attempt.outcome()), (true, Outcome::Unknown));
    }
}
