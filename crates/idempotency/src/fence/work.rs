//! What there is of an exchange besides the step it is at: what is on record of it, what is
//! kept of its answer, and whether its client is still there.

use std::{sync::Arc, task::Context};

use bytes::Bytes;
use http::{Request, response::Parts};
use http_body::Frame;
use sluicegate_body::{Gathered, Held, LazyTimer};
use sluicegate_core::{Attempt, Facts};
use sluicegate_store::keyed::{Keyed, Returned};
use tokio::time::Instant;

use super::{
    exchange::Next,
    keeping::Keeping,
    line::{BrokenOff, Speaker},
};
use crate::{
    home::{Began, Begun, Detached, End, Home, Settle, Start},
    input::WhenLost,
    outcome,
    plan::IdempotencyPlan,
    refuse,
};

/// How far an answer that is not kept may be read ahead of its client.
const AHEAD: usize = 64 * 1024;

pub(super) struct Work {
    pub(super) home: Arc<Home>,
    pub(super) line: Speaker,
    plan: IdempotencyPlan,
    facts: Facts,
    keyed: Keyed,
    /// Nobody below moves the attempt: this does.
    own: bool,
    on_record: OnRecord,
    keeping: Option<Keeping>,
    alone: Option<Alone>,
    stalled: Option<Stalled>,
}

/// What is on record of the attempt.
enum OnRecord {
    /// It is being begun; this may be there.
    Perhaps(Begun),
    /// This is there.
    Begun(Begun),
    /// Nothing, and it goes on all the same: the store is lost and the route is open.
    Nothing,
    /// This end is being written.
    Ending(Settle),
    /// Nothing is left to do.
    Done,
}

/// An exchange without its client.
struct Alone {
    _count: Detached,
    limit: LazyTimer,
}

/// A client that takes nothing of what waits for it.
struct Stalled {
    queued: usize,
    limit: LazyTimer,
}

impl Begun {
    /// The same attempt as it really began.
    fn of(self, start: Start) -> Self {
        Self { fence: start.fence, doubt: start.doubt, ..self }
    }
}

impl Work {
    pub(super) fn new(
        home: Arc<Home>,
        plan: IdempotencyPlan,
        facts: Facts,
        keyed: Keyed,
        own: bool,
        line: Speaker,
        begun: Begun,
    ) -> Self {
        home.started();
        Self {
            home,
            line,
            plan,
            facts,
            keyed,
            own,
            on_record: OnRecord::Perhaps(begun),
            keeping: None,
            alone: None,
            stalled: None,
        }
    }

    /// Takes note of how the begin went. Where it did not, the client is told, and the
    /// request given back to whoever may wait with it; false says that this is the end.
    pub(super) fn began<S, B>(&mut self, began: Began, next: &mut Next<S, B>) -> bool {
        let OnRecord::Perhaps(perhaps) = std::mem::replace(&mut self.on_record, OnRecord::Done) else {
            return false;
        };
        let results = &self.plan.metrics().results;
        let refusal = match began {
            Began::Begun(start) => {
                results.begun.inc();
                self.begun(OnRecord::Begun(Begun { doubtful: false, ..perhaps.of(*start) }));
                return true;
            }
            Began::Lost(_, start) if self.plan.settings().when_lost == WhenLost::Open => {
                results.lost_open.inc();
                self.begun(start.map_or(OnRecord::Nothing, |start| OnRecord::Begun(perhaps.of(*start))));
                return true;
            }
            Began::Lost(error, start) => {
                results.lost_closed.inc();
                // The store may have heard the begin all the same.
                if let Some(start) = start {
                    let settle = self.home.settle_of(&perhaps.of(*start), &End::Released);
                    self.home.settle_later(settle);
                }
                refuse::lost(&error)
            }
            Began::Taken => {
                if !next.take().is_some_and(|next| self.give_back(next.1)) {
                    results.in_flight.inc();
                }
                refuse::in_flight()
            }
            Began::Full(full) => {
                results.full.inc();
                refuse::full(full)
            }
            Began::Unreadable(error) => {
                results.lost_closed.inc();
                refuse::unreadable(&error)
            }
        };
        self.home.ended();
        self.line.refuse(refusal);
        false
    }

    fn begun(&mut self, on_record: OnRecord) {
        self.on_record = on_record;
        self.facts.outlive();
    }

    /// Gives a request back of which nothing was sent; false where it is not at hand whole.
    fn give_back<B>(&self, request: Request<Gathered<B>>) -> bool {
        let (head, body) = request.into_parts();
        let Ok(body) = body.into_whole() else { return false };
        self.keyed.give_back(Returned { head, body });
        true
    }

