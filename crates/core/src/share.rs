//! A share of the keys.
//!
//! A key is hashed to a *point* of the 64-bit circle ([`point`]: XXH3, Collet, under a seed that
//! a salt stands for), and belongs to a [`Share`] if its point lies below the share's end. So the
//! same key falls the same way on every gateway and after every restart, raising a share moves
//! keys one way only, and shares under different salts are independent of each other.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Where a key lies on the circle, for this seed.
#[must_use]
pub fn point(key: &[u8], seed: u64) -> u64 {
    xxh3_64_with_seed(key, seed)
}

/// The seed that a salt stands for.
#[must_use]
pub fn seed(salt: &str) -> u64 {
    xxh3_64_with_seed(salt.as_bytes(), 0)
}

/// A part of the circle: the points below this one, which is 2^64 for all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u128);

impl Share {
    const ALL: u128 = 1 << 64;
    /// So many parts make a percent of the finest share that is told from none.
    const PARTS: f64 = 1e6;

    /// So many percent of the circle; more than 100 is all of it.
    #[must_use]
    pub fn percent(weight: u8) -> Self {
        Self(u128::from(weight.min(100)) * Self::ALL / 100)
    }

    /// So many percent of the circle, to a millionth of a percent; what is no number is none.
    #[must_use]
    pub fn of_percent(percent: f64) -> Self {
        let percent = if percent.is_nan() { 0.0 } else { percent.clamp(0.0, 100.0) };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and 1e8 after the clamp"
        )]
        let parts = (percent * Self::PARTS).round() as u128;
        Self(parts * Self::ALL / 100_000_000)
    }

    /// Whether the point lies in it.
    #[must_use]
    pub fn holds(self, point: u64) -> bool {
        u128::from(point) < self.0
    }

    /// Whether it holds every point or none: then nobody needs a key.
    #[must_use]
    pub fn is_settled(self) -> bool {
        self.0 == 0 || self.0 == Self::ALL
    }
}

#[cfg(test)]
mod tests {
    use super::Share;

    #[test]
    fn both_ways_to_say_a_percentage_are_the_same() {
        for weight in 0..=100 {
            assert_eq!(Share::percent(weight), Share::of_percent(f64::from(weight)));
        }
        assert!(Share::of_percent(f64::NAN).is_settled() && !Share::of_percent(-1.0).holds(0));
        assert!(Share::of_percent(1e9).holds(u64::MAX));
        assert!(
            Share::of_percent(0.5).holds(u64::MAX / 201) && !Share::of_percent(0.5).holds(u64::MAX / 199)
        );
    }
}
