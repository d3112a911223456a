//! The state of a breaker, and how it changes.
//!
//! Nothing here reads a clock, draws a number or takes a lock: a test can walk through every
//! transition, and a property test can replay any walk.

use std::time::Duration;

use tokio::time::Instant;

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rule {
    /// Failures in a row; 0 does not look at them.
    pub(crate) consecutive: u32,
    /// The share of failures over the last ten seconds; none does not look at it.
    pub(crate) ratio: Option<f64>,
    /// Answers in these seconds below which the share says nothing.
    pub(crate) minimum: u32,
    /// How long the first time.
    pub(crate) base: Duration,
    /// The longest.
    pub(crate) max: Duration,
    /// Requests that must succeed before all are let through again.
    pub(crate) probes: u32,
}

impl Rule {
    /// Whether it ever opens.
    pub(crate) const fn is_off(&self) -> bool {
        self.consecutive == 0 && self.ratio.is_none()
    }

    /// How long it stays open the next time, after so many times; `spread` is from 0 to 1.
    fn length(&self, times: u32, spread: f64) -> Duration {
        let doubled = self.base.saturating_mul(1 << times.min(16)).min(self.max);
        // Up to a fifth longer: gateways that opened together shall not try together.
        doubled.saturating_add(doubled.mul_f64(spread.clamp(0.0, 1.0) / 5.0))
    }
}

/// What a breaker does with requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum State {
    /// Lets all through, after so many failures in a row.
    Closed { failures: u32 },
    /// Lets none through until a moment; it has been open so many times in a row.
    Open { until: Instant, times: u32 },
    /// Lets a few through to see how they fare: so many are out, so many have succeeded. A
    /// further one goes at `next`, lest one that hangs holds up all others.
    HalfOpen { out: u32, passed: u32, next: Instant, times: u32 },
}

/// What a breaker says to one request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Admission {
    /// It goes through.
    Usual,
    /// It goes through, and what becomes of it decides.
    Probe,
    /// It does not; one is let through after so long, if this rule holds then.
    Refused(Duration),
}

impl State {
    pub(crate) const CLOSED: Self = Self::Closed { failures: 0 };

    /// How long a request would have to wait now; zero where it would be let through.
    pub(crate) fn wait(&self, rule: &Rule, now: Instant) -> Duration {
        match *self {
            _ if rule.is_off() => Duration::ZERO,
            Self::Closed { .. } => Duration::ZERO,
            Self::Open { until, .. } => until.saturating_duration_since(now),
            Self::HalfOpen { out, passed, .. } if out + passed < rule.probes => Duration::ZERO,
            Self::HalfOpen { next, .. } => next.saturating_duration_since(now),
        }
    }

    /// A request comes.
    pub(crate) fn admit(self, rule: &Rule, now: Instant) -> (Self, Admission) {
        if rule.is_off() {
            return (Self::CLOSED, Admission::Usual);
        }
        let wait = self.wait(rule, now);
        if !wait.is_zero() {
            return (self, Admission::Refused(wait));
        }
        let next = now + rule.base;
        match self {
            Self::Closed { .. } => (self, Admission::Usual),
            // Closed -> Open is a failure's; Open -> HalfOpen is the first request's after it.
            Self::Open { times, .. } => (Self::HalfOpen { out: 1, passed: 0, next, times }, Admission::Probe),
            Self::HalfOpen { out, passed, times, .. } => {
                (Self::HalfOpen { out: out + 1, passed, next, times }, Admission::Probe)
            }
        }
    }

    /// A request that this state let through succeeded.
    pub(crate) fn succeeded(self, rule: &Rule) -> Self {
        match self {
            Self::Closed { .. } => Self::CLOSED,
            Self::Open { .. } => self,
            Self::HalfOpen { passed, .. } if passed + 1 >= rule.probes => Self::CLOSED,
            Self::HalfOpen { out, passed, next, times } => {
                Self::HalfOpen { out: out.saturating_sub(1), passed: passed + 1, next, times }
            }
        }
    }

    /// A request that this state let through failed. `too_many` says that the share of failures is
    /// past the rule's.
    pub(crate) fn failed(self, rule: &Rule, too_many: bool, now: Instant, spread: f64) -> Self {
        let open = |times| Self::Open { until: now + rule.length(times, spread), times: times + 1 };
        match self {
            Self::Closed { failures } => {
                let failures = failures.saturating_add(1);
                let in_a_row = rule.consecutive != 0 && failures >= rule.consecutive;
                if in_a_row || too_many { open(0) } else { Self::Closed { failures } }
            }
            Self::Open { .. } => self,
            Self::HalfOpen { times, .. } => open(times),
        }
    }

    /// A request that this state let through ended in a way that says nothing: its client left.
    pub(crate) fn gave_up(self) -> Self {
        match self {
            Self::HalfOpen { out, passed, next, times } => {
                Self::HalfOpen { out: out.saturating_sub(1), passed, next, times }
            }
            Self::Closed { .. } | Self::Open { .. } => self,
        }
    }
}
