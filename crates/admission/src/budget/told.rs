//! What a tenant was told to wait, and by which estimates.
//!
//! A wait is told for what the request was estimated at then. If another tenant's answer
//! raises the estimates meanwhile, the same request would be refused when it comes back as
//! told. So a tenant that waits is judged by what held when it was told, until it is let in
//! or stays away.

use std::time::Duration;

use super::learned::Raise;

/// How much later than it was told, beside as long again, a client may come back:
/// `Retry-After` is in whole seconds.
const LATE: Duration = Duration::from_secs(1);

/// Nothing, or what a tenant was told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    until: u64,
    raise: Raise,
}

impl Told {
    /// What estimates are raised by for the tenant at `now`, where they are by `raise` for all.
    pub(super) fn raise(self, raise: Raise, now: u64) -> Raise {
        if now < self.until { self.raise.least(raise) } else { raise }
    }

    /// It is told to wait so long, judged by `raise`.
    pub(super) fn wait(&mut self, wait: Duration, raise: Raise, now: u64) {
        let until = wait.saturating_mul(2).saturating_add(LATE).as_nanos();
        *self = Self { until: now.saturating_add(u64::try_from(until).unwrap_or(u64::MAX)), raise };
    }
}
