//! What the actors do: clients, gateways with their backfill, store, upstream, operator, and
//! what goes wrong with them.

use sluicegate_store::{EntryState, fingerprint::Fingerprint};

use super::{
    store::{Entry, KEYS, Kept, Op},
    world::{Actor, Applying, At, Effect, FenceMove, Outcome, Sending, Told, Who, World, hang_up},
};
use crate::record::{Expected, Held};

/// The most sends that a run may have.
pub(crate) const SENDS: usize = 3;

/// How many gateways there are, where there are several.
pub(crate) const GATEWAYS: usize = 2;

/// Which engine keeps the intents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    /// In the one gateway's own process: a crash proves every holder dead, and takes what was
    /// not written yet with it.
    Embedded,
    /// Shared by two gateways: a holder is taken for dead when its lease has lapsed, which can
    /// be at any time and also while it lives.
    Leased,
}

/// A fault put into the protocol, to see that the model finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    /// The fence says *deferred* first, and the entry is appended after.
    FenceFirst,
    /// The entry is appended first, and the fence says *deferred* after.
    EntryFirst,
    /// An entry ends first, and its fence is settled after.
    SettledInTwo,
    /// The fence that changes with an entry is written whatever it says.
    FenceUnchecked,
    /// An entry is changed whatever its tag is.
    TagIgnored,
    /// What was claimed at a crash is queued after it, as if it had not been claimed.
    ClaimForgotten,
    /// What was abandoned is sent again though the upstream does not know the key.
    AbandonedSentAgain,
    /// An entry is claimed while an older one of its line is being applied.
    HeadsSkipped,
    /// An entry that is in doubt does not hold its line.
    DoubtLetsPass,
    /// A write that no freeze holds back goes past those that wait.
    PastTheLine,
    /// The backfill does not wait for the writes that were let through before the freeze.
    NotDrained,
    /// A claim whose answer did not come is asked for again under a new tag.
    NewTagOnRepeat,
    /// An attempt settles an entry and leaves it to an earlier one to settle it again.
    EarlierNotFenced,
    /// An attempt that was not applied ends an intent though an earlier one may have been.
    DoubtForgotten,
}

/// The model and its size.
#[derive(Clone, Debug)]
pub(crate) struct Protocol {
    pub(crate) engine: Engine,
    /// Whether the upstream knows the key and answers a second attempt like the first.
    pub(crate) honours_keys: bool,
    /// The key of each send.
    pub(crate) keys: &'static [u8],
    /// So many of them were accepted before it all begins.
    pub(crate) accepted: u8,
    /// How many gateways apply what is kept.
    pub(crate) backfills: u8,
    pub(crate) crashes: u8,
    /// How often an answer of the store does not come in time.
    pub(crate) silences: u8,
    /// How often an attempt is cut off, refused, or not applied.
    pub(crate) troubles: u8,
    /// How often a freeze begins after the first.
    pub(crate) freezes: u8,
    pub(crate) operator: bool,
    pub(crate) broken: Option<Break>,
    pub(crate) print: Fingerprint,
}

/// One step of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A client sends, or sends again, to this gateway.
    Send(u8, u8),
    /// The gateway reads the key's fence and decides.
    Look(u8),
    /// The request comes to the freeze.
    Pass(u8),
    /// The client leaves, or is told to come back.
    Leave(u8),
    /// The store makes the oldest write of these that are on their way.
    Store(Who),
    /// The store's answer does not come: asked again.
    AskAgain(Who),
    /// The store's answer to an append does not come: the client is refused.
    GiveUp(u8),
    /// A backfill that may claims the head of the line.
    Claim(u8),
    /// A backfill finds that a freeze holds back what it has claimed.
    PutBack(u8),
    /// A backfill finds this entry abandoned.
    Notice(u8, u8),
    /// The request goes out.
    Forward(Who),
    /// The upstream does this with the request of that place.
    Upstream(usize, At),
    /// The upstream's answer arrives.
    Hear(Who),
    /// The same, and the intent's tries are used up.
    HearLast(u8),
    /// The connection to the upstream breaks, or time is up.
    Cut(Who),
    Freeze,
    Thaw,
    /// This gateway is killed, and started again.
    Kill(u8),
    /// Of what is held this was not heard of for a whole lease.
    Lapse(usize),
    /// An operator settles what is in doubt and was applied, or has it tried again.
    Operator(u8),
}

impl Protocol {
    pub(crate) fn start(&self) -> World {
        let sending = Actor { gateway: 0, phase: Sending::Unsent, asked: None, line: Vec::new() };
        let backfill = |gateway| Actor { gateway, phase: Applying::Nothing, asked: None, line: Vec::new() };
        let mut world = World {
            frozen: true,
            kept: Kept { fences: [None; KEYS], line: Vec::new() },
            sends: std::array::from_fn(|_| sending.clone()),
            backfills: [backfill(0), backfill(1)],
            upstream: Vec::new(),
            effects: Vec::new(),
            refused: [false; KEYS],
            crashes: 0,
            silences: 0,
            troubles: 0,
            freezes: 0,
        };
        for number in 0..self.accepted {
            world.send(number).phase = Sending::Passing(Expected::Absent);
            self.pass(&mut world, number);
            self.store(&mut world, Who::Send(number));
        }
        world
    }

