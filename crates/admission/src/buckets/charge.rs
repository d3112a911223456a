//! What is asked of the buckets, and what they answer.

use std::time::Duration;

use governor::nanos::Nanos;
use sluicegate_core::Lane;

use super::{cells::Place, class::Class, steps::Refused};

/// Whom a bucket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// One tenant on one route.
    Tenant,
    /// All requests of a route.
    Route,
    /// All requests of a lane.
    Lane,
    /// All requests.
    Global,
}

impl Kind {
    /// In the order in which they are charged.
    pub(super) const ALL: [Self; 4] = [Self::Tenant, Self::Route, Self::Lane, Self::Global];

    /// `tenant`, `route`, `lane` or `global`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Route => "route",
            Self::Lane => "lane",
            Self::Global => "global",
        }
    }
}

/// A request, as far as buckets are concerned.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ask<'a> {
    /// The tokens it takes from each bucket.
    pub cost: u32,
    /// Whom it is for. Those that name nobody share one cell.
    pub tenant: Option<&'a str>,
    /// The class of that tenant.
    pub class: Class,
    /// Its lane.
    pub lane: Lane,
}

/// What the buckets gave. Dropping it lets the charge stand.
#[derive(Debug)]
#[must_use = "a request that comes no further gives its charge back"]
pub struct Charged {
    pub(super) taken: Option<Taken>,
    pub(super) told: Told,
}

impl Charged {
    /// Whether the buckets would have refused, had they been enforced. Nothing was taken.
    #[must_use]
    pub fn is_spared(&self) -> bool {
        self.taken.is_none()
    }

    /// What the answer may say of the levels.
    #[must_use]
    pub fn told(&self) -> &Told {
        &self.told
    }
}

/// What is needed to give a charge back.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) cost: u32,
    pub(super) at: Nanos,
    pub(super) key: u64,
    pub(super) place: Place,
    pub(super) class: Class,
    pub(super) lane: Lane,
}

/// The levels as one request found them, for [`BucketSet::rate_limit`](super::BucketSet::rate_limit).
#[derive(Clone, Copy, Debug)]
pub struct Told {
    pub(super) class: Class,
    /// How long until they are full: the tenant's bucket and the route's.
    pub(super) backlog: [u64; 2],
    /// How long the client was told to wait, where it was refused.
    pub(super) wait: Option<Duration>,
}

/// Why the buckets gave nothing.
#[derive(Clone, Copy, Debug)]
pub enum Denied {
    /// There is not enough in them now.
    Empty(Empty),
    /// It costs more than one of them ever holds.
    TooLarge(TooLarge),
}

/// There is not enough now.
#[derive(Clone, Copy, Debug)]
pub struct Empty {
    /// The bucket that takes longest to have enough.
    pub which: Kind,
    /// A client that waits so long, alone, is admitted.
    pub wait: Duration,
    /// The whole tokens in that bucket.
    pub remaining: u32,
    /// The time until that bucket is full.
    pub reset: Duration,
    pub(super) told: Told,
}

impl Empty {
    /// What the answer may say of the levels.
    #[must_use]
    pub fn told(&self) -> &Told {
        &self.told
    }
}

/// It costs more than the bucket ever holds: no wait will help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge {
    /// The bucket that holds least.
    pub which: Kind,
    /// What the request costs.
    pub cost: u32,
    /// What the bucket holds.
    pub burst: u32,
}

impl Refused {
    /// The bucket that refused.
    pub(super) fn kind(&self) -> Kind {
        Kind::ALL[self.which]
    }
}
