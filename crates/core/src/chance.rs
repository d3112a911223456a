//! Chance that is passed in.
//!
//! Every random choice of the gateway (a spread on `Retry-After`, one of two endpoints, a
//! request id) is drawn from a [`Chance`] its owner was given, so that a test which names a
//! seed sees the same choices again. The generator is `SplitMix64` (Steele, Lea and Flood,
//! "Fast splittable pseudorandom number generators", OOPSLA 2014) over one atomic word: it
//! needs no lock, and two threads that draw at once never draw the same number. It is not
//! for secrets.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    sync::atomic::{AtomicU64, Ordering},
};

const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// A seeded generator that many threads may share.
#[derive(Debug)]
pub struct Chance(AtomicU64);

impl Chance {
    /// A generator that repeats itself for the same seed.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// A generator seeded from the operating system's randomness.
    #[must_use]
    pub fn from_system() -> Self {
        // The standard library seeds each RandomState from the system; hashing nothing
        // with it hands that seed out without a dependency.
        Self::seeded(RandomState::new().build_hasher().finish())
    }

    /// The next 64 random bits.
    pub fn bits(&self) -> u64 {
        let state = self.0.fetch_add(GOLDEN_GAMMA, Ordering::Relaxed).wrapping_add(GOLDEN_GAMMA);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0..bound`, or 0 where `bound` is 0.
    ///
    /// The bias of the multiplication method (Lemire 2019, without its rejection step) is
    /// below `bound / 2^64`, far under anything the gateway measures.
    pub fn below(&self, bound: u64) -> u64 {
        let wide = u128::from(self.bits()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::Chance;

    #[test]
    fn the_same_seed_repeats_and_another_differs() {
        let draw = |seed| {
            let chance = Chance::seeded(seed);
            (0..8).map(|_| chance.bits()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn below_stays_below_and_reaches_every_value() {
        let chance = Chance::seeded(1);
        let mut seen = [0u32; 10];
        for _ in 0..10_000 {
            seen[usize::try_from(chance.below(10)).unwrap()] += 1;
        }
        assert!(seen.iter().all(|&n| (800..1200).contains(&n)), "{seen:?}");
        assert_eq!(chance.below(0), 0);
    }
}
