//! The store as a few plain lists: what any engine must agree with.
//!
//! Nothing here is clever: an operation looks through everything. Time is in seconds.

use std::collections::BTreeMap;

use sluicegate_store::{
    Appended, Bounds, Caps, Changed,
    EntryState::{self, Applying, Queued},
    Expect, Full, Holder, Swapped, Tag,
};

#[derive(Clone, Debug)]
pub struct Write {
    pub tag: Tag,
    pub bytes: u64,
    pub owner: &'static str,
    pub ttl: u64,
    pub held: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub tag: Tag,
    pub bytes: u64,
    pub owner: &'static str,
    pub expires: u64,
    /// The epoch of its holder.
    pub held: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct Waiting {
    pub tag: Tag,
    pub state: EntryState,
    pub line: &'static str,
    pub owner: &'static str,
    pub bytes: u64,
    pub place: u64,
    pub due: u64,
    pub expires: u64,
    pub held: Option<u64>,
}

/// A change of the entry with the number `entry`.
#[derive(Clone, Debug)]
pub struct Move {
    pub expect: Tag,
    pub tag: Tag,
    pub state: EntryState,
    pub delay: u64,
    pub ttl: u64,
    pub record: Option<(u8, Expect, Option<Write>)>,
}

#[derive(Debug)]
pub struct Model {
    pub now: u64,
    pub epoch: u64,
    pub bounds: Bounds,
    pub records: BTreeMap<u8, Kept>,
    /// By the order of their ids.
    pub entries: Vec<Waiting>,
    pub places: u64,
}

/// The kind of an answer, without what it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Done,
    NothingAhead,
    Conflict,
    RecordConflict,
    Full(Full),
}

impl From<Swapped> for Answer {
    fn from(swapped: Swapped) -> Self {
        match swapped {
            Swapped::Done => Self::Done,
            Swapped::Conflict(_) => Self::Conflict,
            Swapped::Full(full) => Self::Full(full),
        }
    }
}

impl From<Appended> for Answer {
    fn from(appended: Appended) -> Self {
        match appended {
            Appended::Done => Self::Done,
            Appended::NothingAhead => Self::NothingAhead,
            Appended::Conflict(_) => Self::RecordConflict,
            Appended::Full(full) => Self::Full(full),
        }
    }
}

impl From<Changed> for Answer {
    fn from(changed: Changed) -> Self {
        match changed {
            Changed::Done => Self::Done,
            Changed::Conflict(_) => Self::Conflict,
            Changed::RecordConflict(_) => Self::RecordConflict,
        }
    }
}

impl Model {
    pub fn get(&self, key: u8) -> Option<&Kept> {
        self.records.get(&key).filter(|kept| kept.expires > self.now || kept.held == Some(self.epoch))
    }

    pub fn holder(&self, kept: &Kept) -> Holder {
        match kept.held {
            None => Holder::Nobody,
            Some(epoch) if epoch == self.epoch => Holder::Alive,
            Some(_) => Holder::Gone,
        }
    }

    pub fn swap(&mut self, key: u8, expect: Expect, write: Option<&Write>) -> Answer {
        match self.look(key, expect, write) {
            Some(true) => {
                if let Some(full) = self.full(key, write) {
                    return Answer::Full(full);
                }
                self.make(key, write);
                Answer::Done
            }
            Some(false) => Answer::Done,
            None => Answer::Conflict,
        }
    }

    /// Whether the write is to be made or was made already; none where it conflicts.
    fn look(&self, key: u8, expect: Expect, write: Option<&Write>) -> Option<bool> {
        let found = self.get(key);
        if found.map(|found| found.tag) == write.map(|write| write.tag) {
            return Some(false);
        }
        let expected = match expect {
            Expect::Absent => found.is_none(),
            Expect::Tag(tag) => found.is_some_and(|found| found.tag == tag),
            Expect::Abandoned(tag) => {
                found.is_some_and(|found| found.tag == tag && self.holder(found) == Holder::Gone)
            }
        };
        expected.then_some(true)
    }

    fn make(&mut self, key: u8, write: Option<&Write>) {
        self.records.remove(&key);
        if let Some(write) = write {
            let held = write.held.then_some(self.epoch);
            let expires = self.now + write.ttl;
            let kept = Kept { tag: write.tag, bytes: write.bytes, owner: write.owner, expires, held };
            self.records.insert(key, kept);
        }
    }

    fn full(&self, key: u8, write: Option<&Write>) -> Option<Full> {
        let write = write?;
        let alive: Vec<_> = self.records.keys().filter_map(|key| Some((*key, self.get(*key)?))).collect();
        let all: Vec<_> = alive.iter().map(|(key, kept)| (*key, kept.owner, kept.bytes)).collect();
        let old = alive.iter().find(|(other, _)| *other == key).map(|(_, kept)| (kept.owner, kept.bytes));
        let all: Vec<_> = all.iter().map(|(_, owner, bytes)| (*owner, *bytes)).collect();
        let most = (self.bounds.max_keys, self.bounds.max_bytes, self.bounds.share);
        full(&all, most, old, (write.owner, write.bytes))
    }

