//! Latency: the p99 to abort, the p95 to fail and to pass.
//!
//! A quantile is compared as a rate. Let `t` be the active arm's p95 so far, fixed before the
//! block: if the candidate is slower by at most 15% at every quantile, no larger share of
//! its answers is slower than `1.15 t` than of the active arm's is slower than `t`. Both are
//! counted in the same block, so that a slow hour or a `t` that is not quite the p95 touches
//! both arms alike.

use super::{
    block::ArmBlock,
    evidence::Evidence,
    found::{Found, View, Why, is_inside},
    limits::{Limits, Needed, P95_SAMPLES, P95_TAIL, P99_SAMPLES, P99_TAIL},
    odds::Odds,
    pool::Pooled,
    rate::{Rate, Trials},
    reference::Reference,
    report::Verdict,
};

/// From where on an answer is slow, in microseconds: on the active arm, on the candidate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) of: [f64; 2],
}

/// The lines of the three tests, as far as they can be drawn: p99 to abort, p95 to fail, p95
/// to pass.
pub(super) type Lines = [Option<Line>; 3];

/// Times are counted in buckets that are at most this much wide. A line above which an answer
/// speaks against the candidate is moved up by one bucket.
const BUCKET: f64 = 1.0 + 1.0 / 128.0;

/// Evidence on one line.
#[derive(Clone, Debug)]
enum Slow {
    /// Than the active arm.
    Beside(Evidence<Odds>),
    /// Than the reference.
    Alone(Evidence<Rate>),
}

impl Slow {
    fn ln(&self) -> f64 {
        match self {
            Self::Beside(evidence) => evidence.ln(),
            Self::Alone(evidence) => evidence.ln(),
        }
    }

    fn compare(&mut self, pair: [Trials; 2], begin: f64) {
        if let Self::Beside(evidence) = self {
            evidence.add(pair, begin);
        }
    }

    fn add(&mut self, trials: Trials, begin: f64) {
        if let Self::Alone(evidence) = self {
            evidence.add(trials, begin);
        }
    }

    fn inside(&self, view: &View<'_>, few: [u64; 2], has: u64) -> Found {
        match self {
            Self::Beside(evidence) => view.inside(evidence, few, has),
            Self::Alone(evidence) => view.inside(evidence, few, has),
        }
    }
}

/// What is known of latency.
#[derive(Clone, Debug)]
pub(super) struct Latency {
    /// As [`Lines`].
    slow: [Slow; 3],
    /// The lines that hold now.
    lines: Lines,
    /// How many answers the reference had seen when they were drawn.
    drawn_at: u64,
}

impl Latency {
    /// For a window in which both arms have traffic.
    pub(super) fn beside(needed: &Needed) -> Self {
        let worse = |needed| Slow::Beside(Evidence::since_any_start(Odds::worse(), needed));
        let better = Slow::Beside(Evidence::since_the_beginning(Odds::better(), needed.pass));
        Self {
            slow: [worse(needed.abort_p99), worse(needed.fail_p95), better],
            lines: [None; 3],
            drawn_at: 0,
        }
    }

    /// For a window in which one arm has it all: its lines are the reference's.
    pub(super) fn alone(limits: &Limits, needed: &Needed, reference: &Reference) -> Self {
        let above = |tail, needed| Slow::Alone(Evidence::since_any_start(Rate::above(tail), needed));
        let below = Slow::Alone(Evidence::since_the_beginning(Rate::below(P95_TAIL), needed.pass));
        let (few_p99, _) = reference.doubted(P99_TAIL);
        let (few_p95, many_p95) = reference.doubted(P95_TAIL);
        Self {
            slow: [above(P99_TAIL, needed.abort_p99), above(P95_TAIL, needed.fail_p95), below],
            lines: lines(limits, reference, [few_p99, few_p95, many_p95]),
            drawn_at: reference.seen(),
        }
    }

