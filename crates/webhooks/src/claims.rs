//! Which of the gateways that share a store delivers a message.
//!
//! A record in the store stands for a message to a receiver. Whoever writes it first has
//! claimed the message, and holds the record while it tries. Once it is delivered the record
//! says so, for [`KEPT`]; where the gateway gives up, the record is removed, so that another
//! may have better luck. A record whose holder is gone is taken over.
//!
//! Nothing here stands in the way of a delivery: where the store does not answer in
//! [`PATIENCE`], or has no room, the message is delivered without a claim.

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use sluicegate_core::Chance;
use sluicegate_store::{Expect, Holder, Put, RecordKey, Store, StoreError, Swapped, Tag};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::message::Message;

/// How long it is known that a message was delivered.
const KEPT: Duration = Duration::from_secs(31 * 24 * 3600);

/// How long a claim that is held is kept at least.
const HELD: Duration = Duration::from_secs(3600);

/// How long the store is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

const TRYING: Bytes = Bytes::from_static(b"trying");
const DELIVERED: Bytes = Bytes::from_static(b"delivered");

/// The claims of one gateway.
#[derive(Clone, Debug)]
pub(crate) struct Claims {
    pub(crate) store: Store,
    pub(crate) chance: Arc<Chance>,
}

/// Whose a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// This gateway's; with the record, where there is one.
    Ours(Option<(RecordKey, Tag)>),
    /// Another's, which is at it.
    Theirs,
    /// Nobody's any more: it is delivered.
    Delivered,
}

impl Claims {
    pub(crate) async fn claim(&self, webhook: &str, message: &Message) -> Claim {
        if !message.shared {
            return Claim::Ours(None);
        }
        let key = RecordKey::reserved("webhook", &format!("{webhook} {}", message.id));
        match timeout(PATIENCE, self.ask(key)).await {
            Ok(Ok(claim)) => claim,
            Ok(Err(error)) => {
                tracing::debug!(%error, webhook, "a message is delivered without a claim");
                Claim::Ours(None)
            }
            Err(_) => Claim::Ours(None),
        }
    }

    async fn ask(&self, key: RecordKey) -> Result<Claim, StoreError> {
        let mut expect = Expect::Absent;
        loop {
            let tag = Tag::draw(&self.chance);
            let put = Put { tag, value: TRYING, owner: "".into(), ttl: HELD, held: true };
            let record = match self.store.swap(key, expect, Some(put)).await? {
                Swapped::Done => return Ok(Claim::Ours(Some((key, tag)))),
                Swapped::Full(_) => return Ok(Claim::Ours(None)),
                Swapped::Conflict(record) => record,
            };
            expect = match record {
                None => Expect::Absent,
                Some(record) if record.value == DELIVERED => return Ok(Claim::Delivered),
                Some(record) if record.holder == Holder::Gone => Expect::Abandoned(record.tag),
                Some(_) => return Ok(Claim::Theirs),
            };
        }
    }

    /// Runs `work` and meanwhile says that the claim is held.
    pub(crate) async fn holding<T>(&self, claim: Claim, work: impl Future<Output = T>) -> T {
        let (Claim::Ours(Some(held)), Some(lease)) = (claim, self.store.lease()) else { return work.await };
        let mut beats = interval(lease / 3);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = beats.tick() => {
                    // One that was lost meanwhile is somebody else's too: at least once.
                    drop(timeout(PATIENCE, self.store.beat(vec![held])).await);
                }
            }
        }
    }

    /// Notes how it ended; without success another gateway may claim the message.
    pub(crate) async fn settle(&self, claim: Claim, delivered: bool) {
        let Claim::Ours(Some((key, tag))) = claim else { return };
        let put = delivered.then(|| Put {
            tag: Tag::draw(&self.chance),
            value: DELIVERED,
            owner: "".into(),
            ttl: KEPT,
            held: false,
        });
        // Not noted: the message may be delivered again, under the same id.
        drop(timeout(PATIENCE, self.store.swap(key, Expect::Tag(tag), put)).await);
    }
}
