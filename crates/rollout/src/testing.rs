//! What the tests of this crate share.

use std::{net::IpAddr, sync::Arc};

use http::HeaderValue;
use prometheus_client::{encoding::text::encode, registry::Registry};
use sluicegate_core::{Access, Chance, Classified, Facts, Lane, Pins, RoutePlan, Slot, Tenant};
use tokio::time::Instant;

use crate::{KeySource, RolloutPlan, Shared, Sticky, Traffic, View, Writes};

/// Open, with the first upstream active.
pub(crate) fn view(weight: u8) -> View {
    View { weight, active: Slot::First, epoch: 7, open: true, killed: false, secret: [171; 32] }
}

/// A rollout `retriever`, and where its series are.
pub(crate) struct Rig {
    pub(crate) registry: Registry,
    pub(crate) traffic: Traffic,
    pub(crate) shared: Arc<Shared>,
    /// What the layers' chances are seeded from.
    pub(crate) chance: Chance,
}

impl Rig {
    pub(crate) fn new(view: View) -> Self {
        let mut registry = Registry::default();
        let traffic = Traffic::register(&mut registry);
        let shared = Shared::new("retriever", view, 2, &traffic);
        Self { registry, traffic, shared, chance: Chance::seeded(5) }
    }

    /// A plan without pins, whose writes stay and whose header does not count.
    pub(crate) fn plan(&self, source: KeySource) -> RolloutPlan {
        RolloutPlan {
            shared: self.shared.clone(),
            sticky: Sticky::new(source, "retriever"),
            arm_pins: Default::default(),
            writes: Writes::Active,
            allow_header: false,
        }
    }

    /// By the header `x-user-id`.
    pub(crate) fn by_user(&self) -> RolloutPlan {
        self.plan(KeySource::Header("x-user-id".parse().unwrap()))
    }

    /// The value of a series, by its name and labels as they are written.
    pub(crate) fn series(&self, name: &str) -> Option<f64> {
        let mut text = String::new();
        encode(&mut text, &self.registry).unwrap();
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }
}

pub(crate) fn pins(pairs: &[(&str, &str)]) -> Arc<Pins> {
    Arc::new(Pins::new(pairs.iter().copied()))
}

/// Facts that an ingress has begun.
pub(crate) fn begun(client: Option<IpAddr>, grpc: bool) -> Facts {
    Facts::new(HeaderValue::from_static("req-1"), client, Instant::now(), grpc)
}

/// Facts of a request on the route `retrieve` with this plan.
pub(crate) fn classified(plan: RoutePlan, access: Access) -> Facts {
    let facts = begun(None, false);
    settle(&facts, plan, access, None);
    facts
}

pub(crate) fn settle(facts: &Facts, plan: RoutePlan, access: Access, tenant: Option<&str>) {
    facts.classify(Classified {
        route: Arc::new(plan),
        access,
        tenant: tenant.and_then(|name| Tenant::from_header(&HeaderValue::try_from(name).unwrap())),
        lane: Lane::Interactive,
        cost: 1,
        deadline: None,
        rpc: None,
    });
}

pub(crate) fn route() -> RoutePlan {
    RoutePlan::new("retrieve", "stable").or("next")
}
