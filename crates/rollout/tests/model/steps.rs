//! What gateways and their store do, and what goes wrong.

use sluicegate_rollout::machine::{Command, Finding, Meeting, Phase, State, meet};
use stateright::{Model, Property};

use crate::world::{
    ABORT_HOLDS, ABORT_STAYS, FORWARD, Foul, Gateway, ONCE, ONWARD, SETTINGS, Seen, Stored, TOLD, World,
    Write, around, first,
};

/// A fault put into the protocol, to see that the model finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    /// The store makes every write.
    NothingCompared,
    /// What was found is written over whatever is there by then.
    FindingWrittenAnyway,
    /// A gateway that learns of another state forgets that it has aborted.
    CutDroppedByNews,
    /// An abort holds once the store has it.
    CutAfterStore,
    /// What is in the store holds, whatever was known.
    AlwaysAdopt,
    /// What was lost is written again under its old version.
    RestoredAsItWas,
}

/// The model and its size.
#[derive(Clone, Debug)]
pub(crate) struct Protocol {
    pub(crate) gateways: usize,
    /// How many times a judge finds that a step has passed.
    pub(crate) passes: u8,
    /// How many aborts there are.
    pub(crate) bads: u8,
    /// What operators ask for, in this order, on any gateway.
    pub(crate) orders: Vec<Command>,
    pub(crate) crashes: u8,
    pub(crate) silences: u8,
    pub(crate) losses: u8,
    pub(crate) broken: Option<Break>,
}

/// One step of somebody; numbers are those of gateways, unless said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Read(usize),
    Meet(usize),
    Pass(usize),
    Bad(usize),
    WriteCut(usize),
    Order(usize),
    Store(usize),
    AskAgain(usize),
    GiveUp(usize),
    /// The number of the write.
    Late(usize),
    Crash(usize),
    /// Whether all, or the last write.
    Forget(bool),
}

impl Protocol {
    fn is(&self, broken: Break) -> bool {
        self.broken == Some(broken)
    }

    /// The store gets a write. Says whether it was made, or had been.
    fn arrives(&self, world: &mut World, write: &Write) -> bool {
        let tag = world.record.as_ref().map(|record| record.tag);
        if tag == Some(write.put.tag) {
            return true;
        }
        if tag != write.expect && !self.is(Break::NothingCompared) {
            return false;
        }
        world.foul.twice |= world.made.contains(&write.put.tag) || tag != write.expect;
        let (old, new) = (world.record.as_ref().map(|record| &record.state.0), &write.put.state.0);
        world.foul.undone |= old.is_some_and(|old| old.epoch > new.epoch);
        world.foul.overtaken |= old.is_some_and(|old| old.version >= new.version);
        world.before = world.record.replace(write.put.clone());
        world.made.push(write.put.tag);
        true
    }

    /// From here on a gateway knows this, if it is later than what it knows.
    fn adopt(&self, world: &mut World, at: usize, stored: Stored) {
        let gateway = &mut world.gateways[at];
        let known = gateway.known.as_ref().map(|known| &known.state.0);
        let next = &stored.state.0;
        if meet(known, Some(next)) != Meeting::Adopt && !self.is(Break::AlwaysAdopt) {
            return;
        }
        world.foul.went_back |=
            known.is_some_and(|known| next.version <= known.version || next.epoch < known.epoch);
        if matches!(next.phase, Phase::Aborted { .. }) {
            gateway.aborted = gateway.aborted.max(next.epoch - 1);
        }
        if gateway.cut.is_some_and(|epoch| epoch != next.epoch) || self.is(Break::CutDroppedByNews) {
            gateway.cut = None;
        }
        gateway.known = Some(stored);
    }

    fn write(world: &mut World, at: usize, expect: Option<u8>, state: State) {
        world.tags += 1;
        let put = Stored { tag: world.tags, state: Seen(state) };
        world.gateways[at].write = Some(Write { expect, put });
    }

