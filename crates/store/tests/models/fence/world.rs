//! What there is at one moment: the record, and what everybody is at.

use super::protocol::SENDS;
use crate::record::{Answer, Expected, Stored, Swapped, Token};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) record: Option<Stored>,
    /// For a store that forgets.
    pub(crate) loses: Loses,
    pub(crate) exchanges: [Exchange; SENDS],
    pub(crate) upstream: [AtUpstream; SENDS],
    pub(crate) crashes: u8,
    pub(crate) silences: u8,
    /// The first answer that was sealed.
    pub(crate) sealed: Option<Answer>,
    pub(crate) foul: Option<Foul>,
}

/// The write that a store loses if it forgets one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Loses {
    Nothing,
    /// The last one; this was there before.
    BackTo(Option<Stored>),
}

/// A write that the store should not have made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Foul {
    /// An attempt wrote its outcome over the record of another one.
    OverAnother,
    /// An attempt began where one was known that may have been applied, under `refuse`.
    AfterUnknown,
    /// An attempt took over from a holder that lived.
    OverTheLiving,
}

/// One send of the client, at the gateway that it reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Exchange {
    pub(crate) gateway: u8,
    pub(crate) phase: Phase,
    /// Which of its tokens it begins with.
    pub(crate) draw: u8,
    /// Writes on their way to the store, in the order in which they were sent.
    pub(crate) writes: Vec<Write>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Write {
    pub(crate) what: What,
    pub(crate) draw: u8,
    /// Whether the exchange still waits for the answer of this one.
    pub(crate) awaited: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum What {
    Begin(Expected),
    Undo,
    Settle(Outcome),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Outcome {
    NotApplied,
    Final(Answer),
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// Not sent yet.
    Unsent,
    /// Looks the key up, again and again where it has to wait.
    Looking,
    /// Has asked the store to begin the key and waits for its answer.
    Beginning(Expected),
    /// Was refused by a store that said nothing, and sees to it that nothing stays behind.
    Undoing,
    /// The key is begun.
    Begun,
    /// The request is on its way, or at the upstream.
    Sent,
    /// Has asked the store to settle the record and waits for its answer.
    Settling(Outcome),
    /// Over, and what the client was told.
    Over(Told),
    /// Its gateway was killed.
    Killed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Told {
    /// Nothing that is said of the write: a refusal, or the client was gone.
    Nothing,
    /// The stored answer.
    Replayed(Answer),
    /// The fate of the first attempt cannot be known.
    Unknown,
    /// Its own answer, sealed before.
    Settled(Answer),
    /// Its own answer, sealed before though its lease had lapsed.
    SettledLate(Answer),
    /// Its own answer, which could not be sealed since another attempt has begun.
    FencedOff(Answer),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum AtUpstream {
    Nothing,
    Waiting,
    Applied(Answer),
    Refused,
}

/// The token that an exchange drew as this one of its draws.
pub(super) fn drawn(owner: u8, draw: u8) -> Token {
    Token(u16::from_be_bytes([owner, draw]))
}

/// Which exchange drew a token.
pub(crate) fn owner(token: Token) -> u8 {
    token.0.to_be_bytes()[0]
}

impl World {
    pub(super) fn exchange(&mut self, number: u8) -> &mut Exchange {
        &mut self.exchanges[usize::from(number)]
    }

    /// A token that nobody has seen. One that nobody remembers is as good as new, and keeps the
    /// number of worlds finite.
    pub(super) fn draw(&self, owner: u8) -> u8 {
        let known = |draw| {
            let token = drawn(owner, draw);
            let expected = |it: Expected| it == Expected::Token(token) || it == Expected::Abandoned(token);
            self.record.is_some_and(|record| record.token == token)
                || self.exchanges[usize::from(owner)].writes.iter().any(|write| write.draw == draw)
                || self.exchanges.iter().any(|exchange| {
                    matches!(exchange.phase, Phase::Beginning(it) if expected(it))
                        || exchange
                            .writes
                            .iter()
                            .any(|write| matches!(write.what, What::Begin(it) if expected(it)))
                })
        };
        (0..u8::MAX).find(|draw| !known(*draw)).unwrap()
    }

    /// How many times the write took effect.
    pub(crate) fn effects(&self) -> usize {
        (0..).zip(self.upstream).filter(|(number, at)| *at == AtUpstream::Applied(*number)).count()
    }
}

impl Exchange {
    /// Whether it has asked for the key and is not over.
    pub(super) fn is_at_work(&self) -> bool {
        matches!(
            self.phase,
            Phase::Beginning(_) | Phase::Undoing | Phase::Begun | Phase::Sent | Phase::Settling(_)
        )
    }

    /// Whether it is the one that keeps up a record with this token.
    pub(crate) fn is_at_work_under(&self, token: Token) -> bool {
        self.is_at_work() && token == drawn(owner(token), self.draw)
    }

    /// Sends a write to the store. The answers of those before it count no more.
    pub(super) fn write(&mut self, what: What) {
        self.writes.iter_mut().for_each(|write| write.awaited = false);
        self.writes.push(Write { what, draw: self.draw, awaited: true });
    }

    pub(super) fn settle(&mut self, outcome: Outcome) {
        self.phase = Phase::Settling(outcome);
        self.write(What::Settle(outcome));
    }

    pub(super) fn end(&mut self, told: Told) {
        self.leave_to(Phase::Over(told));
    }

    pub(super) fn dies_with(&self, gateway: u8) -> bool {
        self.gateway == gateway && !matches!(self.phase, Phase::Unsent | Phase::Over(_) | Phase::Killed)
    }

    /// Nobody is at work on it any more; what it has sent can still arrive.
    pub(super) fn leave_to(&mut self, phase: Phase) {
        self.phase = phase;
        self.draw = 0;
        self.writes.iter_mut().for_each(|write| write.awaited = false);
    }

    /// The store has answered.
    pub(super) fn hear(&mut self, what: What, swapped: Swapped, late: bool) {
        match (what, swapped) {
            (What::Begin(_), Swapped::Done) => self.phase = Phase::Begun,
            (What::Begin(_), Swapped::Conflict) => self.phase = Phase::Looking,
            (What::Settle(Outcome::Final(answer)), swapped) => self.end(match swapped {
                Swapped::Conflict => Told::FencedOff(answer),
                Swapped::Done if late => Told::SettledLate(answer),
                Swapped::Done => Told::Settled(answer),
            }),
            (What::Undo | What::Settle(_), _) => self.end(Told::Nothing),
        }
    }
}
