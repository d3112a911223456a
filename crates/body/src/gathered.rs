//! A request body that a guard has to know whole before it can decide.
//!
//! Gathering is bounded twice: each body by a cap, and all of them together by a [`Budget`],
//! so that no number of clients can fill the memory. A body that grows past its cap is not
//! lost: what was read goes on in front of the rest, and the guard decides whether that is
//! safe. A body that was gathered once can be gathered again at no cost, so that guards need
//! not know of each other.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use sluicegate_core::BoxError;

use crate::budget::{Budget, Held};

/// A body that was read to its end. Its room in the budget is given back when the last clone
/// is dropped, and those of the body made of it.
#[derive(Clone, Debug, Default)]
pub struct Whole {
    /// Its bytes.
    pub bytes: Bytes,
    /// The trailers after it.
    pub trailers: Option<HeaderMap>,
    held: Option<Held>,
}

impl Whole {
    /// A body that counts against no budget.
    #[must_use]
    pub const fn new(bytes: Bytes, trailers: Option<HeaderMap>) -> Self {
        Self { bytes, trailers, held: None }
    }
}

/// Why a body was not gathered.
#[derive(Debug, thiserror::Error)]
pub enum GatherError {
    /// Reading it failed.
    #[error(transparent)]
    Body(BoxError),
    /// All gathered bodies together take all the room there is.
    #[error("too many request bodies are being held at this moment")]
    NoRoom,
}

/// What became of gathering a body.
#[derive(Debug)]
pub enum Gather<B> {
    /// It is here, whole.
    Whole(Whole),
    /// It is larger than the cap: it goes on as it came.
    Past(Gathered<B>),
}

/// A request body that may have been gathered.
#[derive(Debug)]
pub struct Gathered<B> {
    /// What was read already. In a box, since most bodies are never gathered.
    ahead: Option<Box<Ahead>>,
    /// What has not been read; none once the end was reached.
    rest: Option<B>,
}

#[derive(Debug, Default)]
struct Ahead {
    frames: VecDeque<Bytes>,
    bytes: usize,
    trailers: Option<HeaderMap>,
    held: Option<Held>,
}

/// Reads `body` to its end if it has at most `cap` bytes.
pub fn gather<B>(body: B, cap: usize, budget: &Budget) -> Gathering<B> {
    Gathered::untouched(body).gather(cap, budget)
}

impl<B> Gathered<B> {
    /// A body that was not touched.
    pub const fn untouched(body: B) -> Self {
        Self { ahead: None, rest: Some(body) }
    }

    /// A body that was read to its end.
    #[must_use]
    pub fn whole(whole: Whole) -> Self {
        let Whole { bytes, trailers, held } = whole;
        let len = bytes.len();
        let frames = if bytes.is_empty() { VecDeque::new() } else { VecDeque::from([bytes]) };
        Self { ahead: Some(Box::new(Ahead { frames, bytes: len, trailers, held })), rest: None }
    }

    /// Reads it to its end if it has at most `cap` bytes.
    pub fn gather(self, cap: usize, budget: &Budget) -> Gathering<B> {
        let Self { ahead, rest } = self;
        let mut ahead = ahead.unwrap_or_default();
        if rest.is_some() && ahead.held.is_none() {
            ahead.held = Some(budget.hold());
        }
        Gathering { body: Some((ahead, rest)), cap }
    }

    /// Whether it has been read to its end.
    pub const fn is_whole(&self) -> bool {
        self.rest.is_none()
    }

    /// The body, if it has been read to its end; else as it is.
    pub fn into_whole(self) -> Result<Whole, Self> {
        match (self.ahead, self.rest) {
            (Some(ahead), None) => Ok(ahead.into_whole()),
            (ahead, rest) => Err(Self { ahead, rest }),
        }
    }
}

impl Ahead {
    fn into_whole(mut self) -> Whole {
        let bytes = match self.frames.len() {
            0 => Bytes::new(),
            1 => self.frames.remove(0).unwrap_or_default(),
            _ => {
                let mut all = BytesMut::with_capacity(self.bytes);
                for frame in &self.frames {
                    all.extend_from_slice(frame);
                }
                all.freeze()
            }
        };
        Whole { bytes, trailers: self.trailers, held: self.held }
    }

    /// Keeps one more frame; false when there is no room for it.
    fn keep(&mut self, frame: Frame<Bytes>) -> bool {
        match frame.into_data() {
            Ok(data) => {
                if !self.held.as_ref().is_none_or(|held| held.grow(data.len())) {
                    return false;
                }
                self.bytes += data.len();
                self.frames.push_back(data);
            }
            Err(frame) => self.trailers = frame.into_trailers().ok().or(self.trailers.take()),
        }
        true
    }
}

/// The future of [`gather`].
#[derive(Debug)]
pub struct Gathering<B> {
    body: Option<(Box<Ahead>, Option<B>)>,
    cap: usize,
}

impl<B> Future for Gathering<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Output = Result<Gather<B>, GatherError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let cap = self.cap;
        let Some((ahead, rest)) = &mut self.body else { return Poll::Pending };
        let past = |ahead: &Ahead, rest: &Option<B>| {
            let lower = rest.as_ref().map_or(0, |rest| rest.size_hint().lower());
            lower.saturating_add(ahead.bytes as u64) > cap as u64
        };
        while !past(ahead, rest) {
            let Some(body) = rest.as_mut() else { break };
            match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if !ahead.keep(frame) {
                        return Poll::Ready(Err(GatherError::NoRoom));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Err(GatherError::Body(error.into()))),
                None => *rest = None,
            }
        }
        let past = past(ahead, rest);
        let Some((ahead, rest)) = self.body.take() else { return Poll::Pending };
        Poll::Ready(Ok(match (past, rest) {
            (false, None) => Gather::Whole(ahead.into_whole()),
            (_, rest) => Gather::Past(Gathered { ahead: Some(ahead), rest }),
        }))
    }
}

impl<B> Body for Gathered<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Some(ahead) = &mut this.ahead {
            if let Some(data) = ahead.frames.pop_front() {
                ahead.bytes -= data.len();
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            if this.rest.is_none() {
                return Poll::Ready(ahead.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
            }
        }
        match &mut this.rest {
            Some(rest) => Pin::new(rest).poll_frame(cx).map_err(Into::into),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        let nothing_ahead = |ahead: &Ahead| ahead.frames.is_empty() && ahead.trailers.is_none();
        self.ahead.as_deref().is_none_or(nothing_ahead) && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let ahead = self.ahead.as_ref().map_or(0, |ahead| ahead.bytes as u64);
        let rest = self.rest.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + ahead);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + ahead);
        }
        hint
    }
}

#[cfg(test)]
mod tests;
