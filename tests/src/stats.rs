//! Numbers out of many measurements.

use std::time::Duration;

/// The value that `percent` of the samples do not pass (nearest rank).
pub fn percentile(samples: &mut [Duration], percent: f64) -> Duration {
    assert!(!samples.is_empty(), "nothing was measured");
    samples.sort_unstable();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 <= rank <= len")]
    let rank = (percent / 100.0 * samples.len() as f64).ceil() as usize;
    samples[rank.clamp(1, samples.len()) - 1]
}
