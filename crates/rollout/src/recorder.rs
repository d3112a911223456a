//! What happened to the requests of one rollout.
//!
//! Each thread that serves requests has a shard of its own: a lock that nobody else wants, but
//! for the moment in which the controller takes what has come since its last look ([`drain`]).
//! Under the lock are, per upstream, how many requests there were, how many of them failed, and
//! a histogram of how long the good ones took. A histogram and not a list of the times: it does
//! not grow when nobody drains it, and recording is an index and an addition. To drain, empty
//! counters are put in the place of the full ones, so that a request never waits for them to be
//! copied.
//!
//! Beside these samples are totals of everything, which scrapes read.
//!
//! [`drain`]: Recorder::drain

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use sluicegate_core::{Arm, Role};

use crate::{choice::How, stats::ArmBlock};

/// The longest time that is told from longer ones, in microseconds: an hour.
const LONGEST: u64 = 3_600_000_000;

/// What happened to the samples of one upstream on one thread since the last drain.
#[derive(Debug)]
struct Samples {
    requests: u64,
    errors: u64,
    /// How long the good ones took to their answer's head, in microseconds.
    latency: Histogram<u32>,
}

impl Default for Samples {
    fn default() -> Self {
        #[expect(clippy::expect_used, reason = "these bounds are good ones, as every test here shows")]
        let latency = Histogram::new_with_bounds(1, LONGEST, 2).expect("good bounds");
        Self { requests: 0, errors: 0, latency }
    }
}

impl Samples {
    /// Hands everything over and is empty then.
    fn pour(&mut self, into: &mut ArmBlock) {
        into.requests += std::mem::take(&mut self.requests);
        into.errors += std::mem::take(&mut self.errors);
        if !self.latency.is_empty() {
            into.latency.add(&self.latency);
            self.latency.reset();
        }
    }
}

/// Why a request counts as failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Fault {
    /// The upstream answered that it failed.
    Status,
    /// There was no answer.
    NoAnswer,
    /// The answer broke off, or its trailers say that it failed.
    BrokeOff,
    /// The candidate let nothing through, and the active arm answered.
    FellBack,
}

impl Fault {
    pub(crate) const ALL: [Self; 4] = [Self::Status, Self::NoAnswer, Self::BrokeOff, Self::FellBack];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::NoAnswer => "no_answer",
            Self::BrokeOff => "broke_off",
            Self::FellBack => "fell_back",
        }
    }
}

/// Upper bounds of the latencies that scrapes show, in microseconds: from a cache to a language
/// model's long answer. What is slower stands under infinity.
pub(crate) const BUCKETS: [u64; 15] = [
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000, 30_000_000, 60_000_000,
];

/// Everything that happened on an arm since the start, by its role when it was chosen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    /// By [`How`].
    pub(crate) chosen: [u64; How::ALL.len()],
    /// By [`Fault`].
    pub(crate) errors: [u64; Fault::ALL.len()],
    /// Good answers by [`BUCKETS`], and those that took longer.
    pub(crate) latency: [u64; BUCKETS.len() + 1],
    /// All of those times together, in microseconds.
    pub(crate) sum: u64,
    /// Requests that were dropped before their answer's head came.
    pub(crate) abandoned: u64,
}

impl Totals {
    pub(crate) fn add(&mut self, other: &Self) {
        fn each(sums: &mut [u64], values: &[u64]) {
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
        each(&mut self.chosen, &other.chosen);
        each(&mut self.errors, &other.errors);
        each(&mut self.latency, &other.latency);
        self.sum += other.sum;
        self.abandoned += other.abandoned;
    }

    fn answered(&mut self, micros: u64) {
        self.latency[BUCKETS.partition_point(|bound| *bound < micros)] += 1;
        self.sum += micros;
    }
}

#[derive(Debug)]
struct Shard {
    /// The samples since the last drain, by slot.
    samples: Box<[Samples; 2]>,
    /// By role.
    totals: [Totals; 2],
}

impl Shard {
    fn new() -> Self {
        Self { samples: Box::default(), totals: Default::default() }
    }

    /// What the arm's sample goes into, if it is one.
    fn sample(&mut self, arm: Arm) -> Option<&mut Samples> {
        arm.is_sample.then(|| &mut self.samples[arm.slot.index()])
    }
}

/// A shard on cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Apart(Mutex<Shard>);

/// The record of one rollout's requests.
#[derive(Debug)]
pub struct Recorder {
    shards: Box<[Apart]>,
    /// Empty ones, to be put where full ones are taken. Its lock keeps two drains apart.
    spare: Mutex<Box<[Samples; 2]>>,
}

impl Recorder {
    /// An empty record of so many shards (at least one).
    pub(crate) fn new(shards: usize) -> Self {
        let shards = (0..shards.max(1)).map(|_| Apart(Mutex::new(Shard::new()))).collect();
        Self { shards, spare: Mutex::default() }
    }

    /// Takes the samples since the last call, by [`Slot`](sluicegate_core::Slot).
    #[must_use]
    pub fn drain(&self) -> [ArmBlock; 2] {
        let mut all: [ArmBlock; 2] = Default::default();
        let mut spare = self.spare.lock();
        for shard in &self.shards {
            {
                let mut shard = shard.0.lock();
                if shard.samples.iter().all(|samples| samples.requests == 0) {
                    continue;
                }
                std::mem::swap(&mut shard.samples, &mut *spare);
            }
            spare.iter_mut().zip(&mut all).for_each(|(samples, all)| samples.pour(all));
        }
        all
    }

    /// An arm was chosen.
    pub(crate) fn chosen(&self, role: Role, how: How) {
        self.here(|shard| shard.totals[role as usize].chosen[how as usize] += 1);
    }

    /// The head of a good answer came after so long.
    pub(crate) fn answered(&self, arm: Arm, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).clamp(1, LONGEST);
        self.here(|shard| {
            shard.totals[arm.role as usize].answered(micros);
            if let Some(samples) = shard.sample(arm) {
                samples.requests += 1;
                samples.latency.saturating_record(micros);
            }
        });
    }

    /// A request failed. One that has [answered](Recorder::answered) before counts once more:
    /// the good answer may have been drained already, and no drain must bring more errors than
    /// requests.
    pub(crate) fn failed(&self, arm: Arm, fault: Fault) {
        self.here(|shard| {
            shard.totals[arm.role as usize].errors[fault as usize] += 1;
            if let Some(samples) = shard.sample(arm) {
                samples.requests += 1;
                samples.errors += 1;
            }
        });
    }

    /// A request was dropped before its answer's head.
    pub(crate) fn abandoned(&self, role: Role) {
        self.here(|shard| shard.totals[role as usize].abandoned += 1);
    }

    /// Everything since the start, by role.
    pub(crate) fn totals(&self) -> [Totals; 2] {
        let mut all: [Totals; 2] = Default::default();
        for shard in &self.shards {
            let shard = shard.0.lock();
            all.iter_mut().zip(&shard.totals).for_each(|(all, totals)| all.add(totals));
        }
        all
    }

    /// Runs `note` on the calling thread's shard.
    fn here(&self, note: impl FnOnce(&mut Shard)) {
        let shard = &self.shards[home() % self.shards.len()];
        note(&mut shard.0.lock());
    }
}

static THREADS: AtomicUsize = AtomicUsize::new(0);

std::thread_local! {
    static HOME: usize = THREADS.fetch_add(1, Ordering::Relaxed);
}

/// A number of the calling thread's own, to choose its shard by.
fn home() -> usize {
    HOME.with(|home| *home)
}

#[cfg(test)]
mod tests;