    fn step(&self, world: &mut World, step: Step) -> Option<()> {
        match step {
            Step::Read(at) => world.gateways[at].read = Some(world.record.clone()),
            Step::Meet(at) => {
                let gateway = &mut world.gateways[at];
                let found = gateway.read.take()?;
                gateway.stale = false;
                let known = gateway.known.as_ref();
                if known.is_some() && known.map(|known| known.tag) == found.as_ref().map(|found| found.tag) {
                    return Some(());
                }
                let expect = found.as_ref().map(|found| found.tag);
                let states = (known.map(|known| &known.state.0), found.as_ref().map(|found| &found.state.0));
                match (meet(states.0, states.1), found) {
                    (_, Some(found)) if self.is(Break::AlwaysAdopt) => self.adopt(world, at, found),
                    (Meeting::Adopt, Some(found)) => self.adopt(world, at, found),
                    (Meeting::Write(lost), _) if self.is(Break::RestoredAsItWas) => {
                        let version = known.map_or(0, |known| known.state.0.version);
                        Self::write(world, at, expect, lost.again(version));
                    }
                    (Meeting::Write(lost), _) => Self::write(world, at, expect, *lost),
                    _ => Self::write(world, at, None, first()),
                }
            }
            Step::Pass(at) => {
                world.passes -= 1;
                let known = world.gateways[at].known.clone()?;
                let next = around(at, |around| known.state.0.finding(&Finding::Passed(None), around))?;
                Self::write(world, at, Some(known.tag), next);
            }
            Step::Bad(at) => {
                world.bads -= 1;
                let gateway = &mut world.gateways[at];
                let epoch = gateway.known.as_ref()?.state.0.epoch;
                gateway.cut = Some(epoch);
                gateway.aborted = gateway.aborted.max(epoch);
            }
            Step::WriteCut(at) => {
                let known = world.gateways[at].known.clone()?;
                let next = Self::cut(&world.gateways[at], at)?;
                Self::write(world, at, Some(known.tag), next);
            }
            Step::Order(at) => {
                let command = &self.orders[world.orders];
                let known = world.gateways[at].known.clone()?;
                let next = around(at, |around| known.state.0.command(command, around)).ok()??;
                world.orders += 1;
                Self::write(world, at, Some(known.tag), next);
            }
            Step::Store(at) => {
                let mut write = world.gateways[at].write.take()?;
                if self.is(Break::FindingWrittenAnyway) {
                    let tag = world.record.as_ref().map(|record| record.tag);
                    world.foul.twice |= tag != write.expect;
                    write.expect = tag;
                }
                if self.arrives(world, &write) {
                    self.adopt(world, at, write.put);
                } else {
                    world.gateways[at].stale = true;
                }
            }
            Step::AskAgain(at) => {
                world.silences -= 1;
                let write = world.gateways[at].write.clone()?;
                world.flying.push(write);
            }
            Step::GiveUp(at) => {
                world.silences -= 1;
                let write = world.gateways[at].write.take()?;
                world.gateways[at].stale = true;
                world.flying.push(write);
            }
            Step::Late(write) => {
                let write = world.flying.remove(write);
                self.arrives(world, &write);
            }
            Step::Crash(at) => {
                world.crashes -= 1;
                let gateway = std::mem::take(&mut world.gateways[at]);
                world.flying.extend(gateway.write);
            }
            Step::Forget(all) => {
                world.losses -= 1;
                world.record = if all { None } else { world.before.take() };
                world.before = None;
            }
        }
        Some(())
    }

    /// What the abort of a gateway makes of what it knows.
    fn cut(gateway: &Gateway, at: usize) -> Option<State> {
        let known = &gateway.known.as_ref()?.state.0;
        if gateway.cut != Some(known.epoch) {
            return None;
        }
        around(at, |around| known.command(&Command::Abort { reason: None }, around)).ok()?
    }

