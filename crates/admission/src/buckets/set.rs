//! What one route charges.

use std::{collections::hash_map::RandomState, hash::BuildHasher, time::Duration};

use governor::nanos::Nanos;
use http::HeaderValue;
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use sluicegate_core::Lane;
use tokio::time::Instant;

use super::{
    cells::{Place, Shard},
    charge::{Ask, Charged, Denied, Empty, Kind, Taken, Told, TooLarge},
    class::{Class, Classes},
    headers,
    home::{Home, SharedBucket, SharedLevel, TenantBuckets, moment},
    metrics::Refusals,
    rate::{Rate, RateError},
    steps::{self, Pool, Refused, Step},
};

/// The buckets that apply to a route's requests. Any may be absent.
#[derive(Debug)]
pub struct SetOptions {
    /// One for each tenant of the route.
    pub tenant: Option<TenantBuckets>,
    /// The route's own.
    pub route: Option<SharedBucket>,
    /// Of the lane of people who wait.
    pub interactive: Option<SharedBucket>,
    /// Of the lane of jobs.
    pub batch: Option<SharedBucket>,
    /// The one of all requests.
    pub global: Option<SharedBucket>,
    /// The classes of tenants.
    pub classes: Classes,
    /// Whether what the buckets refuse is refused, or only counted.
    pub enforce: bool,
}

impl Default for SetOptions {
    fn default() -> Self {
        let classes = Classes::default();
        Self {
            tenant: None,
            route: None,
            interactive: None,
            batch: None,
            global: None,
            classes,
            enforce: true,
        }
    }
}

/// A bucket that all share, with its counters.
#[derive(Debug)]
struct Shared {
    bucket: SharedBucket,
    refusals: Refusals,
}

/// The tenants' buckets, with their counters and the rate of each class.
#[derive(Debug)]
struct Tenants {
    buckets: TenantBuckets,
    rates: Box<[Rate]>,
    refusals: Refusals,
    overflow: Counter,
}

/// The buckets of one route: part of its plan.
#[derive(Debug)]
pub struct BucketSet {
    epoch: Instant,
    hasher: RandomState,
    tenant: Option<Tenants>,
    route: Option<Shared>,
    interactive: Option<Shared>,
    batch: Option<Shared>,
    global: Option<Shared>,
    enforce: bool,
    /// `RateLimit-Policy` for each class.
    policies: Box<[Option<HeaderValue>]>,
}

type Steps<'a> = steps::Steps<'a, Mutex<Shard>, SharedLevel>;

impl Shared {
    fn step(&self) -> Step<'_, Mutex<Shard>, SharedLevel> {
        Step::new(Pool::Shared(&self.bucket.0.pool), self.bucket.0.rate)
    }
}

impl Tenants {
    fn step(&self, key: u64, class: Class) -> Step<'_, Mutex<Shard>, SharedLevel> {
        Step::new(Pool::Tenant(&self.buckets.0.pool, key), self.rate(class))
    }

    /// The rate of a class; one that the set does not know is the class of those without.
    fn rate(&self, class: Class) -> Rate {
        self.rates.get(class.index()).copied().unwrap_or(self.buckets.0.rate)
    }
}

impl BucketSet {
    pub(super) fn new(home: &Home, options: SetOptions) -> Result<Self, RateError> {
        let SetOptions { tenant, route, interactive, batch, global, classes, enforce } = options;
        let shared = |bucket: Option<SharedBucket>, kind| {
            bucket.map(|bucket| {
                let refusals = home.metrics.refusals(kind, &bucket.0.name, enforce);
                Shared { bucket, refusals }
            })
        };
        let tenants = |buckets: TenantBuckets| {
            let rates = classes.multipliers().iter().map(|&multiplier| buckets.0.rate.times(multiplier));
            Ok(Tenants {
                rates: rates.collect::<Result<_, RateError>>()?,
                refusals: home.metrics.refusals(Kind::Tenant, &buckets.0.name, enforce),
                overflow: home.metrics.overflow(&buckets.0.name),
                buckets,
            })
        };
        let mut set = Self {
            epoch: home.epoch,
            hasher: home.hasher.clone(),
            tenant: tenant.map(tenants).transpose()?,
            route: shared(route, Kind::Route),
            interactive: shared(interactive, Kind::Lane),
            batch: shared(batch, Kind::Lane),
            global: shared(global, Kind::Global),
            enforce,
            policies: Box::default(),
        };
        let policy = |class| headers::policy(set.named(class).map(|(kind, rate, _)| (kind, rate)));
        set.policies = classes.all().map(policy).collect();
        Ok(set)
    }

    /// The buckets in it that all share.
    pub(super) fn shared(&self) -> impl Iterator<Item = (Kind, &SharedBucket)> {
        let all = [
            (Kind::Route, &self.route),
            (Kind::Lane, &self.interactive),
            (Kind::Lane, &self.batch),
            (Kind::Global, &self.global),
        ];
        all.into_iter().filter_map(|(kind, shared)| Some((kind, &shared.as_ref()?.bucket)))
    }

    /// The tenants' buckets in it.
    pub(super) fn tenants(&self) -> Option<&TenantBuckets> {
        self.tenant.as_ref().map(|tenants| &tenants.buckets)
    }

