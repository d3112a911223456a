//! Readers at every gateway, who note whose answer they got.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use sluicegate_tests::{
    Raw,
    fleet::{Berth, Fleet},
};
use tokio::{task::JoinSet, time::sleep};

/// How many there are at each gateway.
const READERS: usize = 2;

/// Whose answer a reader got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Stable,
    Next,
    /// Neither: an answer that must not be.
    Nobody(String),
    /// The connection broke: it must not, but where a gateway is killed.
    Broken,
}

impl Whose {
    fn of(text: &str) -> Option<Self> {
        match text {
            "stable" => Some(Self::Stable),
            "next" => Some(Self::Next),
            _ => None,
        }
    }

    /// Whether it is the upstream of this name.
    pub(crate) fn is(&self, name: &str) -> bool {
        Self::of(name).as_ref() == Some(self)
    }
}

/// One read.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) seat: usize,
    pub(crate) life: usize,
    /// Before its first byte was sent.
    pub(crate) began: Instant,
    /// After its answer was there.
    pub(crate) ended: Instant,
    pub(crate) whose: Whose,
}

#[derive(Default)]
struct Shared {
    enough: AtomicBool,
    reads: Mutex<Vec<Read>>,
}

/// Readers at work.
pub(crate) struct Traffic {
    shared: Arc<Shared>,
    readers: JoinSet<()>,
}

impl Traffic {
    /// Readers of so many users at each gateway of the fleet, wherever it listens just now.
    pub(crate) fn start(fleet: &Arc<Fleet>) -> Self {
        let shared = Arc::new(Shared::default());
        let mut readers = JoinSet::new();
        for number in 0..fleet.len() * READERS {
            readers.spawn(reader(shared.clone(), fleet.clone(), number % fleet.len()));
        }
        Self { shared, readers }
    }

    /// What has been read so far, from this number on.
    pub(crate) fn reads(&self, from: usize) -> Vec<Read> {
        self.shared.reads.lock().unwrap().get(from..).unwrap_or_default().to_vec()
    }

    /// How much has been read so far.
    pub(crate) fn len(&self) -> usize {
        self.shared.reads.lock().unwrap().len()
    }

    /// Waits until every gateway has given so many answers more.
    pub(crate) async fn more(&self, seats: usize, answers: usize) {
        let from = self.len();
        crate::until("every gateway answers", async || {
            let reads = self.shared.reads.lock().unwrap();
            (0..seats).all(|seat| reads[from..].iter().filter(|read| read.seat == seat).count() >= answers)
        })
        .await;
    }

    /// Waits until each of these gateways has given an answer of either, begun from now on.
    pub(crate) async fn of_both(&self, seats: &[usize]) {
        let (now, from) = (Instant::now(), self.len());
        crate::until("every gateway serves both", async || {
            let reads = self.shared.reads.lock().unwrap();
            let serves = |seat: usize, name: &str| {
                reads[from..].iter().any(|read| read.seat == seat && read.began > now && read.whose.is(name))
            };
            seats.iter().all(|seat| serves(*seat, "stable") && serves(*seat, "next"))
        })
        .await;
    }

    /// Ends it and gives all that was read.
    pub(crate) async fn stop(mut self) -> Vec<Read> {
        self.shared.enough.store(true, Ordering::SeqCst);
        while let Some(reader) = self.readers.join_next().await {
            reader.expect("a reader does not panic");
        }
        std::mem::take(&mut *self.shared.reads.lock().unwrap())
    }
}

async fn reader(shared: Arc<Shared>, fleet: Arc<Fleet>, seat: usize) {
    let mut chance = fastrand::Rng::new();
    let mut line: Option<(Berth, Raw)> = None;
    while !shared.enough.load(Ordering::SeqCst) {
        let berth = fleet.berth(seat).await;
        let mut raw = match line.take() {
            Some((known, raw)) if known == berth => raw,
            _ => {
                let Ok(raw) = Raw::try_connect(berth.address).await else {
                    // It is being killed.
                    sleep(Duration::from_millis(2)).await;
                    continue;
                };
                raw
            }
        };
        let began = Instant::now();
        let user = chance.u32(..);
        raw.send(format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-User-Id: u{user}\r\n\r\n")).await;
        let answer = raw.answer().await.ok().filter(|answer| answer.complete);
        let ended = Instant::now();
        let whose = match &answer {
            None => Whose::Broken,
            Some(answer) => Whose::of(&answer.text())
                .filter(|_| answer.status == 200)
                .unwrap_or_else(|| Whose::Nobody(format!("{} {}", answer.status, answer.text()))),
        };
        if answer.is_some_and(|answer| !answer.closes()) {
            line = Some((berth, raw));
        }
        shared.reads.lock().unwrap().push(Read { seat, life: berth.life, began, ended, whose });
        // So that the gateways are not kept busy with this alone.
        sleep(Duration::from_millis(chance.u64(1..4))).await;
    }
}