    /// Whether requests may reach the candidate on this gateway, and in which epoch.
    fn serves(&self, gateway: &Gateway, at: usize) -> Option<u64> {
        let known = &gateway.known.as_ref()?.state.0;
        let cut = if self.is(Break::CutAfterStore) { None } else { Self::cut(gateway, at) };
        let serving = cut.as_ref().unwrap_or(known).serving(&SETTINGS);
        (serving.open && serving.weight > 0).then_some(serving.epoch)
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let state = around(0, |around| first().command(&Command::Start, around)).unwrap().unwrap();
        let record = Stored { tag: 1, state: Seen(state) };
        let gateway = Gateway { known: Some(record.clone()), ..Gateway::default() };
        vec![World {
            record: Some(record),
            before: None,
            gateways: vec![gateway; self.gateways],
            flying: Vec::new(),
            tags: 1,
            made: vec![1],
            passes: self.passes,
            bads: self.bads,
            orders: 0,
            crashes: self.crashes,
            silences: self.silences,
            losses: self.losses,
            foul: Foul::default(),
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        let tag = world.record.as_ref().map(|record| record.tag);
        for (at, gateway) in world.gateways.iter().enumerate() {
            let known = gateway.known.as_ref().map(|known| known.tag);
            if gateway.read.is_some() {
                steps.push(Step::Meet(at));
            } else if gateway.write.is_none() && (known != tag || known.is_none() || gateway.stale) {
                steps.push(Step::Read(at));
            }
            if gateway.write.is_some() {
                steps.push(Step::Store(at));
                if world.silences > 0 {
                    steps.extend([Step::AskAgain(at), Step::GiveUp(at)]);
                }
            } else if let (Some(known), false) = (&gateway.known, gateway.stale) {
                if gateway.cut.is_some() {
                    steps.push(Step::WriteCut(at));
                } else {
                    let phase = &known.state.0.phase;
                    if world.passes > 0 && matches!(phase, Phase::Running { .. }) {
                        steps.push(Step::Pass(at));
                    }
                    if world.bads > 0 && !matches!(phase, Phase::Aborted { .. } | Phase::Idle { .. }) {
                        steps.push(Step::Bad(at));
                    }
                }
                if world.orders < self.orders.len() {
                    steps.push(Step::Order(at));
                }
            }
            if world.crashes > 0 {
                steps.push(Step::Crash(at));
            }
        }
        steps.extend((0..world.flying.len()).map(Step::Late));
        if world.losses > 0 && world.record.is_some() {
            steps.push(Step::Forget(true));
            if world.before.is_some() {
                steps.push(Step::Forget(false));
            }
        }
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut next = world.clone();
        // A write that is under way is answered before anything is met.
        if let Step::Meet(at) = step
            && next.gateways[at].write.is_some()
        {
            return None;
        }
        self.step(&mut next, step)?;
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(FORWARD, |_, world: &World| !world.foul.went_back),
            Property::always(ONWARD, |_, world: &World| !world.foul.overtaken),
            Property::always(ABORT_STAYS, |_, world: &World| !world.foul.undone),
            Property::always(ONCE, |_, world: &World| !world.foul.twice),
            Property::always(ABORT_HOLDS, |model: &Self, world: &World| {
                let gateways = world.gateways.iter().enumerate();
                gateways
                    .filter_map(|(at, gateway)| Some((gateway.aborted, model.serves(gateway, at)?)))
                    .all(|(aborted, epoch)| epoch > aborted)
            }),
            Property::always(TOLD, |_, world: &World| {
                let epoch = world.record.as_ref().map_or(0, |record| record.state.0.epoch);
                !world.is_quiet() || world.gateways.iter().all(|gateway| gateway.aborted < epoch)
            }),
            Property::sometimes("a run comes to its end", |_, world: &World| {
                let state = world.record.as_ref().map(|record| &record.state.0);
                state.is_some_and(|state| matches!(state.phase, Phase::Complete { .. }))
            }),
            Property::sometimes("all is quiet after an abort", |_, world: &World| {
                world.is_quiet() && world.gateways.iter().any(|gateway| gateway.aborted > 0)
            }),
        ]
    }
}