    /// Takes the cost from every bucket that applies, or from none.
    ///
    /// Where the set is not enforced, what would be refused is admitted and takes nothing.
    pub fn charge(&self, ask: &Ask<'_>, now: Instant) -> Result<Charged, Denied> {
        let at = moment(self.epoch, now);
        let key = self.key(ask.tenant);
        let mut steps = self.steps(key, ask.class, ask.lane);
        let (denied, told) = match too_large(&steps, ask.cost) {
            Some(too_large) => {
                self.count(too_large.which, ask.lane, |refusals| &refusals.too_large);
                (Denied::TooLarge(too_large), told(&steps, ask.class, None))
            }
            None => match steps::charge(&mut steps, ask.cost, at) {
                Ok(()) => {
                    let place = self.place(&steps);
                    let taken = Taken { cost: ask.cost, at, key, place, class: ask.class, lane: ask.lane };
                    return Ok(Charged { taken: Some(taken), told: told(&steps, ask.class, None) });
                }
                Err(refused) => {
                    self.place(&steps);
                    self.count(refused.kind(), ask.lane, |refusals| &refusals.empty);
                    let empty = empty(&steps, ask.class, refused, at);
                    (Denied::Empty(empty), empty.told)
                }
            },
        };
        if self.enforce {
            return Err(denied);
        }
        // The client is let in: it has nothing to wait for.
        Ok(Charged { taken: None, told: Told { wait: None, ..told } })
    }

    /// Gives a charge back: the request came no further.
    pub fn refund(&self, charged: Charged, now: Instant) {
        let Some(taken) = charged.taken else { return };
        let now = moment(self.epoch, now);
        for step in self.steps(taken.key, taken.class, taken.lane).iter_mut().flatten() {
            step.place = taken.place;
            step.undo(taken.cost, taken.at, now);
        }
    }

    /// `RateLimit-Policy` for a tenant of this class: the same for all answers.
    #[must_use]
    pub fn policy(&self, class: Class) -> Option<&HeaderValue> {
        self.policies.get(class.index()).or(self.policies.first())?.as_ref()
    }

    /// `RateLimit` for the answer to a request that found the levels so.
    #[must_use]
    pub fn rate_limit(&self, told: &Told) -> Option<HeaderValue> {
        headers::rate_limit(self.named(told.class).map(|(kind, rate, at)| {
            let backlog = told.backlog[at];
            (kind, rate.left(backlog), told.wait.unwrap_or(Duration::from_nanos(backlog)))
        }))
    }

    /// The buckets that an answer names, with their place in [`Told`].
    fn named(&self, class: Class) -> impl Iterator<Item = (Kind, Rate, usize)> {
        let tenant = self.tenant.as_ref().map(|tenants| (Kind::Tenant, tenants.rate(class), 0));
        let route = self.route.as_ref().map(|route| (Kind::Route, route.bucket.0.rate, 1));
        tenant.into_iter().chain(route)
    }

    fn key(&self, tenant: Option<&str>) -> u64 {
        // No tenant has an empty name, so that it can stand for those without one.
        if self.tenant.is_some() { self.hasher.hash_one(tenant.unwrap_or_default()) } else { 0 }
    }

    fn lane(&self, lane: Lane) -> Option<&Shared> {
        match lane {
            Lane::Interactive => self.interactive.as_ref(),
            Lane::Batch => self.batch.as_ref(),
        }
    }

    /// The steps of a charge, in the order of [`Kind::ALL`].
    fn steps(&self, key: u64, class: Class, lane: Lane) -> Steps<'_> {
        [
            self.tenant.as_ref().map(|tenants| tenants.step(key, class)),
            self.route.as_ref().map(Shared::step),
            self.lane(lane).map(Shared::step),
            self.global.as_ref().map(Shared::step),
        ]
    }

    /// Which level judged the tenant. The overflow's are counted.
    fn place(&self, steps: &Steps<'_>) -> Place {
        let place = steps[0].as_ref().map_or(Place::Own, |step| step.place);
        if let (Place::Overflow, Some(tenants)) = (place, &self.tenant) {
            tenants.overflow.inc();
        }
        place
    }

    fn count(&self, kind: Kind, lane: Lane, which: impl Fn(&Refusals) -> &Counter) {
        let refusals = match kind {
            Kind::Tenant => self.tenant.as_ref().map(|tenants| &tenants.refusals),
            Kind::Route => self.route.as_ref().map(|shared| &shared.refusals),
            Kind::Lane => self.lane(lane).map(|shared| &shared.refusals),
            Kind::Global => self.global.as_ref().map(|shared| &shared.refusals),
        };
        if let Some(refusals) = refusals {
            which(refusals).inc();
        }
    }
}

/// The bucket that never holds so much, if one does not.
fn too_large(steps: &Steps<'_>, cost: u32) -> Option<TooLarge> {
    let bursts =
        steps.iter().zip(Kind::ALL).filter_map(|(step, kind)| Some((step.as_ref()?.rate.burst(), kind)));
    let (burst, which) = bursts.min_by_key(|(burst, _)| *burst)?;
    (cost > burst).then_some(TooLarge { which, cost, burst })
}

fn told(steps: &Steps<'_>, class: Class, wait: Option<Duration>) -> Told {
    let backlog = |at: usize| steps[at].as_ref().map_or(0, |step| step.backlog);
    Told { class, backlog: [backlog(0), backlog(1)], wait }
}

fn empty(steps: &Steps<'_>, class: Class, refused: Refused, now: Nanos) -> Empty {
    let wait = Duration::from(refused.until.saturating_sub(now));
    let (remaining, backlog) =
        steps[refused.which].as_ref().map_or((0, 0), |step| (step.rate.left(step.backlog), step.backlog));
    let reset = Duration::from_nanos(backlog);
    Empty { which: refused.kind(), wait, remaining, reset, told: told(steps, class, Some(wait)) }
}

#[cfg(test)]
mod tests;
