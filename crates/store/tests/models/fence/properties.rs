//! What must hold in every world, and what must happen in some.

use sluicegate_store::fence::OnUnknown;
use stateright::{Model, Property};

use super::{
    protocol::{Protocol, Step, Store},
    world::{AtUpstream, Foul, Phase, Told, World, owner},
};
use crate::record::Value;

pub(crate) const ONE_EFFECT: &str = "the write takes effect once";
pub(crate) const SEALED_STAYS: &str = "a sealed record stays as it is";
pub(crate) const REPLAY_IS_SEALED: &str = "a replayed answer is the one that was sealed";
pub(crate) const UNKNOWN_STAYS: &str = "under refuse nothing begins over a record";
pub(crate) const OWN_RECORD: &str = "an attempt settles its own record only";
pub(crate) const THE_LIVING: &str = "nobody takes over from a holder that lives";
pub(crate) const SOMEBODY: &str = "a running record has somebody at work on it, or its gateway was killed";

impl Model for Protocol {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![Self::start()]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        self.steps(world, steps);
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        self.after(world, step)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = vec![
            Property::<Self>::always(SEALED_STAYS, |_, world| {
                world.sealed.is_none_or(|answer| {
                    world.record.is_some_and(|record| record.value == Value::Sealed(answer))
                })
            }),
            Property::<Self>::always(REPLAY_IS_SEALED, |_, world| {
                world.told().all(|told| match told {
                    Told::Replayed(answer) => world.sealed == Some(answer),
                    _ => true,
                })
            }),
            Property::<Self>::always(UNKNOWN_STAYS, |_, world| world.foul != Some(Foul::AfterUnknown)),
            Property::<Self>::always(OWN_RECORD, |_, world| world.foul != Some(Foul::OverAnother)),
            Property::<Self>::always(THE_LIVING, |_, world| world.foul != Some(Foul::OverTheLiving)),
            Property::<Self>::sometimes("a stored answer is replayed", |_, world| {
                world.told().any(|told| matches!(told, Told::Replayed(_)))
            }),
            Property::<Self>::sometimes("what was not applied runs again", |_, world| {
                world.upstream.contains(&AtUpstream::Refused) && world.effects() == 1
            }),
        ];
        if self.at_most_once() {
            all.push(Property::<Self>::always(ONE_EFFECT, |_, world| world.effects() <= 1));
        } else {
            all.push(Property::<Self>::sometimes("under retry it may take effect twice", |_, world| {
                world.effects() == 2
            }));
        }
        if self.store != Store::LeasedLate {
            all.push(Property::<Self>::always(SOMEBODY, |_, world| world.somebody_is_at_work()));
        }
        if self.on_unknown == OnUnknown::Refuse {
            all.push(Property::<Self>::sometimes("a fate is told to be unknown", |_, world| {
                world.told().any(|told| told == Told::Unknown)
            }));
        }
        if self.store != Store::Embedded {
            all.push(Property::<Self>::sometimes("a late holder settles", |_, world| {
                world.told().any(|told| matches!(told, Told::SettledLate(_)))
            }));
            if self.on_unknown == OnUnknown::Retry {
                all.push(Property::<Self>::sometimes("an overtaken holder is fenced off", |_, world| {
                    world.told().any(|told| matches!(told, Told::FencedOff(_)))
                }));
            } else {
                all.push(Property::<Self>::sometimes("an unknown fate becomes known", |_, world| {
                    let told = |wanted: fn(Told) -> bool| world.told().any(wanted);
                    told(|told| told == Told::Unknown) && told(|told| matches!(told, Told::Replayed(_)))
                }));
            }
        }
        all
    }
}

impl Protocol {
    /// Whether a second effect is excluded: by the fence, or by the upstream.
    fn at_most_once(&self) -> bool {
        self.on_unknown == OnUnknown::Refuse || self.honours_keys
    }
}

impl World {
    fn told(&self) -> impl Iterator<Item = Told> {
        self.exchanges.iter().filter_map(|exchange| match exchange.phase {
            Phase::Over(told) => Some(told),
            _ => None,
        })
    }

    fn somebody_is_at_work(&self) -> bool {
        let Some(record) = self.record.filter(|record| record.value == Value::Running) else { return true };
        let owner = &self.exchanges[usize::from(owner(record.token))];
        owner.is_at_work_under(record.token) || owner.phase == Phase::Killed
    }
}
