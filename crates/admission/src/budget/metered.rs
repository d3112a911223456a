//! The body of an answer whose tokens are counted.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, header, response::Parts};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{
    encoding::is_plain,
    meter::{Form, Meter},
    reservation::Reservation,
    skim::Skim,
    stream::Stream,
};

pin_project! {
    /// Passes an answer on as it comes, reads the usage in it, and settles the reservation
    /// when it has ended, failed or been dropped.
    #[derive(Debug)]
    pub struct Metered<B>
    where
        B: Body,
    {
        // Dropped before the meter: what an inner body does when it goes comes first.
        #[pin]
        inner: B,
        // In a box, since most answers on most routes are not metered.
        meter: Option<Box<Meter>>,
        strips: bool,
        // What comes after the bytes that are held: trailers or an error.
        last: Option<Result<Frame<B::Data>, B::Error>>,
        ended: bool,
    }
}

impl<B: Body> Metered<B> {
    /// An answer that is not counted.
    pub const fn free(inner: B) -> Self {
        Self { inner, meter: None, strips: false, last: None, ended: false }
    }

    /// An answer to the request that `reservation` was made for. With `strip`, the chunk that
    /// only tells the usage is taken out of a stream; `head` then loses its length, and the
    /// digest of what it was.
    pub fn new(head: &mut Parts, inner: B, mut reservation: Reservation, strip: bool) -> Self {
        reservation.sent();
        let form = form_of(&head.headers, strip);
        let strips = strip && matches!(form, Form::Events(_));
        if strips {
            for name in ["content-length", "content-digest", "repr-digest"] {
                head.headers.remove(name);
            }
        }
        let meter = Box::new(Meter::new(reservation, form, head.status.is_success()));
        Self { inner, meter: Some(meter), strips, last: None, ended: false }
    }
}

impl<B: Body> Metered<B> {
    /// Takes the reservation of an answer that has not ended, for what goes on without its reader.
    pub(crate) fn unsettled(self: Pin<&mut Self>) -> Option<Reservation> {
        self.project().meter.as_mut()?.unsettled()
    }
}

/// How an answer with these headers is read.
fn form_of(headers: &HeaderMap, strip: bool) -> Form {
    let content_type = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let is_json = || {
        essence.eq_ignore_ascii_case(b"application/json")
            || essence
                .len()
                .checked_sub(5)
                .is_some_and(|at| essence.get(at..).is_some_and(|end| end.eq_ignore_ascii_case(b"+json")))
    };
    if !is_plain(headers) {
        Form::Unread
    } else if essence.eq_ignore_ascii_case(b"text/event-stream") {
        Form::Events(Stream::new(strip))
    } else if is_json() {
        Form::Json(Skim::default())
    } else {
        Form::Unread
    }
}

impl<B: Body<Data = Bytes>> Body for Metered<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let Some(meter) = this.meter.as_mut() else {
            return this.inner.poll_frame(cx);
        };
        loop {
            if let Some(bytes) = meter.next() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if let Some(last) = this.last.take() {
                return Poll::Ready(Some(last));
            }
            if *this.ended {
                return Poll::Ready(None);
            }
            match ready!(this.inner.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => {
                        if let Some(bytes) = meter.read(bytes) {
                            return Poll::Ready(Some(Ok(Frame::data(bytes))));
                        }
                    }
                    Err(frame) => {
                        meter.end();
                        *this.last = Some(Ok(frame));
                    }
                },
                Some(Err(error)) => {
                    meter.end();
                    *this.last = Some(Err(error));
                    *this.ended = true;
                }
                None => {
                    meter.end();
                    *this.ended = true;
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let Some(meter) = &self.meter else { return self.inner.is_end_stream() };
        self.last.is_none() && meter.is_empty() && (self.ended || self.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        if self.strips { SizeHint::default() } else { self.inner.size_hint() }
    }
}
