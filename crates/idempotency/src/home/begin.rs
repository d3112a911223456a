//! How a key is begun: by one compare-and-set, now that the request will really go out.

use std::{future::Future, pin::Pin, sync::Arc};

use sluicegate_store::{
    Expect, Full, Put, StoreError, Swapped, Tag,
    fence::{Decision, Fence, decide, unknown},
    keyed::Keyed,
};

use super::{Blind, Found, Home};
use crate::plan::IdempotencyPlan;

/// How often the record may change under our hands before the caller looks again.
const ROUNDS: usize = 8;

/// What became of beginning a key.
#[derive(Debug)]
pub(crate) enum Began {
    /// The attempt is on record under its tag.
    Begun(Box<Start>),
    /// Somebody else has it; whoever looked the key up must look again.
    Taken,
    /// There is no room for it.
    Full(Full),
    /// The store was lost. What may be on record all the same, if it was asked for anything.
    Lost(StoreError, Option<Box<Start>>),
    /// There is something that this version does not understand.
    Unreadable(StoreError),
}

/// An attempt as it begins.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    /// What is on record of it.
    pub(crate) fence: Fence,
    /// Why nobody knows the fate of the attempt before it, if it takes one over. Where nothing
    /// comes of this one, that is what is known of the key again.
    pub(crate) doubt: Option<Box<str>>,
}

/// Beginning a key, on its way.
pub(crate) type Beginning = Pin<Box<dyn Future<Output = Began> + Send>>;

impl Home {
    /// Begins the attempt `tag` under a key, if the record allows it.
    ///
    /// The first try expects that there is no record: the replay layer has just looked. The
    /// tag stays the same in all tries, so that whoever drops this future midway knows what
    /// to take back.
    pub(crate) async fn begin(
        self: Arc<Self>,
        plan: IdempotencyPlan,
        keyed: Keyed,
        fence: Fence,
        tag: Tag,
    ) -> Began {
        if self.late.is_full() {
            // So many ends wait for the store that there is no point in asking it.
            return Began::Lost(StoreError::new("too many ends of attempts wait to be written down"), None);
        }
        let mut start = Box::new(Start { fence, doubt: None });
        let mut expect = Expect::Absent;
        for _ in 0..ROUNDS {
            let value = match start.fence.encode() {
                Ok(value) => value,
                Err(error) => return Began::Lost(error, None),
            };
            let put = Put {
                tag,
                value,
                owner: keyed.tenant.as_deref().unwrap_or_default().into(),
                ttl: plan.settings().ttl,
                held: true,
            };
            let record = match self.store.swap(keyed.id, expect, Some(put)).await {
                Ok(Swapped::Done) => {
                    self.hold(keyed.id, tag);
                    return Began::Begun(start);
                }
                Ok(Swapped::Full(full)) => return Began::Full(full),
                Ok(Swapped::Conflict(record)) => record,
                Err(error) => return Began::Lost(error, Some(start)),
            };
            let found = match record.map(Found::read).transpose() {
                Ok(found) => found,
                Err(Blind::Lost(error) | Blind::Unreadable(error)) => return Began::Unreadable(error),
            };
            let pair = found.as_ref().map(|found| (&found.record, &found.fence));
            let Decision::Begin(next) = decide(pair, &start.fence.print, plan.on_unknown()) else {
                return Began::Taken;
            };
            expect = next;
            start.doubt = found.as_ref().and_then(|found| unknown(&found.record, &found.fence));
            // The key is as old as its first use.
            if let Some(found) = &found {
                start.fence.created_ms = found.fence.created_ms;
            }
        }
        Began::Taken
    }
}
