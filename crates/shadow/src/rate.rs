//! The rate of a shadow's copies: a token bucket of one second's worth.

use std::num::NonZeroU32;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// A bucket that is made anew when its rate changes: a copy too many at a reload hurts nobody.
#[derive(Debug, Default)]
pub(crate) struct Rate(Option<(f64, DefaultDirectRateLimiter)>);

impl Rate {
    /// Whether one more may go now, at most `max` per second.
    pub(crate) fn admits(&mut self, max: f64) -> bool {
        match &self.0 {
            Some((rate, bucket)) if rate.to_bits() == max.to_bits() => bucket.check().is_ok(),
            _ => {
                let Some(bucket) = bucket(max) else { return false };
                let admitted = bucket.check().is_ok();
                self.0 = Some((max, bucket));
                admitted
            }
        }
    }
}

/// A bucket of one second's worth, and of one at least; none for what is no rate.
fn bucket(max: f64) -> Option<DefaultDirectRateLimiter> {
    let period = std::time::Duration::try_from_secs_f64(1.0 / max).ok()?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast of floats saturates")]
    let burst = NonZeroU32::new(max as u32).unwrap_or(NonZeroU32::MIN);
    Some(RateLimiter::direct(Quota::with_period(period)?.allow_burst(burst)))
}

#[cfg(test)]
mod tests {
    use super::Rate;

    #[test]
    fn a_second_is_worth_its_rate_and_a_new_rate_a_new_bucket() {
        let mut rate = Rate::default();
        let admitted = |rate: &mut Rate, max| (0..100).filter(|_| rate.admits(max)).count();
        let first = admitted(&mut rate, 10.0);
        assert!((10..=11).contains(&first), "{first} at once of ten a second");
        assert_eq!(admitted(&mut rate, 0.001), 1, "one, and the next in a quarter of an hour");
        assert_eq!(admitted(&mut rate, f64::NAN), 0);
    }
}
