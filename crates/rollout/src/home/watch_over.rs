//! What a gateway makes of its own traffic.
//!
//! A *window* is a stretch in which one question is asked: a step, a weight that was set, the
//! hold after a switch. The state numbers them; each gets a judge of its own. What was chosen
//! before a window began may be recorded after it, so the recorder is emptied then.
//!
//! Between runs nothing is judged. What the users of the active arm are used to is kept then,
//! of the last ten to twenty minutes, so that a switch without a run has something to compare
//! with.

use std::{sync::Arc, time::Duration};

use sluicegate_core::arm::{Role, Slot};
use tokio::time::Instant;

use super::{
    Entry, Home,
    entry::{How, Inner, Known, Said},
};
use crate::{
    input::{GateInput, RolloutSettings},
    machine::{Actor, Finding, Judged, Phase, State},
    stats::{ArmBlock, Block, Course, Gate, Judge, Limits, Reference, Report, Verdict},
};

/// How long what is normal is gathered before it begins anew.
const REST: Duration = Duration::from_secs(600);

/// From so many samples on, what is normal is known well enough.
const NORMAL: u64 = 1000;

/// How often the numbers are put into words for those who look on.
const TOLD: Duration = Duration::from_secs(1);

/// How often an objection is said again, which holds for 30 s, and a promote is tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// What is looked at.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    pub(crate) window: Option<Window>,
    normal: Normal,
    /// When something was said last that is not said at every tick.
    said: Option<Instant>,
}

/// A window that is looked at.
#[derive(Debug)]
pub(crate) struct Window {
    key: Key,
    judge: Judge,
    pub(crate) begun: Instant,
    /// What was told last, and when.
    pub(crate) report: Option<Report>,
    told: Instant,
}

impl Window {
    /// Whether this state is still the one it was opened for: until the next tick the window
    /// of the state before stands here.
    pub(crate) const fn is_of(&self, state: &State) -> bool {
        self.key.epoch == state.epoch && self.key.window == state.window
    }
}

/// What makes a window another one.
#[derive(Clone, Debug, PartialEq)]
struct Key {
    epoch: u64,
    window: u32,
    active: Slot,
    course: Course,
    limits: Limits,
}

impl Key {
    /// The arm whose users' habits the judge compares with: after a switch, the one that was
    /// left.
    fn normal_of(&self) -> Slot {
        if self.course == Course::Alone(Role::Active) { self.active.other() } else { self.active }
    }
}

/// What the users of an arm are used to.
#[derive(Debug, Default)]
struct Normal {
    of: Option<Slot>,
    since: Option<Instant>,
    before: Reference,
    now: Reference,
}

impl Normal {
    fn add(&mut self, slot: Slot, block: &ArmBlock, at: Instant) {
        if self.of != Some(slot) {
            *self = Self { of: Some(slot), since: Some(at), ..Self::default() };
        }
        if self.since.is_none_or(|since| at.duration_since(since) >= REST) {
            self.before = std::mem::take(&mut self.now);
            self.since = Some(at);
        }
        self.now.add(block);
    }

    fn take(&mut self, slot: Slot) -> Reference {
        let Self { of, before, now, .. } = std::mem::take(self);
        if of != Some(slot) {
            return Reference::default();
        }
        if now.samples() >= NORMAL || now.samples() >= before.samples() { now } else { before }
    }
}

impl Watch {
    /// Begins this window, unless it is the one that is looked at. Says whether it began.
    fn enter(&mut self, key: Key, now: Instant) -> bool {
        if self.window.as_ref().is_some_and(|window| window.key == key) {
            return false;
        }
        let reference = match self.window.take() {
            Some(before) if before.key.normal_of() == key.normal_of() => before.judge.into_reference(),
            Some(_) => Reference::default(),
            None => self.normal.take(key.normal_of()),
        };
        let judge = Judge::new(&key.limits, key.course, key.window, reference);
        self.window = Some(Window { key, judge, begun: now, report: None, told: now });
        self.said = None;
        true
    }
}

impl Window {
    fn see(&mut self, block: &Block, now: Instant) {
        self.judge.add(block, now.duration_since(self.begun));
    }

    /// The verdict without the gates that are dry runs.
    fn verdict(&self, dry: &[Gate]) -> Verdict {
        if dry.is_empty() { self.judge.verdict() } else { self.judge.report().verdict_without(dry) }
    }
}

