//! The store of the model: a fence for each key and one line of entries, with the rules of
//! `Records::swap` and of `Queue`.

use sluicegate_store::EntryState;

use super::protocol::Break;
use crate::record::{Blind, Expected, Held, Stored, Swapped, Token, Value, swap};

/// How many keys there are.
pub(crate) const KEYS: usize = 2;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Kept {
    pub(crate) fences: [Option<Stored>; KEYS],
    /// In the order of appending.
    pub(crate) line: Vec<Entry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    pub(crate) id: u8,
    pub(crate) key: u8,
    pub(crate) tag: Token,
    pub(crate) state: EntryState,
    pub(crate) held: Held,
    /// From its note: the tag under which its last holder had it that was given up.
    pub(crate) given_up: Option<Token>,
    /// From its note: whether an attempt may have been applied that nobody heard of.
    pub(crate) doubtful: bool,
    /// From its note: what it did to the fence last.
    pub(crate) mark: Mark,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Mark {
    Lost,
    Wrote(Token),
    Released,
}

/// A write of a fence that goes with a change of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FenceChange {
    pub(crate) expected: Expected,
    pub(crate) put: Option<Stored>,
}

/// What the store is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    Swap { key: u8, change: FenceChange },
    Append { entry: Entry, only_behind: bool, fence: Option<FenceChange> },
    Claim(Token),
    Change { expected: Token, entry: Entry, fence: Option<FenceChange> },
}

/// What it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Done,
    Conflict,
    NothingAhead,
    Claimed(Option<Entry>),
    Overtaken(Entry),
}

impl Kept {
    pub(crate) fn entry(&self, id: u8) -> Option<Entry> {
        self.line.iter().copied().find(|entry| entry.id == id)
    }

    pub(crate) fn has_open(&self) -> bool {
        self.line.iter().any(|entry| !entry.state.is_over())
    }

    pub(crate) fn run(&mut self, op: Op, broken: Option<Break>) -> Reply {
        match op {
            Op::Swap { key, change } => match self.swap(key, change, broken) {
                Swapped::Done => Reply::Done,
                Swapped::Conflict => Reply::Conflict,
            },
            Op::Append { entry, only_behind, fence } => self.append(entry, only_behind, fence, broken),
            Op::Claim(tag) => Reply::Claimed(self.claim(tag, broken)),
            Op::Change { expected, entry, fence } => self.change(expected, entry, fence, broken),
        }
    }

    fn swap(&mut self, key: u8, change: FenceChange, broken: Option<Break>) -> Swapped {
        let expected =
            if broken == Some(Break::FenceUnchecked) { Expected::Anything } else { change.expected };
        swap(&mut self.fences[usize::from(key)], expected, change.put, Blind::default())
    }

    fn append(
        &mut self,
        entry: Entry,
        only_behind: bool,
        fence: Option<FenceChange>,
        broken: Option<Break>,
    ) -> Reply {
        if self.entry(entry.id).is_some() {
            return Reply::Done;
        }
        if only_behind && !self.has_open() {
            return Reply::NothingAhead;
        }
        if let Some(fence) = fence
            && self.swap(entry.key, fence, broken) == Swapped::Conflict
        {
            return Reply::Conflict;
        }
        self.line.push(entry);
        Reply::Done
    }

    fn claim(&mut self, tag: Token, broken: Option<Break>) -> Option<Entry> {
        if let Some(claimed) =
            self.line.iter().find(|entry| entry.tag == tag && entry.state == EntryState::Applying)
        {
            return Some(*claimed);
        }
        let passed_over = |entry: &Entry| match broken {
            Some(Break::HeadsSkipped) => entry.state != EntryState::Queued,
            Some(Break::DoubtLetsPass) => entry.state.is_over() || entry.state == EntryState::InDoubt,
            _ => entry.state.is_over(),
        };
        let head = self.line.iter_mut().find(|entry| !passed_over(entry))?;
        if head.state != EntryState::Queued {
            return None;
        }
        (head.tag, head.state, head.held) = (tag, EntryState::Applying, Held::Alive);
        Some(*head)
    }

    fn change(
        &mut self,
        expected: Token,
        entry: Entry,
        fence: Option<FenceChange>,
        broken: Option<Break>,
    ) -> Reply {
        let Some(place) = self.line.iter().position(|found| found.id == entry.id) else {
            return Reply::Conflict;
        };
        let found = self.line[place];
        if found.tag == entry.tag {
            return Reply::Done;
        }
        if found.tag != expected && broken != Some(Break::TagIgnored) {
            return Reply::Overtaken(found);
        }
        if let Some(change) = fence
            && self.swap(entry.key, change, broken) == Swapped::Conflict
        {
            return Reply::Conflict;
        }
        self.line[place] = entry;
        Reply::Done
    }

    /// What a write of the fence must expect, if the fence is this entry's.
    pub(crate) fn own_fence(&self, entry: &Entry) -> Option<Expected> {
        let Some(found) = self.fences[usize::from(entry.key)] else {
            return (entry.mark == Mark::Released).then_some(Expected::Absent);
        };
        let own = found.value == Value::Deferred(entry.id) || entry.mark == Mark::Wrote(found.token);
        own.then_some(Expected::Token(found.token))
    }

    /// Every holder that does not live in this process any more is known to be dead.
    pub(crate) fn lose_holders(&mut self) {
        for held in self.held() {
            *held = Held::Gone;
        }
    }

    /// Who is at work on what, where somebody is thought to be.
    pub(crate) fn held(&mut self) -> impl Iterator<Item = &mut Held> {
        let fences = self.fences.iter_mut().flatten().map(|fence| &mut fence.held);
        let entries = self
            .line
            .iter_mut()
            .filter(|entry| entry.state == EntryState::Applying)
            .map(|entry| &mut entry.held);
        fences.chain(entries).filter(|held| **held == Held::Alive)
    }
}

impl Entry {
    /// The tokens that it remembers.
    pub(crate) fn tokens(&self, known: &mut Vec<Token>) {
        known.push(self.tag);
        known.extend(self.given_up);
        if let Mark::Wrote(token) = self.mark {
            known.push(token);
        }
    }
}

impl Op {
    /// The tokens that it speaks of.
    pub(crate) fn tokens(&self, known: &mut Vec<Token>) {
        let change = match self {
            Self::Claim(tag) => {
                known.push(*tag);
                None
            }
            Self::Swap { change, .. } => Some(change),
            Self::Append { entry, fence, .. } => {
                entry.tokens(known);
                fence.as_ref()
            }
            Self::Change { expected, entry, fence } => {
                known.push(*expected);
                entry.tokens(known);
                fence.as_ref()
            }
        };
        if let Some(change) = change {
            known.extend(change.expected.token());
            known.extend(change.put.map(|put| put.token));
        }
    }
}
