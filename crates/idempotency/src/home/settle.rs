//! How an attempt's end is written down.

use std::{sync::Arc, time::Duration};

use sluicegate_body::Held;
use sluicegate_store::{
    Expect, Put, RecordKey, Swapped, Tag,
    fence::{Fence, FenceState, StoredAnswer, StoredBody},
};

use super::{Home, Late};
use crate::metrics::Outcomes;

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Nothing was done: the key is free again.
    Released,
    /// Nobody can know what was done, for this reason.
    Unknown(Box<str>),
    /// The answer is known.
    Sealed(StoredAnswer),
}

impl End {
    pub(crate) fn count(&self, outcomes: &Outcomes) {
        match self {
            Self::Released => &outcomes.released,
            Self::Unknown(_) => &outcomes.unknown,
            Self::Sealed(answer) => match answer.body {
                StoredBody::Whole(_) => &outcomes.sealed,
                StoredBody::NotKept(_) => &outcomes.sealed_without_body,
            },
        }
        .inc();
    }
}

/// An end on its way into the store. To write it twice is safe: the tag is the same.
#[derive(Clone, Debug)]
pub(crate) struct Settle {
    pub(crate) id: RecordKey,
    /// The attempt's own tag: whoever came later has another.
    pub(crate) tag: Tag,
    /// What is written; none removes the record.
    pub(crate) put: Option<Put>,
    /// The same end in short words, for a store that is full.
    pub(crate) short: Option<Put>,
    /// Whether the record may not be there: the store was lost when the attempt began.
    pub(crate) doubtful: bool,
}

impl Home {
    /// What has to be written for `end`. `ttl` counts from now.
    pub(crate) fn settle_of(&self, begun: &Begun, end: &End) -> Settle {
        let state = match end {
            // What is not known of the attempt before it is still not known.
            End::Released => begun.doubt.clone().map(FenceState::Unknown),
            End::Unknown(why) => Some(FenceState::Unknown(why.clone())),
            End::Sealed(answer) => Some(FenceState::Sealed(answer.clone())),
        };
        let put = |state: FenceState| {
            let fence = Fence { changed_ms: self.clock.unix_millis(), state, ..begun.fence.clone() };
            Put {
                tag: Tag::draw(&self.chance),
                // What cannot be encoded is stored as nothing, which is read as "not
                // understood" and never run again.
                value: fence.encode().unwrap_or_default(),
                owner: begun.fence.tenant.clone().unwrap_or_default(),
                ttl: begun.ttl,
                held: false,
            }
        };
        Settle {
            id: begun.id,
            tag: begun.tag,
            short: state.as_ref().map(|state| put(state.shortened())),
            put: state.map(put),
            doubtful: begun.doubtful,
        }
    }

    /// Writes an end down and wakes those who wait for it. What the store does not take now is
    /// tried again by the keeper, so that the client need not wait for it.
    pub(crate) async fn settle(self: Arc<Self>, settle: Settle, held: Option<Held>) {
        if let Err(settle) = self.try_settle(settle).await {
            self.late.push(Late { settle, held }, &self);
        }
    }

    /// Writes an end down; gives it back where the store is lost.
    pub(super) async fn try_settle(&self, mut settle: Settle) -> Result<(), Settle> {
        loop {
            match self.store.swap(settle.id, Expect::Tag(settle.tag), settle.put.clone()).await {
                Ok(Swapped::Done) => {}
                Ok(Swapped::Full(_)) if settle.short.is_some() => {
                    settle.put = settle.short.take();
                    continue;
                }
                Ok(Swapped::Full(full)) => {
                    tracing::warn!(key = ?settle.id, full = full.as_str(), "no room to write down how an attempt ended");
                    return Err(settle);
                }
                Ok(Swapped::Conflict(None)) if settle.doubtful => {}
                Ok(Swapped::Conflict(_)) => {
                    self.metrics.fenced_off.inc();
                    tracing::warn!(key = ?settle.id, "an attempt ended after a newer one had begun; its end does not count");
                }
                Err(error) => {
                    tracing::debug!(%error, key = ?settle.id, "an attempt's end could not be written down yet");
                    return Err(settle);
                }
            }
            self.let_go(settle.id, settle.tag);
            self.waiting.wake(settle.id);
            return Ok(());
        }
    }

    /// Leaves an end to the keeper: the attempt was dropped and cannot wait.
    pub(crate) fn settle_later(self: &Arc<Self>, settle: Settle) {
        self.late.push(Late { settle, held: None }, self);
    }
}

/// An attempt that is on record.
#[derive(Clone, Debug)]
pub(crate) struct Begun {
    pub(crate) id: RecordKey,
    pub(crate) tag: Tag,
    pub(crate) fence: Fence,
    /// Why nobody knows the fate of the attempt that it took over.
    pub(crate) doubt: Option<Box<str>>,
    pub(crate) ttl: Duration,
    /// The store was lost when it began: it may not be on record at all.
    pub(crate) doubtful: bool,
}
