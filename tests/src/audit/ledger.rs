//! What came to an audited upstream, and what it did.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
};

use bytes::Bytes;

use super::{Act, Choice, Write};
use crate::tick::{Tick, micros, tick};

/// A moment: its place in the order of events, and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct When {
    /// The place.
    pub tick: Tick,
    /// Microseconds of [`micros`].
    pub micros: u64,
}

impl When {
    /// This moment.
    pub fn now() -> Self {
        Self { tick: tick(), micros: micros() }
    }
}

/// One arrival of a write.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The number of the write.
    pub number: u64,
    /// The door it came in by.
    pub door: usize,
    /// When its head had come.
    pub began: When,
    /// What was done, once it had come whole.
    pub act: Option<Act>,
    /// What was answered, as far as it was decided.
    pub given: Option<Given>,
    /// When the work for it was over: before the answer's last bytes went out, or when the
    /// connection broke.
    pub ended: Option<When>,
}

/// An answer that was decided on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Its status.
    pub status: u16,
    /// Its content, different for each effect.
    pub body: Bytes,
}

/// One effect.
#[derive(Clone, Debug)]
pub struct Effect {
    /// The write that had it.
    pub write: Write,
    /// When.
    pub at: When,
}

#[derive(Default)]
struct Book {
    arrivals: Vec<Arrival>,
    by_number: HashMap<u64, Vec<usize>>,
    effects: Vec<Effect>,
    /// Where keys are honoured: the answer of the first effect under each.
    honoured: HashMap<u64, Given>,
    violations: Vec<String>,
}

/// The account of an audited upstream.
pub struct Ledger {
    choice: Choice,
    honours: bool,
    book: Mutex<Book>,
}

impl Ledger {
    pub(super) fn new(choice: Choice, honours: bool) -> Self {
        Self { choice, honours, book: Mutex::default() }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap()
    }

    /// Notes that a head came, and returns the arrival's place.
    pub(super) fn arrived(&self, number: u64, door: usize) -> usize {
        let mut book = self.book();
        let at = book.arrivals.len();
        let began = When::now();
        book.arrivals.push(Arrival { number, door, began, act: None, given: None, ended: None });
        book.by_number.entry(number).or_default().push(at);
        at
    }

    /// Notes that the arrival is whole, and chooses what is done with it.
    pub(super) fn choose(&self, at: usize, write: &Write) -> Act {
        let nth = self.book().by_number[&write.number].iter().filter(|&&other| other < at).count();
        let act = (self.choice)(write, nth);
        self.book().arrivals[at].act = Some(act);
        act
    }

    /// Has the effect of a write, unless its key is honoured and it had it before, and returns
    /// the answer that `make` makes of the effect's number.
    pub(super) fn effect(&self, at: usize, write: &Write, make: impl FnOnce(usize) -> Given) -> Given {
        let mut book = self.book();
        let before = book.honoured.get(&write.number).filter(|_| self.honours).cloned();
        let given = before.unwrap_or_else(|| {
            let given = make(book.effects.len());
            book.effects.push(Effect { write: write.clone(), at: When::now() });
            book.honoured.insert(write.number, given.clone());
            given
        });
        book.arrivals[at].given = Some(given.clone());
        given
    }

    /// Notes an answer that goes with no effect.
    pub(super) fn gives(&self, at: usize, given: &Given) {
        self.book().arrivals[at].given = Some(given.clone());
    }

    /// Notes that the work for an arrival is over.
    pub(super) fn ended(&self, at: usize) {
        self.book().arrivals[at].ended.get_or_insert_with(When::now);
    }

    pub(super) fn violation(&self, what: String) {
        self.book().violations.push(what);
    }

    /// Every arrival, in order.
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.book().arrivals.clone()
    }

    /// The arrivals of one write, in order.
    pub fn arrivals_of(&self, number: u64) -> Vec<Arrival> {
        let book = self.book();
        let places = book.by_number.get(&number).map(Vec::as_slice).unwrap_or_default();
        places.iter().map(|&at| book.arrivals[at].clone()).collect()
    }

    /// Every effect, in order.
    pub fn effects(&self) -> Vec<Effect> {
        self.book().effects.clone()
    }

    /// How many effects there were.
    pub fn count(&self) -> usize {
        self.book().effects.len()
    }

    /// The number of writes that had more than one effect.
    pub fn duplicates(&self) -> usize {
        let mut counts: HashMap<u64, usize> = HashMap::new();
        for effect in &self.book().effects {
            *counts.entry(effect.write.number).or_default() += 1;
        }
        counts.values().filter(|&&count| count > 1).count()
    }

    /// The places of each line's effects, in the order they were had.
    pub fn lines(&self) -> HashMap<String, Vec<u64>> {
        let mut lines: HashMap<String, Vec<u64>> = HashMap::new();
        for Effect { write, .. } in &self.book().effects {
            lines.entry(write.line.clone()).or_default().push(write.place);
        }
        lines
    }

    /// What came that was not as it should be.
    pub fn violations(&self) -> Vec<String> {
        self.book().violations.clone()
    }
}
