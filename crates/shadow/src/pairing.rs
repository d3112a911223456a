//! Two answers to the same request, side by side.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    Answer,
    answered::Whole,
    home::Place,
    ledger::{Against, Failed, Pair, RequestShown, Side},
    plan::Shadowing,
    room::Taken,
};

/// What the thread that compares is given. It holds the copy's place until it is judged: pairs
/// that wait count as copies on their way.
#[derive(Debug)]
pub(crate) struct Pairing {
    pub(crate) shadowing: Arc<Shadowing>,
    pub(crate) request: RequestShown,
    pub(crate) at: SystemTime,
    pub(crate) primary: Arc<Whole>,
    pub(crate) copies: Vec<(Against, Result<Copied, Failed>)>,
    pub(crate) _taken: Arc<Option<Taken>>,
    pub(crate) _place: Place,
}

/// An answer to a copy.
#[derive(Debug)]
pub(crate) struct Copied {
    pub(crate) answer: Answer,
    pub(crate) took: Duration,
    pub(crate) _taken: Taken,
}

/// Compares, and writes down what came out.
pub(crate) fn judge(pairing: Pairing) {
    let Pairing { shadowing, request, at, primary, copies, .. } = pairing;
    let Some(compare) = &shadowing.settings.compare else { return };
    let Ok(at) = jiff::Timestamp::try_from(at) else { return };
    let state = &shadowing.state;
    for (against, copy) in &copies {
        let comparison =
            copy.as_ref().ok().map(|copy| compare.comparer.compare(&primary.answer, &copy.answer));
        let noted = state.ledger.note(
            *against,
            &Pair {
                at,
                request: &request,
                primary: side(&primary.answer, primary.took),
                copy: copy.as_ref().map(|copy| side(&copy.answer, copy.took)).map_err(|failed| *failed),
                comparison: comparison.as_ref(),
            },
        );
        state.counts.paired(*against, noted.differs);
    }
}

fn side(answer: &Answer, took: Duration) -> Side {
    Side { status: answer.status, took, bytes: answer.body.len() as u64 }
}
