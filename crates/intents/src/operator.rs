//! What an operator sees and does.
//!
//! | order | of an intent that is | it becomes | its key's fence |
//! |---|---|---|---|
//! | retry | dead, in doubt | queued, at the end of its line if it had left it | deferred again |
//! | drop | queued | dropped | removed: the key is free; unknown where an attempt was cut off |
//! | drop | in doubt | dropped | stays unknown: it may have been applied |
//! | drop | dead | dropped | stays as it is |
//! | settle, applied | in doubt | applied | sealed with the status that was told |
//! | settle, not applied | in doubt | dead | removed: the key is free |
//!
//! Each is one compare-and-set: what moved meanwhile is not touched, and the error says so. A
//! retry needs the key to be this intent's still; where it was used or resolved since, it is
//! refused, since it could do the write twice.

use http::StatusCode;
use sluicegate_store::{Entry, EntryId, EntryState, Tag};

use crate::{
    error::IntentError,
    home::{Home, Intents},
    intent::{Intent, Note},
    outcome::{self, FenceMove, Rules, Step},
    step::Stepped,
};

mod pausing;
mod records;

pub use pausing::PausedRecord;
pub(crate) use records::timestamp;
pub use records::{ErrorRecord, IntentPage, IntentQuery, IntentRecord, IntentsStatus, ResponseRecord};

/// What an operator found out about an intent in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It was applied; duplicates of its key get this status, without a body.
    Applied(StatusCode),
    /// It was not applied.
    NotApplied,
}

impl Intents {
    /// One intent.
    pub async fn show(&self, id: &str) -> Result<IntentRecord, IntentError> {
        let entry = self.0.entry(id).await?;
        Ok(IntentRecord::of(&entry)?)
    }

    /// Puts an intent that is dead or in doubt into the queue again, with all its tries.
    pub async fn retry(&self, id: &str) -> Result<IntentRecord, IntentError> {
        // It may come in anew: writes of its line must look for it.
        let _coming = self.0.quiet.coming();
        let order = Order { done: "retried", allowed: &[EntryState::Dead, EntryState::InDoubt] };
        let record = self
            .order(id, order, |rules, _, note| {
                let note = Note { tries: 0, answer: None, ..note };
                Step { fence: FenceMove::Defer, ..rules.queued(note, std::time::Duration::ZERO) }
            })
            .await?;
        self.0.wake.notify_one();
        Ok(record)
    }

    /// Throws an intent away.
    pub async fn drop_intent(&self, id: &str) -> Result<IntentRecord, IntentError> {
        let order =
            Order { done: "dropped", allowed: &[EntryState::Queued, EntryState::InDoubt, EntryState::Dead] };
        self.order(id, order, |rules, state, note| {
            let fence = match state {
                EntryState::Queued if !note.doubtful => FenceMove::Release,
                EntryState::Queued | EntryState::InDoubt => {
                    FenceMove::Unknown(note.doubt(), rules.route.fence_ttl)
                }
                _ => FenceMove::Stay,
            };
            Step { note, fence, ..rules.over(EntryState::Dropped) }
        })
        .await
    }

    /// Ends an intent in doubt by what the operator found out.
    pub async fn settle(&self, id: &str, settlement: Settlement) -> Result<IntentRecord, IntentError> {
        let order = Order { done: "settled", allowed: &[EntryState::InDoubt] };
        self.order(id, order, |rules, _, note| match settlement {
            Settlement::Applied(status) => {
                let answer = outcome::told(status.as_u16());
                Step {
                    note: Note { answer: Some(answer.clone()), error: None, ..note },
                    fence: FenceMove::Seal(answer, rules.route.fence_ttl),
                    ..rules.over(EntryState::Applied)
                }
            }
            Settlement::NotApplied => {
                let error = Some("an operator found that it was not applied".into());
                let note = Note { error, doubtful: false, given_up: None, ..note };
                Step { note, fence: FenceMove::Release, ..rules.dead() }
            }
        })
        .await
    }

    async fn order(
        &self,
        id: &str,
        order: Order,
        step: impl Fn(&Rules<'_>, EntryState, Note) -> Step,
    ) -> Result<IntentRecord, IntentError> {
        let home = &*self.0;
        let entry = home.entry(id).await?;
        if !order.allowed.contains(&entry.state) {
            let Order { done, allowed } = order;
            return Err(IntentError::WrongState { id: id.to_owned(), state: entry.state, allowed, done });
        }
        let (intent, note) = (Intent::decode(&entry.value)?, Note::decode(&entry.note)?);
        let setup = home.setup.load_full();
        let route = setup.rules(&intent);
        let rules = Rules { route: &route, settings: &setup.settings, chance: &home.chance };
        let step = step(&rules, entry.state, note);
        match home.step(&entry, &intent, &step, Tag::draw(&home.chance)).await? {
            Stepped::Done => {}
            Stepped::Overtaken(_) => return Err(IntentError::Moved(id.to_owned())),
            Stepped::FenceTaken => return Err(IntentError::KeyTaken(id.to_owned())),
        }
        tracing::info!(intent = id, from = entry.state.as_str(), to = step.state.as_str(), "by an operator");
        let changed = Entry { state: step.state, note: step.note.encode()?, ..entry };
        Ok(IntentRecord::of(&changed)?)
    }
}

/// What is done to an intent, and where it must stand for it.
struct Order {
    done: &'static str,
    allowed: &'static [EntryState],
}

impl Home {
    async fn entry(&self, id: &str) -> Result<Entry, IntentError> {
        let unknown = || IntentError::Unknown(id.to_owned());
        let known = EntryId::from_text(id).ok_or_else(unknown)?;
        self.store.entry(known).await?.ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests;
