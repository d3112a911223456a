//! What there is at one moment: what is kept, and what everybody is at.

use super::{
    protocol::{GATEWAYS, SENDS},
    store::{Entry, FenceChange, KEYS, Kept, Mark, Op},
};
use crate::record::{Answer, Expected, Held, Stored, Token, Value};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) frozen: bool,
    pub(crate) kept: Kept,
    pub(crate) sends: [Actor<Sending>; SENDS],
    pub(crate) backfills: [Actor<Applying>; GATEWAYS],
    /// Requests at the upstream that will take effect or are still listened to.
    pub(crate) upstream: Vec<Request>,
    /// The writes that took effect, in this order.
    pub(crate) effects: Vec<Effect>,
    /// The keys that the upstream refused for good.
    pub(crate) refused: [bool; KEYS],
    pub(crate) crashes: u8,
    pub(crate) silences: u8,
    pub(crate) troubles: u8,
    pub(crate) freezes: u8,
}

/// Somebody who asks the store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Actor<P> {
    pub(crate) gateway: u8,
    pub(crate) phase: P,
    /// What it waits for the store to do.
    pub(crate) asked: Option<Op>,
    /// What is on its way to the store, in order; only the answer to the last counts, and only
    /// while it is waited for.
    pub(crate) line: Vec<Op>,
}

/// One send of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Sending {
    Unsent,
    /// The replay layer looks the key up.
    Looking,
    /// It comes to the freeze.
    Passing(Expected),
    /// It is to be kept, or to go behind those that wait.
    Appending(Expected, Way),
    /// The key is about to begin without an intent.
    Beginning,
    Begun(Token),
    Sent(Token),
    Settling,
    Over(Told),
    Killed,
}

/// How a write came to be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Way {
    Frozen,
    Behind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Told {
    /// Nothing that is said of the write.
    Nothing,
    /// It is kept as this intent.
    Accepted(u8),
    /// The upstream's answer, its own or a stored one.
    Answered(Answer),
    /// The fate of the first attempt cannot be known.
    Unknown,
}

/// What a gateway's backfill is at. It has one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Applying {
    Nothing,
    Claiming,
    /// It has claimed this.
    Holding(Entry),
    /// It has sent it.
    Sent(Entry),
    /// It tells what became of it.
    Telling(Entry, Outcome),
    /// The same, of an entry that was given up meanwhile.
    TellingLate(Entry, Outcome),
    /// It marks what another one has abandoned.
    GivingUp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Outcome {
    Frozen,
    Applied,
    Refused,
    NotApplied,
    /// Not applied, and its tries are used up.
    NotAppliedAgain,
    Unknown,
}