    fn gateways(&self) -> u8 {
        if self.engine == Engine::Embedded { 1 } else { 2 }
    }

    pub(super) fn has(&self, fault: Break) -> bool {
        self.broken == Some(fault)
    }

    /// Every step that somebody could take now.
    pub(crate) fn steps(&self, world: &World, steps: &mut Vec<Step>) {
        let troubled = world.troubles < self.troubles;
        for (number, send) in (0..).zip(&world.sends[..self.keys.len()]) {
            let who = Who::Send(number);
            match send.phase {
                Sending::Unsent => {
                    // The gateways are alike, and which of them it is matters only when it dies.
                    let gateways = if number == 0 || self.crashes == 0 { 1 } else { self.gateways() };
                    steps.extend((0..gateways).map(|gateway| Step::Send(number, gateway)));
                }
                Sending::Looking => steps.extend([Step::Look(number), Step::Leave(number)]),
                Sending::Passing(_) => steps.push(Step::Pass(number)),
                Sending::Appending(..) if world.silences < self.silences => steps.push(Step::GiveUp(number)),
                Sending::Begun(_) => steps.push(Step::Forward(who)),
                _ => {}
            }
            self.steps_of(world, who, send.asked.is_some(), &send.line, steps);
            if send.phase == Sending::Unsent {
                break;
            }
        }
        let drained = !world.writes_are_in_flight() || self.has(Break::NotDrained);
        for (gateway, backfill) in (0..self.backfills).zip(&world.backfills) {
            let who = Who::Backfill(gateway);
            match backfill.phase {
                Applying::Nothing => {
                    if !world.frozen && drained && world.kept.has_open() {
                        steps.push(Step::Claim(gateway));
                    }
                    let abandoned =
                        |entry: &&Entry| entry.state == EntryState::Applying && entry.held == Held::Gone;
                    let entries = world.kept.line.iter().filter(abandoned);
                    steps.extend(entries.map(|entry| Step::Notice(gateway, entry.id)));
                }
                Applying::Holding(_) if world.frozen || !drained => steps.push(Step::PutBack(gateway)),
                Applying::Holding(_) => steps.push(Step::Forward(who)),
                Applying::Sent(_) if world.answer_to(who) == Some(At::NotNow) => {
                    steps.push(Step::HearLast(gateway));
                }
                _ => {}
            }
            self.steps_of(world, who, backfill.asked.is_some(), &backfill.line, steps);
        }
        for (place, request) in world.upstream.iter().enumerate() {
            if request.at == At::Waiting {
                steps.push(Step::Upstream(
                    place,
                    if world.refused[usize::from(request.write.key)] { At::Refused } else { At::Applied },
                ));
                if troubled && !world.took_effect(request.write.key) {
                    steps.extend([Step::Upstream(place, At::Refused), Step::Upstream(place, At::NotNow)]);
                }
            }
        }
        if world.frozen {
            steps.push(Step::Thaw);
        } else if world.freezes < self.freezes {
            steps.push(Step::Freeze);
        }
        if world.crashes < self.crashes {
            steps.extend((0..self.gateways()).filter(|gateway| world.is_busy(*gateway)).map(Step::Kill));
        }
        if self.engine == Engine::Leased {
            let held = world.kept.clone().held().count();
            steps.extend((0..held).map(Step::Lapse));
        }
        if self.operator {
            let doubtful = world.kept.line.iter().filter(|entry| entry.state == EntryState::InDoubt);
            let sure = doubtful.filter(|entry| !world.may_be_applied_still(entry));
            steps.extend(sure.map(|entry| Step::Operator(entry.id)));
        }
    }

    /// The steps of whoever asks the store and the upstream.
    fn steps_of(&self, world: &World, who: Who, asked: bool, line: &[Op], steps: &mut Vec<Step>) {
        if !line.is_empty() {
            steps.push(Step::Store(who));
        }
        if asked && world.silences < self.silences {
            steps.push(Step::AskAgain(who));
        }
        if let Some(at) = world.answer_to(who) {
            if at != At::Waiting {
                steps.push(Step::Hear(who));
            }
            if world.troubles < self.troubles {
                steps.push(Step::Cut(who));
            }
        }
    }

