//! Evidence that something is so, whenever it began.
//!
//! For each alternative of a grid the likelihood ratio of everything since a start is a
//! product over blocks. Starts are weighed: with weights `w_j` that sum to at most one,
//! `M = sum over j of w_j * (product since block j)` is, together with the weight not yet
//! given out, a supermartingale under the null. It needs no memory of the starts:
//! `M <- (M + w) * ratio`. The average over the grid is one again, and so is the process
//! that is cut at a cap after each block (a minimum with a constant is concave).
//!
//! All numbers are logarithms: the ratios of a long window are far beyond what an `f64` holds.

/// A grid of alternatives to a null hypothesis, as seen by one block of counts.
pub(super) trait Grid {
    /// The counts of a block.
    type Counts: Copy;

    /// How many alternatives there are.
    fn size(&self) -> usize;

    /// The logarithm of the likelihood ratio of one of them to the null. Its exponential has
    /// an expectation of at most one under every member of the null.
    fn gain(&self, alternative: usize, counts: Self::Counts) -> f64;
}

/// How far above what is needed evidence may grow, in nats: what is over is forgotten the
/// sooner the smaller it is.
const ABOVE_NEEDED: f64 = 2.0;

/// What one instant may add, in nats, and each second more. A restart that takes a dozen
/// requests in flight with it is one event and not twelve: a proof takes longer than that.
/// What is cut off was in favour of the alternative, so the process stays valid.
const AT_ONCE: f64 = 5.0;

/// The share of the weight that is on the beginning of the window.
const AT_THE_BEGINNING: f64 = 0.5;

/// Half of the later weight is given to the first `(e - 1)` of these, in seconds.
const STARTS_SCALE: f64 = 60.0;

/// Evidence against a null hypothesis.
#[derive(Clone, Debug)]
pub(super) struct Evidence<G> {
    grid: G,
    /// Of each alternative, the logarithm of the weighted sum over starts.
    logs: Vec<f64>,
    /// Of each alternative, what may be added now, and when it was last filled up.
    room: Vec<f64>,
    filled_at: f64,
    cap: f64,
    /// Until when weight for later starts was given out, in seconds; nothing for evidence
    /// that begins with the window.
    weighed_until: Option<f64>,
}

impl<G: Grid> Evidence<G> {
    /// Evidence that may have begun at any time of the window. `needed` is the highest
    /// logarithm it is asked for.
    pub(super) fn since_any_start(grid: G, needed: f64) -> Self {
        Self::new(grid, needed, AT_THE_BEGINNING.ln(), Some(0.0))
    }

    /// Evidence of the whole window.
    pub(super) fn since_the_beginning(grid: G, needed: f64) -> Self {
        Self::new(grid, needed, 0.0, None)
    }

    fn new(grid: G, needed: f64, first: f64, weighed_until: Option<f64>) -> Self {
        let size = grid.size();
        let cap = needed + (size as f64).ln() + ABOVE_NEEDED;
        Self { grid, logs: vec![first; size], room: vec![AT_ONCE; size], filled_at: 0.0, cap, weighed_until }
    }

    /// Adds a block that began `begin` seconds after the window.
    pub(super) fn add(&mut self, counts: G::Counts, begin: f64) {
        let start = self.weight_until(begin).ln();
        let more = (begin - self.filled_at).max(0.0) * AT_ONCE;
        self.filled_at = begin.max(self.filled_at);
        for (alternative, (log, room)) in self.logs.iter_mut().zip(&mut self.room).enumerate() {
            *room = (*room + more).min(AT_ONCE);
            let gain = self.grid.gain(alternative, counts).min(*room);
            *room -= gain.max(0.0);
            *log = (ln_sum(*log, start) + gain).min(self.cap);
        }
    }

    /// The weight of the starts since the last block that was added.
    fn weight_until(&mut self, begin: f64) -> f64 {
        let Some(before) = self.weighed_until.filter(|before| begin > *before) else {
            return 0.0;
        };
        self.weighed_until = Some(begin);
        (1.0 - AT_THE_BEGINNING) * (not_yet_given(before) - not_yet_given(begin))
    }

