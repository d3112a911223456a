//! What happens to intents that nobody works on: their holder is gone, or they are too old.

use std::time::Duration;

use sluicegate_store::{Entry, EntryId, EntryState, StoreError, Tag, fence::HOLDER_GONE};

use crate::{
    home::{Home, Setup},
    intent::{Intent, Note},
    outcome::Rules,
};

/// How many entries are read at once. They come with their bodies.
const PAGE: usize = 16;

/// Why an intent is moved that nobody works on.
#[derive(Clone, Copy, Debug)]
enum Cause {
    Abandoned,
    TooOld,
}

impl Home {
    /// Takes up what was abandoned, and ends what is too old.
    pub(super) async fn sweep(&self) -> Result<(), StoreError> {
        let setup = self.setup.load_full();
        if self.others_apply() {
            self.take_up_abandoned(&setup).await?;
        }
        let oldest = self.seen.lock().tally.oldest;
        if oldest.is_some_and(|age| age >= setup.settings.ttl) {
            self.expire(&setup).await?;
        }
        Ok(())
    }

    async fn take_up_abandoned(&self, setup: &Setup) -> Result<(), StoreError> {
        let mut after: Option<EntryId> = None;
        loop {
            let page = self.store.entries(Some(EntryState::Applying), after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.id);
            for entry in page.iter().filter(|entry| entry.abandoned) {
                self.step_aside(setup, entry, Cause::Abandoned).await?;
            }
        }
    }

    async fn expire(&self, setup: &Setup) -> Result<(), StoreError> {
        let mut after: Option<EntryId> = None;
        loop {
            let page = self.store.entries(Some(EntryState::Queued), after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.id);
            for entry in &page {
                // Ids sort by the time they were made, so the first that is young ends it.
                if self.made_ago(entry.id) < setup.settings.ttl {
                    return Ok(());
                }
                self.step_aside(setup, entry, Cause::TooOld).await?;
            }
        }
    }

    /// Makes a step of an entry that is not in flight here. Where it has moved, that is left
    /// alone; so is what cannot be read.
    async fn step_aside(&self, setup: &Setup, entry: &Entry, cause: Cause) -> Result<(), StoreError> {
        let (Ok(intent), Ok(note)) = (Intent::decode(&entry.value), Note::decode(&entry.note)) else {
            tracing::warn!(intent = %entry.id.to_text(), "an intent of a form that this version cannot read is left alone");
            return Ok(());
        };
        let route = setup.rules(&intent);
        let rules = Rules { route: &route, settings: &setup.settings, chance: &self.chance };
        let step = match cause {
            Cause::Abandoned => rules.abandoned(HOLDER_GONE, Note { given_up: Some(entry.tag), ..note }),
            Cause::TooOld => rules.expired(note),
        };
        tracing::info!(intent = %entry.id.to_text(), state = step.state.as_str(), "no longer {}", entry.state.as_str());
        self.step(entry, &intent, &step, Tag::draw(&self.chance)).await.map(drop)
    }

    /// The age of an entry by its id, which begins with the milliseconds since 1970.
    fn made_ago(&self, id: EntryId) -> Duration {
        let millis = u64::try_from(id.0 >> 80).unwrap_or(0);
        Duration::from_millis(self.clock.unix_millis().saturating_sub(millis))
    }
}
