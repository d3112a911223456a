//! Records in Redis.

use std::{sync::Arc, time::Duration};

use ::redis::ScriptInvocation;

use super::{
    Redis,
    kept::RecordWrite,
    link::{Core, Link},
    scripts::SCRIPTS,
    wire::{Answer, millis, put_change, tag_arg, unknown_word},
};
use crate::{
    Answered, StoreError,
    record::{Bounds, Expect, Page, Put, Record, RecordKey, Records, Swapped, Tag},
};

/// The most that is asked for with one call.
const BATCH: usize = 500;

/// The most bytes of values that a page brings, about.
pub(super) const PAGE_BYTES: usize = 4 << 20;

/// How often an operation looks whether the barrier has fallen.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

impl Records for Redis {
    fn get(&self, key: RecordKey) -> Answered<Option<Record>> {
        let core = Arc::clone(&self.core);
        Box::pin(async move {
            let mut call = SCRIPTS.get.key(&*core.prefix);
            call.arg(&key.0[..]);
            match core.call(&call).await? {
                ::redis::Value::Nil => Ok(None),
                found => Answer::of(found)?.record().map(Some),
            }
        })
    }

    fn swap(&self, key: RecordKey, expect: Expect, put: Option<Put>) -> Answered<Swapped> {
        let core = Arc::clone(&self.core);
        Box::pin(async move {
            let mut call = SCRIPTS.swap.key(&*core.prefix);
            put_change(&mut call, key, expect, put.as_ref(), core.lease(), *core.bounds.read());
            let (word, mut answer) = core.ask_on(&core.link()?, &call).await?;
            match &*word {
                "done" => {
                    core.note_record(key, expect, put);
                    Ok(Swapped::Done)
                }
                "conflict" => Ok(Swapped::Conflict(answer.list()?.map(Answer::record).transpose()?)),
                "full" => Ok(Swapped::Full(answer.full()?)),
                other => Err(unknown_word(other)),
            }
        })
    }

    fn beat(&self, held: Vec<(RecordKey, Tag)>) -> Answered<Vec<bool>> {
        let core = Arc::clone(&self.core);
        Box::pin(async move {
            core.records.lock().all_heard(held.iter().map(|(key, _)| *key));
            let mut all = Vec::with_capacity(held.len());
            for held in held.chunks(BATCH) {
                let mut call = SCRIPTS.beat.key(&*core.prefix);
                call.arg(millis(core.lease()));
                for (key, tag) in held {
                    call.arg(&key.0[..]).arg(&tag_arg(*tag)[..]);
                }
                all.extend(Answer::of(core.call(&call).await?)?.truths());
            }
            let mut journal = core.records.lock();
            for ((key, tag), still) in held.iter().zip(&all) {
                if !still {
                    journal.lost(*key, *tag);
                }
            }
            drop(journal);
            Ok(all)
        })
    }

    fn lease(&self) -> Option<Duration> {
        Some(self.core.lease())
    }

    fn page(&self, after: Option<RecordKey>, limit: usize) -> Answered<Page> {
        let core = Arc::clone(&self.core);
        Box::pin(async move {
            if limit == 0 {
                return Ok(Page::new());
            }
            let mut call = SCRIPTS.page.key(&*core.prefix);
            let after = after.as_ref().map_or(&[][..], |key| &key.0);
            call.arg(after).arg(limit.min(BATCH)).arg(PAGE_BYTES);
            let page = Answer::of(core.call(&call).await?)?;
            let read = |part: Result<Answer, StoreError>| {
                let mut part = part?;
                let key = part.key()?;
                let record = part.list()?.ok_or_else(|| unknown_word("nothing"))?;
                Ok((key, record.record()?))
            };
            page.lists().map(read).collect()
        })
    }

    fn bound(&self, bounds: Bounds) {
        *self.core.bounds.write() = bounds;
    }

    fn usage(&self) -> Answered<(u64, u64)> {
        let core = Arc::clone(&self.core);
        Box::pin(async move {
            let mut answer = Answer::of(core.call(&SCRIPTS.usage.key(&*core.prefix)).await?)?;
            Ok((answer.amount()?, answer.amount()?))
        })
    }
}

impl Core {
    /// Calls a script whose answer begins with a word. While gateways are still coming back to
    /// a server that has started anew, a new key has to wait for them.
    pub(super) async fn ask_on(
        &self,
        link: &Arc<Link>,
        call: &ScriptInvocation<'_>,
    ) -> Result<(Box<str>, Answer), StoreError> {
        let mut patience = self.options.response_timeout;
        loop {
            let mut answer = Answer::of(self.call_on(link, call).await?)?;
            let word = answer.text()?;
            if &*word != "wait" {
                return Ok((word, answer));
            }
            let left = answer.amount()?;
            if patience.is_zero() {
                return Err(self.error(format!(
                    "it has started anew, and for up to {left} ms more new keys wait until every gateway \
                     has come back and made known again what it holds"
                )));
            }
            let pause = LOOK_AGAIN.min(patience);
            tokio::time::sleep(pause).await;
            patience -= pause;
        }
    }

    /// Remembers an acknowledged write.
    pub(super) fn note_record(&self, key: RecordKey, expect: Expect, put: Option<Put>) {
        let over = match expect {
            Expect::Absent => None,
            Expect::Tag(tag) | Expect::Abandoned(tag) => Some(tag),
        };
        self.records.lock().note(key, over, RecordWrite(put));
    }
}
