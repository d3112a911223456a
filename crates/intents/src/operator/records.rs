//! Intents as an operator sees them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicegate_store::{
    Entry, EntryId, EntryState, Health, StoreError,
    fence::{StoredAnswer, StoredBody},
};
use tokio::time::Instant;

use super::PausedRecord;
use crate::{
    error::IntentError,
    home::Intents,
    intent::{Intent, Note},
};

/// Which intents are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IntentQuery {
    /// In this state alone.
    pub state: Option<EntryState>,
    /// Of this route alone.
    pub route: Option<String>,
    /// Of this tenant alone.
    pub tenant: Option<String>,
    /// Those after this one; the `next` of the page before.
    pub after: Option<String>,
    /// How many at most.
    pub limit: usize,
}

/// One page of intents, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct IntentPage {
    /// The intents.
    pub intents: Vec<IntentRecord>,
    /// Where the next page begins, if there may be one. A page may hold fewer than were asked
    /// for, and none, and yet have a next.
    pub next: Option<String>,
}

/// An intent as an operator sees it. Its body and headers are not shown.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct IntentRecord {
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub state: EntryState,
    /// The route it came in by.
    pub route: String,
    /// That route's upstream, when it came.
    pub upstream: String,
    /// The tenant that made it.
    pub tenant: Option<String>,
    /// Its method.
    pub method: String,
    /// Its path, without the query.
    pub path: String,
    /// The bytes of its body.
    pub bytes: u64,
    /// Its idempotency key.
    pub key: String,
    /// What keeps it in order.
    pub order_key: String,
    /// The request id it came with.
    pub request_id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// How often it may have been sent.
    pub attempts: u32,
    /// What stood in the way the last time.
    pub error: Option<String>,
    /// The upstream's answer, once there is one.
    pub response: Option<ResponseRecord>,
}

/// The upstream's answer as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct ResponseRecord {
    /// Its status.
    pub status: u16,
    /// The bytes of its body; none where it was not kept.
    pub bytes: Option<u64>,
}

/// How the backfill is doing.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct IntentsStatus {
    /// How many intents are in each state.
    pub count: BTreeMap<String, u64>,
    /// The bytes of those that are not over.
    pub bytes: u64,
    /// How long the oldest that is not over has been kept, in milliseconds.
    pub oldest_ms: Option<u64>,
    /// The pause that an operator set.
    pub paused: Option<PausedRecord>,
    /// Nothing is applied before this, since a thaw is young.
    pub soaking_until: Option<Timestamp>,
    /// Nothing is applied before this, since one outcome after the other was unknown.
    pub resting_until: Option<Timestamp>,
    /// How many this gateway is applying.
    pub in_flight: u64,
    /// Why no intent is accepted, if so.
    pub not_durable: Option<String>,
    /// Why the store cannot be used, if so.
    pub store_down: Option<String>,
    /// What went wrong last.
    pub last_error: Option<ErrorRecord>,
}

/// Something that went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(rename = "IntentError")]
pub struct ErrorRecord {
    /// When.
    pub at: Timestamp,
    /// What.
    pub message: String,
}

/// The most intents of one page.
const MOST: usize = 500;

/// How many entries are read at once, and how many at most for one page: they come with their
/// bodies.
const READ: usize = 32;
const READ_IN_ALL: usize = 2048;

impl IntentRecord {
    pub(super) fn of(entry: &Entry) -> Result<Self, StoreError> {
        let (intent, note) = (Intent::decode(&entry.value)?, Note::decode(&entry.note)?);
        let path = intent.target.split('?').next().unwrap_or_default();
        Ok(Self {
            id: entry.id.to_text(),
            state: entry.state,
            path: path.to_owned(),
            bytes: intent.body.len() as u64,
            created_at: timestamp(intent.created_ms),
            attempts: note.attempts,
            error: note.error.map(Into::into),
            response: note.answer.as_ref().map(ResponseRecord::of),
            route: intent.route.into(),
            upstream: intent.upstream.into(),
            tenant: intent.tenant.map(Into::into),
            method: intent.method.into(),
            key: intent.key.into(),
            order_key: intent.order_key.into(),
            request_id: intent.request_id.into(),
        })
    }
}

impl ResponseRecord {
    fn of(answer: &StoredAnswer) -> Self {
        let bytes = match &answer.body {
            StoredBody::Whole(body) => Some(body.len() as u64),
            StoredBody::NotKept(_) => None,
        };
        Self { status: answer.status, bytes }
    }
}

impl Intents {
    /// Lists intents, the oldest first. What this version cannot read is left out.
    pub async fn list(&self, query: &IntentQuery) -> Result<IntentPage, IntentError> {
        let limit = query.limit.clamp(1, MOST);
        let mut after = match &query.after {
            None => None,
            Some(text) => {
                let id = EntryId::from_text(text);
                Some(id.ok_or_else(|| IntentError::Invalid(format!("`{text}` is not the id of an intent")))?)
            }
        };
        let mut page = IntentPage::default();
        let mut read = 0;
        loop {
            let entries = self.0.store.entries(query.state, after, READ).await?;
            if entries.is_empty() {
                return Ok(page);
            }
            for entry in &entries {
                after = Some(entry.id);
                if let Ok(record) = IntentRecord::of(entry)
                    && query.takes(&record)
                {
                    page.intents.push(record);
                    if page.intents.len() == limit {
                        page.next = Some(entry.id.to_text());
                        return Ok(page);
                    }
                }
            }
            read += entries.len();
            if read >= READ_IN_ALL {
                page.next = after.map(EntryId::to_text);
                return Ok(page);
            }
        }
    }

    /// How the backfill is doing, by what is in the store now.
    pub async fn status(&self) -> Result<IntentsStatus, IntentError> {
        let home = &*self.0;
        let tally = home.store.tally().await?;
        let paused = home.paused().await?;
        let seen = home.seen.lock().clone();
        let now = (home.clock.unix_millis(), Instant::now());
        let count = EntryState::ALL.into_iter().map(|state| (state.as_str().to_owned(), tally.of(state)));
        Ok(IntentsStatus {
            count: count.collect(),
            bytes: tally.bytes,
            oldest_ms: tally.oldest.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            paused,
            soaking_until: seen.soaking_until.and_then(|at| to_come(at, now)),
            resting_until: seen.resting_until.and_then(|at| to_come(at, now)),
            in_flight: home.in_flight.lock().len() as u64,
            not_durable: home.not_durable(),
            store_down: match &*home.store.health().borrow() {
                Health::Down(why) => Some(why.clone()),
                Health::Up | Health::Degraded(_) => None,
            },
            last_error: seen.last_error.map(|(at, message)| ErrorRecord { at: timestamp(at), message }),
        })
    }
}

impl IntentQuery {
    fn takes(&self, record: &IntentRecord) -> bool {
        self.route.as_ref().is_none_or(|route| *route == record.route)
            && self.tenant.as_ref().is_none_or(|tenant| Some(tenant) == record.tenant.as_ref())
    }
}

/// A moment to come, on the wall clock.
fn to_come(at: Instant, (millis, now): (u64, Instant)) -> Option<Timestamp> {
    let left = at.checked_duration_since(now)?;
    Some(timestamp(millis.saturating_add(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))))
}

pub(crate) fn timestamp(millis: u64) -> Timestamp {
    let millis = i64::try_from(millis).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX)
}
