//! The body of an answer whose tokens are counted.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, header, response::Parts};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use sluicegate_core::{BoxError, Facts};

use super::{
    cut::Cut,
    dialect::Dialect,
    encoding::is_plain,
    meter::{Form, Meter, Read},
    reservation::Reservation,
    skim::Skim,
    stream::Stream,
};

pin_project! {
    /// Passes an answer on as it comes, reads the usage in it, and settles the reservation
    /// when it has ended, failed or been dropped.
    #[derive(Debug)]
    pub struct Metered<B> {
        // Dropped before the meter: what an inner body does when it goes comes first. None once
        // the answer is cut.
        #[pin]
        inner: Option<B>,
        // In a box, since most answers on most routes are not metered.
        meter: Option<Box<Meter>>,
        // Whether it may become shorter or longer than it came.
        changes: bool,
        // Told when the answer is cut.
        facts: Option<Facts>,
        // What comes after the bytes that are held: trailers or an error.
        last: Option<Result<Frame<Bytes>, BoxError>>,
        ended: bool,
    }
}

impl<B> Metered<B> {
    /// An answer that is not counted.
    pub const fn free(inner: B) -> Self {
        Self { inner: Some(inner), meter: None, changes: false, facts: None, last: None, ended: false }
    }

    /// An answer to the request that `reservation` was made for. With `strip`, the chunk that
    /// only tells the usage is taken out of a stream; `head` then loses its length, and the
    /// digest of what it was.
    pub fn new(head: &mut Parts, inner: B, mut reservation: Reservation, strip: bool) -> Self {
        reservation.sent();
        let form = form_of(&head.headers, strip);
        let strips = strip && matches!(form, Form::Events(_));
        let meter = Box::new(Meter::new(reservation, form, head.status.is_success()));
        let mut metered = Self { meter: Some(meter), ..Self::free(inner) };
        if strips {
            metered.changing(head);
        }
        metered
    }

    /// Cuts the answer, if it is a stream of events, where it has used what was reserved and its
    /// tenant's budget holds nothing more: the event that did it goes on, one follows that says so
    /// as `dialect` has it, and then the body fails with [`Cut`]. Nothing more is read, so that
    /// the model may stop, and where the exchange would outlive its client, `facts` is
    /// [told](Facts::cut) that it must not. `head` loses its length as where a chunk is taken out.
    #[must_use]
    pub fn cutting(mut self, head: &mut Parts, dialect: Dialect, facts: Option<Facts>) -> Self {
        if self.meter.as_mut().is_some_and(|meter| meter.cutting(dialect)) {
            self.facts = facts;
            self.changing(head);
        }
        self
    }

    fn changing(&mut self, head: &mut Parts) {
        self.changes = true;
        for name in ["content-length", "content-digest", "repr-digest"] {
            head.headers.remove(name);
        }
    }

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

fn poll_inner<B>(
    inner: Pin<&mut Option<B>>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, BoxError>>>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    match inner.as_pin_mut() {
        Some(inner) => inner.poll_frame(cx).map_err(Into::into),
        None => Poll::Ready(None),
    }
}

impl<B> Body for Metered<B>
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
        let mut this = self.project();
        let Some(meter) = this.meter.as_mut() else {
            return poll_inner(this.inner, cx);
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
            match ready!(poll_inner(this.inner.as_mut(), cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => match meter.read(bytes) {
                        Read::Unchanged(bytes) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                        Read::Held => {}
                        Read::Cut => {
                            if let Some(facts) = this.facts.take() {
                                facts.cut();
                            }
                            this.inner.set(None);
                            *this.last = Some(Err(Cut.into()));
                            *this.ended = true;
                        }
                    },
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
        let inner_ended = self.inner.as_ref().is_none_or(Body::is_end_stream);
        let Some(meter) = &self.meter else { return inner_ended };
        self.last.is_none() && meter.is_empty() && (self.ended || inner_ended)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Some(inner) if !self.changes => inner.size_hint(),
            _ => SizeHint::default(),
        }
    }
}