    /// The logarithm of the e-value.
    pub(super) fn ln(&self) -> f64 {
        self.logs.iter().copied().fold(f64::NEG_INFINITY, ln_sum) - (self.logs.len() as f64).ln()
    }

    /// The logarithm of the ratio of the alternative that fits best.
    pub(super) fn best(&self) -> f64 {
        self.logs.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }
}

/// The share of the later weight that is left after some seconds. It falls so slowly that a
/// fault which begins after a day costs only some ten nats.
fn not_yet_given(seconds: f64) -> f64 {
    1.0 / (1.0 + (seconds / STARTS_SCALE).ln_1p())
}

/// `ln(exp(a) + exp(b))`.
fn ln_sum(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

#[cfg(test)]
mod tests {
    use super::{Evidence, Grid, ln_sum, not_yet_given};

    /// A grid of one whose gain is its counts.
    struct Given;

    impl Grid for Given {
        type Counts = f64;

        fn size(&self) -> usize {
            1
        }

        fn gain(&self, _: usize, counts: f64) -> f64 {
            counts
        }
    }

    #[test]
    fn sums_of_logarithms() {
        assert!((ln_sum(2.0_f64.ln(), 3.0_f64.ln()) - 5.0_f64.ln()).abs() < 1e-12);
        let nothing = ln_sum(f64::NEG_INFINITY, f64::NEG_INFINITY);
        assert!(nothing.is_infinite() && nothing < 0.0);
        assert!((ln_sum(f64::NEG_INFINITY, 1.0) - 1.0).abs() < 1e-12);
        assert!((ln_sum(1e300, -1e300) - 1e300).abs() < 1.0);
    }

    #[test]
    fn the_weights_of_all_starts_are_at_most_one() {
        let mut evidence = Evidence::since_any_start(Given, 100.0);
        for tick in 0..1_000_000_u32 {
            evidence.add(0.0, f64::from(tick) * 10.0);
        }
        assert!(evidence.ln() < 0.0 && evidence.ln() > -0.2, "{}", evidence.ln());
        assert!((not_yet_given(0.0) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_late_start_costs_little_and_what_is_over_is_forgotten() {
        let mut evidence = Evidence::since_any_start(Given, 10.0);
        let mut at = 0.0;
        let mut add = |evidence: &mut Evidence<Given>, gain: f64, blocks: u32| {
            for _ in 0..blocks {
                evidence.add(gain, at);
                at += 1.0;
            }
        };
        add(&mut evidence, -0.1, 24 * 3600);
        let before = evidence.ln();
        assert!(before < -9.0 && before > -15.0, "{before}");
        add(&mut evidence, 1.0, 24);
        assert!(evidence.ln() > 10.0, "{}", evidence.ln());
        add(&mut evidence, 1.0, 1000);
        add(&mut evidence, -0.1, 21);
        assert!(evidence.ln() < 10.0, "{}", evidence.ln());
    }

    #[test]
    fn an_instant_is_no_proof() {
        let mut evidence = Evidence::since_any_start(Given, 10.0);
        let at = |evidence: &mut Evidence<Given>, second: f64| {
            evidence.add(1e9, second);
            evidence.ln()
        };
        assert!(at(&mut evidence, 10.0) < 5.0);
        assert!(at(&mut evidence, 10.0) < 5.0);
        assert!(at(&mut evidence, 10.5) < 7.5);
        assert!(at(&mut evidence, 12.5) > 10.0);
    }

    #[test]
    fn evidence_of_the_whole_window_does_not_begin_anew() {
        let mut evidence = Evidence::since_the_beginning(Given, 10.0);
        for tick in 0..1000_u32 {
            evidence.add(-0.1, f64::from(tick));
        }
        assert!((evidence.ln() + 100.0).abs() < 1e-6 && (evidence.best() + 100.0).abs() < 1e-6);
    }
}
