//! Which preset holds on a route.

use sluicegate_core::PresetName;

use super::{Document, RouteInput, UpstreamRef};

impl Document {
    /// The preset of a route: its own, else that of the upstream it leads to. Of a rollout's arms
    /// the active one's counts; the check sees to it that both have the same.
    #[must_use]
    pub fn preset(&self, route: &RouteInput) -> Option<PresetName> {
        route.preset.or_else(|| self.presets_led_to(route).into_iter().next().flatten())
    }

    /// The presets of the upstreams that a route leads to.
    #[must_use]
    pub fn presets_led_to(&self, route: &RouteInput) -> Vec<Option<PresetName>> {
        let names = match &route.upstream {
            UpstreamRef::Named(name) => vec![name],
            UpstreamRef::Rollout(reference) => {
                let rollout = self.rollouts.get(&reference.rollout);
                rollout.iter().flat_map(|it| [&it.active, &it.candidate]).collect()
            }
        };
        names.into_iter().map(|name| self.upstreams.get(name).and_then(|it| it.preset)).collect()
    }
}
