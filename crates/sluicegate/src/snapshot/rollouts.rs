//! What a snapshot takes from the document's `rollouts`.

use std::sync::Arc;

use sluicegate_config::{
    Loaded, Problem,
    document::{Document, RolloutRef, WritesInput},
    problem_at,
};
use sluicegate_core::Pins;
use sluicegate_rollout::{Declared, RolloutPlan, Sticky, Writes};
use sluicegate_upstream::Prepared;

use super::{Gates, Homes};

/// One rollout of the document, checked.
pub(super) struct Checked {
    pub(super) declared: Declared,
    sticky: Arc<Sticky>,
    pins: [Arc<Pins>; 2],
}

/// The rollouts of the document, in its order, and what is wrong with others.
pub(super) fn check(loaded: &Loaded, upstreams: &Prepared) -> (Vec<Checked>, Vec<Problem>) {
    let (mut checked, mut problems) = (Vec::new(), Vec::new());
    for (name, input) in &loaded.document.rollouts {
        let settings =
            match input.check() {
                Ok(settings) => settings,
                Err(faults) => {
                    problems.extend(faults.into_iter().map(|(path, message)| {
                        problem_at(loaded, &format!("rollouts.{name}.{path}"), message)
                    }));
                    continue;
                }
            };
        let pins_of = |upstream: &str| upstreams.get(upstream).map(|it| it.pins().clone());
        let pins = [&input.active, &input.candidate].map(|it| pins_of(it).unwrap_or_default());
        let sticky = Sticky::new(settings.sticky.clone(), settings.salt.as_deref().unwrap_or(name));
        let declared = Declared { name: name.as_str().into(), settings, pins: pins.clone() };
        checked.push(Checked { declared, sticky, pins });
    }
    (checked, problems)
}

/// Of each rollout the shadows that it waits for: their routes and where they go.
pub(super) fn gates(document: &Document) -> Gates {
    let of = |(name, rollout): (&String, &sluicegate_rollout::RolloutInput)| {
        let gates = rollout.shadows.iter();
        let gates = gates.map(|gate| (gate.route.as_str().into(), gate.to(rollout).into())).collect();
        (name.as_str().into(), gates)
    };
    document.rollouts.iter().map(of).collect()
}

/// The part of the plan of a route that leads to a rollout; none where something is wrong with
/// that.
pub(super) fn part(homes: &Homes, all: &[Checked], reference: &RolloutRef) -> Option<RolloutPlan> {
    let name = reference.rollout.as_str();
    let rollout = all.iter().find(|it| &*it.declared.name == name)?;
    Some(RolloutPlan {
        shared: homes.rollouts.shared(name),
        sticky: rollout.sticky.clone(),
        arm_pins: rollout.pins.clone(),
        writes: match reference.writes {
            WritesInput::Active => Writes::Active,
            WritesInput::Split => Writes::Split,
        },
        allow_header: reference.allow_force,
    })
}
