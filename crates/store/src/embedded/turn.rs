//! What one thread asks in one turn of its runtime goes to the writer together, and comes back
//! together.
//!
//! A thread that serves many requests asks for many of them before it looks at its sockets
//! again. Sent one by one, each question would wake the writer and each answer the thread: two
//! changes of thread per operation, which cost more than the operation. So the first question
//! of a turn starts a task that waits for the turn's end, sends all that was asked until then,
//! and gives the answers on the thread that waits for them. Where there is no runtime a
//! question is sent at once.
//!
//! Nothing that was asked is lost: what a task has not sent when its runtime ends is sent then,
//! and its answers are given by the writer.

use std::{
    cell::RefCell,
    sync::{
        Arc, Weak,
        mpsc::{SendError, Sender},
    },
};

use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::oneshot, task::yield_now};

use super::writer::{Answers, Ask, Run};

thread_local! {
    /// The turns of this thread that are still gathering, by their stores' epochs.
    static GATHERING: RefCell<Vec<(u64, Weak<Turn>)>> = const { RefCell::new(Vec::new()) };
}

/// What is asked of one store in one turn of one thread.
struct Turn(Mutex<Option<Gathering>>);

struct Gathering {
    asks: Sender<Ask>,
    runs: Vec<Run>,
}

/// Asks the writer of the store with this epoch.
pub(super) fn ask(epoch: u64, asks: &Sender<Ask>, run: Run) -> Result<(), SendError<Ask>> {
    let Ok(runtime) = Handle::try_current() else {
        return asks.send(Ask::Runs(vec![run], None));
    };
    let Err(run) = join(epoch, run) else { return Ok(()) };
    let turn = Arc::new(Turn(Mutex::new(Some(Gathering { asks: asks.clone(), runs: vec![run] }))));
    GATHERING.with_borrow_mut(|turns| {
        turns.retain(|(other, turn)| *other != epoch && turn.strong_count() > 0);
        turns.push((epoch, Arc::downgrade(&turn)));
    });
    runtime.spawn(async move {
        yield_now().await;
        let (tell, told) = oneshot::channel();
        turn.send(Some(tell));
        drop(turn);
        if let Ok(answers) = told.await {
            drop::<Answers>(answers);
        }
    });
    Ok(())
}

/// Sends what this thread has asked of the store with this epoch and not sent yet.
pub(super) fn finish(epoch: u64) {
    // A thread that is ending has dropped its turns, which has sent them.
    let turn = GATHERING.try_with(|turns| {
        turns.borrow().iter().find(|(other, _)| *other == epoch).and_then(|(_, turn)| turn.upgrade())
    });
    if let Ok(Some(turn)) = turn {
        turn.send(None);
    }
}

/// Lets the thread's turn take it too, if one is gathering.
fn join(epoch: u64, run: Run) -> Result<(), Run> {
    let turn = GATHERING.with_borrow(|turns| {
        turns.iter().find(|(other, _)| *other == epoch).and_then(|(_, turn)| turn.upgrade())
    });
    let Some(turn) = turn else { return Err(run) };
    match &mut *turn.0.lock() {
        Some(gathering) => {
            gathering.runs.push(run);
            Ok(())
        }
        None => Err(run),
    }
}

impl Turn {
    fn send(&self, tell: Option<oneshot::Sender<Answers>>) {
        if let Some(Gathering { asks, runs }) = self.0.lock().take() {
            // A writer that has died has said so by its health, and drops the questions, which
            // answers them.
            drop(asks.send(Ask::Runs(runs, tell)));
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.send(None);
    }
}
