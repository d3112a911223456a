//! What the actors do: client, gateways, store, upstream, and what goes wrong with them.

use sluicegate_store::{fence::OnUnknown, fingerprint::Fingerprint};

use super::world::{AtUpstream, Exchange, Foul, Loses, Outcome, Phase, Told, What, World, drawn, owner};
use crate::record::{Blind, Decided, Expected, Held, Stored, Value, decided, swap};

/// The most sends that a run may have.
pub(crate) const SENDS: usize = 4;

/// Which engine keeps the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    /// In the gateway's own process: a crash proves every holder dead, and takes what was not
    /// written yet with it.
    Embedded,
    /// Shared by two gateways over a network: a holder is taken for dead when its lease has
    /// lapsed, which can be at any time and also while it lives. Writes of one exchange
    /// arrive in the order in which they were sent, as over one connection.
    Leased,
    /// The same, but a write that was given up for lost can still arrive later than those
    /// sent after it, as over a second connection.
    LeasedLate,
}

/// A fault put into the protocol, to see that the model finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    /// The store makes every write.
    NothingCompared,
    /// The store looks whether there is a record, not which.
    TokenIgnored,
    /// The store does not look whether the holder of a record that is taken over is gone.
    DeathUnchecked,
    /// A record whose lease has lapsed is like none.
    LapseReleases,
    /// A key is begun whatever has become of it since it was looked up.
    BeginUnchecked,
    /// An attempt is settled whatever has become of its record.
    SettleUnchecked,
    /// The request goes out before the store has said that the key is begun.
    SentBeforeBegun,
    /// An attempt that was cut off is released like one that was not applied.
    CutReleases,
    /// A write whose answer did not come is made again under a new token.
    NewTokenOnRepeat,
    /// A client that leaves takes its exchange with it.
    LeaverCancels,
    /// A begin whose answer did not come is given up and not undone.
    BeginLeftBehind,
    /// The store loses its last write, once, though it has answered.
    StoreForgets,
}

/// The model and its size.
#[derive(Clone, Debug)]
pub(crate) struct Protocol {
    pub(crate) store: Store,
    pub(crate) on_unknown: OnUnknown,
    /// Whether the upstream knows the key and answers a second attempt like the first.
    pub(crate) honours_keys: bool,
    pub(crate) sends: usize,
    pub(crate) crashes: u8,
    /// How often an answer of the store does not come in time.
    pub(crate) silences: u8,
    pub(crate) broken: Option<Break>,
    pub(crate) print: Fingerprint,
}

/// One step of somebody. Numbers are those of exchanges, unless said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The client sends, or sends again, to this gateway.
    Send(u8, u8),
    /// The client leaves, or the gateway gives up waiting for another attempt.
    Leave(u8),
    /// The gateway reads the record and decides.
    Look(u8),
    /// The store makes the write of that place in the line of the exchange's writes.
    Store(u8, usize),
    /// The store's answer does not come: the gateway asks again.
    AskAgain(u8),
    /// The store's answer does not come: the gateway refuses the request.
    GiveUp(u8),
    /// The request goes out.
    Forward(u8),
    /// The upstream cannot be reached.
    NotSent(u8),
    /// The write takes effect.
    Apply(u8),
    /// The upstream refuses it.
    Refuse(u8),
    /// The upstream's answer arrives.
    Hear(u8),
    /// The connection to the upstream breaks, or time is up.
    Cut(u8),
    /// This gateway is killed, and started again.
    Kill(u8),
    /// The holder was not heard of for a whole lease.
    Lapse,
    /// The holder is heard of again.
    Beat,
    /// The last write is lost.
    Forget,
}

impl Protocol {
    pub(crate) fn start() -> World {
        let unsent = Exchange { gateway: 0, phase: Phase::Unsent, draw: 0, writes: Vec::new() };
        World {
            record: None,
            loses: Loses::Nothing,
            exchanges: std::array::from_fn(|_| unsent.clone()),
            upstream: [AtUpstream::Nothing; SENDS],
            crashes: 0,
            silences: 0,
            sealed: None,
            foul: None,
        }
    }

