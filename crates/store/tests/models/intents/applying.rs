//! What a gateway's backfill does about what it has claimed, and what others have left.

use sluicegate_store::EntryState;

use super::{
    protocol::{Break, Protocol},
    store::{Entry, Op, Reply},
    world::{Applying, FenceMove, Outcome, REFUSED, Who, World},
};

impl Protocol {
    pub(super) fn answer_backfill(&self, world: &mut World, gateway: u8, reply: Reply) {
        let phase = world.backfill(gateway).phase;
        world.backfill(gateway).rest(Applying::Nothing);
        match (phase, reply) {
            (Applying::Claiming, Reply::Claimed(Some(entry))) => {
                world.backfill(gateway).phase = Applying::Holding(entry);
            }
            (Applying::Telling(entry, outcome), Reply::Overtaken(found)) => {
                // Whoever was given up and not followed by another attempt can still tell.
                let still_mine = found.given_up == Some(entry.tag)
                    && matches!(found.state, EntryState::InDoubt | EntryState::Queued);
                if still_mine && !matches!(outcome, Outcome::Frozen | Outcome::Unknown) {
                    self.tell_of(world, gateway, found, outcome, true);
                }
            }
            // The fence has changed: looked at again.
            (Applying::Telling(entry, outcome), Reply::Conflict) => {
                self.tell_of(world, gateway, entry, outcome, false);
            }
            (Applying::TellingLate(entry, outcome), Reply::Conflict) => {
                self.tell_of(world, gateway, entry, outcome, true);
            }
            _ => {}
        }
    }

    pub(super) fn tell(&self, world: &mut World, gateway: u8, outcome: Outcome) {
        let (Applying::Holding(entry) | Applying::Sent(entry)) = world.backfill(gateway).phase else {
            return;
        };
        self.tell_of(world, gateway, entry, outcome, false);
    }

    pub(super) fn tell_of(&self, world: &mut World, gateway: u8, entry: Entry, outcome: Outcome, late: bool) {
        let (state, fence) = match outcome {
            Outcome::Applied => (EntryState::Applied, FenceMove::Seal(entry.key)),
            Outcome::Refused => (EntryState::Dead, FenceMove::Seal(REFUSED)),
            Outcome::NotAppliedAgain if entry.doubtful && !self.has(Break::DoubtForgotten) => {
                Self::doubt(false)
            }
            Outcome::NotAppliedAgain => (EntryState::Dead, FenceMove::Release),
            Outcome::NotApplied if late => (EntryState::Queued, FenceMove::Defer),
            Outcome::Frozen | Outcome::NotApplied => (EntryState::Queued, FenceMove::Stay),
            Outcome::Unknown => Self::doubt(self.honours_keys),
        };
        let given_up = if self.has(Break::EarlierNotFenced) { entry.given_up } else { None };
        let who = Who::Backfill(gateway);
        world.backfill(gateway).phase =
            if late { Applying::TellingLate(entry, outcome) } else { Applying::Telling(entry, outcome) };
        let doubtful = entry.doubtful || outcome == Outcome::Unknown;
        let Some(op) = world.change(who, entry, Entry { state, given_up, doubtful, ..entry }, fence) else {
            world.backfill(gateway).rest(Applying::Nothing);
            return;
        };
        match op {
            Op::Change { expected, entry, fence: Some(change) } if self.has(Break::SettledInTwo) => {
                world.ask(who, Op::Change { expected, entry, fence: None });
                world.ask(who, Op::Swap { key: entry.key, change });
            }
            op => world.ask(who, op),
        }
    }

    /// What becomes of an entry of whose attempt nobody knows what became.
    pub(super) fn doubt(again: bool) -> (EntryState, FenceMove) {
        if again { (EntryState::Queued, FenceMove::Stay) } else { (EntryState::InDoubt, FenceMove::Unknown) }
    }

    pub(super) fn notice(&self, world: &mut World, gateway: u8, id: u8) {
        let Some(entry) = world.kept.entry(id) else { return };
        let (state, fence) = Self::doubt(self.honours_keys || self.has(Break::AbandonedSentAgain));
        let who = Who::Backfill(gateway);
        let to = Entry { state, given_up: Some(entry.tag), doubtful: true, ..entry };
        if let Some(op) = world.change(who, entry, to, fence) {
            world.backfill(gateway).phase = Applying::GivingUp;
            world.ask(who, op);
        }
    }
}
