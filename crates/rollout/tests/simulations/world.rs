//! A run: traffic, two arms, and a judge for each step.

use std::time::Duration;

use sluicegate_rollout::stats::{ArmBlock, Block, Course, Judge, Limits, Reference, Verdict};

use crate::{
    chance::Draw,
    file::{Ends, File, Phase},
    outcome::End,
    times::Times,
};

/// A scenario with its tables.
pub(crate) struct World<'a> {
    file: &'a File,
    arms: [Vec<(Phase, Times)>; 2],
}

/// Where a run is.
struct State {
    draw: Draw,
    at: f64,
    /// The candidate's requests so far.
    requests: u64,
    /// Errors of a heap that are yet to come, of each arm.
    heaps: [u64; 2],
}

impl<'a> World<'a> {
    pub(crate) fn new(file: &'a File) -> Self {
        let table = |phase: &Phase| (*phase, Times::in_phase(file.latency, phase));
        Self { file, arms: [&file.active, &file.candidate].map(|phases| phases.iter().map(table).collect()) }
    }

    /// One run, until it ends or its hours are over.
    pub(crate) fn run(&self, seed: u64) -> End {
        let mut state = State { draw: Draw::seeded(seed), at: 0.0, requests: 0, heaps: [0; 2] };
        let mut reference = Reference::default();
        let mut limits = Limits::default();
        if let Some(hours) = self.file.at_least_hours {
            limits.at_least = Duration::from_secs_f64(hours * 3600.0);
        }
        for (window, weight) in (0..).zip(&self.file.steps) {
            let mut judge = Judge::new(&limits, Course::at_weight(*weight), window, reference);
            match self.step(&mut state, &mut judge, *weight) {
                Ends::Passed => reference = judge.into_reference(),
                ends => return state.end(ends),
            }
        }
        state.end(Ends::Passed)
    }

    fn step(&self, state: &mut State, judge: &mut Judge, weight: u8) -> Ends {
        let begin = state.at;
        while state.at < self.file.hours * 3600.0 {
            let block = self.block(state, f64::from(weight) / 100.0);
            state.requests += block.arms[1].requests;
            state.at += self.file.tick_seconds;
            judge.add(&block, Duration::from_secs_f64(state.at - begin));
            match judge.verdict() {
                Verdict::Pass => return Ends::Passed,
                Verdict::Fail => return Ends::Failed,
                Verdict::Abort => return Ends::Aborted,
                Verdict::Inconclusive | Verdict::InsufficientData => {}
            }
        }
        Ends::Held
    }

    fn block(&self, state: &mut State, share: f64) -> Block {
        let traffic = &self.file.traffic;
        let (traffic, _) = phase_at(traffic.iter().map(|phase| (phase, phase.seconds)), state.at);
        let mean = traffic.per_second * self.file.tick_seconds;
        let first = if state.at == 0.0 { self.file.at_first } else { [0; 2] };
        let mut block = Block::default();
        for (index, share) in [1.0 - share, share].into_iter().enumerate() {
            let requests = first[index] + state.draw.poisson(mean * share);
            block.arms[index] = self.arm(state, index, requests);
        }
        block
    }

    fn arm(&self, state: &mut State, index: usize, requests: u64) -> ArmBlock {
        let phases = self.arms[index].iter().map(|phase| (phase, phase.0.seconds));
        let ((phase, times), part) = phase_at(phases, state.at);
        let along = |from: f64, to: Option<f64>| from + (to.unwrap_or(from) - from) * part;
        let draw = &state.draw;
        let heaps = draw.binomial(requests, along(phase.errors, phase.errors_to) / phase.heaps_of);
        state.heaps[index] += (0..heaps).map(|_| draw.heap(phase.heaps_of)).sum::<u64>();
        let errors = state.heaps[index].min(requests);
        state.heaps[index] -= errors;
        let mut arm = ArmBlock { requests, errors, ..ArmBlock::default() };
        let (slower, mut left) = (along(phase.slower, phase.slower_to), requests - errors);
        while left > 0 {
            for time in times.draw(draw).into_iter().take(left.min(4) as usize) {
                arm.latency.record((f64::from(time) * slower) as u64, 1);
                left -= 1;
            }
        }
        arm
    }
}

impl State {
    fn end(&self, ends: Ends) -> End {
        End { ends, seconds: self.at, requests: self.requests }
    }
}

/// The phase at a time, and how much of it is over.
fn phase_at<T>(phases: impl Iterator<Item = (T, Option<f64>)>, at: f64) -> (T, f64) {
    let mut left = at;
    for (phase, seconds) in phases {
        match seconds {
            Some(seconds) if left >= seconds => left -= seconds,
            Some(seconds) => return (phase, left / seconds),
            None => return (phase, 0.0),
        }
    }
    panic!("the last phase must be without an end")
}
