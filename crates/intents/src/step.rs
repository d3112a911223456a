//! A step of an intent, made in the store: the entry and its key's fence change together.
//!
//! The fence is changed only while it is this intent's: it says *deferred* with this id, or
//! carries the token of this intent's own last write, or is absent after this intent removed
//! it. Where it is not (an operator resolved the key, a newer attempt has begun), an end of the
//! intent leaves the fence alone, and a step that would need it is refused.

use std::time::Duration;

use sluicegate_store::{
    Change, Changed, Entry, EntryId, Expect, Put, Record, RecordKey, StoreError, Tag,
    fence::{Fence, FenceState},
};

use crate::{
    home::Home,
    intent::{FenceMark, Intent, Note},
    outcome::{FenceMove, Step, UNSETTLED},
};

/// What became of a step.
#[derive(Debug)]
pub(crate) enum Stepped {
    /// It is made.
    Done,
    /// The entry is not as it was; here it is.
    Overtaken(Option<Entry>),
    /// The fence is not the intent's, and the step needs it. Nothing was changed.
    FenceTaken,
}

type RecordChange = (RecordKey, Expect, Option<Put>);

/// Fences change under a step only when somebody meddles with the key; more often than this is
/// a fault.
const TRIES: usize = 8;

impl Home {
    /// Makes the step from `entry` as it is known. To repeat it with the same `tag` after an
    /// error is safe.
    pub(crate) async fn step(
        &self,
        entry: &Entry,
        intent: &Intent,
        step: &Step,
        tag: Tag,
    ) -> Result<Stepped, StoreError> {
        for _ in 0..TRIES {
            let Some((record, fence)) = self.fence_change(entry.id, intent, &step.note, &step.fence).await?
            else {
                return Ok(Stepped::FenceTaken);
            };
            let note = Note { fence, ..step.note.clone() }.encode()?;
            let change = Change {
                expect: entry.tag,
                tag,
                state: step.state,
                note,
                delay: step.delay,
                ttl: step.keep,
                record,
            };
            match self.store.change(entry.id, change).await? {
                Changed::Done => {
                    self.metrics.stepped(&intent.route, step.state);
                    return Ok(Stepped::Done);
                }
                Changed::Conflict(other) => return Ok(Stepped::Overtaken(other)),
                Changed::RecordConflict(_) => {}
            }
        }
        Err(StoreError::new(format!("the fence of intent {} kept changing", entry.id.to_text())))
    }

    /// The change of the fence that goes with a step, and what it is known by afterwards; none
    /// where the step needs the fence and it is another's.
    async fn fence_change(
        &self,
        id: EntryId,
        intent: &Intent,
        note: &Note,
        fence: &FenceMove,
    ) -> Result<Option<(Option<RecordChange>, FenceMark)>, StoreError> {
        let (state, ttl) = match fence {
            FenceMove::Stay => return Ok(Some((None, note.fence))),
            FenceMove::Release => (None, Duration::ZERO),
            FenceMove::Defer => (Some(FenceState::Deferred(id)), UNSETTLED),
            FenceMove::Seal(answer, ttl) => (Some(FenceState::Sealed(answer.clone())), *ttl),
            FenceMove::Unknown(why, ttl) => (Some(FenceState::Unknown(why.clone())), *ttl),
        };
        let Some(expect) = own(self.store.get(intent.fence).await?.as_ref(), id, note.fence) else {
            let needed = matches!(fence, FenceMove::Defer);
            if !needed {
                tracing::warn!(intent = %id.to_text(), "its key was used or resolved by others and is left as it is");
            }
            return Ok((!needed).then_some((None, FenceMark::Lost)));
        };
        let Some(state) = state else {
            return Ok(Some((Some((intent.fence, expect, None)), FenceMark::Released)));
        };
        let tag = Tag::draw(&self.chance);
        let value = intent.fence(state, &self.clock).encode()?;
        let put = Put { tag, value, owner: intent.owner(), ttl, held: false };
        Ok(Some((Some((intent.fence, expect, Some(put))), FenceMark::Wrote(tag))))
    }
}

/// What a write of the fence must expect, if the fence is this intent's.
fn own(found: Option<&Record>, id: EntryId, mark: FenceMark) -> Option<Expect> {
    match (found, mark) {
        (None, FenceMark::Released) => Some(Expect::Absent),
        (None, _) => None,
        (Some(record), FenceMark::Wrote(tag)) if record.tag == tag => Some(Expect::Tag(tag)),
        (Some(record), _) => {
            let fence = Fence::decode(&record.value).ok()?;
            (fence.state == FenceState::Deferred(id)).then_some(Expect::Tag(record.tag))
        }
    }
}
