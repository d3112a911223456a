//! One send of a client, from the look at its key to its end.

use sluicegate_store::{EntryState, fence::OnUnknown};

use super::{
    protocol::{Break, Protocol},
    store::{Entry, FenceChange, Mark, Op, Reply},
    world::{Outcome, REFUSED, Sending, Told, Way, Who, World},
};
use crate::record::{Decided, Expected, Held, Stored, Token, Value, decided};

impl Protocol {
    pub(super) fn look(&self, world: &mut World, number: u8) {
        let found = world.kept.fences[usize::from(self.keys[usize::from(number)])];
        let phase = match decided(found, &self.print, OnUnknown::Refuse) {
            Decided::Begin(expected) => Sending::Passing(expected),
            Decided::Wait => return,
            Decided::Replay(answer) => Sending::Over(Told::Answered(answer)),
            Decided::Unknown => Sending::Over(Told::Unknown),
            Decided::Deferred(id) => Sending::Over(Told::Accepted(id)),
        };
        world.send(number).phase = phase;
    }

    pub(super) fn pass(&self, world: &mut World, number: u8) {
        let Sending::Passing(expected) = world.send(number).phase else { return };
        let way = if world.frozen { Way::Frozen } else { Way::Behind };
        if way == Way::Behind && self.has(Break::PastTheLine) {
            self.begin(world, number, expected);
            return;
        }
        world.send(number).phase = Sending::Appending(expected, way);
        let who = Who::Send(number);
        let fence = world.draw(who, &[]);
        let key = self.keys[usize::from(number)];
        let change = FenceChange {
            expected,
            put: Some(Stored { token: fence, value: Value::Deferred(number), held: Held::Nobody }),
        };
        if self.has(Break::FenceFirst) {
            world.ask(who, Op::Swap { key, change });
            return;
        }
        let fence = (!self.has(Break::EntryFirst)).then_some(change);
        let entry = Self::entry(number, key, change);
        world.ask(who, Op::Append { entry, only_behind: way == Way::Behind, fence });
    }

    /// A new entry. Its id is the number of its send.
    pub(super) fn entry(id: u8, key: u8, fence: FenceChange) -> Entry {
        // The first tag of an entry is expected by nobody.
        let tag = Token(u16::MAX - u16::from(id));
        let mark = fence.put.map_or(Mark::Lost, |put| Mark::Wrote(put.token));
        Entry {
            id,
            key,
            tag,
            state: EntryState::Queued,
            held: Held::Nobody,
            given_up: None,
            doubtful: false,
            mark,
        }
    }

    pub(super) fn begin(&self, world: &mut World, number: u8, expected: Expected) {
        let who = Who::Send(number);
        world.send(number).phase = Sending::Beginning;
        let token = world.draw(who, &[]);
        let put = Some(Stored { token, value: Value::Running, held: Held::Alive });
        let key = self.keys[usize::from(number)];
        world.ask(who, Op::Swap { key, change: FenceChange { expected, put } });
    }

    pub(super) fn answer_send(&self, world: &mut World, number: u8, op: Op, reply: Reply) {
        let who = Who::Send(number);
        match (world.send(number).phase, op, reply) {
            (Sending::Appending(..), Op::Swap { key, change }, Reply::Done)
                if self.has(Break::FenceFirst) =>
            {
                let entry = Self::entry(number, key, change);
                world.ask(who, Op::Append { entry, only_behind: false, fence: None });
            }
            (Sending::Appending(expected, _), Op::Append { entry, .. }, Reply::Done)
                if self.has(Break::EntryFirst) =>
            {
                let token = world.draw(who, &[]);
                let put = Some(Stored { token, value: Value::Deferred(number), held: Held::Nobody });
                world.ask(who, Op::Swap { key: entry.key, change: FenceChange { expected, put } });
            }
            (Sending::Appending(..), _, Reply::Done) => {
                world.send(number).rest(Sending::Over(Told::Accepted(number)));
            }
            (Sending::Appending(expected, _), _, Reply::NothingAhead) => self.begin(world, number, expected),
            (
                Sending::Beginning,
                Op::Swap { change: FenceChange { put: Some(put), .. }, .. },
                Reply::Done,
            ) => {
                world.send(number).rest(Sending::Begun(put.token));
            }
            (Sending::Settling, Op::Swap { change, .. }, _) => {
                let told = match change.put.map(|put| put.value) {
                    Some(Value::Sealed(answer)) => Told::Answered(answer),
                    _ => Told::Nothing,
                };
                world.send(number).rest(Sending::Over(told));
            }
            _ => world.send(number).rest(Sending::Looking),
        }
    }

    /// An attempt came to this.
    pub(super) fn conclude(&self, world: &mut World, who: Who, outcome: Outcome) {
        let number = match who {
            Who::Send(number) => number,
            Who::Backfill(gateway) => return self.tell(world, gateway, outcome),
            Who::Operator => return,
        };
        let Sending::Sent(token) = world.send(number).phase else { return };
        world.send(number).phase = Sending::Settling;
        let key = self.keys[usize::from(number)];
        let value = match outcome {
            Outcome::Applied => Some(Value::Sealed(key)),
            Outcome::Refused => Some(Value::Sealed(REFUSED)),
            Outcome::Unknown => Some(Value::Unknown),
            Outcome::NotApplied | Outcome::NotAppliedAgain | Outcome::Frozen => None,
        };
        let settled = world.draw(who, &[]);
        let put = value.map(|value| Stored { token: settled, value, held: Held::Nobody });
        world.ask(who, Op::Swap { key, change: FenceChange { expected: Expected::Token(token), put } });
    }
}
