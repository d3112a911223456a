//! The queue over a [`Kv`]: entries and the records that change with them.

use std::{ops::ControlFlow, time::Duration};

use bytes::Bytes;

use super::{
    Local,
    counts::{Amount, Item, Limits},
    form::{EntryHead, NOBODY, damaged, entry_id, entry_key},
    kv::{Kv, Space},
    lines::Standing,
    records::Look,
};
use crate::{
    StoreError,
    queue::{Append, Appended, Caps, Change, Changed, Entry, EntryId, EntryState, Tally},
    record::Tag,
};

impl<K: Kv> Local<K> {
    pub(crate) fn append(&mut self, append: Append, caps: Caps) -> Result<Appended, StoreError> {
        // An id is made once, so an entry that has it is this one, whatever became of it.
        if self.standing(append.id).is_some() {
            return Ok(Appended::Done);
        }
        if append.only_behind && self.lines.is_empty(&append.line) {
            return Ok(Appended::NothingAhead);
        }
        let swap = match append.record {
            None => None,
            Some((key, expect, put)) => match self.look(key, expect, Some(put))? {
                Look::Possible(swap) => Some(swap),
                Look::Made => None,
                Look::Conflict(record) => return Ok(Appended::Conflict(record)),
            },
        };
        let bytes = append.value.len() as u64;
        let most = Amount { count: caps.max_count, bytes: caps.max_bytes };
        let new = Item { owner: &append.owner, bytes };
        if let Err(full) = self.lines.open().room(Limits { most, share: caps.share }, None, new) {
            return Ok(Appended::Full(full));
        }
        if let Some(swap) = &swap
            && let Err(full) = self.room(swap)?
        {
            return Ok(Appended::Full(full));
        }
        let head = EntryHead {
            place: self.lines.next_place(),
            tag: append.tag,
            state: EntryState::Queued,
            epoch: NOBODY,
            line: append.line,
            owner: append.owner,
            bytes,
            created: self.now(),
            due: 0,
            expires: 0,
            note: append.note,
        };
        self.write_head(append.id, &head)?;
        self.kv.put(Space::Values, &entry_key(append.id), append.value);
        if let Some(swap) = swap {
            self.make(swap);
        }
        Ok(Appended::Done)
    }

    pub(crate) fn claim(&mut self, tags: &[Tag]) -> Result<Vec<Entry>, StoreError> {
        let now = self.now();
        let mut claimed = Vec::new();
        for &tag in tags {
            if let Some(id) = self.lines.claimed(tag) {
                claimed.extend(self.entry(id)?);
                continue;
            }
            let Some(id) = self.lines.next_ready(now) else { continue };
            let mut head = self.head(id)?;
            head.tag = tag;
            head.state = EntryState::Applying;
            head.epoch = self.epoch;
            self.write_head(id, &head)?;
            claimed.push(self.with_value(id, head)?);
        }
        Ok(claimed)
    }

    pub(crate) fn change(&mut self, id: EntryId, change: Change) -> Result<Changed, StoreError> {
        let Some(standing) = self.standing(id) else { return Ok(Changed::Conflict(None)) };
        if standing.tag == change.tag {
            return Ok(Changed::Done);
        }
        if standing.tag != change.expect {
            return Ok(Changed::Conflict(self.entry(id)?));
        }
        let swap = match change.record {
            None => None,
            Some((key, expect, put)) => match self.look(key, expect, put)? {
                Look::Possible(swap) => Some(swap),
                Look::Made => None,
                Look::Conflict(record) => return Ok(Changed::RecordConflict(record)),
            },
        };
        let mut head = self.head(id)?;
        let now = self.now();
        if head.state.is_over() && !change.state.is_over() {
            // Its line has gone on without it.
            head.place = self.lines.next_place();
        }
        head.tag = change.tag;
        head.state = change.state;
        head.epoch = if change.state == EntryState::Applying { self.epoch } else { NOBODY };
        head.due = if change.delay.is_zero() { 0 } else { now.saturating_add(super::millis(change.delay)) };
        head.expires = if change.state.is_over() { now.saturating_add(super::millis(change.ttl)) } else { 0 };
        head.note = change.note;
        self.write_head(id, &head)?;
        // What settles an entry is never refused for want of room: it was let in before.
        if let Some(swap) = swap {
            self.make(swap);
        }
        Ok(Changed::Done)
    }

