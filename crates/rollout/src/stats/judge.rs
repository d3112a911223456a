//! The judge of a window.

#[cfg(test)]
mod tests;

use std::time::Duration;

use sluicegate_core::Role;

use super::{
    block::Block,
    errors::Errors,
    found::{Found, View},
    latency::Latency,
    limits::{Course, Limits, Needed, P95_TAIL, P99_TAIL},
    pool::Pool,
    rate::Trials,
    reference::Reference,
    report::{Gate, GateReport, Report, Verdict, verdict_of},
    total::Total,
    words,
};

/// From so many candidate's samples on, an active arm with less than a hundredth of them is
/// nothing to compare errors with: all keys of a busy tenant may be on the candidate.
const LOPSIDED_FROM: u64 = 100;

/// Judges one window of a run: a step, a weight set by hand, the time after a switch.
#[derive(Clone, Debug)]
pub struct Judge {
    limits: Limits,
    course: Course,
    window: u32,
    needed: Needed,
    reference: Reference,
    elapsed: Duration,
    totals: [Total; 2],
    errors: Errors,
    latency: Latency,
    pool: Pool,
}

impl Judge {
    /// A judge of a window that begins now.
    ///
    /// `window` counts the windows of a run from zero: it decides how much of the run's
    /// probability of a false alarm this one may spend. `reference` is handed on from the
    /// window before ([`Judge::into_reference`]), or empty.
    #[must_use]
    pub fn new(limits: &Limits, course: Course, window: u32, reference: Reference) -> Self {
        let limits = limits.sound();
        let needed = Needed::of_window(window);
        let latency = match course {
            Course::Compared => Latency::beside(&needed),
            Course::Alone(_) => Latency::alone(&limits, &needed, &reference),
        };
        Self {
            errors: Errors::new(&limits, &needed),
            latency,
            limits,
            course,
            window,
            needed,
            reference,
            elapsed: Duration::ZERO,
            totals: Default::default(),
            pool: Pool::new(),
        }
    }

    /// Adds what happened since the last call; `elapsed` is the time since the window began.
    pub fn add(&mut self, block: &Block, elapsed: Duration) {
        let elapsed = elapsed.max(self.elapsed);
        let (begin, end) = (self.elapsed.as_secs_f64(), elapsed.as_secs_f64());
        let judged = block.arm(self.course.watched());
        self.errors.add(Trials { events: judged.errors(), of: judged.requests }, begin);
        match self.course {
            Course::Alone(_) => self.latency.add(judged, begin),
            Course::Compared => {
                let lines = || self.latency.lines(&self.limits, &self.reference);
                if let Some(pooled) = self.pool.add(block, (begin, end), lines) {
                    self.errors.compare(pooled.errors, pooled.begin);
                    self.latency.compare(&pooled);
                }
                // After its latencies were compared with what was before them.
                self.reference.add(block.arm(Role::Active));
            }
        }
        for (total, arm) in self.totals.iter_mut().zip(&block.arms) {
            total.add(arm);
        }
        self.elapsed = elapsed;
    }

    /// What is found so far.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let view = self.view();
        let verdicts = Gate::ALL.map(|gate| (gate, self.found(gate, &view).verdict));
        verdict_of(verdicts, self.short_of(&view), self.remaining())
    }

    /// What is found so far, with the numbers and in words.
    #[must_use]
    pub fn report(&self) -> Report {
        let view = self.view();
        let gates: Vec<_> = Gate::ALL.into_iter().map(|gate| self.gate_report(gate, &view)).collect();
        let short_of = self.short_of(&view);
        let verdicts = gates.iter().map(|report| (report.gate, report.verdict));
        Report {
            verdict: verdict_of(verdicts, short_of, self.remaining()),
            judged: self.course.watched().into(),
            samples: self.totals.each_ref().map(|total| total.requests),
            errors: self.totals.each_ref().map(|total| total.errors),
            short_of,
            elapsed: self.elapsed,
            remaining: self.remaining(),
            window: self.window,
            gates,
        }
    }

    /// What the active arm's users are used to, so far.
    #[must_use]
    pub const fn reference(&self) -> &Reference {
        &self.reference
    }

    /// The same, for the next window of the run.
    #[must_use]
    pub fn into_reference(self) -> Reference {
        self.reference
    }

    fn remaining(&self) -> Duration {
        self.limits.at_least.saturating_sub(self.elapsed)
    }

    fn short_of(&self, view: &View<'_>) -> [u64; 2] {
        view.short_of(self.limits.samples, self.totals.each_ref().map(|total| total.requests))
    }

    fn view(&self) -> View<'_> {
        let [active, candidate] = self.totals.each_ref().map(|total| total.requests);
        let lopsided = candidate >= LOPSIDED_FROM && active < candidate / 100;
        View {
            totals: &self.totals,
            watched: self.course.watched(),
            alone: lopsided || matches!(self.course, Course::Alone(_)),
            limits: &self.limits,
            needed: &self.needed,
        }
    }

    fn found(&self, gate: Gate, view: &View<'_>) -> Found {
        match gate {
            Gate::ErrorRate => self.errors.gate(view),
            Gate::AbortErrors => self.errors.abort(view),
            Gate::AbortP99 => self.latency.abort(view, &self.reference),
            Gate::LatencyP95 => self.latency.gate(view, &self.reference, || {
                let [active, candidate] = self.slowest(P95_TAIL);
                let (judged, other) = match self.course {
                    Course::Alone(Role::Active) => (active, self.reference.beyond([P95_TAIL])[0]),
                    _ => (candidate, active),
                };
                Some(judged? / other?)
            }),
        }
    }

    /// A quantile of each arm in microseconds; of an active arm without traffic, what it was.
    fn slowest(&self, tail: f64) -> [Option<f64>; 2] {
        let [active, candidate] = self.totals.each_ref().map(|total| total.times.beyond(tail));
        let active = match self.course {
            Course::Alone(Role::Candidate) => self.reference.beyond([tail])[0],
            _ => active,
        };
        [active, candidate]
    }

    fn gate_report(&self, gate: Gate, view: &View<'_>) -> GateReport {
        /// In what latencies are counted, and what is told.
        const MICROSECONDS: f64 = 1e6;
        let found = self.found(gate, view);
        let limits = &self.limits;
        let rates = || self.totals.each_ref().map(Total::error_rate);
        let times = |tail, ratio: f64| {
            let times = self.slowest(tail).map(|time| time.map(|time| time / MICROSECONDS));
            let other = match self.course {
                Course::Alone(Role::Active) => {
                    self.reference.beyond([tail])[0].map(|time| time / MICROSECONDS)
                }
                _ => times[0],
            };
            (times, other.map(|time| time * ratio))
        };
        let ([active, candidate], bound) = match gate {
            Gate::ErrorRate => (rates(), Some(limits.gate_errors)),
            Gate::AbortErrors => (rates(), Some(limits.abort_errors)),
            Gate::LatencyP95 => times(P95_TAIL, 1.0 + limits.gate_p95_uplift),
            Gate::AbortP99 => times(P99_TAIL, limits.abort_p99_ratio),
        };
        let report = GateReport {
            gate,
            verdict: found.verdict,
            active,
            candidate,
            bound,
            evidence: found.evidence / std::f64::consts::LN_10,
            needed: found.needed / std::f64::consts::LN_10,
            missing: found.missing,
            says: String::new(),
        };
        GateReport { says: words::of_gate(&report, &found, view), ..report }
    }
}
