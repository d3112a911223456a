//! What is kept of an answer while it passes.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, response::Parts};
use http_body::Frame;
use sluicegate_body::{Budget, Held};
use sluicegate_store::fence::StoredBody;

use crate::{
    answer::Head,
    home::End,
    outcome::{self, Said},
    plan::IdempotencyPlan,
};

/// An answer that is passing.
#[derive(Debug)]
pub(super) struct Keeping {
    head: Head,
    said: Said,
    grpc: bool,
    body: Kept,
    trailers: Option<HeaderMap>,
}

#[derive(Debug)]
enum Kept {
    /// All of it so far, by reference and not by copy.
    Frames { frames: Vec<Bytes>, bytes: usize, held: Held },
    /// Not any more: why.
    No(&'static str),
}

impl Keeping {
    pub(super) fn of(parts: &Parts, grpc: bool, plan: &IdempotencyPlan, budget: &Budget) -> Self {
        let status = grpc.then(|| outcome::grpc_status(&parts.headers)).flatten().unwrap_or(parts.status);
        let said = outcome::of_status(status, plan);
        let body = match said {
            Said::Final => Kept::Frames { frames: Vec::new(), bytes: 0, held: budget.hold() },
            Said::NotApplied | Said::Unknown(_) => Kept::No(""),
        };
        Self { head: Head::of(parts), said, grpc, body, trailers: None }
    }

    pub(super) fn frame(&mut self, frame: &Frame<Bytes>, plan: &IdempotencyPlan) {
        if let Some(trailers) = frame.trailers_ref() {
            if self.grpc
                && let Some(status) = outcome::grpc_status(trailers)
            {
                self.said = outcome::of_status(status, plan);
            }
            self.trailers = Some(trailers.clone());
        }
        let Some(data) = frame.data_ref() else { return };
        if let Kept::Frames { frames, bytes, held } = &mut self.body {
            if *bytes + data.len() > plan.settings().max_answer {
                self.body = Kept::No("it was larger than the route's max_answer");
            } else if !held.grow(data.len()) {
                self.body = Kept::No("too much was held in memory at that moment");
            } else {
                *bytes += data.len();
                frames.push(data.clone());
            }
        }
    }

    /// Whether all of it so far is kept: then it can be read ahead of the client for nothing.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.body, Kept::Frames { .. })
    }

    /// The end of an attempt whose answer is complete, and the room that the answer takes.
    pub(super) fn whole(self) -> (End, Option<Held>) {
        match self.said {
            Said::NotApplied => (End::Released, None),
            Said::Unknown(status) => {
                let why =
                    format!("the upstream answered {status}, which does not say whether it was applied");
                (End::Unknown(why.into()), None)
            }
            Said::Final => {
                let (body, held) = match self.body {
                    Kept::Frames { frames, bytes, held } => {
                        (StoredBody::Whole(joined(frames, bytes)), Some(held))
                    }
                    Kept::No(why) => (StoredBody::NotKept(why.into()), None),
                };
                (End::Sealed(self.head.answer(body, self.trailers.as_ref())), held)
            }
        }
    }

    /// The end of an attempt whose answer broke off. A status that promises that nothing was
    /// done holds whatever became of the body.
    pub(super) fn broken(&self, why: &str) -> End {
        match self.said {
            Said::NotApplied => End::Released,
            Said::Final | Said::Unknown(_) => End::Unknown(why.into()),
        }
    }
}

fn joined(mut frames: Vec<Bytes>, bytes: usize) -> Bytes {
    if frames.len() == 1 {
        return frames.swap_remove(0);
    }
    let mut all = BytesMut::with_capacity(bytes);
    for frame in &frames {
        all.extend_from_slice(frame);
    }
    all.freeze()
}
