//! A body that can be sent again.
//!
//! The first sending streams the body through and keeps what has passed, by reference count
//! and not by copy, up to a cap. If that sending fails, the next one gives the kept frames
//! first and goes on reading where the first stopped. Past the cap the body still streams;
//! only the second sending is given up. It stays on one worker, so no lock is needed.

use std::{
    cell::RefCell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// One sending of a body of which a copy is kept.
#[derive(Debug)]
pub struct Replay<B> {
    shared: Rc<RefCell<Shared<B>>>,
    /// How many of the kept frames this sending has given.
    given: usize,
}

#[derive(Debug)]
struct Shared<B> {
    body: Pin<Box<B>>,
    kept: Vec<Bytes>,
    kept_bytes: usize,
    cap: usize,
    /// Something that was read is not kept: it can not be sent again.
    lossy: bool,
}

impl<B: Body<Data = Bytes>> Replay<B> {
    /// Keeps up to `cap` bytes of `body`.
    pub fn new(body: B, cap: usize) -> Self {
        let shared = Shared { body: Box::pin(body), kept: Vec::new(), kept_bytes: 0, cap, lossy: false };
        Self { shared: Rc::new(RefCell::new(shared)), given: 0 }
    }

    /// Another sending from the start. It only succeeds while [`Replay::is_whole`].
    #[must_use]
    pub fn again(&self) -> Self {
        Self { shared: self.shared.clone(), given: 0 }
    }

    /// Whether all that has been read is kept.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.shared.borrow().lossy
    }
}

impl<B: Body<Data = Bytes>> Body for Replay<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let shared = self.shared.clone();
        let mut shared = shared.borrow_mut();
        if let Some(frame) = shared.kept.get(self.given) {
            self.given += 1;
            return Poll::Ready(Some(Ok(Frame::data(frame.clone()))));
        }
        let frame = ready!(shared.body.as_mut().poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            match frame.data_ref() {
                Some(data) if !shared.lossy && shared.kept_bytes + data.len() <= shared.cap => {
                    shared.kept_bytes += data.len();
                    shared.kept.push(data.clone());
                    self.given = shared.kept.len();
                }
                // Trailers are not kept: a body that has any is sent once.
                _ => {
                    shared.lossy = true;
                    shared.kept = Vec::new();
                    self.given = 0;
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let shared = self.shared.borrow();
        self.given >= shared.kept.len() && shared.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let shared = self.shared.borrow();
        let ahead: u64 = shared.kept.iter().skip(self.given).map(|frame| frame.len() as u64).sum();
        let rest = shared.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + ahead);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + ahead);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use http_body::{Body, Frame};
    use http_body_util::{BodyExt, StreamBody};
    use proptest::prelude::*;

    use super::Replay;

    fn body(frames: &[Vec<u8>]) -> impl Body<Data = Bytes, Error = Infallible> + use<> {
        let frames: Vec<_> = frames.iter().map(|f| Ok(Frame::data(Bytes::from(f.clone())))).collect();
        StreamBody::new(futures_util::stream::iter(frames))
    }

    fn read<B: Body<Data = Bytes, Error = Infallible> + Unpin>(body: &mut B, frames: usize) -> Vec<u8> {
        let mut got = Vec::new();
        for _ in 0..frames {
            match tokio_test::block_on(body.frame()) {
                Some(Ok(frame)) => got.extend_from_slice(&frame.into_data().unwrap()),
                _ => break,
            }
        }
        got
    }

    proptest! {
        /// Whatever part of the first sending got through, the second gives the whole body,
        /// as long as what had been read fits under the cap; else it says that it cannot.
        #[test]
        fn the_second_sending_is_whole_or_says_it_is_not(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 0..10),
            first in 0usize..12,
            cap in 0usize..120,
        ) {
            let mut one = Replay::new(body(&frames), cap);
            read(&mut one, first);
            let seen: usize = frames.iter().take(first).map(Vec::len).sum();
            prop_assert_eq!(one.is_whole(), seen <= cap);
            if one.is_whole() {
                let mut two = one.again();
                drop(one);
                prop_assert_eq!(read(&mut two, usize::MAX), frames.concat());
            }
        }
    }

    #[test]
    fn a_known_length_stays_known_for_both_sendings() {
        let mut one = Replay::new(http_body_util::Full::new(Bytes::from_static(b"hello")), 64);
        assert_eq!(one.size_hint().exact(), Some(5));
        assert_eq!(read(&mut one, 1), b"hello");
        assert!(one.is_end_stream());
        let two = one.again();
        assert_eq!(two.size_hint().exact(), Some(5));
        assert!(!two.is_end_stream());
    }
}
