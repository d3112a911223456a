//! Where every entry stands: lines, heads, ages and counts, in memory.
//!
//! [`Lines::put`] and [`Lines::take`] are the only ways to change it, so that the parts
//! cannot come apart. A line is the entries of one name that are not over, in the order of
//! their places; its head is the first. Heads that are queued are either `later` (by the time
//! they are due) or `ready` (by their place).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    counts::{Counts, Item},
    form::EntryHead,
};
use crate::{
    queue::{EntryId, EntryState},
    record::Tag,
};

/// What is known of an entry without reading it.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) place: u64,
    pub(crate) tag: Tag,
    pub(crate) state: EntryState,
    pub(crate) epoch: u64,
    pub(crate) line: Arc<str>,
    pub(crate) owner: Arc<str>,
    pub(crate) bytes: u64,
    /// Milliseconds since 1970, as the two that follow.
    pub(crate) created: u64,
    pub(crate) due: u64,
    pub(crate) expires: u64,
}

impl From<&EntryHead> for Standing {
    fn from(head: &EntryHead) -> Self {
        Self {
            place: head.place,
            tag: head.tag,
            state: head.state,
            epoch: head.epoch,
            line: head.line.as_ref().into(),
            owner: head.owner.as_ref().into(),
            bytes: head.bytes,
            created: head.created,
            due: head.due,
            expires: head.expires,
        }
    }
}

/// All entries' standings.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    entries: BTreeMap<EntryId, Standing>,
    states: [BTreeSet<EntryId>; 7],
    waiting: HashMap<Arc<str>, BTreeMap<u64, EntryId>>,
    ready: BTreeMap<u64, EntryId>,
    later: BTreeMap<(u64, u64), EntryId>,
    ages: BTreeSet<(u64, EntryId)>,
    over: BTreeSet<(u64, EntryId)>,
    claims: HashMap<Tag, EntryId>,
    open: Counts,
    last_place: u64,
}

impl Lines {
    /// The standing of an entry.
    pub(crate) fn get(&self, id: EntryId) -> Option<&Standing> {
        self.entries.get(&id)
    }

    /// The entry that was claimed under this tag and is still so.
    pub(crate) fn claimed(&self, tag: Tag) -> Option<EntryId> {
        self.claims.get(&tag).copied()
    }

    /// What is kept of entries that are not over.
    pub(crate) fn open(&self) -> &Counts {
        &self.open
    }

    /// Whether no entry stands in a line.
    pub(crate) fn is_empty(&self, line: &str) -> bool {
        !self.waiting.contains_key(line)
    }

    /// A place behind everyone.
    pub(crate) fn next_place(&self) -> u64 {
        self.last_place + 1
    }

    /// How many entries stand in a state.
    pub(crate) fn count(&self, state: EntryState) -> u64 {
        self.states[state as usize].len() as u64
    }

    /// When the oldest entry that is not over was made.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.ages.first().map(|&(created, _)| created)
    }

    /// The ids that come after `after`, of entries in one state or in any.
    pub(crate) fn ids(&self, state: Option<EntryState>, after: Option<EntryId>) -> Vec<EntryId> {
        use std::ops::Bound::{Excluded, Unbounded};
        let range = (after.map_or(Unbounded, Excluded), Unbounded);
        match state {
            Some(state) => self.states[state as usize].range(range).copied().collect(),
            None => self.entries.range(range).map(|(id, _)| *id).collect(),
        }
    }

    /// The queued head that has waited longest of those that are due.
    pub(crate) fn next_ready(&mut self, now: u64) -> Option<EntryId> {
        while let Some(next) = self.later.first_entry()
            && next.key().0 <= now
        {
            let ((_, place), id) = next.remove_entry();
            self.ready.insert(place, id);
        }
        self.ready.values().next().copied()
    }

    /// Entries whose time after their end has passed.
    pub(crate) fn over(&self, now: u64, limit: usize) -> Vec<EntryId> {
        self.over.iter().take_while(|(expires, _)| *expires <= now).take(limit).map(|&(_, id)| id).collect()
    }

    /// Puts an entry where its standing says.
    pub(crate) fn put(&mut self, id: EntryId, standing: Standing) {
        self.take(id);
        self.states[standing.state as usize].insert(id);
        self.last_place = self.last_place.max(standing.place);
        if standing.state.is_over() {
            self.over.insert((standing.expires, id));
        } else {
            self.open.add(Item { owner: &standing.owner, bytes: standing.bytes });
            self.ages.insert((standing.created, id));
            let line = standing.line.clone();
            self.step_back(&line);
            self.waiting.entry(line.clone()).or_default().insert(standing.place, id);
            if standing.state == EntryState::Applying {
                self.claims.insert(standing.tag, id);
            }
            self.entries.insert(id, standing);
            self.step_forward(&line);
            return;
        }
        self.entries.insert(id, standing);
    }

    /// Takes an entry out.
    pub(crate) fn take(&mut self, id: EntryId) -> Option<Standing> {
        let line = self.entries.get(&id)?.line.clone();
        self.step_back(&line);
        let standing = self.entries.remove(&id)?;
        self.states[standing.state as usize].remove(&id);
        if standing.state.is_over() {
            self.over.remove(&(standing.expires, id));
        } else {
            self.open.take(Item { owner: &standing.owner, bytes: standing.bytes });
            self.ages.remove(&(standing.created, id));
            self.claims.remove(&standing.tag);
            if let Some(places) = self.waiting.get_mut(&line) {
                places.remove(&standing.place);
                if places.is_empty() {
                    self.waiting.remove(&line);
                }
            }
        }
        self.step_forward(&line);
        Some(standing)
    }

    /// Takes the head of a line from among those that can be claimed.
    fn step_back(&mut self, line: &str) {
        if let Some((place, due)) = self.queued_head(line).map(|(_, head)| (head.place, head.due)) {
            self.ready.remove(&place);
            self.later.remove(&(due, place));
        }
    }

    /// Puts the head of a line among those that can be claimed.
    fn step_forward(&mut self, line: &str) {
        if let Some((key, id)) = self.queued_head(line).map(|(id, head)| ((head.due, head.place), id)) {
            self.later.insert(key, id);
        }
    }

    fn queued_head(&self, line: &str) -> Option<(EntryId, &Standing)> {
        let id = *self.waiting.get(line)?.values().next()?;
        let head = self.entries.get(&id)?;
        (head.state == EntryState::Queued).then_some((id, head))
    }
}
