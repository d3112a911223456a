//! The queue in Redis.

use std::{sync::Arc, time::Duration};

use super::{
    Redis,
    checks::OnDisk,
    disk::NotOnDisk,
    kept::{EntryBody, EntryWrite},
    link::{Core, Disk, Link},
    records::PAGE_BYTES,
    scripts::SCRIPTS,
    wire::{Answer, id_arg, millis, most, put_change, tag_arg, unknown_word},
};
use crate::{
    Answered, StoreError,
    queue::{Append, Appended, Caps, Change, Changed, Entry, EntryId, EntryState, Queue, Tally},
    record::Tag,
};

/// The most that is asked for with one call.
const BATCH: usize = 500;

impl Queue for Redis {
    fn append(&self, append: Append, caps: Caps) -> Answered<Appended> {
        let core = Arc::clone(&self.core);
        Box::pin(async move {
            // What could be lost is not let in; everything else can still be told.
            let refused = core.not_on_disk();
            let caps = if refused.is_some() { Caps { max_count: 0, ..caps } } else { caps };
            let link = core.link()?;
            let Append { id, tag, line, owner, value, note, only_behind, record } = append;
            let mut call = SCRIPTS.append.key(&*core.prefix);
            call.arg(id_arg(id)).arg(&tag_arg(tag)[..]).arg(&*line).arg(&*owner);
            call.arg(&value[..]).arg(&note[..]).arg(u8::from(only_behind));
            for most in most(caps.max_count, caps.max_bytes, caps.share) {
                call.arg(most);
            }
            if let Some((key, expect, put)) = &record {
                put_change(&mut call, *key, *expect, Some(put), core.lease(), *core.bounds.read());
            }
            let (word, mut answer) = core.ask_on(&link, &call).await?;
            match &*word {
                "done" => {
                    let body = Arc::new(EntryBody { line, owner, value });
                    let (delay, ttl) = (Duration::ZERO, Duration::ZERO);
                    let write = EntryWrite { tag, state: EntryState::Queued, note, delay, ttl, body };
                    core.entries.lock().note(id, None, write);
                    if let Some((key, expect, put)) = record {
                        core.note_record(key, expect, Some(put));
                    }
                    core.on_disk(&link).await?;
                    Ok(Appended::Done)
                }
                "nothing_ahead" => Ok(Appended::NothingAhead),
                "conflict" => Ok(Appended::Conflict(answer.list()?.map(Answer::record).transpose()?)),
                "full" => match refused {
                    Some(why) => Err(core.error(why)),
                    None => Ok(Appended::Full(answer.full()?)),
                },
                other => Err(unknown_word(other)),
            }
        })
    }

    fn claim(&self, tags: Vec<Tag>) -> Answered<Vec<Entry>> {
        let core = Arc::clone(&self.core);
        Box::pin(async move {
            if tags.is_empty() {
                return Ok(Vec::new());
            }
            let link = core.link()?;
            let mut call = SCRIPTS.claim.key(&*core.prefix);
            call.arg(millis(core.lease()));
            for tag in tags.iter().take(BATCH) {
                call.arg(&tag_arg(*tag)[..]);
            }
            let mut claimed = Vec::new();
            for part in Answer::of(core.call_on(&link, &call).await?)?.lists() {
                let mut part = part?;
                let entry = part.list()?.ok_or_else(|| unknown_word("nothing"))?.entry()?;
                core.note_claim(&entry, part.tag().ok());
                claimed.push(entry);
            }
            if !claimed.is_empty() {
                core.on_disk(&link).await?;
            }
            Ok(claimed)
        })
    }

    fn change(&self, id: EntryId, change: Change) -> Answered<Changed> {
        let core = Arc::clone(&self.core);
        Box::pin(async move {
            let link = core.link()?;
            let mut call = SCRIPTS.change.key(&*core.prefix);
            call.arg(id_arg(id)).arg(&tag_arg(change.expect)[..]).arg(&tag_arg(change.tag)[..]);
            call.arg(change.state as u8).arg(&change.note[..]);
            call.arg(millis(change.delay)).arg(millis(change.ttl)).arg(millis(core.lease()));
            if let Some((key, expect, put)) = &change.record {
                put_change(&mut call, *key, *expect, put.as_ref(), core.lease(), *core.bounds.read());
            }
            let (word, mut answer) = core.ask_on(&link, &call).await?;
            match &*word {
                "done" => {
                    core.note_change(id, change);
                    core.on_disk(&link).await?;
                    Ok(Changed::Done)
                }
                "conflict" => Ok(Changed::Conflict(answer.list()?.map(Answer::entry).transpose()?)),
                "record_conflict" => {
                    Ok(Changed::RecordConflict(answer.list()?.map(Answer::record).transpose()?))
                }
                other => Err(unknown_word(other)),
            }
        })
    }

