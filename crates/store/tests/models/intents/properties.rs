//! What must hold in every world, and what must happen in some.

use sluicegate_store::EntryState;
use stateright::{Model, Property};

use super::{
    protocol::{Protocol, Step},
    store::Entry,
    world::{Actor, Applying, REFUSED, Sending, Told, World},
};
use crate::record::{Held, Value};

pub(crate) const NOT_LOST: &str = "what was acknowledged is kept";
pub(crate) const ONE_EFFECT: &str = "no write takes effect twice";
pub(crate) const IN_ORDER: &str = "the writes of a line take effect in their order";
pub(crate) const TRUE_END: &str = "an intent ends as it was";
pub(crate) const FENCE_ENDS: &str = "the fence of an intent ends with it";
pub(crate) const SOMEBODY: &str = "a claim has somebody at work on it, or a gateway was killed";
pub(crate) const DRAINED: &str = "an intent goes out when no write that was let through before it is out";
pub(crate) const COMES_TO_AN_END: &str = "in the end every intent has ended or is in doubt";

impl Model for Protocol {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![self.start()]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        self.steps(world, steps);
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        self.after(world, step)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = vec![
            Property::<Self>::always(NOT_LOST, |_, world| {
                world.acknowledged().all(|id| world.kept.entry(id).is_some())
            }),
            Property::<Self>::always(ONE_EFFECT, |_, world| {
                (0..)
                    .zip(&world.kept.fences)
                    .all(|(key, _)| world.effects.iter().filter(|effect| effect.key == key).count() <= 1)
            }),
            Property::<Self>::always(IN_ORDER, |_, world| world.is_in_order()),
            Property::<Self>::always(TRUE_END, |_, world| {
                world.kept.line.iter().all(|entry| world.is_true(entry))
            }),
            Property::<Self>::always(FENCE_ENDS, |_, world| {
                world.kept.line.iter().filter(|entry| entry.state.is_over()).all(|entry| {
                    let fence = world.kept.fences[usize::from(entry.key)];
                    fence.is_none_or(|fence| fence.value != Value::Deferred(entry.id))
                })
            }),
            Property::<Self>::always(SOMEBODY, |_, world| world.somebody_is_at_work()),
            Property::<Self>::eventually(COMES_TO_AN_END, |model, world| {
                let ended = |entry: &Entry| entry.state.is_over() || entry.state == EntryState::InDoubt;
                let sent = world.sends[..model.keys.len()]
                    .iter()
                    .all(|send| matches!(send.phase, Sending::Over(_) | Sending::Killed));
                sent && world.kept.line.iter().all(ended)
            }),
            Property::<Self>::always(DRAINED, |_, world| {
                let sent = |backfill: &Actor<Applying>| matches!(backfill.phase, Applying::Sent(_));
                !world.backfills.iter().any(sent) || !world.writes_are_out()
            }),
            Property::<Self>::sometimes("all that was kept is applied", |_, world| {
                let kept = &world.kept.line;
                !kept.is_empty() && kept.iter().all(|entry| entry.state == EntryState::Applied)
            }),
        ];
        let sometimes = |it, condition| Property::<Self>::sometimes(it, condition);
        if usize::from(self.accepted) < self.keys.len() {
            all.push(sometimes("a write that nothing holds back needs no intent", |_, world| {
                world.effects.iter().any(|effect| world.kept.entry(effect.send).is_none())
            }));
        }
        if self.keys.iter().skip(1).any(|key| *key == self.keys[0]) {
            all.push(sometimes("a duplicate is told of the same intent", |_, world| {
                world.acknowledged().any(|id| world.acknowledged().filter(|it| *it == id).count() == 2)
            }));
            all.push(sometimes("a duplicate is given the answer of an intent", |_, world| {
                let answered = |entry: &Entry| world.told().any(|told| told == Told::Answered(entry.key));
                world.kept.line.iter().any(|entry| entry.state == EntryState::Applied && answered(entry))
            }));
        }
        if self.crashes + self.troubles > 0 && !self.honours_keys {
            all.push(sometimes("an intent is in doubt", |_, world| {
                world.kept.line.iter().any(|entry| entry.state == EntryState::InDoubt)
            }));
        }
        if self.troubles > 0 {
            all.push(sometimes("an intent is refused for good", |_, world| {
                world.kept.fences.iter().flatten().any(|fence| fence.value == Value::Sealed(REFUSED))
            }));
        }
        if self.backfills > 1 {
            all.push(sometimes("a holder that was given up tells after all", |_, world| {
                world.backfills.iter().any(|it| matches!(it.phase, Applying::TellingLate(..)))
            }));
        }
        if self.operator {
            all.push(sometimes("an operator resolves a doubt", |_, world| {
                world
                    .kept
                    .line
                    .iter()
                    .any(|entry| entry.state == EntryState::Queued && entry.given_up.is_some())
            }));
        }
        all
    }
}

impl World {
    fn told(&self) -> impl Iterator<Item = Told> {
        self.sends.iter().filter_map(|send| match send.phase {
            Sending::Over(told) => Some(told),
            _ => None,
        })
    }

    /// Whether a write is out that no intent is kept of.
    fn writes_are_out(&self) -> bool {
        self.sends
            .iter()
            .any(|send| matches!(send.phase, Sending::Begun(_) | Sending::Sent(_) | Sending::Settling))
    }

    /// The intents that somebody was told of.
    fn acknowledged(&self) -> impl Iterator<Item = u8> {
        self.told().filter_map(|told| match told {
            Told::Accepted(id) => Some(id),
            _ => None,
        })
    }

    /// No write took effect before an older one of its line, unless that one is dead.
    fn is_in_order(&self) -> bool {
        let line = &self.kept.line;
        let of_key = |key| self.effects.iter().position(|effect| effect.key == key);
        let of_send = |send| self.effects.iter().position(|effect| effect.send == send);
        line.iter().enumerate().all(|(place, older)| {
            let mut newer = line[place + 1..].iter().filter_map(|newer| of_send(newer.id));
            older.state == EntryState::Dead
                || newer.all(|newer| of_key(older.key).is_some_and(|older| older <= newer))
        })
    }

    fn is_true(&self, entry: &Entry) -> bool {
        match entry.state {
            EntryState::Applied => self.took_effect(entry.key),
            EntryState::Dead => self.effects.iter().all(|effect| effect.send != entry.id),
            _ => true,
        }
    }

    fn somebody_is_at_work(&self) -> bool {
        self.crashes > 0
            || self.kept.line.iter().all(|entry| {
                entry.state != EntryState::Applying
                    || self.backfills.iter().any(|backfill| match backfill.phase {
                        Applying::Claiming => backfill.asked.is_some(),
                        Applying::Holding(held)
                        | Applying::Sent(held)
                        | Applying::Telling(held, _)
                        | Applying::TellingLate(held, _) => held.id == entry.id,
                        Applying::GivingUp => true,
                        Applying::Nothing => entry.held == Held::Gone,
                    })
            })
    }
}
