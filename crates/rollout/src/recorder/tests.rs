use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use sluicegate_core::{Arm, Role, Slot};

use super::{BUCKETS, Fault, How, Recorder};
use crate::stats::ArmBlock;

const fn sample(slot: Slot, role: Role) -> Arm {
    Arm { slot, role, is_sample: true }
}

const CANDIDATE: Arm = sample(Slot::Second, Role::Candidate);
const ACTIVE: Arm = sample(Slot::First, Role::Active);

fn counts(blocks: &[ArmBlock; 2]) -> [(u64, u64, u64); 2] {
    blocks.each_ref().map(|block| (block.requests, block.errors, block.latency.count()))
}

#[test]
fn samples_come_out_once_by_slot() {
    let recorder = Recorder::new(2);
    assert_eq!(counts(&recorder.drain()), [(0, 0, 0); 2]);
    recorder.answered(ACTIVE, Duration::from_millis(3));
    recorder.answered(CANDIDATE, Duration::from_millis(5));
    recorder.failed(CANDIDATE, Fault::Status);
    // After a switch: the role has changed, the place has not.
    recorder.answered(sample(Slot::Second, Role::Active), Duration::from_millis(5));
    assert_eq!(counts(&recorder.drain()), [(1, 0, 1), (3, 1, 2)]);
    for round in 1..4 {
        assert_eq!(counts(&recorder.drain()), [(0, 0, 0); 2], "nothing comes out twice");
        (0..round).for_each(|_| recorder.answered(ACTIVE, Duration::from_millis(3)));
        assert_eq!(counts(&recorder.drain()), [(round, 0, round), (0, 0, 0)]);
    }
}

#[test]
fn what_is_no_sample_is_in_the_totals_alone() {
    let recorder = Recorder::new(1);
    let forced = Arm { is_sample: false, ..CANDIDATE };
    recorder.chosen(Role::Candidate, How::Forced);
    recorder.answered(forced, Duration::from_millis(3));
    recorder.failed(forced, Fault::NoAnswer);
    recorder.abandoned(Role::Candidate);
    assert_eq!(counts(&recorder.drain()), [(0, 0, 0); 2]);
    let [active, candidate] = recorder.totals();
    assert_eq!(candidate.chosen[How::Forced as usize], 1);
    assert_eq!(candidate.errors[Fault::NoAnswer as usize], 1);
    assert_eq!((candidate.latency.iter().sum::<u64>(), candidate.sum, candidate.abandoned), (1, 3000, 1));
    assert_eq!((active.chosen, active.errors, active.abandoned), ([0; 5], [0; 4], 0));
    assert_eq!(recorder.totals()[1].sum, 3000, "a look takes nothing away");
}

#[test]
fn times_of_any_length_are_counted() {
    let recorder = Recorder::new(1);
    for took in [Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(7200), Duration::MAX] {
        recorder.answered(ACTIVE, took);
    }
    assert_eq!(counts(&recorder.drain())[0], (4, 0, 4));
    let latency = recorder.totals()[0].latency;
    assert_eq!((latency[0], latency[BUCKETS.len()]), (2, 2));
}

#[test]
fn a_bound_is_in_its_own_bucket() {
    let recorder = Recorder::new(1);
    for bound in BUCKETS {
        recorder.answered(ACTIVE, Duration::from_micros(bound));
        recorder.answered(ACTIVE, Duration::from_micros(bound + 1));
    }
    let mut expected = [2; BUCKETS.len() + 1];
    (expected[0], expected[BUCKETS.len()]) = (1, 1);
    assert_eq!(recorder.totals()[0].latency, expected);
}

/// More threads than shards, so that they also meet, and a drain among them without pause.
#[test]
fn several_threads_and_a_drain_lose_nothing() {
    const THREADS: u64 = 6;
    const EACH: u64 = 20_000;
    let recorder = Recorder::new(3);
    let done = AtomicBool::new(false);
    let drained = std::thread::scope(|scope| {
        let drain = scope.spawn(|| {
            let mut sums = [(0, 0, 0); 2];
            loop {
                let last = done.load(Ordering::Acquire);
                for (sum, (requests, errors, good)) in sums.iter_mut().zip(counts(&recorder.drain())) {
                    assert_eq!(requests, errors + good, "a drain never cuts a sample in two");
                    *sum = (sum.0 + requests, sum.1 + errors, sum.2 + good);
                }
                if last {
                    return sums;
                }
            }
        });
        let writers: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    for n in 0..EACH {
                        recorder.chosen(Role::Active, How::Weight);
                        recorder.answered(ACTIVE, Duration::from_micros(n));
                        if n % 4 == 0 {
                            recorder.failed(CANDIDATE, Fault::Status);
                        } else {
                            recorder.answered(CANDIDATE, Duration::from_micros(n));
                        }
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::Release);
        drain.join().unwrap()
    });
    let all = THREADS * EACH;
    assert_eq!(drained, [(all, 0, all), (all, all / 4, all / 4 * 3)]);
    let [active, candidate] = recorder.totals();
    assert_eq!((active.chosen[How::Weight as usize], active.latency.iter().sum()), (all, all));
    assert_eq!(candidate.errors[Fault::Status as usize], all / 4);
}
