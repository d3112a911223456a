//! Where all that admission remembers lives: it outlives every reload.

use std::{collections::HashSet, sync::Arc, time::Duration};

use prometheus_client::registry::Registry;
use serde::Serialize;
use sluicegate_body::Budget;
use sluicegate_core::{Chance, Lane, Slot};
use tokio::time::Instant;

use crate::{
    buckets::{BucketStatus, Buckets, RateError, SetOptions},
    budget::Budgets,
    input::Per,
    plan::{AdmissionPlan, Capped, Guards, RouteBudget, RouteLimits, SharedBuckets, SharedLimits},
    queue::{CapStatus, Limits, LineStatus, Queues},
};

/// Tenants that a route tells apart at one time; further ones share one bucket.
const MAX_TENANTS: usize = 100_000;

/// From one look for what can be forgotten to the next.
const SWEEP: Duration = Duration::from_secs(60);

/// What admission is opened with.
#[derive(Debug)]
pub struct AdmissionOptions {
    /// Where the request bodies that are held are accounted for: those that are read for a
    /// token budget, also while they wait.
    pub bodies: Budget,
    /// Where the spread of `Retry-After` comes from.
    pub chance: Chance,
}

/// The buckets, queues and budgets of a gateway. A handle; clones share one home.
#[derive(Clone, Debug)]
pub struct Admission(pub(crate) Arc<Home>);

#[derive(Debug)]
pub(crate) struct Home {
    buckets: Buckets,
    queues: Arc<Queues>,
    budgets: Budgets,
    pub(crate) bodies: Budget,
}

/// How admission is doing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AdmissionStatus {
    /// Every bucket.
    pub buckets: Vec<BucketStatus>,
    /// Every route's queue.
    pub queues: Vec<LineStatus>,
    /// Every upstream's cap.
    pub upstreams: Vec<CapStatus>,
}

impl Admission {
    /// An empty home, with its metrics in `registry`.
    pub fn open(options: AdmissionOptions, registry: &mut Registry) -> Self {
        let AdmissionOptions { bodies, chance } = options;
        Self(Arc::new(Home {
            buckets: Buckets::new(Instant::now(), registry),
            queues: Queues::new(Arc::new(chance), registry),
            budgets: Budgets::new(registry),
            bodies,
        }))
    }

    /// The buckets that all routes of a document share.
    #[must_use]
    pub fn shared(&self, limits: &SharedLimits) -> SharedBuckets {
        let buckets = &self.0.buckets;
        SharedBuckets {
            global: limits.global.map(|rate| buckets.global(rate)),
            interactive: limits.interactive.map(|rate| buckets.lane(Lane::Interactive, rate)),
            batch: limits.batch.map(|rate| buckets.lane(Lane::Batch, rate)),
            tenants: limits.tenants.clone(),
        }
    }

    /// The part of the plan of a route that leads to these upstreams (two where a rollout
    /// chooses), each with its cap; none where nothing is limited. What runs does not change
    /// before the plan is [applied](Admission::apply): what a document that is refused in the end
    /// has made for new names is used by nobody, is not shown, and is forgotten after a while.
    ///
    /// It fails where a tenant class makes numbers that no bucket can have.
    pub fn plan(
        &self,
        route: &str,
        upstreams: &[(&str, Option<u32>)],
        limits: &RouteLimits,
        shared: &SharedBuckets,
    ) -> Result<Option<AdmissionPlan>, RateError> {
        let home = &*self.0;
        let capped = |slot: Slot| {
            let (name, limit) = *upstreams.get(slot.index())?;
            limit.map(|limit| Capped { cap: home.queues.upstream(name, Some(limit)), limit })
        };
        let upstreams = Slot::BOTH.map(capped);
        if limits.is_empty() && shared.is_empty() && upstreams.iter().all(Option::is_none) {
            return Ok(None);
        }
        let per_tenant = limits.per == Per::Tenant;
        let (of_tenant, of_route) = if per_tenant { (limits.rate, None) } else { (None, limits.rate) };
        let buckets = if limits.rate.is_none() && shared.is_empty() {
            None
        } else {
            Some(home.buckets.set(SetOptions {
                tenant: of_tenant.map(|rate| home.buckets.per_tenant(route, rate, MAX_TENANTS)),
                route: of_route.map(|rate| home.buckets.route(route, rate)),
                interactive: shared.interactive.clone(),
                batch: shared.batch.clone(),
                global: shared.global.clone(),
                classes: shared.tenants.classes.clone(),
                enforce: limits.enforce,
            })?)
        };
        let budget = limits.budget.map(|settings| RouteBudget {
            ledger: home.budgets.ledger(route, settings.rule, Instant::now()),
            default_max_tokens: settings.default_max_tokens,
            overrun: settings.overrun,
        });
        let of_queue = Limits {
            concurrent: limits.concurrent.filter(|_| !per_tenant),
            per_tenant: limits.concurrent.filter(|_| per_tenant),
            queue: limits.queue,
            shed: limits.shed,
            ..Limits::default()
        };
        Ok(Some(AdmissionPlan(Arc::new(Guards {
            buckets,
            tenants: shared.tenants.clone(),
            budget,
            line: home.queues.line(route, of_queue),
            limits: of_queue,
            upstreams,
            enforce: limits.enforce,
        }))))
    }

    /// From now on the numbers of these plans hold, also for requests that wait under those
    /// before. A queue and a cap that none of them names limit nobody any more.
    pub fn apply(&self, plans: &[AdmissionPlan]) {
        let home = &*self.0;
        let (mut routes, mut upstreams) = (HashSet::new(), HashSet::new());
        for AdmissionPlan(guards) in plans {
            if let Some(set) = &guards.buckets {
                home.buckets.keep(set, Instant::now());
            }
            guards.line.set(guards.limits);
            routes.insert(guards.line.name());
            for Capped { cap, limit } in guards.upstreams.iter().flatten() {
                cap.set_limit(Some(*limit));
                upstreams.insert(cap.name());
            }
        }
        let capped = |line: &LineStatus| line.concurrent.is_some() || line.per_tenant.is_some();
        for line in home.queues.lines().into_iter().filter(capped) {
            if !routes.contains(&*line.route) {
                home.queues.line(&line.route, Limits::default()).set(Limits::default());
            }
        }
        for cap in home.queues.caps().into_iter().filter(|cap| cap.concurrent.is_some()) {
            if !upstreams.contains(&*cap.upstream) {
                home.queues.upstream(&cap.upstream, None).set_limit(None);
            }
        }
    }

    /// Forgets, until the process ends, what no plan has named for some minutes.
    pub async fn run(self) {
        let mut turn = tokio::time::interval(SWEEP);
        loop {
            turn.tick().await;
            self.sweep();
        }
    }

    fn sweep(&self) {
        let now = Instant::now();
        self.0.queues.sweep(now);
        self.0.budgets.forget_unused(now);
        self.0.budgets.show(now);
    }

    /// How admission is doing.
    #[must_use]
    pub fn status(&self) -> AdmissionStatus {
        let home = &*self.0;
        AdmissionStatus {
            buckets: home.buckets.status(Instant::now()),
            queues: home.queues.lines(),
            upstreams: home.queues.caps(),
        }
    }
}
