//! What a route admits, checked: part of its plan.

use std::{collections::HashMap, sync::Arc};

use sluicegate_core::{Facts, Slot, Tenant};

use crate::{
    buckets::{BucketSet, Class, Classes, Rate, SharedBucket},
    budget::{BudgetSettings, Ledger, Overrun},
    input::Per,
    queue::{Cap, Limits, Line, ShedLimits},
};

/// The limits of one route.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteLimits {
    /// How fast; `None`: at any speed.
    pub rate: Option<Rate>,
    /// Whose `rate` and `concurrent` are.
    pub per: Per,
    /// Requests that run at once; `None`: any number.
    pub concurrent: Option<u32>,
    /// Requests that may wait for a place.
    pub queue: u32,
    /// When load is shed; `None`: never.
    pub shed: Option<ShedLimits>,
    /// Whether rates and budgets refuse, or only count what they would have refused.
    pub enforce: bool,
    /// LLM tokens of each tenant.
    pub budget: Option<BudgetSettings>,
}

impl Default for RouteLimits {
    /// Nothing is limited.
    fn default() -> Self {
        Self {
            rate: None,
            per: Per::Route,
            concurrent: None,
            queue: Limits::default().queue,
            shed: None,
            enforce: true,
            budget: None,
        }
    }
}

impl RouteLimits {
    /// Whether nothing is limited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rate.is_none() && self.concurrent.is_none() && self.shed.is_none() && self.budget.is_none()
    }
}

/// The limits that routes share.
#[derive(Clone, Debug, Default)]
pub struct SharedLimits {
    /// Of all requests.
    pub global: Option<Rate>,
    /// Of the lane of people who wait.
    pub interactive: Option<Rate>,
    /// Of the lane of jobs.
    pub batch: Option<Rate>,
    /// Which tenant is of which class.
    pub tenants: Arc<TenantClasses>,
}

/// Which tenant is of which class.
#[derive(Clone, Debug, Default)]
pub struct TenantClasses {
    pub(crate) classes: Classes,
    members: HashMap<Box<str>, (Class, f64)>,
}

impl TenantClasses {
    /// Classes, each with its multiplier and its members. Who is named twice is of the last.
    pub fn new<'a>(
        classes: impl IntoIterator<Item = (&'a str, f64, Vec<&'a str>)> + Clone,
    ) -> Result<Self, crate::buckets::ClassError> {
        let named =
            Classes::new(classes.clone().into_iter().map(|(name, multiplier, _)| (name, multiplier)))?;
        let mut members = HashMap::new();
        for (name, multiplier, tenants) in classes {
            let class = named.named(name).unwrap_or_default();
            members.extend(tenants.into_iter().map(|tenant| (tenant.into(), (class, multiplier))));
        }
        Ok(Self { classes: named, members })
    }

    /// The class of a tenant, and what it multiplies by.
    pub(crate) fn of(&self, tenant: Option<&Tenant>) -> (Class, f64) {
        tenant.and_then(|tenant| self.members.get(tenant.as_str())).copied().unwrap_or((Class::NONE, 1.0))
    }
}

/// What a route admits, and how: the part of its plan that [`Admit`](crate::Admit) reads.
/// Clones share it.
#[derive(Clone, Debug)]
pub struct AdmissionPlan(pub(crate) Arc<Guards>);

#[derive(Debug)]
pub(crate) struct Guards {
    pub(crate) buckets: Option<BucketSet>,
    pub(crate) tenants: Arc<TenantClasses>,
    pub(crate) budget: Option<RouteBudget>,
    pub(crate) line: Arc<Line>,
    pub(crate) limits: Limits,
    /// The caps of the upstreams it leads to; of both arms where a rollout chooses.
    pub(crate) upstreams: [Option<Capped>; 2],
    pub(crate) enforce: bool,
}

impl Guards {
    /// The cap of the upstream that was chosen.
    pub(crate) fn upstream(&self, facts: &Facts) -> Option<&Arc<Cap>> {
        let slot = facts.arm().map_or(Slot::First, |arm| arm.slot);
        self.upstreams[slot.index()].as_ref().map(|capped| &capped.cap)
    }
}

/// An upstream that is capped.
#[derive(Debug)]
pub(crate) struct Capped {
    pub(crate) cap: Arc<Cap>,
    pub(crate) limit: u32,
}

/// The buckets that the routes of one document share, made once for all of them.
#[derive(Clone, Debug, Default)]
pub struct SharedBuckets {
    pub(crate) global: Option<SharedBucket>,
    pub(crate) interactive: Option<SharedBucket>,
    pub(crate) batch: Option<SharedBucket>,
    pub(crate) tenants: Arc<TenantClasses>,
}

impl SharedBuckets {
    pub(crate) fn is_empty(&self) -> bool {
        self.global.is_none() && self.interactive.is_none() && self.batch.is_none()
    }
}

/// The token budget of a route's tenants.
#[derive(Debug)]
pub(crate) struct RouteBudget {
    pub(crate) ledger: Ledger,
    pub(crate) default_max_tokens: u64,
    pub(crate) overrun: Overrun,
}
