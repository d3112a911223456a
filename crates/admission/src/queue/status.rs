//! What an operator sees of queues and caps.

use serde::Serialize;

/// One route's queue at a moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LineStatus {
    /// The route.
    pub route: String,
    /// Permits held.
    pub in_use: u32,
    /// Permits there are; absent where nothing is limited.
    pub concurrent: Option<u32>,
    /// ... for one tenant.
    pub per_tenant: Option<u32>,
    /// Tenants whose count is kept, idle ones included.
    pub tenants_known: usize,
    /// Waiting interactive requests.
    pub waiting_interactive: u64,
    /// Waiting batch requests.
    pub waiting_batch: u64,
    /// Bytes of bodies that wait with them.
    pub waiting_bytes: u64,
    /// Places in the queue.
    pub queue: u32,
    /// Bytes that may wait.
    pub queue_bytes: u64,
    /// What is shed.
    pub shedding: &'static str,
    /// ... as a number: the step of the ladder, from 0.
    pub shed_step: u8,
    /// The pressure, 0 to 1.
    pub pressure: f32,
}

/// One upstream's cap at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CapStatus {
    /// The upstream.
    pub upstream: String,
    /// Permits held.
    pub in_use: u32,
    /// Permits there are; absent where nothing is limited.
    pub concurrent: Option<u32>,
}