    fn beat_entries(&self, held: Vec<(EntryId, Tag)>) -> Answered<Vec<bool>> {
        let core = Arc::clone(&self.core);
        Box::pin(async move {
            core.entries.lock().all_heard(held.iter().map(|(id, _)| *id));
            let mut all = Vec::with_capacity(held.len());
            for held in held.chunks(BATCH) {
                let mut call = SCRIPTS.beat_entries.key(&*core.prefix);
                call.arg(millis(core.lease()));
                for (id, tag) in held {
                    call.arg(id_arg(*id)).arg(&tag_arg(*tag)[..]);
                }
                all.extend(Answer::of(core.call(&call).await?)?.truths());
            }
            let mut journal = core.entries.lock();
            for ((id, tag), still) in held.iter().zip(&all) {
                if !still {
                    journal.lost(*id, *tag);
                }
            }
            drop(journal);
            Ok(all)
        })
    }

    fn entry(&self, id: EntryId) -> Answered<Option<Entry>> {
        let core = Arc::clone(&self.core);
        Box::pin(async move {
            let mut call = SCRIPTS.entry.key(&*core.prefix);
            call.arg(id_arg(id));
            match core.call(&call).await? {
                ::redis::Value::Nil => Ok(None),
                found => Answer::of(found)?.entry().map(Some),
            }
        })
    }

    fn entries(
        &self,
        state: Option<EntryState>,
        after: Option<EntryId>,
        limit: usize,
    ) -> Answered<Vec<Entry>> {
        let core = Arc::clone(&self.core);
        Box::pin(async move {
            if limit == 0 {
                return Ok(Vec::new());
            }
            let mut call = SCRIPTS.entries.key(&*core.prefix);
            call.arg(state.map_or(String::new(), |state| (state as u8).to_string()));
            call.arg(after.map_or(String::new(), id_arg)).arg(limit.min(BATCH)).arg(PAGE_BYTES);
            let page = Answer::of(core.call(&call).await?)?;
            page.lists().map(|entry| entry?.entry()).collect()
        })
    }

    fn tally(&self) -> Answered<Tally> {
        let core = Arc::clone(&self.core);
        Box::pin(async move {
            let mut answer = Answer::of(core.call(&SCRIPTS.tally.key(&*core.prefix)).await?)?;
            let mut tally = Tally::default();
            for count in &mut tally.count {
                *count = answer.amount()?;
            }
            tally.bytes = answer.amount()?;
            tally.oldest = u64::try_from(answer.number()?).ok().map(Duration::from_millis);
            Ok(tally)
        })
    }
}

impl Core {
    /// Why an acknowledged write would not be on disk.
    pub(super) fn not_on_disk(&self) -> Option<String> {
        match &*self.on_disk.read() {
            OnDisk::No(why) => Some(why.clone()),
            OnDisk::Acknowledged | OnDisk::OnDemand => None,
        }
    }

    /// Returns once what this server has acknowledged is on its disk.
    async fn on_disk(&self, link: &Arc<Link>) -> Result<(), StoreError> {
        let Disk::Ask(rounds) = &link.disk else { return Ok(()) };
        rounds.wait().await.map_err(|why| match why {
            NotOnDisk::Lost(error) => self.failed(&error),
            NotOnDisk::Late => {
                self.poke.notify_one();
                self.error("its disk did not take a write in time; look at its disk and log")
            }
        })
    }

    fn note_claim(&self, entry: &Entry, over: Option<Tag>) {
        let body =
            EntryBody { line: entry.line.clone(), owner: entry.owner.clone(), value: entry.value.clone() };
        let write = EntryWrite {
            tag: entry.tag,
            state: entry.state,
            note: entry.note.clone(),
            delay: Duration::ZERO,
            ttl: Duration::ZERO,
            body: Arc::new(body),
        };
        self.entries.lock().note(entry.id, over, write);
    }

    fn note_change(&self, id: EntryId, change: Change) {
        let Change { expect, tag, state, note, delay, ttl, record } = change;
        let mut journal = self.entries.lock();
        // An entry that this gateway has not seen whole cannot be written again by it.
        if let Some(body) = journal.write(id).map(|known| Arc::clone(&known.body)) {
            journal.note(id, Some(expect), EntryWrite { tag, state, note, delay, ttl, body });
        }
        drop(journal);
        if let Some((key, expect, put)) = record {
            self.note_record(key, expect, put);
        }
    }
}
