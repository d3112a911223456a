//! Records over a [`Kv`]: compare, bounds, expiry.

use std::{ops::ControlFlow, time::Duration};

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{
    Local,
    counts::{Amount, Item, Limits},
    form::{NOBODY, Stored, counts_key, damaged, expiry, expiry_key, record_key},
    kv::{Kv, Space},
};
use crate::{
    StoreError,
    error::Full,
    record::{Expect, Holder, Page, Put, Record, RecordKey, Swapped, Tag},
};

/// How many expired records make way at most when one finds the store full.
const MAKE_WAY: usize = 256;

/// When a record that has outlived its time is looked at again, because its holder lives:
/// milliseconds.
const HELD_AGAIN: u64 = 1000;

/// The last note of an expiry that was looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The end of the second when it was due: milliseconds since 1970.
    at: u64,
    key: RecordKey,
}

/// A write that has been found possible.
#[derive(Debug)]
pub(super) struct Swap {
    key: RecordKey,
    old: Option<Stored>,
    put: Option<Put>,
}

/// What is found on looking whether a write is possible.
#[derive(Debug)]
pub(super) enum Look {
    /// It can be made.
    Possible(Swap),
    /// It has been made already.
    Made,
    /// The record is not as expected.
    Conflict(Option<Record>),
}

/// The record whose bytes these are, as a process of this epoch sees it at `now`.
pub(crate) fn seen(
    key: RecordKey,
    bytes: Option<Bytes>,
    epoch: u64,
    now: u64,
) -> Result<Option<Record>, StoreError> {
    let stored = bytes.map(|bytes| Stored::decode(&key.0, bytes)).transpose()?;
    Ok(stored.and_then(|stored| stored.seen(epoch, now)))
}

fn raw<K: Kv>(kv: &K, key: RecordKey) -> Result<Option<Stored>, StoreError> {
    kv.get(Space::Records, &key.0)?.map(|bytes| Stored::decode(&key.0, bytes)).transpose()
}

impl Stored {
    /// Whether it has outlived its time. What a living holder holds never does.
    fn is_over(&self, epoch: u64, now: u64) -> bool {
        self.expires <= now && self.epoch != epoch
    }

    fn holder(&self, epoch: u64) -> Holder {
        match self.epoch {
            NOBODY => Holder::Nobody,
            held if held == epoch => Holder::Alive,
            _ => Holder::Gone,
        }
    }

    fn item(&self) -> Item<'_> {
        Item { owner: self.owner(), bytes: self.value.len() as u64 }
    }

    fn seen(&self, epoch: u64, now: u64) -> Option<Record> {
        (!self.is_over(epoch, now)).then(|| Record {
            tag: self.tag,
            value: self.value.clone(),
            holder: self.holder(epoch),
            expires_in: Duration::from_millis(self.expires.saturating_sub(now)),
        })
    }
}

impl<K: Kv> Local<K> {
    pub(crate) fn get(&self, key: RecordKey) -> Result<Option<Record>, StoreError> {
        seen(key, self.kv.get(Space::Records, &key.0)?, self.epoch, self.now())
    }

    pub(crate) fn swap(
        &mut self,
        key: RecordKey,
        expect: Expect,
        put: Option<Put>,
    ) -> Result<Swapped, StoreError> {
        let swap = match self.look(key, expect, put)? {
            Look::Possible(swap) => swap,
            Look::Made => return Ok(Swapped::Done),
            Look::Conflict(record) => return Ok(Swapped::Conflict(record)),
        };
        if let Err(full) = self.room(&swap)? {
            return Ok(Swapped::Full(full));
        }
        self.make(swap);
        Ok(Swapped::Done)
    }

    pub(crate) fn beat(&self, held: &[(RecordKey, Tag)]) -> Result<Vec<bool>, StoreError> {
        let holds = |&(key, tag): &(RecordKey, Tag)| {
            let stored = raw(&self.kv, key)?;
            Ok(stored.is_some_and(|stored| stored.tag == tag && stored.epoch == self.epoch))
        };
        held.iter().map(holds).collect()
    }

