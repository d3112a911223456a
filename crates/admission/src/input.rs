//! What the document says about limits, where it is more than a number.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicegate_core::units::Span;

use crate::{
    buckets::{Rate, RateError},
    queue::ShedLimits,
};

pub use crate::budget::BudgetInput;

/// Whose numbers a route's `rps`, `burst` and `concurrent` are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Per {
    /// The route's, for all its requests together.
    #[default]
    Route,
    /// Each tenant's on the route.
    Tenant,
}

/// The numbers of one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateInput {
    /// Requests per second.
    pub rps: f64,
    /// Requests that may come at once; without it as many as in one second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
}

impl RateInput {
    /// The rate that is meant.
    pub fn check(&self) -> Result<Rate, RateError> {
        // What is out of range here is refused by the rate itself.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
        let second = (self.rps.ceil() as u32).max(1);
        Rate::new(self.rps, self.burst.unwrap_or(second))
    }
}

/// When a route refuses its lowest lane.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ShedInput {
    /// The wait in the queue, p95, past which it sheds.
    pub queue_p95: Span,
    /// The share of errors past which it sheds: 5xx, timeouts and lost connections.
    pub error_rate: f64,
}

impl Default for ShedInput {
    fn default() -> Self {
        let ShedLimits { queue_p95, error_rate } = ShedLimits::default();
        Self { queue_p95: Span(queue_p95), error_rate }
    }
}

impl ShedInput {
    /// The limits that are meant; or the key and what is wrong with it.
    pub fn check(&self) -> Result<ShedLimits, (&'static str, String)> {
        if self.queue_p95 == Span::default() {
            return Err(("queue_p95", "0s would shed at the first wait; write a longer time".to_owned()));
        }
        if !(self.error_rate > 0.0 && self.error_rate <= 1.0) {
            let message = format!(
                "{} is no share to shed at; write a number above 0 and at most 1, such as 0.01",
                self.error_rate
            );
            return Err(("error_rate", message));
        }
        Ok(ShedLimits { queue_p95: self.queue_p95.0, error_rate: self.error_rate })
    }
}

#[cfg(test)]
mod tests {
    use super::{Rate, RateInput, ShedInput, Span};

    #[test]
    fn a_burst_that_is_left_out_is_one_second() {
        let of = |rps, burst| RateInput { rps, burst }.check();
        assert_eq!(of(20.0, None), Rate::new(20.0, 20));
        assert_eq!(of(0.2, None), Rate::new(0.2, 1));
        assert_eq!(of(1.5, None), Rate::new(1.5, 2));
        assert_eq!(of(20.0, Some(40)), Rate::new(20.0, 40));
        for rps in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(of(rps, None).is_err(), "{rps}");
        }
    }

    #[test]
    fn limits_that_would_always_or_never_shed_are_refused() {
        assert!(ShedInput::default().check().is_ok());
        for error_rate in [0.0, -0.1, 1.1, f64::NAN] {
            assert_eq!(ShedInput { error_rate, ..ShedInput::default() }.check().unwrap_err().0, "error_rate");
        }
        let at_once = ShedInput { queue_p95: Span::default(), ..ShedInput::default() };
        assert_eq!(at_once.check().unwrap_err().0, "queue_p95");
    }
}
