//! Where a route leads: to one upstream, or to the two of a rollout.

use std::sync::Arc;

use sluicegate_config::document::{Document, RolloutRef, RouteInput, UpstreamRef};
use sluicegate_idempotency::UpstreamPromises;
use sluicegate_upstream::{Prepared, Upstream, input::UpstreamInput};

/// One upstream that a route leads to.
#[derive(Clone, Copy)]
pub(super) struct Lead<'a> {
    pub(super) name: &'a str,
    pub(super) settings: &'a UpstreamInput,
    pub(super) pool: &'a Arc<Upstream>,
}

/// All that a route leads to.
pub(super) struct Leads<'a> {
    /// The route's upstream, or the `active` of its rollout.
    pub(super) first: Lead<'a>,
    /// The `candidate` of its rollout, and how the route uses it.
    pub(super) second: Option<(Lead<'a>, &'a RolloutRef)>,
}

impl<'a> Leads<'a> {
    /// Looks the route's upstreams up; where one is missing, its path inside the route and what
    /// is wrong, but nothing where it stands in the document and cannot be made: that is told at its
    /// own place.
    pub(super) fn of(
        document: &'a Document,
        upstreams: &'a Prepared,
        route: &'a RouteInput,
    ) -> Result<Self, Option<(&'static str, String)>> {
        let lead = |name: &'a str| match (document.upstreams.get(name), upstreams.get(name)) {
            (Some(settings), Some(pool)) => Ok(Lead { name, settings, pool }),
            (Some(_), None) => Err(None),
            (None, _) => Err(Some(("upstream", format!("there is no upstream `{name}`")))),
        };
        match &route.upstream {
            UpstreamRef::Named(name) => Ok(Self { first: lead(name)?, second: None }),
            UpstreamRef::Rollout(reference) => {
                let name = &reference.rollout;
                let Some(rollout) = document.rollouts.get(name) else {
                    return Err(Some(("upstream.rollout", format!("there is no rollout `{name}`"))));
                };
                let second = Some((lead(&rollout.candidate)?, reference));
                Ok(Self { first: lead(&rollout.active)?, second })
            }
        }
    }

    /// Each upstream, the first one first.
    pub(super) fn each(&self) -> impl Iterator<Item = Lead<'a>> + use<'a> {
        [Some(self.first), self.second.map(|(lead, _)| lead)].into_iter().flatten()
    }

    /// What may be relied on whichever of them answers. A version that dedupes by key knows the
    /// keys that it was sent and not those of the other; so of two none is relied on for that:
    /// a retry may come after the arms were exchanged.
    pub(super) fn promises(&self) -> UpstreamPromises {
        let honours_keys = self.second.is_none() && self.first.settings.honours_keys;
        let mut not_applied = self.first.settings.not_applied.clone();
        not_applied.retain(|status| self.each().all(|lead| lead.settings.not_applied.contains(status)));
        UpstreamPromises { honours_keys, not_applied }
    }
}
