//! `budget:` of a route's limits: what is written there, and what it means.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicegate_core::units::Span;

use super::rule::{Rule, RuleError};

/// What is reserved for an answer whose request names no maximum, if nothing else is said: a
/// long answer; few are longer, and what was not used is given back.
pub const DEFAULT_MAX_TOKENS: u64 = 4096;

/// LLM tokens per tenant, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BudgetInput {
    /// Tokens in one `per`.
    pub tokens: u64,
    /// The time in which they come back.
    pub per: Span,
    /// Tokens that may be taken at once; without it `tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u64>,
    /// What is reserved for an answer whose request names no maximum; without it 4096, or half the burst where that is less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_max_tokens: Option<u64>,
    /// What becomes of a stream that has used what was reserved for it when nothing is left; without it `finish`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrun: Option<Overrun>,
}

/// What becomes of a stream that takes more than was reserved for it, when its tenant's budget is used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Overrun {
    /// It goes on to its end, and what it takes is owed.
    #[default]
    Finish,
    /// It is ended with an error event.
    Cut,
}

/// A budget that has been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetSettings {
    /// How many tokens, and how fast they come back.
    pub rule: Rule,
    /// What is reserved for an answer whose request names no maximum.
    pub default_max_tokens: u64,
    /// What becomes of streams that take more than was reserved.
    pub overrun: Overrun,
}

impl BudgetInput {
    /// What it means, or what is wrong with it.
    pub fn check(&self) -> Result<BudgetSettings, RuleError> {
        let burst = self.burst.unwrap_or(self.tokens);
        let rule = Rule::new(self.tokens, self.per.0, burst)?;
        let default = self.default_max_tokens.unwrap_or(DEFAULT_MAX_TOKENS.min(burst / 2));
        if default >= burst {
            return Err(RuleError::Default { default, burst });
        }
        let overrun = self.overrun.unwrap_or_default();
        Ok(BudgetSettings { rule, default_max_tokens: default, overrun })
    }
}

#[cfg(test)]
mod tests {
    use super::{BudgetInput, Overrun, RuleError, Span};

    fn input(tokens: u64, per: u64, burst: Option<u64>, default: Option<u64>) -> BudgetInput {
        BudgetInput { tokens, per: Span::secs(per), burst, default_max_tokens: default, overrun: None }
    }

    #[test]
    fn what_is_left_out_follows_from_the_rest() {
        let settings = input(100_000, 60, None, None).check().unwrap();
        assert_eq!((settings.rule.burst(), settings.default_max_tokens), (100_000, 4096));
        assert_eq!(settings.overrun, Overrun::Finish);
        let small = input(100_000, 60, Some(1000), None).check().unwrap();
        assert_eq!((small.rule.burst(), small.default_max_tokens), (1000, 500));
    }

    #[test]
    fn a_budget_that_lets_nothing_in_is_refused() {
        assert_eq!(input(0, 60, None, None).check(), Err(RuleError::NoTokens));
        assert_eq!(input(1, 0, None, None).check(), Err(RuleError::Per));
        assert_eq!(input(1, 367 * 86_400, None, None).check(), Err(RuleError::Per));
        assert_eq!(input(1, 1, Some(0), None).check(), Err(RuleError::NoBurst));
        assert_eq!(
            input(10, 1, Some(10), Some(10)).check(),
            Err(RuleError::Default { default: 10, burst: 10 })
        );
    }
}
