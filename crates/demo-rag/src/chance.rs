//! Chance from a seed, so that a run with the same seed and the same requests repeats.

use parking_lot::Mutex;

/// A seeded generator that the requests of one instance share.
#[derive(Debug)]
pub(crate) struct Chance(Mutex<fastrand::Rng>);

impl Chance {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(Mutex::new(fastrand::Rng::with_seed(seed)))
    }

    /// True for the given share of calls. Nothing is drawn where the share leaves no choice.
    pub(crate) fn falls(&self, share: f64) -> bool {
        share >= 1.0 || (share > 0.0 && self.0.lock().f64() < share)
    }

    /// A number from 0 to `most`.
    pub(crate) fn up_to(&self, most: u64) -> u64 {
        if most == 0 { 0 } else { self.0.lock().u64(0..=most) }
    }

    /// A new document id.
    pub(crate) fn id(&self) -> String {
        format!("doc-{:016x}", self.0.lock().u64(..))
    }
}

#[cfg(test)]
mod tests {
    use super::Chance;

    #[test]
    fn a_seed_repeats_and_shares_are_kept() {
        let draw = |seed| {
            let chance = Chance::seeded(seed);
            (0..1000).map(|_| chance.falls(0.25)).collect::<Vec<_>>()
        };
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
        let hits = draw(3).into_iter().filter(|hit| *hit).count();
        assert!((200..300).contains(&hits), "{hits}");
        let chance = Chance::seeded(1);
        assert!((0..100).all(|_| chance.falls(1.0) && !chance.falls(0.0)));
        assert!((0..100).all(|_| chance.up_to(3) <= 3));
    }
}
