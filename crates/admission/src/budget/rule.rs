//! How many tokens a tenant has, and how fast they come back.

use std::time::Duration;

/// The longest time in which a budget may refill: a leap year, so that a year always fits.
pub const MOST_PER: Duration = Duration::from_secs(366 * 24 * 3600);

/// Why a budget's numbers cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Nothing would ever come back.
    #[error("`tokens` is 0, so nothing would ever be let in; give the tokens of one `per`")]
    NoTokens,
    /// No time, or too much of it.
    #[error("`per` must be more than 0 and at most 366d; give the time in which `tokens` come back")]
    Per,
    /// Nothing fits.
    #[error("`burst` is 0, so nothing would ever be let in; give at least 1, or leave it out")]
    NoBurst,
    /// A request that names no maximum would never fit.
    #[error(
        "`default_max_tokens` ({default}) is not below `burst` ({burst}), so a request that names no maximum would never be let in; lower the one or raise the other"
    )]
    Default {
        /// What is reserved for an answer whose request names no maximum.
        default: u64,
        /// What may be taken at once.
        burst: u64,
    },
}

/// `tokens` come back in each `per`, up to `burst`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    tokens: u64,
    per_nanos: u64,
    burst: u64,
}

impl Rule {
    /// A rule; none of the numbers may be 0, and `per` is at most [`MOST_PER`].
    pub fn new(tokens: u64, per: Duration, burst: u64) -> Result<Self, RuleError> {
        if tokens == 0 {
            return Err(RuleError::NoTokens);
        }
        if per.is_zero() || per > MOST_PER {
            return Err(RuleError::Per);
        }
        if burst == 0 {
            return Err(RuleError::NoBurst);
        }
        let per_nanos = u64::try_from(per.as_nanos()).map_err(|_| RuleError::Per)?;
        Ok(Self { tokens, per_nanos, burst })
    }

    /// The rule of a class of tenants: `factor` times the tokens and the burst, at least 1 each.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        Self { tokens: scaled(self.tokens, factor), burst: scaled(self.burst, factor), ..self }
    }

    /// The tokens that come back in each `per`.
    #[must_use]
    pub const fn tokens(&self) -> u64 {
        self.tokens
    }

    /// The time in which they come back.
    #[must_use]
    pub const fn per(&self) -> Duration {
        Duration::from_nanos(self.per_nanos)
    }

    /// The most that can be taken at once.
    #[must_use]
    pub const fn burst(&self) -> u64 {
        self.burst
    }

    pub(super) const fn per_nanos(&self) -> u64 {
        self.per_nanos
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, which is what a limit that large means"
)]
fn scaled(number: u64, factor: f64) -> u64 {
    ((number as f64 * factor).round() as u64).max(1)
}
