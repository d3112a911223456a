//! Times of answers, as tables of equally likely values.

use crate::{
    chance::Draw,
    file::{Phase, Spread},
};

/// The entries of a table: an index is 16 random bits.
const ENTRIES: usize = 1 << 16;

/// The median, in microseconds.
const MEDIAN: f64 = 80_000.0;

/// The share of answers that are slower where only the p99 changes.
const SLOW_SHARE: f64 = 0.015;

pub(crate) struct Times(Vec<f32>);

impl Times {
    /// The times of an arm that is as fast as it was.
    pub(crate) fn of(spread: Spread) -> Self {
        Self((0..ENTRIES).map(|at| quantile(spread, middle(at, ENTRIES)) as f32).collect())
    }

    /// The times of an arm in a phase, before it is slower as a whole.
    pub(crate) fn in_phase(spread: Spread, phase: &Phase) -> Self {
        if phase.p99_times <= 1.0 {
            return Self::of(spread);
        }
        let bound = Self::of(spread).beyond(0.01) * phase.p99_times;
        let (mut low, mut high) = (1.0, 1e4);
        for _ in 0..60 {
            let times = f64::sqrt(low * high);
            let beyond = Self::with_slow(spread, times).share_beyond(bound);
            *if beyond > 0.01 { &mut high } else { &mut low } = times;
        }
        Self::with_slow(spread, high)
    }

    fn with_slow(spread: Spread, times: f64) -> Self {
        let slow = (SLOW_SHARE * ENTRIES as f64) as usize;
        let usual = (0..ENTRIES - slow).map(|at| quantile(spread, middle(at, ENTRIES - slow)) as f32);
        let slower = (0..slow).map(|at| (quantile(spread, middle(at, slow)) * times) as f32);
        Self(usual.chain(slower).collect())
    }

    /// Four times.
    pub(crate) fn draw(&self, draw: &Draw) -> [f32; 4] {
        let bits = draw.bits();
        [0, 16, 32, 48].map(|shift| self.0[(bits >> shift) as usize & (ENTRIES - 1)])
    }

    /// The share above a time.
    pub(crate) fn share_beyond(&self, bound: f64) -> f64 {
        self.0.iter().filter(|time| f64::from(**time) > bound).count() as f64 / ENTRIES as f64
    }

    /// The time that a share is above.
    pub(crate) fn beyond(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f32::total_cmp);
        f64::from(sorted[((1.0 - share) * ENTRIES as f64) as usize])
    }
}

fn middle(at: usize, of: usize) -> f64 {
    (at as f64 + 0.5) / of as f64
}

fn quantile(spread: Spread, share: f64) -> f64 {
    match spread {
        Spread::Light => MEDIAN * (0.4 * normal(share)).exp(),
        Spread::Heavy => MEDIAN * ((1.0 - share).powf(-0.5) - 1.0) / (f64::sqrt(2.0) - 1.0),
    }
}

/// The quantile of the normal distribution (Abramowitz and Stegun, 26.2.23: to within 0.0005).
fn normal(share: f64) -> f64 {
    if share > 0.5 {
        return -normal(1.0 - share);
    }
    let t = (-2.0 * share.ln()).sqrt();
    let up = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let down = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    up / down - t
}
