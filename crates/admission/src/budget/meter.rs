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
//!
//! Whether an answer has passed what was reserved is judged by less, so that none is cut that
//! keeps to its maximum and has long words: a token for each [`LONG_TOKEN`] bytes, and at least
//! one for each event. By that count, too, estimates to come are raised where no usage was told.

use std::ops::ControlFlow;

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    chunk::Chunk,
    cut,
    dialect::Dialect,
    estimate::tokens_of,
    reservation::{Reservation, Settled},
    skim::Skim,
    stream::Stream,
    usage::Usage,
};

/// The bytes of a long token: half as many again as English text has in the mean.
const LONG_TOKEN: u64 = 6;

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
    /// How the client is told that the stream is cut; none where it never is.
    cuts: Option<Dialect>,
}

/// What became of bytes that were read.
#[derive(Debug)]
pub(super) enum Read {
    /// They go on as they are.
    Unchanged(Bytes),
    /// What goes on is in [`Meter::next`].
    Held,
    /// As held, and nothing more is to be read: the budget is used up, and it is settled.
    Cut,
}

/// What was read up to now.
#[derive(Debug, Default)]
struct Seen {
    usage: Option<Usage>,
    /// Since the last report of usage, and in all.
    since: Text,
    text: Text,
    events: u64,
}

/// Text that came: its bytes, and the events that brought some.
#[derive(Clone, Copy, Debug, Default)]
struct Text {
    bytes: u64,
    events: u64,
}

impl Text {
    const fn add(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.events = self.events.saturating_add(1);
    }

    fn tokens(self) -> u64 {
        tokens_of(self.bytes).max(self.events)
    }

    /// The fewest tokens that it may be.
    fn least(self) -> u64 {
        (self.bytes / LONG_TOKEN).max(self.events)
    }
}

impl Meter {
    pub(super) fn new(reservation: Reservation, form: Form, succeeded: bool) -> Self {
        Self { reservation: Some(reservation), form, seen: Seen::default(), succeeded, cuts: None }
    }

    /// From here on the answer is cut where its tenant's budget is used up, if it is one that
    /// can be; says whether it is.
    pub(super) const fn cutting(&mut self, dialect: Dialect) -> bool {
        let can = self.succeeded && matches!(self.form, Form::Events(_));
        if can {
            self.cuts = Some(dialect);
        }
        can
    }

    /// Reads `bytes`.
    pub(super) fn read(&mut self, bytes: Bytes) -> Read {
        let Self { form, seen, reservation, cuts, .. } = self;
        let stream = match form {
            Form::Unread => return Read::Unchanged(bytes),
            Form::Json(skim) => {
                skim.feed(&bytes);
                if let Some(usage) = skim.take() {
                    seen.report(usage);
                }
                return Read::Unchanged(bytes);
            }
            Form::Events(stream) => stream,
        };
        let flow = stream.feed(&bytes, |chunk| {
            let begins = seen.note(chunk);
            let Some(reservation) = reservation else { return ControlFlow::Continue(()) };
            seen.learned(chunk, begins, cuts.is_some(), reservation)
        });
        match (flow, reservation, *cuts) {
            (ControlFlow::Break(()), _, Some(dialect)) => {
                stream.add(cut::event(dialect, seen.events));
                self.cut();
                return Read::Cut;
            }
            (_, Some(reservation), None) => {
                let used = seen.tokens(reservation.estimate().prompt);
                reservation.at_least(used, Instant::now());
            }
            _ => {}
        }
        Read::Held
    }

    /// Nothing more comes: what is held goes on, and the reservation is settled.
    pub(super) fn end(&mut self) {
        let Self { form, seen, reservation, .. } = self;
        if reservation.is_none() {
            return;
        }
        if let Form::Events(stream) = form {
            stream.end(|chunk| {
                seen.note(chunk);
                ControlFlow::Continue(())
            });
        }
        self.settle();
    }

    fn cut(&mut self) {
        if let Some(reservation) = &self.reservation {
            reservation.cut();
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
        let (estimate, now) = (reservation.estimate(), Instant::now());
        self.seen.teach(&reservation, now);
        let settled = match (self.seen.usage.and_then(|usage| usage.tokens()), self.seen.since.tokens()) {
            (Some(told), 0) => Settled::ByUsage(told),
            (Some(told), text) => Settled::ByEstimate(told.saturating_add(text)),
            (None, _) if !self.succeeded => Settled::Unused,
            (None, _) if matches!(self.form, Form::Events(_)) => {
                Settled::ByEstimate(self.seen.tokens(estimate.prompt))
            }
            (None, _) => Settled::ByEstimate(estimate.total()),
        };
        reservation.settle(settled, now);
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
    /// Notes what an event said; says whether nothing was known before it.
    fn note(&mut self, chunk: Chunk) -> bool {
        let begins = self.usage.is_none() && self.text.events == 0;
        self.events = self.events.saturating_add(1);
        if chunk.text > 0 {
            self.text.add(chunk.text);
        }
        if let Some(usage) = chunk.usage {
            self.report(usage);
        } else if chunk.text > 0 {
            self.since.add(chunk.text);
        }
        begins
    }

    /// Takes what the answer has come to use with `chunk`, where that is more than was reserved;
    /// breaks it off if it is to be cut.
    fn learned(
        &self,
        chunk: Chunk,
        begins: bool,
        cuts: bool,
        reservation: &mut Reservation,
    ) -> ControlFlow<()> {
        let now = Instant::now();
        let estimate = reservation.estimate();
        self.teach(reservation, now);
        let there = !cuts || reservation.draw(self.least(estimate.prompt), now);
        if !there && chunk.text > 0 {
            return ControlFlow::Break(());
        }
        // The prompt's true size, told before the answer: the reservation stands for it and
        // for what the answer may still take. Where that is more than there is, it is owed, or
        // the answer goes as far as it can.
        if let (true, Some(prompt)) = (begins, chunk.usage.and_then(|usage| usage.prompt())) {
            let may_use = prompt.saturating_add(estimate.output);
            if cuts {
                reservation.may_use(may_use, now);
            } else {
                reservation.at_least(may_use, now);
            }
        }
        ControlFlow::Continue(())
    }

    /// Lets later estimates know what was seen.
    fn teach(&self, reservation: &Reservation, now: Instant) {
        reservation.learn(self.usage.and_then(|usage| usage.prompt()), self.output(), now);
    }

    fn report(&mut self, usage: Usage) {
        if usage.tokens().is_some() {
            self.usage.get_or_insert_default().merge(usage);
            self.since = Text::default();
        }
    }

    /// The fewest tokens that the answer has taken by now.
    fn output(&self) -> u64 {
        let told = self.usage.and_then(|usage| usage.output());
        told.unwrap_or(0).max(self.text.least())
    }

    /// The fewest that all has taken by now; `prompt` is the estimate of the prompt.
    fn least(&self, prompt: u64) -> u64 {
        let prompt = self.usage.and_then(|usage| usage.prompt()).unwrap_or(prompt);
        let told = self.usage.and_then(|usage| usage.tokens());
        told.unwrap_or(0).max(prompt.saturating_add(self.output()))
    }

    /// What was used as far as can be known by now; `prompt` is the estimate of the prompt.
    fn tokens(&self, prompt: u64) -> u64 {
        let told = self.usage.and_then(|usage| usage.tokens());
        told.unwrap_or(prompt).saturating_add(self.since.tokens())
    }
}