    /// Every step that somebody could take now.
    pub(crate) fn steps(&self, world: &World, steps: &mut Vec<Step>) {
        for (number, exchange) in (0..).zip(&world.exchanges[..self.sends]) {
            let at = world.upstream[usize::from(number)];
            match exchange.phase {
                Phase::Unsent => {
                    // The two gateways are alike, so the first send goes to the first of them.
                    let gateways = if number == 0 || self.store == Store::Embedded { 1 } else { 2 };
                    steps.extend((0..gateways).map(|gateway| Step::Send(number, gateway)));
                }
                Phase::Looking => steps.extend([Step::Look(number), Step::Leave(number)]),
                Phase::Beginning(_) | Phase::Undoing | Phase::Settling(_) => {
                    if world.silences < self.silences {
                        steps.push(Step::AskAgain(number));
                        if matches!(exchange.phase, Phase::Beginning(_)) {
                            steps.push(Step::GiveUp(number));
                        }
                    }
                }
                Phase::Begun => steps.extend([Step::Forward(number), Step::NotSent(number)]),
                Phase::Sent => {
                    steps.push(Step::Cut(number));
                    if matches!(at, AtUpstream::Applied(_) | AtUpstream::Refused) {
                        steps.push(Step::Hear(number));
                    }
                }
                Phase::Over(_) | Phase::Killed => {}
            }
            if self.broken == Some(Break::LeaverCancels) && exchange.is_at_work() {
                steps.push(Step::Leave(number));
            }
            let arriving = if self.store == Store::LeasedLate { exchange.writes.len() } else { 1 };
            steps.extend((0..exchange.writes.len().min(arriving)).map(|place| Step::Store(number, place)));
            if at == AtUpstream::Waiting {
                steps.extend([Step::Apply(number), Step::Refuse(number)]);
            }
            if exchange.phase == Phase::Unsent {
                break;
            }
        }
        if world.crashes < self.crashes {
            steps.extend(
                (0..2)
                    .filter(|gateway| world.exchanges.iter().any(|it| it.dies_with(*gateway)))
                    .map(Step::Kill),
            );
        }
        if self.store != Store::Embedded {
            steps.extend([Step::Lapse, Step::Beat]);
        }
        if world.loses != Loses::Nothing {
            steps.push(Step::Forget);
        }
    }

    /// The world after that step; none where it changes nothing.
    pub(crate) fn after(&self, world: &World, step: Step) -> Option<World> {
        let mut next = world.clone();
        match step {
            Step::Send(number, gateway) => {
                let exchange = next.exchange(number);
                exchange.gateway = gateway;
                exchange.phase = Phase::Looking;
            }
            Step::Leave(number) => next.exchange(number).end(Told::Nothing),
            Step::Look(number) => self.look(&mut next, number),
            Step::Store(number, place) => self.store(&mut next, number, place),
            Step::AskAgain(number) => {
                next.silences += 1;
                self.ask_again(next.exchange(number));
            }
            Step::GiveUp(number) => {
                next.silences += 1;
                self.give_up(next.exchange(number));
            }
            Step::Forward(number) => {
                let at = &mut next.upstream[usize::from(number)];
                if *at == AtUpstream::Nothing {
                    *at = AtUpstream::Waiting;
                }
                next.exchange(number).phase = Phase::Sent;
            }
            Step::NotSent(number) => next.exchange(number).settle(Outcome::NotApplied),
            Step::Apply(number) => {
                let before = next.upstream.iter().find_map(|at| match at {
                    AtUpstream::Applied(answer) => Some(*answer),
                    _ => None,
                });
                let answer = before.filter(|_| self.honours_keys).unwrap_or(number);
                next.upstream[usize::from(number)] = AtUpstream::Applied(answer);
            }
            Step::Refuse(number) => next.upstream[usize::from(number)] = AtUpstream::Refused,
            Step::Hear(number) => {
                let outcome = match next.upstream[usize::from(number)] {
                    AtUpstream::Applied(answer) => Outcome::Final(answer),
                    _ => Outcome::NotApplied,
                };
                next.exchange(number).settle(outcome);
            }
            Step::Cut(number) => {
                let released = self.broken == Some(Break::CutReleases);
                next.exchange(number).settle(if released { Outcome::NotApplied } else { Outcome::Unknown });
            }
            Step::Kill(gateway) => self.kill(&mut next, gateway),
            Step::Lapse => {
                next.record.as_mut().filter(|record| record.held == Held::Alive)?.held = Held::Gone;
            }
            Step::Beat => {
                let record = next.record.as_mut().filter(|record| record.held == Held::Gone)?;
                let holder = &next.exchanges[usize::from(owner(record.token))];
                if !holder.is_at_work_under(record.token) {
                    return None;
                }
                record.held = Held::Alive;
            }
            Step::Forget => {
                let Loses::BackTo(before) = next.loses else { return None };
                (next.record, next.loses) = (before, Loses::Nothing);
            }
        }
        (next != *world).then_some(next)
    }

