//! What an answer has cost up to now, and what that settles to when it is over.
//!
//! | the answer | settles to |
//! |---|---|
//! | told its usage, and no text came after that | the usage |
//! | told its usage, and more text came (cut between two reports) | the usage and an estimate of that text |
//! | a stream that told no usage | the estimated prompt and an estimate of the text that came |
//! | a stream whose text could not be read, or no stream and no usage | the whole estimate |
//! | a status other than 2xx without usage | nothing: providers do not charge for errors |
//!
//! The estimate of streamed text is a token for each four bytes and at least one for each
//! event that brought any: providers send one token or a few in each. What a model thinks
//! without showing it is not in it; only a reported usage tells that.

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    chunk::Chunk,
    estimate::tokens_of,
    reservation::{Reservation, Settled},
    skim::Skim,
    stream::Stream,
    usage::Usage,
};

/// How an answer is read.
#[derive(Debug)]
pub(super) enum Form {
    Events(Stream),
    Json(Skim),
    /// Encoded, or of a type that tells nothing.
    Unread,
}

#[derive(Debug)]
pub(super) struct Meter {
    /// None once it is settled.
    reservation: Option<Reservation>,
    form: Form,
    seen: Seen,
    succeeded: bool,
}

/// What was read up to now.
#[derive(Debug, Default)]
struct Seen {
    usage: Option<Usage>,
    /// Bytes of text, and events that brought some, since the last report of usage.
    text: u64,
    texts: u64,
}

impl Meter {
    pub(super) const fn new(reservation: Reservation, form: Form, succeeded: bool) -> Self {
        let seen = Seen { usage: None, text: 0, texts: 0 };
        Self { reservation: Some(reservation), form, seen, succeeded }
    }

    /// Reads `bytes`. Gives them back if they go on as they are; else what goes on is in
    /// [`Meter::next`].
    pub(super) fn read(&mut self, bytes: Bytes) -> Option<Bytes> {
        let Self { form, seen, reservation, .. } = self;
        match form {
            Form::Unread => return Some(bytes),
            Form::Json(skim) => {
                skim.feed(&bytes);
                if let Some(usage) = skim.take() {
                    seen.report(usage);
                }
                return Some(bytes);
            }
            Form::Events(stream) => stream.feed(&bytes, |chunk| seen.chunk(chunk, reservation.as_mut())),
        }
        if let Some(reservation) = reservation {
            let used = seen.tokens(reservation.estimate().prompt);
            reservation.at_least(used, Instant::now());
        }
        None
    }

    /// Nothing more comes: what is held goes on, and the reservation is settled.
    pub(super) fn end(&mut self) {
        let Self { form, seen, reservation, .. } = self;
        if reservation.is_none() {
            return;
        }
        if let Form::Events(stream) = form {
            stream.end(|chunk| seen.chunk(chunk, reservation.as_mut()));
        }
        self.settle();
    }

    /// The reservation, where it has not been settled: nothing settles it here any more.
    pub(super) const fn unsettled(&mut self) -> Option<Reservation> {
        self.reservation.take()
    }

    /// What goes on to the client next.
    pub(super) fn next(&mut self) -> Option<Bytes> {
        match &mut self.form {
            Form::Events(stream) => stream.next(),
            _ => None,
        }
    }

    /// Whether all that came has gone on.
    pub(super) fn is_empty(&self) -> bool {
        match &self.form {
            Form::Events(stream) => stream.is_empty(),
            _ => true,
        }
    }

    fn settle(&mut self) {
        let Some(reservation) = self.reservation.take() else { return };
        let estimate = reservation.estimate();
        let settled = match (self.seen.usage.and_then(|usage| usage.tokens()), self.seen.text_tokens()) {
            (Some(told), 0) => Settled::ByUsage(told),
            (Some(told), text) => Settled::ByEstimate(told.saturating_add(text)),
            (None, _) if !self.succeeded => Settled::Unused,
            (None, _) if matches!(self.form, Form::Events(_)) => {
                Settled::ByEstimate(self.seen.tokens(estimate.prompt))
            }
            (None, _) => Settled::ByEstimate(estimate.total()),
        };
        reservation.settle(settled, Instant::now());
    }
}

impl Drop for Meter {
    /// A server does not poll a body again that has said that it is over; so what is held may
    /// be a whole event still.
    fn drop(&mut self) {
        self.end();
    }
}

impl Seen {
    fn chunk(&mut self, chunk: Chunk, reservation: Option<&mut Reservation>) {
        let begins = self.usage.is_none() && self.texts == 0;
        if let Some(usage) = chunk.usage {
            self.report(usage);
        } else if chunk.text > 0 {
            self.text = self.text.saturating_add(chunk.text);
            self.texts = self.texts.saturating_add(1);
        }
        // The prompt's true size, told before the answer: the reservation stands for it and
        // for what the answer may still take.
        if let (true, Some(prompt), Some(reservation)) =
            (begins, chunk.usage.and_then(|usage| usage.prompt()), reservation)
        {
            reservation.at_least(prompt.saturating_add(reservation.estimate().output), Instant::now());
        }
    }

    fn report(&mut self, usage: Usage) {
        if usage.tokens().is_some() {
            self.usage.get_or_insert_default().merge(usage);
            (self.text, self.texts) = (0, 0);
        }
    }

    fn text_tokens(&self) -> u64 {
        tokens_of(self.text).max(self.texts)
    }

    /// What was used as far as can be known by now; `prompt` is the estimate of the prompt.
    fn tokens(&self, prompt: u64) -> u64 {
        let told = self.usage.and_then(|usage| usage.tokens());
        told.unwrap_or(prompt).saturating_add(self.text_tokens())
    }
}
