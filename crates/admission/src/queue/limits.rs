//! What the configuration says of one route's queue.

use std::time::Duration;

/// The limits of one route, checked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Requests of the route that may run at once; `None`: any number.
    pub concurrent: Option<u32>,
    /// ... of one tenant on the route.
    pub per_tenant: Option<u32>,
    /// Requests that may wait; 0 refuses at once what cannot run at once.
    pub queue: u32,
    /// Bytes of gathered request bodies that may wait with them.
    pub queue_bytes: u64,
    /// When the route sheds load; `None`: never.
    pub shed: Option<ShedLimits>,
}

impl Default for Limits {
    /// Nothing is limited.
    fn default() -> Self {
        Self { concurrent: None, per_tenant: None, queue: 256, queue_bytes: 64 << 20, shed: None }
    }
}

/// What a route bears before it sheds load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShedLimits {
    /// The 95th percentile of waits in the queue.
    pub queue_p95: Duration,
    /// The share of answers that are errors, 0 to 1.
    pub error_rate: f64,
}

impl Default for ShedLimits {
    /// 300 ms or 1% of errors.
    fn default() -> Self {
        Self { queue_p95: Duration::from_millis(300), error_rate: 0.01 }
    }
}