    pub(super) fn moved(&self, step: fn(&Attempt)) {
        if self.own {
            step(self.facts.attempt());
        }
    }

    pub(super) fn keep(&mut self, head: &Parts) {
        self.keeping = Some(Keeping::of(head, self.facts.is_grpc(), &self.plan, &self.home.budget));
    }

    pub(super) fn keep_frame(&mut self, frame: &Frame<Bytes>) {
        if let Some(keeping) = &mut self.keeping {
            keeping.frame(frame, &self.plan);
        }
    }

    /// The answer is complete: the end of the attempt, and the room that the answer takes.
    pub(super) fn whole(&mut self) -> (End, Option<Held>) {
        self.moved(Attempt::ended);
        let (end, room) = match self.keeping.take() {
            Some(keeping) => keeping.whole(),
            None => (End::Unknown("it ended without an answer".into()), None),
        };
        (self.unless_doubtful(end), room)
    }

    /// There is no whole answer, for this reason.
    pub(super) fn broken(&self, why: &str) -> End {
        self.unless_doubtful(match &self.keeping {
            Some(keeping) => keeping.broken(why),
            None => outcome::broken(self.facts.attempt(), why),
        })
    }

    /// That its last try did nothing says nothing of one before it that may have been carried out.
    fn unless_doubtful(&self, end: End) -> End {
        match end {
            End::Released if self.facts.attempt().is_doubtful() => {
                End::Unknown("an earlier try may have been applied".into())
            }
            end => end,
        }
    }

    /// Whether more of the answer may be read. What is kept anyway is read ahead of the client
    /// at no cost, so that a slow client does not hold the end back.
    pub(super) fn may_read(&mut self, cx: &mut Context<'_>) -> bool {
        if self.keeping.as_ref().is_some_and(Keeping::is_whole) {
            return true;
        }
        let queued = self.line.queued();
        if queued <= AHEAD {
            self.stalled = None;
            return true;
        }
        if self.stalled.as_ref().is_none_or(|stalled| stalled.queued != queued) {
            let limit = LazyTimer::new(Instant::now() + self.limit());
            self.stalled = Some(Stalled { queued, limit });
        }
        let passed = |stalled: &mut Stalled| stalled.limit.poll_passed(cx).is_ready();
        if !self.stalled.as_mut().is_some_and(passed) {
            return false;
        }
        // From here on it is as if it had left.
        self.stalled = None;
        self.line.give_up(BrokenOff::NotTaken.into());
        true
    }

    /// Why the exchange must be ended early, if it must. Wakes this task when the answer to
    /// that may have changed.
    pub(super) fn must_end(&mut self, cx: &mut Context<'_>) -> Option<&'static str> {
        if !self.line.client_left(cx) {
            return None;
        }
        if self.facts.is_cut() {
            return Some("its stream was cut off");
        }
        if self.alone.is_none() {
            let Some(count) = self.home.detach() else {
                return Some("its client left while too many others went on without theirs");
            };
            let limit = LazyTimer::new(Instant::now() + self.limit());
            self.alone = Some(Alone { _count: count, limit });
        }
        let passed = self.alone.as_mut().is_some_and(|alone| alone.limit.poll_passed(cx).is_ready());
        passed.then_some("it had no answer within the limit for writes whose clients have left")
    }

    fn limit(&self) -> std::time::Duration {
        self.plan.settings().detached_limit.unwrap_or(self.home.settings().detached_limit)
    }

    /// What has to be written for this end; none where nothing is on record.
    pub(super) fn write(&mut self, end: &End) -> Option<Settle> {
        let OnRecord::Begun(begun) = &self.on_record else { return None };
        end.count(&self.plan.metrics().outcomes);
        let settle = self.home.settle_of(begun, end);
        self.on_record = OnRecord::Ending(settle.clone());
        Some(settle)
    }

    /// The exchange is over.
    pub(super) fn done(&mut self) {
        if !matches!(std::mem::replace(&mut self.on_record, OnRecord::Done), OnRecord::Done) {
            self.home.ended();
            self.facts.over();
        }
    }

    /// The exchange is dropped: the process stops, or the service panicked. The keeper writes
    /// down what is known.
    pub(super) fn dropped(&mut self) {
        let settle = match &self.on_record {
            OnRecord::Perhaps(begun) => self.home.settle_of(begun, &End::Released),
            OnRecord::Begun(begun) => {
                let end = self.broken("the exchange with the service was dropped");
                end.count(&self.plan.metrics().outcomes);
                self.home.settle_of(begun, &end)
            }
            OnRecord::Ending(settle) => settle.clone(),
            OnRecord::Nothing | OnRecord::Done => return self.done(),
        };
        self.home.settle_later(settle);
        self.done();
    }
}
