//! What is missing from one tenant's budget: exact arithmetic over whole numbers.
//!
//! A cell keeps not its level but its *hole*, what is missing to the full burst, and keeps it
//! in tokens times nanoseconds of `per`: one token is `per` units deep, and each nanosecond
//! fills `tokens` units. So nothing is ever rounded, however small the rate or often the
//! touch, and the wait that is told is true to the nanosecond. A hole may be deeper than the
//! burst: that is debt.

use std::time::Duration;

use super::rule::Rule;

/// The hole of one tenant, as of `at` nanoseconds since the cells' own beginning.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hole {
    depth: u128,
    /// The `per` in which `depth` is told; 0 before the first touch.
    per: u64,
    at: u64,
}

/// Why nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Short {
    /// It fits after this time, if nobody else takes anything.
    For(Duration),
    /// It never fits.
    ForGood,
}

impl Hole {
    /// Brings the hole to `now` and to the numbers of `rule`. What is missing stays missing
    /// in tokens when the rule has changed.
    fn touch(&mut self, rule: &Rule, now: u64) {
        let per = rule.per_nanos();
        if self.per != per {
            if self.per != 0 {
                let (whole, part) = (self.depth / u128::from(self.per), self.depth % u128::from(self.per));
                let part = (part * u128::from(per)).div_ceil(u128::from(self.per));
                self.depth = whole.saturating_mul(u128::from(per)).saturating_add(part);
            }
            self.per = per;
        }
        let filled = u128::from(now.saturating_sub(self.at)) * u128::from(rule.tokens());
        self.depth = self.depth.saturating_sub(filled);
        self.at = self.at.max(now);
    }

    /// Takes `tokens` if they are there.
    pub(super) fn take(&mut self, tokens: u64, rule: &Rule, now: u64) -> Result<(), Short> {
        if tokens > rule.burst() {
            return Err(Short::ForGood);
        }
        self.touch(rule, now);
        let per = u128::from(self.per);
        let after = self.depth.saturating_add(u128::from(tokens) * per);
        let most = u128::from(rule.burst()) * per;
        if after > most {
            let nanos = (after - most).div_ceil(u128::from(rule.tokens()));
            return Err(Short::For(from_nanos(nanos)));
        }
        self.depth = after;
        Ok(())
    }

    /// Takes `tokens` whether they are there or not.
    pub(super) fn owe(&mut self, tokens: u64, rule: &Rule, now: u64) {
        self.touch(rule, now);
        self.depth = self.depth.saturating_add(u128::from(tokens) * u128::from(self.per));
    }

    /// Takes of `tokens` what is there, and says how many that were.
    pub(super) fn take_some(&mut self, tokens: u64, rule: &Rule, now: u64) -> u64 {
        let there = rule.burst().saturating_sub(self.missing(rule, now)).min(tokens);
        self.owe(there, rule, now);
        there
    }

    /// Gives back what was taken before.
    pub(super) fn give_back(&mut self, tokens: u64, rule: &Rule, now: u64) {
        self.touch(rule, now);
        self.depth = self.depth.saturating_sub(u128::from(tokens) * u128::from(self.per));
    }

    /// What is missing to the burst, in tokens, a part of one counting as one.
    pub(super) fn missing(&mut self, rule: &Rule, now: u64) -> u64 {
        self.touch(rule, now);
        u64::try_from(self.depth.div_ceil(u128::from(self.per))).unwrap_or(u64::MAX)
    }

    /// The time until nothing is missing.
    pub(super) fn full_in(&mut self, rule: &Rule, now: u64) -> Duration {
        self.touch(rule, now);
        from_nanos(self.depth.div_ceil(u128::from(rule.tokens())))
    }
}

fn from_nanos(nanos: u128) -> Duration {
    u64::try_from(nanos).map_or(Duration::MAX, Duration::from_nanos)
}

#[cfg(test)]
mod tests;
