//! The primary's answer as it passes, kept to be compared.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use sluicegate_body::Tap;
use tokio::sync::oneshot;

use crate::{Answer, outcome::Unpaired, room::Taken};

/// What the copies of a request are told of its answer.
pub(crate) type Answered = Result<Arc<Whole>, Unpaired>;

/// An answer that came to its end.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) answer: Answer,
    /// From the request's going out to the answer's head.
    pub(crate) took: Duration,
    /// What it takes of the room, for as long as it is held.
    pub(crate) _taken: Taken,
}

/// Those that wait for a request's answer, before it has come.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) copies: Vec<oneshot::Sender<Answered>>,
    /// The most that is kept of it.
    pub(crate) cap: usize,
    pub(crate) taken: Taken,
}

impl Waiting {
    /// The head has come: listens to the body.
    pub(crate) fn answered(self, status: StatusCode, headers: &HeaderMap, took: Duration) -> AnswerTap {
        let (gathered, headers) = (BytesMut::new(), headers.clone());
        AnswerTap(Box::new(Hearing { waiting: self, status, headers, took, gathered }))
    }
}

/// Listens to the answer's body.
#[derive(Debug)]
pub struct AnswerTap(Box<Hearing>);

#[derive(Debug)]
struct Hearing {
    waiting: Waiting,
    status: StatusCode,
    headers: HeaderMap,
    took: Duration,
    gathered: BytesMut,
}

impl Hearing {
    fn give_up(&mut self, why: Unpaired) {
        self.gathered = BytesMut::new();
        for copy in self.waiting.copies.drain(..) {
            drop(copy.send(Err(why)));
        }
    }
}

impl Tap for AnswerTap {
    fn data(&mut self, data: &Bytes) {
        let hearing = &mut *self.0;
        if hearing.waiting.copies.is_empty() {
            return;
        }
        if hearing.gathered.len() + data.len() > hearing.waiting.cap {
            return hearing.give_up(Unpaired::PrimaryTooLarge);
        }
        if !hearing.waiting.taken.grow(data.len()) {
            return hearing.give_up(Unpaired::Memory);
        }
        hearing.gathered.extend_from_slice(data);
    }

    fn ended(self, whole: bool) {
        let Hearing { waiting: Waiting { copies, taken, .. }, status, headers, took, gathered } = *self.0;
        let answered = if whole {
            let answer = Answer { status, headers, body: gathered.freeze() };
            Ok(Arc::new(Whole { answer, took, _taken: taken }))
        } else {
            Err(Unpaired::NoPrimary)
        };
        for copy in copies {
            // One that does not wait any more has run out of time.
            drop(copy.send(answered.clone()));
        }
    }
}