/// A write that took effect: its key, and the send that it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Effect {
    pub(crate) key: u8,
    pub(crate) send: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Request {
    pub(crate) write: Effect,
    /// Who listens for its answer.
    pub(crate) from: Option<Who>,
    pub(crate) at: At,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum At {
    Waiting,
    Applied,
    Refused,
    NotNow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Who {
    Send(u8),
    Backfill(u8),
    Operator,
}

/// What a change of an entry does to the fence of its key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FenceMove {
    Stay,
    Defer,
    Seal(Answer),
    Unknown,
    Release,
}

/// The stored answer of a write that was refused for good.
pub(crate) const REFUSED: Answer = 100;

impl World {
    pub(super) fn send(&mut self, number: u8) -> &mut Actor<Sending> {
        &mut self.sends[usize::from(number)]
    }

    pub(super) fn backfill(&mut self, gateway: u8) -> &mut Actor<Applying> {
        &mut self.backfills[usize::from(gateway)]
    }

    pub(super) fn answer_to(&self, who: Who) -> Option<At> {
        self.upstream.iter().find(|request| request.from == Some(who)).map(|request| request.at)
    }

    pub(super) fn hang_up(&mut self, who: Who) -> Option<At> {
        hang_up(&mut self.upstream, who)
    }

    /// Whether the write of that key took effect.
    pub(crate) fn took_effect(&self, key: u8) -> bool {
        self.effects.iter().any(|effect| effect.key == key)
    }

    /// Whether writes that were let through have no known end yet.
    pub(crate) fn writes_are_in_flight(&self) -> bool {
        self.sends.iter().any(|send| {
            matches!(
                send.phase,
                Sending::Appending(_, Way::Behind)
                    | Sending::Beginning
                    | Sending::Begun(_)
                    | Sending::Sent(_)
                    | Sending::Settling
            )
        })
    }

    /// Whether a write that is in doubt may take effect yet: what an operator makes sure of.
    pub(super) fn may_be_applied_still(&self, entry: &Entry) -> bool {
        let at_upstream = self
            .upstream
            .iter()
            .any(|request| request.write.key == entry.key && matches!(request.at, At::Waiting | At::Applied));
        let about_to = self
            .backfills
            .iter()
            .any(|backfill| matches!(backfill.phase, Applying::Holding(held) if held.id == entry.id));
        at_upstream || about_to
    }

    pub(super) fn is_busy(&self, gateway: u8) -> bool {
        let sends = self.sends.iter().any(|send| send.gateway == gateway && send.is_busy());
        sends || self.backfills[usize::from(gateway)].phase != Applying::Nothing
    }

    pub(super) fn asked(&mut self, who: Who) -> Option<Op> {
        match who {
            Who::Send(number) => self.send(number).asked,
            Who::Backfill(gateway) => self.backfill(gateway).asked,
            Who::Operator => None,
        }
    }

    pub(super) fn ask(&mut self, who: Who, op: Op) {
        match who {
            Who::Send(number) => self.send(number).ask(op),
            Who::Backfill(gateway) => self.backfill(gateway).ask(op),
            Who::Operator => {}
        }
    }

    /// The oldest write that is on its way from there, and whether its answer counts.
    pub(super) fn arrive(&mut self, who: Who) -> Option<(Op, bool)> {
        match who {
            Who::Send(number) => self.send(number).arrive(),
            Who::Backfill(gateway) => self.backfill(gateway).arrive(),
            Who::Operator => None,
        }
    }

    pub(super) fn forward(&mut self, who: Who, write: Effect) {
        self.upstream.push(Request { write, from: Some(who), at: At::Waiting });
        match who {
            Who::Send(number) => {
                let send = self.send(number);
                if let Sending::Begun(token) = send.phase {
                    send.phase = Sending::Sent(token);
                }
            }
            Who::Backfill(gateway) => {
                let backfill = self.backfill(gateway);
                if let Applying::Holding(entry) = backfill.phase {
                    backfill.phase = Applying::Sent(entry);
                }
            }
            Who::Operator => {}
        }
    }

    pub(super) fn upstream_does(&mut self, place: usize, at: At, honours_keys: bool) {
        let write = self.upstream[place].write;
        match at {
            At::Applied if honours_keys && self.took_effect(write.key) => {}
            At::Applied => self.effects.push(write),
            At::Refused => self.refused[usize::from(write.key)] = true,
            At::Waiting | At::NotNow => {}
        }
        self.upstream[place].at = at;
        if self.upstream[place].from.is_none() {
            self.upstream.remove(place);
        }
    }

    /// A change of an entry with that of its fence; none if it needs a fence that is another's.
    pub(super) fn change(&mut self, who: Who, from: Entry, to: Entry, fence: FenceMove) -> Option<Op> {
        let tag = self.draw(who, &[]);
        let to = Entry { tag, held: Held::Nobody, ..to };
        let expected = from.tag;
        let value = match fence {
            FenceMove::Stay => return Some(Op::Change { expected, entry: to, fence: None }),
            FenceMove::Release => None,
            FenceMove::Defer => Some(Value::Deferred(from.id)),
            FenceMove::Seal(answer) => Some(Value::Sealed(answer)),
            FenceMove::Unknown => Some(Value::Unknown),
        };
        let Some(own) = self.kept.own_fence(&from) else {
            let entry = Entry { mark: Mark::Lost, ..to };
            return (!matches!(fence, FenceMove::Defer)).then_some(Op::Change {
                expected,
                entry,
                fence: None,
            });
        };
        let token = self.draw(who, &[tag]);
        let put = value.map(|value| Stored { token, value, held: Held::Nobody });
        let mark = put.map_or(Mark::Released, |put| Mark::Wrote(put.token));
        let fence = Some(FenceChange { expected: own, put });
        Some(Op::Change { expected, entry: Entry { mark, ..to }, fence })
    }

    /// A token that nobody has seen. One that nobody remembers is as good as new, and keeps the
    /// number of worlds finite.
    pub(super) fn draw(&self, who: Who, taken: &[Token]) -> Token {
        let first = match who {
            Who::Send(number) => u16::from(number) * 16,
            Who::Backfill(gateway) => 128 + u16::from(gateway) * 16,
            Who::Operator => 256,
        };
        let known = self.tokens();
        let free = |token: &Token| !known.contains(token) && !taken.contains(token);
        (first..first + 16).map(Token).find(free).unwrap()
    }

    /// Every token that anybody remembers.
    pub(super) fn tokens(&self) -> Vec<Token> {
        let mut known: Vec<Token> = self.kept.fences.iter().flatten().map(|fence| fence.token).collect();
        self.kept.line.iter().for_each(|entry| entry.tokens(&mut known));
        for send in &self.sends {
            send.ops().for_each(|op| op.tokens(&mut known));
            match send.phase {
                Sending::Passing(expected) | Sending::Appending(expected, _) => {
                    known.extend(expected.token());
                }
                Sending::Begun(token) | Sending::Sent(token) => known.push(token),
                _ => {}
            }
        }
        for backfill in &self.backfills {
            backfill.ops().for_each(|op| op.tokens(&mut known));
            match backfill.phase {
                Applying::Holding(entry)
                | Applying::Sent(entry)
                | Applying::Telling(entry, _)
                | Applying::TellingLate(entry, _) => entry.tokens(&mut known),
                _ => {}
            }
        }
        known
    }
}

impl Actor<Sending> {
    pub(super) fn is_busy(&self) -> bool {
        !matches!(self.phase, Sending::Unsent | Sending::Over(_) | Sending::Killed)
    }
}

impl<P> Actor<P> {
    pub(super) fn ask(&mut self, op: Op) {
        self.asked = Some(op);
        self.line.push(op);
    }

    pub(super) fn arrive(&mut self) -> Option<(Op, bool)> {
        if self.line.is_empty() {
            return None;
        }
        let op = self.line.remove(0);
        Some((op, self.line.is_empty() && self.asked.is_some()))
    }

    /// It waits for the store no more.
    pub(super) fn rest(&mut self, phase: P) {
        self.phase = phase;
        self.asked = None;
    }

    pub(super) fn ops(&self) -> impl Iterator<Item = &Op> {
        self.line.iter().chain(&self.asked)
    }
}

/// Nobody listens for this answer any more; what has not been done yet may still be.
pub(super) fn hang_up(upstream: &mut Vec<Request>, who: Who) -> Option<At> {
    let place = upstream.iter().position(|request| request.from == Some(who))?;
    let request = &mut upstream[place];
    request.from = None;
    let at = request.at;
    if at != At::Waiting {
        upstream.remove(place);
    }
    Some(at)
}
