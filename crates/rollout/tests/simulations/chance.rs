//! Numbers drawn from distributions.

use std::f64::consts::TAU;

use sluicegate_core::Chance;

pub(crate) struct Draw(Chance);

impl Draw {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(Chance::seeded(seed.wrapping_mul(0x2545_f491_4f6c_dd1d)))
    }

    pub(crate) fn bits(&self) -> u64 {
        self.0.bits()
    }

    /// Above 0, at most 1.
    pub(crate) fn unit(&self) -> f64 {
        ((self.bits() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// How many come where `mean` come on average, each for itself.
    pub(crate) fn poisson(&self, mean: f64) -> u64 {
        if mean <= 0.0 {
            return 0;
        }
        if mean > 30.0 {
            // How many come is not what is under test: the nearest normal serves.
            let normal = (-2.0 * self.unit().ln()).sqrt() * (TAU * self.unit()).cos();
            return (mean + mean.sqrt() * normal).round().max(0.0) as u64;
        }
        let (limit, mut product, mut count) = ((-mean).exp(), self.unit(), 0);
        while product > limit {
            product *= self.unit();
            count += 1;
        }
        count
    }

    /// How many of `of` happen, each with probability `p`: exact, from one to the next.
    pub(crate) fn binomial(&self, of: u64, p: f64) -> u64 {
        if p <= 0.0 || of == 0 {
            return 0;
        }
        if p > 0.5 {
            return of - self.binomial(of, 1.0 - p);
        }
        let (none, mut at, mut count) = ((-p).ln_1p(), 0.0, 0);
        loop {
            at += (self.unit().ln() / none).floor() + 1.0;
            if at > of as f64 {
                return count;
            }
            count += 1;
        }
    }

    /// At least 1, with this mean: a geometric number.
    pub(crate) fn heap(&self, mean: f64) -> u64 {
        if mean <= 1.0 {
            return 1;
        }
        (self.unit().ln() / (-1.0 / mean).ln_1p()).floor() as u64 + 1
    }
}
