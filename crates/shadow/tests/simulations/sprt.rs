//! What a test would need that knows both rates: Wald's, of the noise against the noise with the
//! excess, on pairs with the shadow alone, and at the error that a class has.

use sluicegate_shadow::noise::CLASS_ALPHA;

/// The least noise it reckons with: a rate of nothing is refuted by a single pair.
const LEAST_NOISE: f64 = 1e-4;

pub(crate) fn pairs_until_found(noise: f64, excess: f64, seed: u64) -> u64 {
    let mut chance = fastrand::Rng::with_seed(seed);
    let real = noise + (1.0 - noise) * excess;
    let (null, other) = (noise.max(LEAST_NOISE), real.clamp(LEAST_NOISE, 1.0 - LEAST_NOISE));
    let (hit, miss) = ((other / null).ln(), ((1.0 - other) / (1.0 - null)).ln());
    let (mut evidence, mut pairs) = (0.0, 0);
    while evidence < -CLASS_ALPHA.ln() {
        pairs += 1;
        evidence += if chance.f64() < real { hit } else { miss };
    }
    pairs
}