    /// The world after that step; none where it changes nothing.
    pub(crate) fn after(&self, world: &World, step: Step) -> Option<World> {
        let mut next = world.clone();
        match step {
            Step::Send(number, gateway) => {
                let send = next.send(number);
                (send.gateway, send.phase) = (gateway, Sending::Looking);
            }
            Step::Look(number) => self.look(&mut next, number),
            Step::Pass(number) => self.pass(&mut next, number),
            Step::Leave(number) | Step::GiveUp(number) => {
                next.silences += u8::from(matches!(step, Step::GiveUp(_)));
                next.send(number).rest(Sending::Over(Told::Nothing));
            }
            Step::Store(who) => self.store(&mut next, who),
            Step::AskAgain(who) => {
                next.silences += 1;
                self.ask_again(&mut next, who);
            }
            Step::Claim(gateway) => {
                next.backfill(gateway).phase = Applying::Claiming;
                let tag = next.draw(Who::Backfill(gateway), &[]);
                next.ask(Who::Backfill(gateway), Op::Claim(tag));
            }
            Step::PutBack(gateway) => self.tell(&mut next, gateway, Outcome::Frozen),
            Step::Notice(gateway, id) => self.notice(&mut next, gateway, id),
            Step::Forward(who) => next.forward(who, self.write_of(world, who)),
            Step::Upstream(place, at) => {
                next.troubles += u8::from(
                    at != At::Applied && !world.refused[usize::from(world.upstream[place].write.key)],
                );
                next.upstream_does(place, at, self.honours_keys);
            }
            Step::Hear(who) => {
                let outcome = match next.hang_up(who)? {
                    At::Waiting => return None,
                    At::Applied => Outcome::Applied,
                    At::Refused => Outcome::Refused,
                    At::NotNow => Outcome::NotApplied,
                };
                self.conclude(&mut next, who, outcome);
            }
            Step::HearLast(gateway) => {
                next.hang_up(Who::Backfill(gateway));
                self.tell(&mut next, gateway, Outcome::NotAppliedAgain);
            }
            Step::Cut(who) => {
                next.troubles += 1;
                next.hang_up(who);
                self.conclude(&mut next, who, Outcome::Unknown);
            }
            Step::Freeze => {
                next.freezes += 1;
                next.frozen = true;
            }
            Step::Thaw => next.frozen = false,
            Step::Kill(gateway) => self.kill(&mut next, gateway),
            Step::Lapse(place) => *next.kept.held().nth(place)? = Held::Gone,
            Step::Operator(id) => self.operate(&mut next, id),
        }
        next.upstream.sort_unstable();
        for send in &mut next.sends {
            if !send.is_busy() {
                send.gateway = 0;
            }
        }
        (next != *world).then_some(next)
    }

    fn write_of(&self, world: &World, who: Who) -> Effect {
        match who {
            Who::Send(send) => Effect { key: self.keys[usize::from(send)], send },
            Who::Backfill(gateway) => match world.backfills[usize::from(gateway)].phase {
                Applying::Holding(entry) => Effect { key: entry.key, send: entry.id },
                phase => unreachable!("a backfill sends what it holds, and it is at {phase:?}"),
            },
            Who::Operator => unreachable!("operators send nothing"),
        }
    }

    fn ask_again(&self, world: &mut World, who: Who) {
        let Some(mut op) = world.asked(who) else { return };
        if let Op::Claim(_) = op
            && self.has(Break::NewTagOnRepeat)
        {
            op = Op::Claim(world.draw(who, &[]));
        }
        world.ask(who, op);
    }

    /// The store makes a write, and whoever still waits for it hears the answer.
    fn store(&self, world: &mut World, who: Who) {
        let Some((op, awaited)) = world.arrive(who) else { return };
        let reply = world.kept.run(op, self.broken);
        if !awaited {
            return;
        }
        match who {
            Who::Send(number) => self.answer_send(world, number, op, reply),
            Who::Backfill(gateway) => self.answer_backfill(world, gateway, reply),
            Who::Operator => {}
        }
    }

    /// An operator looks at the upstream and says what is so. Reading and writing are one step
    /// here, since the compare makes them one.
    fn operate(&self, world: &mut World, id: u8) {
        let Some(entry) = world.kept.entry(id) else { return };
        let (state, fence) = if world.took_effect(entry.key) {
            (EntryState::Applied, FenceMove::Seal(entry.key))
        } else {
            (EntryState::Queued, FenceMove::Defer)
        };
        let doubtful = false;
        if let Some(op) = world.change(Who::Operator, entry, Entry { state, doubtful, ..entry }, fence) {
            world.kept.run(op, self.broken);
        }
    }

    fn kill(&self, world: &mut World, gateway: u8) {
        world.crashes += 1;
        for (number, send) in (0..).zip(&mut world.sends) {
            if send.gateway == gateway && send.is_busy() {
                send.rest(Sending::Killed);
                hang_up(&mut world.upstream, Who::Send(number));
            }
        }
        world.backfill(gateway).rest(Applying::Nothing);
        hang_up(&mut world.upstream, Who::Backfill(gateway));
        if self.engine == Engine::Leased {
            return;
        }
        world.sends.iter_mut().for_each(|send| send.line.clear());
        world.backfill(gateway).line.clear();
        if self.has(Break::ClaimForgotten) {
            for entry in world.kept.line.iter_mut().filter(|entry| entry.state == EntryState::Applying) {
                (entry.state, entry.held) = (EntryState::Queued, Held::Nobody);
            }
        }
        world.kept.lose_holders();
    }
}