    /// The lines for a pool that begins now. They are drawn anew whenever the reference has
    /// seen a tenth more, or some thousands.
    pub(super) fn lines(&mut self, limits: &Limits, reference: &Reference) -> Lines {
        const MORE: u64 = 5_000;
        if reference.seen() > self.drawn_at.saturating_add((self.drawn_at / 10).min(MORE)) {
            self.lines = lines(limits, reference, [P99_TAIL, P95_TAIL, P95_TAIL]);
            self.drawn_at = reference.seen();
        }
        self.lines
    }

    /// Adds a pool of both arms.
    pub(super) fn compare(&mut self, pooled: &Pooled) {
        for (slow, pair) in self.slow.iter_mut().zip(pooled.slow) {
            if let Some(pair) = pair {
                slow.compare(pair, pooled.begin);
            }
        }
    }

    /// Adds a tick of the arm that is judged alone.
    pub(super) fn add(&mut self, arm: &ArmBlock, begin: f64) {
        let of = arm.latency.count();
        for (slow, line) in self.slow.iter_mut().zip(self.lines) {
            if let Some(line) = line.filter(|_| of > 0) {
                slow.add(Trials { events: arm.latency.slower_than(line.of[1]), of }, begin);
            }
        }
    }

    /// The abort test.
    pub(super) fn abort(&self, view: &View<'_>, reference: &Reference) -> Found {
        let [p99, ..] = &self.slow;
        let (evidence, needed) = (p99.ln(), view.needed.abort_p99);
        let missing = short_of(view, reference, P99_SAMPLES, P99_SAMPLES);
        if missing != [0; 2] {
            return Found::new(Verdict::InsufficientData, Why::Few, evidence, needed).missing(missing);
        }
        if evidence >= needed {
            return Found::new(Verdict::Abort, Why::Proven, evidence, needed);
        }
        Found::new(Verdict::Pass, Why::Nothing, evidence, needed)
    }

    /// The gate of a step; `ratio` gives the candidate's p95 as a multiple of the other.
    pub(super) fn gate(
        &self,
        view: &View<'_>,
        reference: &Reference,
        ratio: impl FnOnce() -> Option<f64>,
    ) -> Found {
        let [_, fail, pass] = &self.slow;
        let (evidence, needed) = (fail.ln(), view.needed.fail_p95);
        let few = short_of(view, reference, view.limits.samples, P95_SAMPLES);
        if few != [0; 2] {
            return Found::new(Verdict::InsufficientData, Why::Few, pass.ln(), view.needed.pass).missing(few);
        }
        if evidence >= needed {
            return Found::new(Verdict::Fail, Why::Proven, evidence, needed);
        }
        if ratio().is_none_or(|ratio| !is_inside(ratio, 1.0 + view.limits.gate_p95_uplift)) {
            return Found::new(Verdict::Inconclusive, Why::Outside, evidence, needed);
        }
        pass.inside(view, few, view.judged().times.count())
    }
}

/// The answers that are missing: so many of each arm in the window, and so many that the
/// reference is made of.
fn short_of(view: &View<'_>, reference: &Reference, least: u64, referred: u64) -> [u64; 2] {
    let mut short = view.short_of(least, view.totals.each_ref().map(|total| total.times.count()));
    short[0] = short[0].max(referred.saturating_sub(reference.samples()));
    short
}

fn lines(limits: &Limits, reference: &Reference, tails: [f64; 3]) -> Lines {
    let uplift = limits.gate_p95_uplift;
    let ratios = [limits.abort_p99_ratio * BUCKET, (1.0 + uplift) * BUCKET, 1.0 + 2.0 * uplift];
    let least = [P99_SAMPLES, P95_SAMPLES, P95_SAMPLES];
    let beyond = reference.beyond(tails);
    std::array::from_fn(|test| {
        let active = beyond[test].filter(|_| reference.samples() >= least[test])?;
        Some(Line { of: [active, active * ratios[test]] })
    })
}
