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
    pub(crate) _taken: Option<Taken>,
}

/// Those that wait for a request's answer, before it has come.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) copies: Vec<oneshot::Sender<Answered>>,
    /// The most that is kept of it.
    pub(crate) cap: usize,
    /// None once nobody waits any more.
    pub(crate) taken: Option<Taken>,
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
        // What was held is free for others, however long the answer goes on.
        (self.gathered, self.waiting.taken) = (BytesMut::new(), None);
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
        if !hearing.waiting.taken.as_ref().is_some_and(|taken| taken.grow(data.len())) {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};
    use sluicegate_body::{Budget, Tap};
    use tokio::sync::oneshot;

    use super::Waiting;
    use crate::{outcome::Unpaired, room::Room};

    #[test]
    fn an_answer_that_goes_on_past_its_cap_holds_nothing_any_more() {
        let room = Room::within(Budget::new(400));
        let (tell, mut told) = oneshot::channel();
        let waiting = Waiting { copies: vec![tell], cap: 4, taken: Some(room.hold()) };
        let mut tap = waiting.answered(StatusCode::OK, &HeaderMap::new(), Duration::ZERO);
        tap.data(&Bytes::from_static(b"one"));
        assert_eq!(room.taken(), 3);
        tap.data(&Bytes::from_static(b"two"));
        assert_eq!(told.try_recv().unwrap().unwrap_err(), Unpaired::PrimaryTooLarge);
        assert_eq!(room.taken(), 0, "while the answer streams on");
        tap.data(&Bytes::from_static(b"three"));
        tap.ended(true);
        assert_eq!(room.taken(), 0);
    }
}
