//! What the backfill needs of the service it lives in.

use std::future::Future;

use bytes::Bytes;
use http::{Request, Response};
use sluicegate_core::{Code, Outcome, Refusal};
use sluicegate_store::{EntryId, fence::StoredBody};
use tokio::time::Instant;

/// Knows which writes go through.
pub trait Freezer: Send + Sync + 'static {
    /// Since when writes of this route, upstream and tenant go through; none while a freeze
    /// covers them, and while one that covered them is lifted and not drained yet.
    ///
    /// After a restart it is the moment of the restart.
    fn open_since(&self, route: &str, upstream: &str, tenant: Option<&str>) -> Option<Instant>;

    /// The earliest that [`Freezer::open_since`] says of anything; none where all is frozen.
    /// It spares the store claims that would be put back.
    fn earliest(&self) -> Option<Instant>;

    /// Comes when an answer of the two above may have changed. It is a hint: the backfill also
    /// asks once a second.
    fn changed(&self) -> impl Future<Output = ()> + Send;
}

/// Sends an intent to its upstream: below the layer that looks keys up, through the freeze and
/// the fence layer, which know it by the [`Backfill`](sluicegate_store::Backfill) in its
/// extensions.
pub trait Runner: Send + Sync + 'static {
    /// Sends it, and tells what it came to. It must come to an end: the gateway's own limits
    /// of time see to that.
    fn run(&self, prepared: Prepared) -> impl Future<Output = RunOutcome> + Send;
}

/// An intent that is about to be sent.
#[derive(Debug)]
pub struct Prepared {
    /// Its id.
    pub id: EntryId,
    /// The route it came in by.
    pub route: Box<str>,
    /// That route's upstream, when it came.
    pub upstream: Box<str>,
    /// Who it is for.
    pub tenant: Option<Box<str>>,
    /// The request id it came with.
    pub request_id: Box<str>,
    /// Its idempotency key.
    pub key: Box<str>,
    /// The request, as it came but for the headers that were not kept; with those that the
    /// configuration sets, and with its [`Backfill`](sluicegate_store::Backfill).
    pub request: Request<Bytes>,
    /// The most bytes of the answer that are kept.
    pub max_answer: usize,
}

/// What sending an intent came to.
#[derive(Debug)]
pub enum RunOutcome {
    /// The upstream answered to the end.
    Answered(Response<StoredBody>),
    /// A freeze covers it, and nothing was sent.
    Frozen,
    /// There is no such route any more, and nothing was sent.
    NoRoute,
    /// It was refused, for this reason, and the upstream did nothing.
    Refused(Box<str>),
    /// Bytes went out and no whole answer came back, for this reason.
    Unknown(Box<str>),
}

impl RunOutcome {
    /// A refusal of the gateway, with how far the attempt had got.
    #[must_use]
    pub fn refused(refusal: &Refusal, outcome: Outcome) -> Self {
        match (refusal.code(), outcome) {
            (_, Outcome::Unknown | Outcome::Final) => Self::Unknown(refusal.to_string().into()),
            (Code::ReadOnly, _) => Self::Frozen,
            (Code::NoRoute, _) => Self::NoRoute,
            _ => Self::Refused(refusal.to_string().into()),
        }
    }
}
