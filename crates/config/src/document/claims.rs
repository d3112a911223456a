//! Which parts of a document go by a claim of a verified token.

use sluicegate_classify::input::TenantSource;
use sluicegate_core::KeyInput;
use sluicegate_idempotency::ScopeInput;
use sluicegate_shadow::ShadowsInput;

use super::{Document, RouteInput, UpstreamRef};

impl Document {
    /// The paths of all settings that go by a claim.
    #[must_use]
    pub fn claims(&self) -> Vec<String> {
        let mut paths = Vec::new();
        if self.tenants.as_ref().is_some_and(|tenants| matches!(tenants.from, TenantSource::Claim(_))) {
            paths.push("tenants.from.claim".to_owned());
        }
        for (at, route) in self.routes.iter().enumerate() {
            let scope = route.idempotency.iter().flat_map(|keys| &keys.scope).enumerate();
            let scope = scope.filter(|(_, part)| matches!(part, ScopeInput::Claim(_)));
            paths.extend(scope.map(|(part, _)| format!("routes[{at}].idempotency.scope[{part}].claim")));
            let shadows = route.shadow.iter().flat_map(ShadowsInput::each);
            let shadows = shadows.filter(|(_, shadow)| is_claim(shadow.sample_by.as_ref()));
            paths.extend(shadows.map(|(inside, _)| format!("routes[{at}].shadow{inside}.sample_by.claim")));
        }
        let rollouts = self.rollouts.iter().filter(|(_, rollout)| is_claim(rollout.sticky.as_ref()));
        paths.extend(rollouts.map(|(name, _)| format!("rollouts.{name}.sticky.claim")));
        paths
    }

    /// Whether a guard of this route goes by a claim; the tenant is not the route's.
    #[must_use]
    pub fn goes_by_claims(&self, route: &RouteInput) -> bool {
        let scope = route.idempotency.iter().flat_map(|keys| &keys.scope);
        let mut shadows = route.shadow.iter().flat_map(ShadowsInput::each);
        let sticky = match &route.upstream {
            UpstreamRef::Rollout(reference) => self.rollouts.get(&reference.rollout),
            UpstreamRef::Named(_) => None,
        };
        scope.into_iter().any(|part| matches!(part, ScopeInput::Claim(_)))
            || shadows.any(|(_, shadow)| is_claim(shadow.sample_by.as_ref()))
            || sticky.is_some_and(|rollout| is_claim(rollout.sticky.as_ref()))
    }
}

fn is_claim(key: Option<&KeyInput>) -> bool {
    matches!(key, Some(KeyInput::Claim(_)))
}