    pub(crate) fn beat_entries(&self, held: &[(EntryId, Tag)]) -> Vec<bool> {
        let holds = |&(id, tag): &(EntryId, Tag)| {
            self.standing(id).is_some_and(|standing| {
                standing.tag == tag && standing.state == EntryState::Applying && standing.epoch == self.epoch
            })
        };
        held.iter().map(holds).collect()
    }

    pub(crate) fn entry(&self, id: EntryId) -> Result<Option<Entry>, StoreError> {
        if self.standing(id).is_none() {
            return Ok(None);
        }
        self.with_value(id, self.head(id)?).map(Some)
    }

    pub(crate) fn entries(
        &self,
        state: Option<EntryState>,
        after: Option<EntryId>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let ids = self.lines.ids(state, after);
        let kept = ids.into_iter().filter(|id| self.standing(*id).is_some());
        kept.take(limit).map(|id| self.with_value(id, self.head(id)?)).collect()
    }

    pub(crate) fn tally(&self) -> Tally {
        let now = self.now();
        let mut count = EntryState::ALL.map(|state| self.lines.count(state));
        for id in self.lines.over(now, usize::MAX) {
            if let Some(standing) = self.lines.get(id) {
                count[standing.state as usize] -= 1;
            }
        }
        Tally {
            count,
            bytes: self.lines.open().total().bytes,
            oldest: self.lines.oldest().map(|created| Duration::from_millis(now.saturating_sub(created))),
        }
    }

    /// Removes entries that were over long enough, `limit` at most; says how many.
    pub(super) fn sweep_entries(&mut self, limit: usize) -> usize {
        let over = self.lines.over(self.now(), limit);
        for &id in &over {
            self.lines.take(id);
            self.kv.remove(Space::Entries, &entry_key(id));
            self.kv.remove(Space::Values, &entry_key(id));
        }
        over.len()
    }

    pub(super) fn load_entries(&mut self) -> Result<(), StoreError> {
        let lines = &mut self.lines;
        self.kv.walk(Space::Entries, None, &mut |key, bytes| {
            lines.put(entry_id(key)?, Standing::from(&EntryHead::decode(key, &bytes)?));
            Ok(ControlFlow::Continue(()))
        })
    }

    /// The standing of an entry whose time has not passed.
    fn standing(&self, id: EntryId) -> Option<&Standing> {
        let now = self.now();
        self.lines.get(id).filter(|standing| !standing.state.is_over() || standing.expires > now)
    }

    fn write_head(&mut self, id: EntryId, head: &EntryHead) -> Result<(), StoreError> {
        self.kv.put(Space::Entries, &entry_key(id), head.encode()?);
        self.lines.put(id, Standing::from(head));
        Ok(())
    }

    fn head(&self, id: EntryId) -> Result<EntryHead, StoreError> {
        let key = entry_key(id);
        let bytes = self.kv.get(Space::Entries, &key)?.ok_or_else(|| damaged("entry", &key))?;
        EntryHead::decode(&key, &bytes)
    }

    fn with_value(&self, id: EntryId, head: EntryHead) -> Result<Entry, StoreError> {
        let key = entry_key(id);
        let value: Bytes =
            self.kv.get(Space::Values, &key)?.ok_or_else(|| damaged("value of entry", &key))?;
        Ok(Entry {
            id,
            tag: head.tag,
            state: head.state,
            abandoned: head.state == EntryState::Applying && head.epoch != self.epoch,
            line: head.line,
            owner: head.owner,
            value,
            note: head.note,
        })
    }
}
