//! A body that somebody listens to.
//!
//! The listener, a [`Tap`], is told every frame as it passes, and once how the body ended. The
//! body is not gathered and never waits: what the tap cannot keep up with is the tap's affair.
//! Without a tap it costs a branch.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

/// Listens to a body.
pub trait Tap {
    /// This much of it has passed.
    fn data(&mut self, data: &Bytes);

    /// Nothing more comes: all of it has passed, or it broke off or was dropped before its end.
    fn ended(self, whole: bool);
}

pin_project! {
    /// A body with a tap, or none.
    #[derive(Debug)]
    pub struct Teed<B, T>
    where
        B: Body,
        T: Tap,
    {
        #[pin]
        inner: B,
        tap: Option<T>,
    }

    impl<B, T> PinnedDrop for Teed<B, T>
    where
        B: Body,
        T: Tap,
    {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            let whole = this.inner.is_end_stream();
            if let Some(tap) = this.tap.take() {
                tap.ended(whole);
            }
        }
    }
}

impl<B: Body<Data = Bytes>, T: Tap> Teed<B, T> {
    /// The body, and who listens. One that has ended already is told at once: nobody may ever
    /// ask an empty body for a frame.
    pub fn new(inner: B, tap: Option<T>) -> Self {
        let mut teed = Self { inner, tap };
        if teed.tap.is_some() && has_ended(&teed.inner) {
            teed.end(true);
        }
        teed
    }

    fn end(&mut self, whole: bool) {
        if let Some(tap) = self.tap.take() {
            tap.ended(whole);
        }
    }
}

impl<B: Body<Data = Bytes>, T: Tap> Body for Teed<B, T> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let polled = ready!(this.inner.as_mut().poll_frame(cx));
        if let Some(tap) = this.tap {
            let end = match &polled {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        tap.data(data);
                    }
                    // The last frame of a known length: nobody asks for another.
                    has_ended(&*this.inner).then_some(true)
                }
                Some(Err(_)) => Some(false),
                None => Some(true),
            };
            if let Some(whole) = end
                && let Some(tap) = this.tap.take()
            {
                tap.ended(whole);
            }
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Whether all data has passed. Over HTTP/2 the end of a body of known length may come in a frame
/// of its own, which nobody waits for who has the last byte.
fn has_ended<B: Body>(body: &B) -> bool {
    body.is_end_stream() || body.size_hint().exact() == Some(0)
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use bytes::Bytes;
    use http_body::{Body, Frame};
    use http_body_util::{BodyExt, Empty, Full, StreamBody};

    use super::{Tap, Teed};

    #[derive(Clone, Default)]
    struct Heard(Rc<RefCell<(Vec<u8>, Option<bool>)>>);

    impl Tap for Heard {
        fn data(&mut self, data: &Bytes) {
            self.0.borrow_mut().0.extend_from_slice(data);
        }

        fn ended(self, whole: bool) {
            let before = self.0.borrow_mut().1.replace(whole);
            assert_eq!(before, None, "a body ends once");
        }
    }

    impl Heard {
        fn what(&self) -> (Vec<u8>, Option<bool>) {
            self.0.borrow().clone()
        }
    }

    fn stream(
        frames: &[Result<&'static [u8], &'static str>],
    ) -> impl Body<Data = Bytes, Error = &'static str> + Unpin {
        let frames: Vec<_> =
            frames.iter().map(|it| it.map(|data| Frame::data(Bytes::from_static(data)))).collect();
        StreamBody::new(futures_util::stream::iter(frames))
    }

    #[tokio::test]
    async fn the_tap_hears_what_passes_and_how_it_ended() {
        let heard = Heard::default();
        let body = Teed::new(stream(&[Ok(b"one "), Ok(b"two")]), Some(heard.clone()));
        assert_eq!(heard.what(), (vec![], None), "nothing has passed");
        assert_eq!(body.collect().await.unwrap().to_bytes(), "one two");
        assert_eq!(heard.what(), (b"one two".to_vec(), Some(true)));
    }

    #[tokio::test]
    async fn a_body_of_known_length_has_ended_with_its_last_byte() {
        let heard = Heard::default();
        let mut body = Teed::new(Full::new(Bytes::from_static(b"all")), Some(heard.clone()));
        assert_eq!(body.size_hint().exact(), Some(3));
        body.frame().await.unwrap().unwrap();
        assert_eq!(heard.what(), (b"all".to_vec(), Some(true)), "without being asked again");
    }

    /// Its length is known, and its end comes by itself: as over HTTP/2.
    struct EndsLater(Option<Bytes>);

    impl Body for EndsLater {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            std::task::Poll::Ready(self.0.take().map(|data| Ok(Frame::data(data))))
        }

        fn size_hint(&self) -> http_body::SizeHint {
            http_body::SizeHint::with_exact(self.0.as_ref().map_or(0, |data| data.len() as u64))
        }
    }

    #[tokio::test]
    async fn nobody_waits_for_an_end_that_comes_after_the_last_byte() {
        let heard = Heard::default();
        let mut body = Teed::new(EndsLater(Some(Bytes::from_static(b"all"))), Some(heard.clone()));
        body.frame().await.unwrap().unwrap();
        assert!(!body.is_end_stream());
        assert_eq!(heard.what(), (b"all".to_vec(), Some(true)));
    }

    #[tokio::test]
    async fn an_empty_body_is_never_asked() {
        let heard = Heard::default();
        let body = Teed::new(Empty::<Bytes>::new(), Some(heard.clone()));
        assert_eq!(heard.what(), (vec![], Some(true)));
        assert!(body.is_end_stream());
    }

    #[tokio::test]
    async fn what_breaks_off_or_is_dropped_is_not_whole() {
        let heard = Heard::default();
        let body = Teed::new(stream(&[Ok(b"one"), Err("reset")]), Some(heard.clone()));
        assert!(body.collect().await.is_err());
        assert_eq!(heard.what(), (b"one".to_vec(), Some(false)));

        let heard = Heard::default();
        let mut body = Teed::new(stream(&[Ok(b"one"), Ok(b"two")]), Some(heard.clone()));
        body.frame().await.unwrap().unwrap();
        drop(body);
        assert_eq!(heard.what(), (b"one".to_vec(), Some(false)));
    }
}