    pub(crate) fn page(&self, after: Option<RecordKey>, limit: usize) -> Result<Page, StoreError> {
        let now = self.now();
        let mut page = Page::new();
        if limit == 0 {
            return Ok(page);
        }
        let after = after.as_ref().map(|key| key.0.as_slice());
        self.kv.walk(Space::Records, after, &mut |key, bytes| {
            if let Some(record) = Stored::decode(key, bytes)?.seen(self.epoch, now) {
                page.push((record_key(key)?, record));
            }
            Ok(if page.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(page)
    }

    pub(crate) fn usage(&self) -> (u64, u64) {
        let total = self.kept.total();
        (total.count, total.bytes)
    }

    /// Looks whether a write is possible. A write that carries the tag that the record has
    /// was made before.
    pub(super) fn look(
        &mut self,
        key: RecordKey,
        expect: Expect,
        put: Option<Put>,
    ) -> Result<Look, StoreError> {
        let mut old = raw(&self.kv, key)?;
        if let Some(over) = old.take_if(|old| old.is_over(self.epoch, self.now())) {
            self.drop_record(key, &over);
        }
        let found = old.as_ref().and_then(|old| old.seen(self.epoch, self.now()));
        let made = match (&found, &put) {
            (Some(found), Some(put)) => found.tag == put.tag,
            (None, None) => true,
            _ => false,
        };
        if made {
            return Ok(Look::Made);
        }
        let expected = match (&found, expect) {
            (None, Expect::Absent) => true,
            (Some(found), Expect::Tag(tag)) => found.tag == tag,
            (Some(found), Expect::Abandoned(tag)) => found.tag == tag && found.holder == Holder::Gone,
            _ => false,
        };
        Ok(if expected { Look::Possible(Swap { key, old, put }) } else { Look::Conflict(found) })
    }

    /// Whether there is room for a write. What has expired makes way first.
    pub(super) fn room(&mut self, swap: &Swap) -> Result<Result<(), Full>, StoreError> {
        let room = self.bounded(swap);
        if room.is_ok() || self.sweep_records(MAKE_WAY)? == 0 {
            return Ok(room);
        }
        Ok(self.bounded(swap))
    }

    fn bounded(&self, swap: &Swap) -> Result<(), Full> {
        let Some(put) = &swap.put else { return Ok(()) };
        let most = Amount { count: self.bounds.max_keys, bytes: self.bounds.max_bytes };
        let limits = Limits { most, share: self.bounds.share };
        let new = Item { owner: &put.owner, bytes: put.value.len() as u64 };
        self.kept.room(limits, swap.old.as_ref().map(Stored::item), new)
    }

    /// Makes a write that was found possible.
    pub(super) fn make(&mut self, swap: Swap) {
        let Swap { key, old, put } = swap;
        let Some(put) = put else {
            if let Some(old) = old {
                self.drop_record(key, &old);
                self.kv.remove(Space::Expiry, &expiry_key(old.expires, key));
            }
            return;
        };
        let expires = self.now().saturating_add(super::millis(put.ttl));
        let epoch = if put.held { self.epoch } else { NOBODY };
        let bytes = Stored::encode(&put, epoch, expires);
        // A record is noted at or before its expiry; where the time is only put off, the
        // earlier note stays and is moved when its second comes.
        if old.as_ref().is_none_or(|old| old.expires > expires) {
            self.note_expiry(expires, key);
        }
        if let Some(old) = &old {
            self.kept.take(old.item());
            if old.owner() != &*put.owner {
                self.save_counts(old.owner());
            }
        }
        self.kept.add(Item { owner: &put.owner, bytes: put.value.len() as u64 });
        self.kv.put(Space::Records, &key.0, bytes);
        self.save_counts(&put.owner);
    }

    fn drop_record(&mut self, key: RecordKey, old: &Stored) {
        self.kept.take(old.item());
        self.kv.remove(Space::Records, &key.0);
        self.save_counts(old.owner());
    }

    /// Removes expired records, looking at `limit` at most; says how many it looked at.
    pub(super) fn sweep_records(&mut self, limit: usize) -> Result<usize, StoreError> {
        let now = self.now();
        self.place.take_if(|place| place.at > now);
        let mut due = Vec::new();
        let after = self.place.as_ref().map(|place| expiry_key(place.at, place.key));
        self.kv.walk(Space::Expiry, after.as_ref().map(<[u8; 40]>::as_slice), &mut |key, _| {
            let (at, key) = expiry(key)?;
            if at > now || due.len() == limit {
                return Ok(ControlFlow::Break(()));
            }
            due.push(Place { at, key });
            Ok(ControlFlow::Continue(()))
        })?;
        if let Some(last) = due.last() {
            self.place = Some(*last);
        }
        for &Place { at, key } in &due {
            self.kv.remove(Space::Expiry, &expiry_key(at, key));
            let Some(stored) = raw(&self.kv, key)? else { continue };
            if stored.is_over(self.epoch, now) {
                self.drop_record(key, &stored);
            } else {
                let again = if stored.expires > now { stored.expires } else { now + HELD_AGAIN };
                self.note_expiry(again, key);
            }
        }
        Ok(due.len())
    }

    /// Notes when to look at a record, always behind the place that the looks have come to.
    fn note_expiry(&mut self, expires: u64, key: RecordKey) {
        let soonest = self.place.as_ref().map_or(0, |place| place.at + 1);
        self.kv.put(Space::Expiry, &expiry_key(expires.max(soonest), key), Bytes::new());
    }

    fn save_counts(&mut self, owner: &str) {
        if !K::LASTS {
            return;
        }
        let (key, amount) = (counts_key(owner), self.kept.of(owner));
        if amount.count == 0 {
            self.kv.remove(Space::Counts, &key);
            return;
        }
        let mut bytes = BytesMut::with_capacity(16 + owner.len());
        bytes.put_u64(amount.count);
        bytes.put_u64(amount.bytes);
        bytes.put_slice(owner.as_bytes());
        self.kv.put(Space::Counts, &key, bytes.freeze());
    }

    pub(super) fn load_counts(&mut self) -> Result<(), StoreError> {
        let kept = &mut self.kept;
        self.kv.walk(Space::Counts, None, &mut |key, mut bytes| {
            if bytes.len() < 16 {
                return Err(damaged("counter", key));
            }
            let amount = Amount { count: bytes.get_u64(), bytes: bytes.get_u64() };
            let owner = std::str::from_utf8(&bytes).map_err(|_| damaged("counter", key))?;
            kept.load(owner, amount);
            Ok(ControlFlow::Continue(()))
        })
    }
}