    fn look(&self, world: &mut World, number: u8) {
        let found = world
            .record
            .filter(|record| self.broken != Some(Break::LapseReleases) || record.held != Held::Gone);
        let decided = decided(found, &self.print, self.on_unknown);
        let draw = world.draw(number);
        let exchange = world.exchange(number);
        match decided {
            Decided::Begin(expected) => {
                exchange.draw = draw;
                exchange.phase = Phase::Beginning(expected);
                exchange.write(self.begin(expected));
                if self.broken == Some(Break::SentBeforeBegun) {
                    world.upstream[usize::from(number)] = AtUpstream::Waiting;
                }
            }
            Decided::Wait => {}
            Decided::Replay(answer) => exchange.end(Told::Replayed(answer)),
            Decided::Unknown => exchange.end(Told::Unknown),
            Decided::Deferred(_) => unreachable!("no key is deferred here"),
        }
    }

    fn blind(&self) -> Blind {
        Blind {
            tokens: self.broken == Some(Break::TokenIgnored),
            deaths: self.broken == Some(Break::DeathUnchecked),
            abandoned: self.broken == Some(Break::LapseReleases),
        }
    }

    fn begin(&self, expected: Expected) -> What {
        let unchecked = self.broken == Some(Break::BeginUnchecked);
        What::Begin(if unchecked { Expected::Anything } else { expected })
    }

    fn ask_again(&self, exchange: &mut Exchange) {
        let what = match exchange.phase {
            Phase::Beginning(expected) => self.begin(expected),
            Phase::Undoing => What::Undo,
            Phase::Settling(outcome) => What::Settle(outcome),
            _ => return,
        };
        if self.broken == Some(Break::NewTokenOnRepeat) && matches!(what, What::Begin(_)) {
            exchange.draw += 1;
        }
        exchange.write(what);
    }

    fn give_up(&self, exchange: &mut Exchange) {
        if self.broken == Some(Break::BeginLeftBehind) {
            exchange.end(Told::Nothing);
        } else {
            exchange.phase = Phase::Undoing;
            exchange.write(What::Undo);
        }
    }

    /// The store makes a write, and the exchange that still waits for it hears the answer.
    fn store(&self, world: &mut World, number: u8, place: usize) {
        let exchange = world.exchange(number);
        let write = exchange.writes.remove(place);
        let token = drawn(number, write.draw);
        let own = Stored { token, value: Value::Running, held: Held::Alive };
        let settled = |value| {
            // Every write has a token of its own; one settles an exchange only once.
            let token = drawn(number, u8::MAX);
            Some(Stored { token, value, held: Held::Nobody })
        };
        let (expected, put) = match write.what {
            What::Begin(expected) => (expected, Some(own)),
            What::Undo | What::Settle(Outcome::NotApplied) => (Expected::Token(token), None),
            What::Settle(Outcome::Final(answer)) => (Expected::Token(token), settled(Value::Sealed(answer))),
            What::Settle(Outcome::Unknown) => (Expected::Token(token), settled(Value::Unknown)),
        };
        let unchecked = match self.broken {
            Some(Break::NothingCompared) => true,
            Some(Break::SettleUnchecked) => matches!(write.what, What::Settle(_)),
            _ => false,
        };
        let expected = if unchecked { Expected::Anything } else { expected };
        let before = world.record;
        let swapped = swap(&mut world.record, expected, put, self.blind());
        if world.record != before {
            if self.broken == Some(Break::StoreForgets) {
                world.loses = Loses::BackTo(before);
            }
            world.foul = world.foul.or(self.foul(before, write.what, number));
            if let Some(Stored { value: Value::Sealed(answer), .. }) = world.record {
                world.sealed = world.sealed.or(Some(answer));
            }
        }
        if write.awaited {
            let late = before.is_some_and(|before| before.held == Held::Gone);
            world.exchange(number).hear(write.what, swapped, late);
        }
    }

    fn foul(&self, before: Option<Stored>, what: What, number: u8) -> Option<Foul> {
        let before = before?;
        match what {
            What::Begin(_) if self.on_unknown == OnUnknown::Refuse => Some(Foul::AfterUnknown),
            What::Begin(_) => (before.held == Held::Alive).then_some(Foul::OverTheLiving),
            What::Undo | What::Settle(_) => (owner(before.token) != number).then_some(Foul::OverAnother),
        }
    }

    fn kill(&self, world: &mut World, gateway: u8) {
        world.crashes += 1;
        for exchange in &mut world.exchanges {
            if exchange.dies_with(gateway) {
                exchange.leave_to(Phase::Killed);
            }
        }
        if self.store == Store::Embedded {
            world.exchanges.iter_mut().for_each(|exchange| exchange.writes.clear());
            if let Some(record) = world.record.as_mut().filter(|record| record.held == Held::Alive) {
                record.held = Held::Gone;
            }
        }
    }
}
