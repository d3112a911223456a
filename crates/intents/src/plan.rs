//! What a route's plan holds for intents.

use std::{sync::Arc, time::Duration};

use sluicegate_store::fence::OnUnknown;

use crate::{input::IntentsSettings, metrics::Accepted};

/// What must be known of a route to keep its writes and to apply them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteRules {
    /// Its upstream dedupes by `Idempotency-Key` itself: a write whose fate is unknown is sent
    /// again with its key.
    pub honours_keys: bool,
    /// The statuses by which its upstream promises that nothing was done.
    pub not_applied: Vec<u16>,
    /// What a retry may do whose first attempt's fate is unknown.
    pub on_unknown: OnUnknown,
    /// How long a key is remembered once it is settled.
    pub fence_ttl: Duration,
    /// While the store is lost, a write that no freeze holds back goes through, though older
    /// intents of its line might wait. Without it such a write is refused.
    pub open_when_lost: bool,
}

impl Default for RouteRules {
    fn default() -> Self {
        Self {
            honours_keys: false,
            not_applied: vec![401, 403, 408, 421, 423, 425, 429],
            on_unknown: OnUnknown::Refuse,
            fence_ttl: Duration::from_secs(48 * 3600),
            open_when_lost: false,
        }
    }
}

/// The part of a route whose writes are kept for later during a freeze. Made by
/// [`Intents::plan`](crate::Intents::plan); goes into the route's plan beside
/// [`Deferral`](sluicegate_core::Deferral).
#[derive(Clone, Debug)]
pub struct IntentsPlan {
    pub(crate) settings: Arc<IntentsSettings>,
    pub(crate) rules: RouteRules,
    pub(crate) accepted: Accepted,
}
