//! The threads that send copies and compare answers.
//!
//! Copies go out on a thread of their own, over connections of their own, at the lowest priority
//! that the system has for threads: a shadow that floods the gateway with answers takes what the
//! workers leave. What a worker does for a copy ends with putting it into a bounded queue; it
//! never waits, and where the queue is full the copy is left out and counted. Answers are
//! compared on a second thread, so that a large pair does not make the copies behind it look slow.
//!
//! They are no threads of `SCHED_IDLE`: under it copies starve as soon as the machine has no core to
//! spare, run out of time, and are told as the shadow's failures.
//!
//! Answers come from the network, and the decoders that read them are others' work: a panic while
//! two are compared costs that pair, which is counted as `failed`, and nothing else.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc as std_mpsc},
    thread,
    time::Duration,
};

use bytes::Bytes;
use sluicegate_core::{Chance, Clock, Slot};
use sluicegate_upstream::Proxy;
use tokio::{
    sync::{mpsc, oneshot},
    task::LocalSet,
};

use crate::{
    answered::Answered,
    head::CopyHead,
    home::Place,
    outcome::Unpaired,
    pairing::{self, Pairing},
    plan::Shadowing,
    room::{Room, Taken},
    send::{Sending, send_all},
};

/// Copies that wait for the thread that sends them.
const WAITING: usize = 1024;

/// Pairs that wait for the thread that compares them.
const PAIRS: usize = 256;

/// The priority of both threads: the lowest of `setpriority(2)`.
const NICE: i32 = 19;

/// A copy to be sent.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) shadowing: Arc<Shadowing>,
    pub(crate) head: Arc<CopyHead>,
    pub(crate) body: Bytes,
    pub(crate) taken: Arc<Option<Taken>>,
    pub(crate) place: Place,
    pub(crate) primary: Option<oneshot::Receiver<Answered>>,
    pub(crate) slot: Slot,
}

/// Sends copies. The threads end when it is dropped.
#[derive(Debug)]
pub(crate) struct Runner(mpsc::Sender<Job>);

impl Runner {
    /// Starts the threads.
    pub(crate) fn start(room: Room, clock: Clock, chance: Arc<Chance>) -> io::Result<Self> {
        let (jobs, inbox) = mpsc::channel(WAITING);
        let (pairs, pairs_inbox) = std_mpsc::sync_channel(PAIRS);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let sending = Sending { room, clock, chance, pairs };
        thread::Builder::new().name("sluicegate-shadow".into()).spawn(move || {
            lower_priority();
            LocalSet::new().block_on(&runtime, take(inbox, sending));
            // Copies that are on their way have no one to tell.
            runtime.shutdown_timeout(Duration::ZERO);
        })?;
        thread::Builder::new().name("sluicegate-diff".into()).spawn(move || {
            lower_priority();
            compare(&pairs_inbox);
        })?;
        Ok(Self(jobs))
    }

    /// One whose thread takes nothing, and has room for so many copies.
    #[cfg(test)]
    pub(crate) fn stalled(room: usize) -> (Self, mpsc::Receiver<Job>) {
        let (jobs, inbox) = mpsc::channel(room);
        (Self(jobs), inbox)
    }

    /// Hands a copy over; false where the thread is behind, or gone.
    #[must_use]
    pub(crate) fn send(&self, job: Job) -> bool {
        self.0.try_send(job).is_ok()
    }
}

async fn take(mut inbox: mpsc::Receiver<Job>, sending: Sending) {
    let proxy = Proxy::new(Chance::seeded(sending.chance.bits()));
    let sending = std::rc::Rc::new(sending);
    while let Some(job) = inbox.recv().await {
        tokio::task::spawn_local(send_all(job, proxy.clone(), sending.clone()));
    }
}

fn compare(inbox: &std_mpsc::Receiver<Pairing>) {
    for pair in inbox {
        let shadowing = pair.shadowing.clone();
        // What is shared with others is changed under locks that a panic does not poison, and by
        // whole pairs.
        if catch_unwind(AssertUnwindSafe(|| pairing::judge(pair))).is_err() {
            shadowing.state.counts.not_paired(Unpaired::Failed);
        }
    }
}

/// A system that refuses leaves the thread as it is: the caps still hold.
fn lower_priority() {
    // On Linux a thread's own id names the thread alone.
    let thread = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(thread), NICE) {
        tracing::warn!(%error, "the threads of the shadows run at the priority of all others");
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{fs, time::Duration};

    use sluicegate_core::{Chance, Clock};

    use super::{NICE, Runner};
    use crate::room::Room;

    /// The priority of this process's thread of that name, by `proc(5)`; names have 15 characters.
    fn priority(name: &str) -> Option<i32> {
        fs::read_dir("/proc/self/task").ok()?.find_map(|task| {
            let stat = fs::read_to_string(task.ok()?.path().join("stat")).ok()?;
            let (begin, fields) = stat.rsplit_once(") ")?;
            let named = begin.split_once('(')?.1 == name;
            // The third field of all is the first after the name; the priority is the 19th.
            named.then(|| fields.split(' ').nth(16)?.parse().ok()).flatten()
        })
    }

    #[test]
    fn both_threads_give_way_to_all_others() {
        let _runner = Runner::start(
            Room::within(sluicegate_body::Budget::new(1 << 20)),
            Clock::system(),
            Chance::seeded(1).into(),
        )
        .unwrap();
        for name in ["sluicegate-shad", "sluicegate-diff"] {
            // A thread lowers itself as it begins.
            let lowered = (0..2000).any(|_| {
                std::thread::sleep(Duration::from_millis(5));
                priority(name) == Some(NICE)
            });
            assert!(lowered, "{name}: {:?}", priority(name));
        }
    }
}
