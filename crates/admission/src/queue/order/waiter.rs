//! Who stands in the order, and what is said of them.

use tokio::time::Instant;

/// What the members of a group have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::queue) struct Key {
    pub(in crate::queue) tenant: u64,
    /// Whether the tenant was capped when the group's members came.
    pub(in crate::queue) capped: bool,
    /// The upstream's cap; 0 for none.
    pub(in crate::queue) upstream: u64,
    pub(in crate::queue) batch: bool,
}

/// Where a waiter stands.
#[derive(Clone, Copy, Debug)]
pub(in crate::queue) struct Place {
    pub(in crate::queue) key: Key,
    pub(super) number: u64,
}

/// One that waits.
#[derive(Debug)]
pub(in crate::queue) struct Waiter<W> {
    pub(in crate::queue) value: W,
    pub(in crate::queue) since: Instant,
    pub(in crate::queue) deadline: Option<Instant>,
    pub(in crate::queue) bytes: u64,
}

/// One that has left the order.
#[derive(Debug)]
pub(in crate::queue) struct Left<W> {
    pub(in crate::queue) waiter: Waiter<W>,
    /// Whether its tenant's own cap was among what it waited for.
    pub(in crate::queue) held_by_tenant: bool,
}

/// Who may be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::queue) enum Pick {
    /// Whoever is next.
    Next,
    /// Interactive requests alone.
    Interactive,
    /// One of batch, whose turn it is: it need not leave places to interactive requests.
    Batch,
}

/// What came of trying to take a group's caps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::queue) enum Try {
    Taken,
    RouteFull,
    TenantFull,
    UpstreamFull,
}
