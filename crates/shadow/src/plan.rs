//! What a route's requests are copied to.

use std::sync::Arc;

use http::HeaderName;
use sluicegate_core::{RoutePlan, Slot, headers::CREDENTIALS, share};
use sluicegate_upstream::{Retries, Rewrite, RouteTimeouts, Upstream, UpstreamPlan};

use crate::{head::ADDED, home::State, input::ShadowSettings};

/// A route's part of the plan for this layer: its shadows.
#[derive(Clone, Debug)]
pub struct ShadowPlan(pub Box<[Arc<Shadowing>]>);

/// The upstreams that copies of one route go to: objects of their own, so that no breaker and no
/// count of a route's own requests ever hears of a copy.
#[derive(Clone, Debug)]
pub struct Targets {
    /// The shadow.
    pub shadow: Arc<Upstream>,
    /// What the route itself leads to: two where a rollout chooses.
    pub own: [Option<Arc<Upstream>>; 2],
    /// What these are, in words that are others when they are: what was found of former ones says
    /// nothing of them.
    pub version: String,
    /// What the route changes of what passes, and so of copies.
    pub rewrite: Option<Arc<Rewrite>>,
}

/// One shadow of one route.
#[derive(Debug)]
pub struct Shadowing {
    pub(crate) state: Arc<State>,
    pub(crate) settings: ShadowSettings,
    /// What keys are hashed with: nobody else's, so that the copies are a fair sample of each arm.
    pub(crate) seed: u64,
    pub(crate) shadow: Arc<RoutePlan>,
    /// What is compared with what, and how.
    pub(crate) compared: Option<String>,
    own: [Option<Arc<RoutePlan>>; 2],
}

impl Shadowing {
    pub(crate) fn new(state: Arc<State>, settings: ShadowSettings, targets: Targets) -> Self {
        // One limit for all of it, so that a busy machine takes no timeout for a broken connection.
        // The proxy keeps it until the head has come, and so tells the breaker of a shadow that hangs.
        let (never, deadline) = (settings.timeout * 2, settings.timeout);
        let timeouts = RouteTimeouts { connect: never, per_try: None, deadline, stream_idle: never };
        let ours = |name: &HeaderName| ADDED.contains(&name.as_str());
        // A copy to the own upstream is a request like the others there, credentials of the route's
        // included: else it would be refused, and every answer would count as noise.
        let own = targets.rewrite.as_ref().map(|rewrite| Arc::new(rewrite.without(ours)));
        // These credentials go nowhere else, and the shadow's own word holds.
        let elsewhere = targets.rewrite.as_ref().map(|rewrite| {
            Arc::new(rewrite.without(|name| {
                ours(name)
                    || CREDENTIALS.contains(&name.as_str())
                    || rewrite.holds_secret(name)
                    || settings.strip.contains(name)
                    || settings.set.contains_key(name)
            }))
        });
        let plan = |upstream: Arc<Upstream>, rewrite: &Option<Arc<Rewrite>>| {
            let name = format!("shadow of {}", state.route);
            let target = upstream.name().to_owned();
            // A copy is sent once.
            let retries = Retries::OFF;
            let part = UpstreamPlan {
                upstream,
                timeouts,
                retries,
                preserve_host: false,
                rewrite: rewrite.clone(),
                whole: true,
                second: None,
            };
            Arc::new(RoutePlan::new(name, target).with(part))
        };
        let seed = share::seed(&format!("shadow\n{}\n{}", state.route, state.to));
        let compared = settings.compare.as_ref();
        let compared = compared.map(|compare| format!("{}\n{}", compare.rules, targets.version));
        let shadow = plan(targets.shadow, &elsewhere);
        let own = targets.own.map(|upstream| upstream.map(|upstream| plan(upstream, &own)));
        Self { state, settings, seed, shadow, compared, own }
    }

    /// Where a second answer of the version that answers comes from.
    pub(crate) fn own(&self, slot: Slot) -> Option<&Arc<RoutePlan>> {
        self.own[slot.index()].as_ref().or(self.own[0].as_ref())
    }
}
