//! The course of a measurement: who takes a turn when.
//!
//! All processes stay up and take turns round by round, so that drift of the machine meets all of
//! them; who goes first changes with the rounds.

use std::{
    mem,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{
    bad::Bad,
    outcomes::{outcomes, wait_for_the_last},
    systems::{Copies, LINES, Running, Stage, System},
    table::{Burden, Line},
    turn::{Behind, Turn},
};
use crate::{Failure, child::Child};

/// In these turns connections are opened and code is paged in, before anything counts.
const WARM_UP: Duration = Duration::from_millis(700);
/// Any number: the same arrivals for all systems.
const SEED: u64 = 6;

/// How it is measured.
#[derive(Clone, Debug)]
pub struct Course {
    /// This program, which can become others.
    pub own: PathBuf,
    /// Where Envoy is.
    pub envoy: PathBuf,
    /// Requests a second.
    pub rate: u32,
    /// The length of a turn.
    pub during: Duration,
    /// How many turns each has.
    pub rounds: usize,
}

/// The gateway with a bad shadow, and what came of it.
struct Burdened {
    running: Running,
    /// The shadow, where there is one.
    _shadow: Option<Child>,
    burden: Burden,
}

impl Course {
    /// What copies cost, with each system that is installed.
    ///
    /// # Errors
    ///
    /// Something does not start, or does not tell what it did.
    pub fn costs(&self) -> Result<Vec<Line>, Failure> {
        let folder = tempfile::tempdir()?;
        let (primary, shadow) = (self.upstream()?, self.upstream()?);
        let behind = Behind { primary: primary.address, shadow: Some(shadow.address) };
        let at = shadow.address.to_string();
        let mut taking: Vec<(Running, Line)> = Vec::new();
        for (system, copies) in LINES {
            if system.version(&self.envoy).is_some() {
                let running = self.start(folder.path(), (behind, &at), system, copies)?;
                taking.push((running, Line { system, copies, turns: Vec::new() }));
            }
        }
        for (running, _) in &taking {
            self.warm_up(behind, running)?;
        }
        for round in 0..self.rounds {
            for (running, line) in &mut taking {
                line.turns.push(self.turn(behind, running, round)?);
            }
            taking.reverse();
            self.done(round);
        }
        if self.rounds % 2 == 1 {
            taking.reverse();
        }
        Ok(taking.into_iter().map(|(_, line)| line).collect())
    }

    /// What bad shadows do to the requests; first the gateway without any.
    ///
    /// # Errors
    ///
    /// Something does not start, or does not tell what it did.
    pub fn burdens(&self) -> Result<Vec<Burden>, Failure> {
        let folder = tempfile::tempdir()?;
        let primary = self.upstream()?;
        let behind = Behind { primary: primary.address, shadow: None };
        let start = |at: &str, copies| self.start(folder.path(), (behind, at), System::Sluicegate, copies);
        let alone = start("", Copies::None)?;
        let mut unburdened = Burden { name: "there is none", ..Burden::default() };
        // One more without a shadow, for what differs where nothing does.
        let again = Burden { name: "there is none, again", ..Burden::default() };
        let mut all = vec![Burdened { running: start("", Copies::None)?, _shadow: None, burden: again }];
        for bad in Bad::ALL {
            let (shadow, at) = bad.start(&self.own)?;
            let running = start(&at, Copies::Burdened)?;
            let burden = Burden { name: bad.name(), ..Burden::default() };
            all.push(Burdened { running, _shadow: shadow, burden });
        }
        self.warm_up(behind, &alone)?;
        for burdened in &all {
            self.warm_up(behind, &burdened.running)?;
            burdened.rest()?;
        }
        for round in 0..self.rounds {
            // Each is next to a turn without a shadow, which is after one and before the other.
            for two in all.chunks_mut(2) {
                let mut without = None;
                for burdened in &mut *two {
                    burdened.burden.with.push(self.turn(behind, &burdened.running, round)?);
                    burdened.rest()?;
                    if without.is_none() {
                        without = Some(self.turn(behind, &alone, round)?);
                    }
                }
                let Some(without) = without else { continue };
                for burdened in &mut *two {
                    burdened.burden.without.push(without.clone());
                }
                unburdened.with.push(without);
                two.reverse();
            }
            self.done(round);
        }
        if self.rounds % 2 == 1 {
            all.chunks_mut(2).for_each(<[_]>::reverse);
        }
        unburdened.peak_kib = alone.child.peak_kib()?;
        let mut burdens = vec![unburdened];
        for mut burdened in all {
            let burden = &mut burdened.burden;
            burden.peak_kib = burdened.running.child.peak_kib()?;
            burden.outcomes = burdened.running.admin.map(outcomes).transpose()?.unwrap_or_default();
            burdens.push(mem::take(burden));
        }
        Ok(burdens)
    }

    fn upstream(&self) -> Result<Child, Failure> {
        Child::start(Command::new(&self.own).arg("upstream"))
    }

    /// Starts a proxy with a folder of its own.
    fn start(
        &self,
        folder: &Path,
        (behind, shadow): (Behind, &str),
        system: System,
        copies: Copies,
    ) -> Result<Running, Failure> {
        // It goes with the folder that it is in.
        let folder = tempfile::tempdir_in(folder)?.keep();
        let (primary, envoy) = (behind.primary, &*self.envoy);
        system.start(&Stage { own: &self.own, folder: &folder, primary, shadow, envoy }, copies)
    }

    fn warm_up(&self, behind: Behind, running: &Running) -> Result<(), Failure> {
        behind.turn(&running.child, self.rate, WARM_UP, SEED)?;
        Ok(())
    }

    fn turn(&self, behind: Behind, running: &Running, round: usize) -> Result<Turn, Failure> {
        behind.turn(&running.child, self.rate, self.during, SEED + round as u64)
    }

    fn done(&self, round: usize) {
        eprintln!("round {} of {} done", round + 1, self.rounds);
    }
}

impl Burdened {
    /// Waits until it has no copy on its way: those of one turn are no burden of the next.
    fn rest(&self) -> Result<(), Failure> {
        self.running.admin.map_or(Ok(()), wait_for_the_last)
    }
}
