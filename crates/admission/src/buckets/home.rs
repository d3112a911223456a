//! Where the levels live. They outlive every reload.
//!
//! A bucket is known by kind and name. Who asks for one with the numbers it has gets the very
//! one; with others, a new one, which becomes the known one when the set that holds it is kept
//! ([`Buckets::keep`]): a plan that comes to nothing takes no level from those that run. A bucket
//! that no plan holds any more is let go as soon as it is full, which is looked for whenever
//! buckets are kept: until then it may come back with the next document, and after that a new
//! one says the same.

use std::{
    collections::{HashMap, hash_map::RandomState},
    sync::Arc,
};

use governor::nanos::Nanos;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use sluicegate_core::Lane;
use tokio::time::Instant;

use super::{
    cells::{Cells, Shard},
    charge::Kind,
    level::Level,
    metrics::{Gauges, Metrics},
    rate::{Rate, RateError},
    set::{BucketSet, SetOptions},
};

pub(super) type SharedLevel = Mutex<Level>;
pub(super) type TenantCells = Cells<Mutex<Shard>, SharedLevel>;

/// Levels with the numbers they were made for.
#[derive(Debug)]
pub(super) struct Bucket<P> {
    pub(super) name: String,
    pub(super) rate: Rate,
    pub(super) pool: P,
}

/// The bucket of a route, of a lane, or of the gateway: all that it is for share its level.
#[derive(Clone, Debug)]
pub struct SharedBucket(pub(super) Arc<Bucket<SharedLevel>>);

/// A bucket for each tenant of a route.
#[derive(Clone, Debug)]
pub struct TenantBuckets(pub(super) Arc<Bucket<TenantCells>>, usize);

#[derive(Debug, Default)]
struct Known {
    shared: HashMap<(Kind, String), SharedBucket>,
    tenants: HashMap<String, TenantBuckets>,
}

/// What all handles share.
#[derive(Debug)]
pub(super) struct Home {
    /// The moment from which all levels count.
    pub(super) epoch: Instant,
    pub(super) hasher: RandomState,
    pub(super) metrics: Metrics,
    known: Mutex<Known>,
}

/// All buckets there are. A handle; clones share one home.
#[derive(Clone, Debug)]
pub struct Buckets(Arc<Home>);

/// One bucket, as `sluicegate status` shows it.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct BucketStatus {
    /// Whom it is for.
    pub kind: Kind,
    /// The route or lane it belongs to.
    pub name: String,
    /// Tokens a second.
    pub rps: f64,
    /// Tokens it holds.
    pub burst: u32,
    /// The whole tokens in it; absent where each tenant has a bucket of its own.
    pub remaining: Option<u32>,
    /// How many tenants have a cell.
    pub tenants: Option<usize>,
    /// How many may have one.
    pub max_tenants: Option<usize>,
}

impl Home {
    /// A moment on the scale of the levels.
    pub(super) fn moment(&self, now: Instant) -> Nanos {
        moment(self.epoch, now)
    }

    /// Name, cells and bytes of each bucket of tenants.
    pub(super) fn sizes(&self) -> Vec<(String, usize, usize)> {
        let held: Vec<_> = self.known.lock().tenants.values().cloned().collect();
        let size = |held: TenantBuckets| {
            let (cells, bytes) = held.0.pool.size();
            (held.0.name.clone(), cells, bytes)
        };
        held.into_iter().map(size).collect()
    }
}

/// Nanoseconds since the epoch; before it, none.
pub(super) fn moment(epoch: Instant, now: Instant) -> Nanos {
    let since = now.saturating_duration_since(epoch);
    Nanos::new(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX / 2))
}

impl Known {
    /// Lets go what no plan holds and what says no more than a new bucket would.
    fn let_go(&mut self, now: Nanos) {
        self.shared.retain(|_, held| Arc::strong_count(&held.0) > 1 || held.0.pool.lock().full_at > now);
        self.tenants.retain(|_, held| Arc::strong_count(&held.0) > 1 || !held.0.pool.is_full(now));
    }
}

impl Buckets {
    /// No buckets yet. Levels count from `epoch`: no later moment may be before it.
    pub fn new(epoch: Instant, registry: &mut Registry) -> Self {
        let home = Arc::new(Home {
            epoch,
            hasher: RandomState::new(),
            metrics: Metrics::register(registry),
            known: Mutex::default(),
        });
        registry.register_collector(Box::new(Gauges(Arc::downgrade(&home))));
        Self(home)
    }

