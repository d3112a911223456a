//! The line between an exchange and its client.
//!
//! The exchange puts the answer in at one end as it comes from the upstream; the client takes
//! it out at the other. Either may leave: a client that hangs up does not end the exchange,
//! and an exchange that is dropped ends the answer with an error.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Response, response::Parts};
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use sluicegate_core::{BoxError, Refusal};

use crate::refuse;

/// Why an answer broke off whose exchange ended before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokenOff {
    /// The exchange was dropped: the process stops, or the service panicked.
    #[error("the exchange with the service was dropped")]
    Dropped,
    /// The client took nothing of it for too long.
    #[error("the client took nothing of the answer for too long")]
    NotTaken,
}

/// What is between the two ends.
#[derive(Debug, Default)]
struct State {
    head: Option<Result<(Parts, SizeHint), Refusal>>,
    frames: VecDeque<Frame<Bytes>>,
    queued: usize,
    /// Nothing more will come, or why not.
    end: Option<Result<(), BoxError>>,
    client_left: bool,
    client: Option<Waker>,
    exchange: Option<Waker>,
}

/// The exchange's end of the line.
#[derive(Debug)]
pub(super) struct Speaker(Arc<Mutex<State>>);

/// The client's end of the line.
#[derive(Debug)]
pub(super) struct Listener(Arc<Mutex<State>>);

pub(super) fn line() -> (Speaker, Listener) {
    let state = Arc::default();
    (Speaker(Arc::clone(&state)), Listener(state))
}

impl Speaker {
    /// Does something with the state and wakes the client after it.
    fn say(&self, say: impl FnOnce(&mut State)) {
        let mut state = self.0.lock();
        say(&mut state);
        let client = state.client.take();
        drop(state);
        if let Some(client) = client {
            client.wake();
        }
    }

    /// The head of the answer, and the length of what follows as far as it is known.
    pub(super) fn head(&self, head: Parts, hint: SizeHint) {
        self.say(|state| state.head = Some(Ok((head, hint))));
    }

    /// There is no answer but this refusal.
    pub(super) fn refuse(&self, refusal: Refusal) {
        self.say(|state| {
            state.head = Some(Err(refusal));
            state.end = Some(Ok(()));
        });
    }

    /// A frame of the answer; thrown away where nobody listens.
    pub(super) fn frame(&self, frame: Frame<Bytes>) {
        self.say(|state| {
            if !state.client_left {
                state.queued += frame.data_ref().map_or(0, Bytes::len);
                state.frames.push_back(frame);
            }
        });
    }

    /// Nothing more comes.
    pub(super) fn end(&self, end: Result<(), BoxError>) {
        self.say(|state| {
            state.end.get_or_insert(end);
        });
    }

    /// The client takes nothing: from here on it is as if it had left.
    pub(super) fn give_up(&self, error: BoxError) {
        self.say(|state| {
            state.client_left = true;
            state.queued = 0;
            state.frames.clear();
            state.end = Some(Err(error));
        });
    }

    /// Whether the client has left; else this task is woken when it does, and when it takes
    /// something.
    pub(super) fn client_left(&self, cx: &Context<'_>) -> bool {
        let mut state = self.0.lock();
        match &mut state.exchange {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        state.client_left
    }

    /// The bytes that the client has not taken yet.
    pub(super) fn queued(&self) -> usize {
        self.0.lock().queued
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        self.say(|state| {
            if state.end.is_none() {
                state.end = Some(Err(BrokenOff::Dropped.into()));
            }
        });
    }
}

impl Listener {
    /// The answer, once its head has come.
    pub(super) fn poll_answer(&self, cx: &Context<'_>) -> Poll<Result<(Parts, SizeHint), Refusal>> {
        let mut state = self.0.lock();
        if let Some(head) = state.head.take() {
            return Poll::Ready(head);
        }
        if state.end.is_some() {
            return Poll::Ready(Err(refuse::broken_off()));
        }
        park(&mut state, cx)
    }

    fn poll_frame(&self, cx: &Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut state = self.0.lock();
        if let Some(frame) = state.frames.pop_front() {
            state.queued -= frame.data_ref().map_or(0, Bytes::len);
            let exchange = state.exchange.take();
            drop(state);
            if let Some(exchange) = exchange {
                exchange.wake();
            }
            return Poll::Ready(Some(Ok(frame)));
        }
        match state.end.replace(Ok(())) {
            Some(Ok(())) => Poll::Ready(None),
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            None => {
                state.end = None;
                park(&mut state, cx)
            }
        }
    }

    fn is_over(&self) -> bool {
        let state = self.0.lock();
        state.frames.is_empty() && matches!(state.end, Some(Ok(())))
    }
}

fn park<T>(state: &mut State, cx: &Context<'_>) -> Poll<T> {
    match &mut state.client {
        Some(waker) => waker.clone_from(cx.waker()),
        none => *none = Some(cx.waker().clone()),
    }
    Poll::Pending
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.client_left = true;
        state.queued = 0;
        let frames = std::mem::take(&mut state.frames);
        let exchange = state.exchange.take();
        drop(state);
        drop(frames);
        if let Some(exchange) = exchange {
            exchange.wake();
        }
    }
}

/// The answer of a fenced exchange, as its client gets it.
#[derive(Debug)]
pub(super) struct Heard {
    listener: Listener,
    left: SizeHint,
}

impl Heard {
    pub(super) fn response(listener: Listener, head: Parts, hint: SizeHint) -> Response<Self> {
        Response::from_parts(head, Self { listener, left: hint })
    }
}

impl Body for Heard {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = self.listener.poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let taken = frame.data_ref().map_or(0, |data| data.len() as u64);
            let mut left = SizeHint::new();
            left.set_lower(self.left.lower().saturating_sub(taken));
            if let Some(upper) = self.left.upper() {
                left.set_upper(upper.saturating_sub(taken).max(left.lower()));
            }
            self.left = left;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.listener.is_over()
    }

    fn size_hint(&self) -> SizeHint {
        self.left
    }
}