    pub fn alive(&self) -> (u64, u64) {
        let alive: Vec<_> = self.records.keys().filter_map(|key| self.get(*key)).collect();
        (alive.len() as u64, alive.iter().map(|kept| kept.bytes).sum())
    }

    pub fn entry(&self, entry: usize) -> Option<&Waiting> {
        self.entries.get(entry).filter(|entry| !entry.state.is_over() || entry.expires > self.now)
    }

    pub fn open(&self) -> impl Iterator<Item = &Waiting> {
        self.entries.iter().filter(|entry| !entry.state.is_over())
    }

    pub fn append(
        &mut self,
        mut entry: Waiting,
        caps: Caps,
        behind: bool,
        record: Option<&(u8, Expect, Write)>,
    ) -> Answer {
        if behind && !self.open().any(|other| other.line == entry.line) {
            return Answer::NothingAhead;
        }
        let mut makes = false;
        if let Some((key, expect, write)) = record {
            match self.look(*key, *expect, Some(write)) {
                Some(new) => makes = new,
                None => return Answer::RecordConflict,
            }
        }
        let open: Vec<_> = self.open().map(|entry| (entry.owner, entry.bytes)).collect();
        let most = (caps.max_count, caps.max_bytes, caps.share);
        if let Some(full) = full(&open, most, None, (entry.owner, entry.bytes)) {
            return Answer::Full(full);
        }
        if let Some((key, _, write)) = record
            && makes
        {
            if let Some(full) = self.full(*key, Some(write)) {
                return Answer::Full(full);
            }
            self.make(*key, Some(write));
        }
        self.places += 1;
        entry.place = self.places;
        self.entries.push(entry);
        Answer::Done
    }

    /// The entries that are claimed under these tags.
    pub fn claim(&mut self, tags: &[Tag]) -> Vec<(usize, Tag)> {
        let mut claimed = Vec::new();
        for tag in tags {
            let is_head = |entry: &Waiting| {
                !self.open().any(|other| other.line == entry.line && other.place < entry.place)
            };
            let ready = |entry: &Waiting| entry.state == Queued && entry.due <= self.now && is_head(entry);
            let heads = (0..self.entries.len()).filter(|entry| ready(&self.entries[*entry]));
            let Some(next) = heads.min_by_key(|entry| self.entries[*entry].place) else { continue };
            let entry = &mut self.entries[next];
            (entry.tag, entry.state, entry.held) = (*tag, Applying, Some(self.epoch));
            claimed.push((next, *tag));
        }
        claimed
    }

    pub fn change(&mut self, entry: usize, change: &Move) -> Answer {
        let Some(found) = self.entry(entry) else { return Answer::Conflict };
        if found.tag == change.tag {
            return Answer::Done;
        }
        if found.tag != change.expect {
            return Answer::Conflict;
        }
        if let Some((key, expect, write)) = &change.record {
            match self.look(*key, *expect, write.as_ref()) {
                Some(true) => self.make(*key, write.as_ref()),
                Some(false) => {}
                None => return Answer::RecordConflict,
            }
        }
        let (now, epoch) = (self.now, self.epoch);
        let entry = &mut self.entries[entry];
        if entry.state.is_over() && !change.state.is_over() {
            self.places += 1;
            entry.place = self.places;
        }
        entry.tag = change.tag;
        entry.state = change.state;
        entry.due = now + change.delay;
        entry.expires = now + change.ttl;
        entry.held = (change.state == Applying).then_some(epoch);
        Answer::Done
    }
}

/// What leaves no room for `new` among `all`, where it takes the place of `old`.
fn full(
    all: &[(&str, u64)],
    (max_count, max_bytes, share): (u64, u64, f64),
    old: Option<(&str, u64)>,
    new: (&str, u64),
) -> Option<Full> {
    let of = |owner: Option<&str>| {
        let items: Vec<_> = all.iter().filter(|item| owner.is_none_or(|owner| item.0 == owner)).collect();
        (items.len() as u64, items.iter().map(|item| item.1).sum::<u64>())
    };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Small and positive.
    let part = |most: u64| ((most as f64 * share).floor() as u64).max(1);
    let checks = [
        (of(None), old, max_count, max_bytes, [Full::Count, Full::Bytes]),
        (
            of(Some(new.0)),
            old.filter(|old| old.0 == new.0),
            part(max_count),
            part(max_bytes),
            [Full::OwnersCount, Full::OwnersBytes],
        ),
    ];
    for ((count, bytes), old, most_count, most_bytes, [by_count, by_bytes]) in checks {
        let was = old.map_or(0, |old| old.1);
        if old.is_none() && count + 1 > most_count {
            return Some(by_count);
        }
        if new.1 > was && bytes - was + new.1 > most_bytes {
            return Some(by_bytes);
        }
    }
    None
}