impl Home {
    /// Takes what the recorder has and lets the judge look at it.
    pub(super) fn tick(&self, entry: &Entry) {
        let drained = entry.shared.recorder().drain();
        let mut inner = entry.lock();
        let inner = &mut *inner;
        let (Some(said), Some(known)) = (inner.declared.clone(), inner.known.clone()) else { return };
        let (now, settings) = (Instant::now(), &said.declared.settings);
        let (state, wall) = (&known.state, self.now());
        let Some(active) = state.slot_of_active(settings) else {
            inner.watch.window = None;
            return;
        };
        if inner.cut.is_some() {
            return;
        }
        let course = match state.judged(wall) {
            Judged::Not => {
                inner.watch.rest(active, &drained, now);
                return;
            }
            Judged::Whole | Judged::Abort => Course::at_weight(state.weight(settings)),
            Judged::Switch => Course::Alone(Role::Active),
        };
        let key = Key { epoch: state.epoch, window: state.window, active, course, limits: limits(settings) };
        if inner.watch.enter(key, now) {
            inner.found = None;
            self.changed();
            return;
        }
        if let Some(window) = &mut inner.watch.window {
            window.see(&block(drained, active), now);
        }
        self.conclude(entry, inner, &said, &known, now);
    }

    /// Notes what is to be written by the verdict, and lets an abort take effect.
    fn conclude(&self, entry: &Entry, inner: &mut Inner, said: &Arc<Said>, known: &Known, now: Instant) {
        let Watch { window: Some(window), said: last, .. } = &mut inner.watch else { return };
        let settings = &said.declared.settings;
        let (dry, wall) = (dry_gates(settings), self.now());
        let judged = known.state.judged(wall);
        let verdict = window.verdict(&dry);
        let decides = match (judged, verdict) {
            (Judged::Not, _) => false,
            (_, Verdict::Abort) | (Judged::Whole, Verdict::Fail | Verdict::Pass) => true,
            _ => false,
        };
        let due = window.report.is_none() || now.duration_since(window.told) >= TOLD;
        if decides || due {
            window.report = Some(window.judge.report());
        }
        if due {
            window.told = now;
            self.changed();
        }
        let report = window.report.clone().unwrap_or_else(|| window.judge.report());
        let again = last.is_none_or(|at| now.duration_since(at) >= AGAIN);
        let finding = match (judged, verdict) {
            (_, Verdict::Abort) | (Judged::Whole, Verdict::Fail) => {
                let bad = Finding::Bad(Some(report.clone()), report.says());
                let by = Actor::gateway(&self.gateway);
                if entry.cut(inner, How::Found(bad), by, wall).is_some() {
                    tracing::warn!(rollout = %entry.name, says = report.says(), "the candidate is taken out");
                    self.changed();
                    entry.wake.notify_one();
                }
                return;
            }
            (Judged::Whole, Verdict::Pass) => Finding::Passed(Some(report)),
            (Judged::Whole, _) if again && objects(&report, &dry, settings.samples) => {
                *last = Some(now);
                let says = report.says();
                Finding::Objection(Some(report), says)
            }
            (_, _)
                if again && settings.auto_promote && matches!(known.state.phase, Phase::Complete { .. }) =>
            {
                *last = Some(now);
                Finding::Promote
            }
            _ => return,
        };
        inner.found = Some((known.tag, finding));
        entry.wake.notify_one();
    }
}

impl Watch {
    /// Nothing is judged; what is normal is kept.
    fn rest(&mut self, active: Slot, drained: &[ArmBlock; 2], now: Instant) {
        if let Some(window) = self.window.take() {
            let (of, since) = (Some(window.key.normal_of()), Some(now));
            let before = window.judge.into_reference();
            self.normal = Normal { of, since, before, now: Reference::default() };
        }
        self.normal.add(active, &drained[active.index()], now);
    }
}

/// Whether the numbers of this gateway speak against the next step.
fn objects(report: &Report, dry: &[Gate], samples: u64) -> bool {
    let gates = report.gates.iter().filter(|gate| !dry.contains(&gate.gate)).cloned().collect();
    Report { gates, ..report.clone() }.objects(samples)
}

fn limits(settings: &RolloutSettings) -> Limits {
    Limits {
        gate_errors: settings.gates.error_rate,
        gate_p95_uplift: settings.gates.latency_p95_uplift,
        abort_errors: settings.abort.error_rate,
        abort_p99_ratio: settings.abort.latency_p99_ratio,
        samples: settings.samples,
        at_least: settings.at_least,
    }
}

pub(super) fn dry_gates(settings: &RolloutSettings) -> Vec<Gate> {
    let gate = |gate: &GateInput| match gate {
        GateInput::ErrorRate => Gate::ErrorRate,
        GateInput::LatencyP95Uplift => Gate::LatencyP95,
        GateInput::AbortErrorRate => Gate::AbortErrors,
        GateInput::AbortLatencyP99Ratio => Gate::AbortP99,
    };
    settings.dry_run.iter().map(gate).collect()
}

/// By role what was recorded by slot.
fn block([first, second]: [ArmBlock; 2], active: Slot) -> Block {
    match active {
        Slot::First => Block { arms: [first, second] },
        Slot::Second => Block { arms: [second, first] },
    }
}