    /// The bucket that all requests of a route share.
    #[must_use]
    pub fn route(&self, route: &str, rate: Rate) -> SharedBucket {
        self.shared(Kind::Route, route, rate)
    }

    /// The bucket that all requests of a lane share, on whatever route.
    #[must_use]
    pub fn lane(&self, lane: Lane, rate: Rate) -> SharedBucket {
        let name = match lane {
            Lane::Interactive => "interactive",
            Lane::Batch => "batch",
        };
        self.shared(Kind::Lane, name, rate)
    }

    /// The bucket that all requests share.
    #[must_use]
    pub fn global(&self, rate: Rate) -> SharedBucket {
        self.shared(Kind::Global, "global", rate)
    }

    /// The buckets of a route's tenants, with cells for about `max_tenants` at once.
    #[must_use]
    pub fn per_tenant(&self, route: &str, rate: Rate, max_tenants: usize) -> TenantBuckets {
        let known = self.0.known.lock().tenants.get(route).cloned();
        known.filter(|held| held.0.rate == rate && held.1 == max_tenants).unwrap_or_else(|| {
            let fresh = Bucket { name: route.to_owned(), rate, pool: Cells::new(max_tenants) };
            TenantBuckets(Arc::new(fresh), max_tenants)
        })
    }

    fn shared(&self, kind: Kind, name: &str, rate: Rate) -> SharedBucket {
        let known = self.0.known.lock().shared.get(&(kind, name.to_owned())).cloned();
        known.filter(|held| held.0.rate == rate).unwrap_or_else(|| {
            SharedBucket(Arc::new(Bucket { name: name.to_owned(), rate, pool: Mutex::default() }))
        })
    }

    /// Makes the buckets of this set the known ones of their names, since its plan is in use
    /// from now on.
    pub fn keep(&self, set: &BucketSet, now: Instant) {
        let mut known = self.0.known.lock();
        for (kind, bucket) in set.shared() {
            known.shared.insert((kind, bucket.0.name.clone()), bucket.clone());
        }
        if let Some(tenants) = set.tenants() {
            known.tenants.insert(tenants.0.name.clone(), tenants.clone());
        }
        known.let_go(self.0.moment(now));
    }

    /// What one route charges. It fails where a tenant class makes numbers that no bucket can have.
    pub fn set(&self, options: SetOptions) -> Result<BucketSet, RateError> {
        BucketSet::new(&self.0, options)
    }

    /// All buckets that plans hold, by kind and name.
    #[must_use]
    pub fn status(&self, now: Instant) -> Vec<BucketStatus> {
        let now = self.0.moment(now);
        let known = self.0.known.lock();
        let shared = known.shared.iter().filter(|(_, held)| Arc::strong_count(&held.0) > 1);
        let shared: Vec<_> = shared.map(|((kind, _), held)| (*kind, held.clone())).collect();
        let tenants = known.tenants.values().filter(|held| Arc::strong_count(&held.0) > 1);
        let tenants: Vec<_> = tenants.cloned().collect();
        drop(known);
        let mut all: Vec<_> = shared
            .into_iter()
            .map(|(kind, SharedBucket(bucket))| {
                let backlog = bucket.pool.lock().full_at.saturating_sub(now).as_u64();
                let remaining = Some(bucket.rate.left(backlog));
                BucketStatus { remaining, ..BucketStatus::of(kind, &bucket.name, bucket.rate) }
            })
            .chain(tenants.into_iter().map(|TenantBuckets(bucket, max)| BucketStatus {
                tenants: Some(bucket.pool.size().0),
                max_tenants: Some(max),
                ..BucketStatus::of(Kind::Tenant, &bucket.name, bucket.rate)
            }))
            .collect();
        all.sort_by(|a, b| (a.kind.as_str(), &a.name).cmp(&(b.kind.as_str(), &b.name)));
        all
    }
}

impl BucketStatus {
    fn of(kind: Kind, name: &str, rate: Rate) -> Self {
        Self {
            kind,
            name: name.to_owned(),
            rps: rate.rps(),
            burst: rate.burst(),
            remaining: None,
            tenants: None,
            max_tenants: None,
        }
    }
}

#[cfg(test)]
mod tests;
