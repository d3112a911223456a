//! What an operator sees of keys, and how one that is stuck is settled by hand.

use std::{fmt, str::FromStr, time::Duration};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicegate_core::headers::hex;
use sluicegate_store::{
    Expect, Holder, Put, RecordKey, StoreError, Swapped, Tag,
    fence::{Fence, FenceState, StoredAnswer, StoredBody, unknown},
};

use super::{Blind, Fences, Found};

/// How many records one look for keys goes through at most; then it says where to go on.
const LOOKED_AT: usize = 20_000;
/// How many are read from the store at once.
const PAGE: usize = 1000;

/// Names a key's fence: 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyId(pub(crate) RecordKey);

/// Where a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// An attempt may be at the upstream, and whoever sent it lives.
    Running,
    /// Nobody can know whether the write was applied.
    Unknown,
    /// The answer is known.
    Sealed,
    /// The write is kept as an intent.
    Deferred,
}

/// A key as it is shown.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct KeyRecord {
    /// Names it.
    pub id: String,
    /// The key as the client sent it, or the digest it was derived as.
    pub key: String,
    /// The route it was used on.
    pub route: String,
    /// The method it was used with.
    pub method: String,
    /// The tenant that used it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Where it stands.
    pub state: KeyState,
    /// Why nobody can know whether the write was applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The status of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The length of the answer's body, where it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_bytes: Option<usize>,
    /// The intent that the write is kept as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<String>,
    /// The request id of the newest attempt.
    pub request_id: String,
    /// When it was first used.
    #[schemars(with = "String")]
    pub created_at: Timestamp,
    /// When its state last changed.
    #[schemars(with = "String")]
    pub changed_at: Timestamp,
    /// How long it is still remembered, in milliseconds.
    pub expires_in_ms: u64,
}

/// Which keys are looked for; what is none holds for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyFilter {
    /// Those that stand here.
    pub state: Option<KeyState>,
    /// Those of this route.
    pub route: Option<String>,
    /// Those of this tenant.
    pub tenant: Option<String>,
    /// Those whose text begins so.
    pub prefix: Option<String>,
}

/// Some of the keys, in the order of their ids.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct KeyPage {
    /// The keys.
    pub keys: Vec<KeyRecord>,
    /// Where to go on; none at the end. There may be more even where `keys` is empty: one
    /// look goes through a limited number of records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What an operator found out about a write whose fate was unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// It was applied: duplicates get this status and no body.
    Applied {
        /// The status.
        status: u16,
    },
    /// It was not: the key is free again.
    NotApplied,
}

/// Why a key was not shown or settled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not an id.
    #[error("`{0}` is not the id of a key; ids have 64 hexadecimal digits, as `keys list` shows them")]
    NotAnId(String),
    /// There is none of this id.
    #[error("there is no key {0}; it may have expired")]
    NotFound(KeyId),
    /// An attempt runs.
    #[error("an attempt under the key {0} is running and whoever sent it lives; wait for its end")]
    Running(KeyId),
    /// It is known already how it ended.
    #[error("the key {id} is {}: nothing about it is unknown", state.as_str())]
    Settled {
        /// The key.
        id: KeyId,
        /// Where it stands.
        state: KeyState,
    },
    /// It belongs to an intent.
    #[error("the write under the key {0} is kept as an intent; settle the intent instead")]
    Deferred(KeyId),
    /// It changed while it was looked at.
    #[error("the key {0} has changed meanwhile; look at it again")]
    Changed(KeyId),
    /// Not the status of an answer.
    #[error("{0} is not the status of a write that was applied; name one from 200 to 499")]
    Status(u16),
    /// The store cannot be used, or has something that cannot be read.
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl KeyState {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Unknown => "unknown",
            Self::Sealed => "sealed",
            Self::Deferred => "deferred",
        }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0.0))
    }
}

impl FromStr for KeyId {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let wrong = || KeyError::NotAnId(text.escape_debug().to_string());
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut id = [0; 32];
        for (at, byte) in id.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Self(RecordKey(id)))
    }
}

impl Fences {
    /// Up to `limit` keys that the filter lets through, with ids after `after`.
    pub async fn list(
        &self,
        filter: &KeyFilter,
        after: Option<KeyId>,
        limit: usize,
    ) -> Result<KeyPage, KeyError> {
        let mut keys = Vec::new();
        let mut after = after.map(|id| id.0);
        let mut looked_at = 0;
        while keys.len() < limit && looked_at < LOOKED_AT {
            let page = self.0.store.page(after, PAGE).await?;
            if page.is_empty() {
                return Ok(KeyPage { keys, next: None });
            }
            for (id, record) in page {
                if keys.len() == limit {
                    break;
                }
                (after, looked_at) = (Some(id), looked_at + 1);
                // What cannot be read is none of ours, or will expire unread.
                if !id.is_fence() {
                    continue;
                }
                if let Ok(found) = Found::read(record)
                    && filter.passes(&found)
                {
                    keys.push(KeyRecord::of(KeyId(id), &found));
                }
            }
        }
        Ok(KeyPage { keys, next: after.map(|id| KeyId(id).to_string()) })
    }

    /// One key.
    pub async fn show(&self, id: KeyId) -> Result<Option<KeyRecord>, KeyError> {
        let found = self.0.clone().look(id.0).await?;
        Ok(found.map(|found| KeyRecord::of(id, &found)))
    }

    /// Settles a key whose fate is unknown by what an operator found out. It is remembered
    /// from now on for as long as it was still to be. Returns what it was.
    ///
    /// A holder that only seems to be gone may still send what it has not sent yet: settle a
    /// key as not applied only when the process that had it is known to be dead, or its
    /// attempt to be over.
    pub async fn resolve(&self, id: KeyId, resolution: Resolution) -> Result<KeyRecord, KeyError> {
        let found = self.0.clone().look(id.0).await?.ok_or(KeyError::NotFound(id))?;
        let Found { record, fence } = &found;
        if unknown(record, fence).is_none() {
            return Err(match fence.state {
                FenceState::Running | FenceState::Unknown(_) => KeyError::Running(id),
                FenceState::Sealed(_) => KeyError::Settled { id, state: KeyState::Sealed },
                FenceState::Deferred(_) => KeyError::Deferred(id),
            });
        }
        let expect = match record.holder {
            Holder::Gone => Expect::Abandoned(record.tag),
            Holder::Alive | Holder::Nobody => Expect::Tag(record.tag),
        };
        let put = match resolution {
            Resolution::NotApplied => None,
            Resolution::Applied { status } if !(200..500).contains(&status) => {
                return Err(KeyError::Status(status));
            }
            Resolution::Applied { status } => {
                let answer = StoredAnswer {
                    status,
                    headers: Vec::new(),
                    body: StoredBody::NotKept("an operator found that it was applied".into()),
                    trailers: Vec::new(),
                };
                let changed_ms = self.0.clock.unix_millis();
                let sealed = Fence { state: FenceState::Sealed(answer), changed_ms, ..fence.clone() };
                Some(Put {
                    tag: Tag::draw(&self.0.chance),
                    value: sealed.encode()?,
                    owner: fence.tenant.clone().unwrap_or_default(),
                    ttl: record.expires_in.max(Duration::from_secs(1)),
                    held: false,
                })
            }
        };
        match self.0.store.swap(id.0, expect, put).await? {
            Swapped::Done => {
                self.0.waiting.wake(id.0);
                Ok(KeyRecord::of(id, &found))
            }
            Swapped::Conflict(_) => Err(KeyError::Changed(id)),
            Swapped::Full(full) => Err(StoreError::new(format!(
                "the store has no room for it ({}); raise its bounds or wait until keys expire",
                full.as_str()
            ))
            .into()),
        }
    }
}

impl From<Blind> for KeyError {
    fn from(blind: Blind) -> Self {
        match blind {
            Blind::Lost(error) | Blind::Unreadable(error) => Self::Store(error),
        }
    }
}

impl KeyFilter {
    fn passes(&self, found: &Found) -> bool {
        let fence = &found.fence;
        let is = |wanted: &Option<String>, text: &str| wanted.as_deref().is_none_or(|wanted| wanted == text);
        self.state.is_none_or(|state| state == state_of(found))
            && is(&self.route, &fence.route)
            && (self.tenant.is_none() || self.tenant.as_deref() == fence.tenant.as_deref())
            && self.prefix.as_deref().is_none_or(|prefix| fence.key.starts_with(prefix))
    }
}

fn state_of(found: &Found) -> KeyState {
    match &found.fence.state {
        _ if unknown(&found.record, &found.fence).is_some() => KeyState::Unknown,
        FenceState::Running | FenceState::Unknown(_) => KeyState::Running,
        FenceState::Sealed(_) => KeyState::Sealed,
        FenceState::Deferred(_) => KeyState::Deferred,
    }
}

impl KeyRecord {
    fn of(id: KeyId, found: &Found) -> Self {
        let Found { record, fence } = found;
        let (mut status, mut body_bytes, mut intent) = (None, None, None);
        match &fence.state {
            FenceState::Sealed(answer) => {
                status = Some(answer.status);
                if let StoredBody::Whole(body) = &answer.body {
                    body_bytes = Some(body.len());
                }
            }
            FenceState::Deferred(entry) => intent = Some(entry.to_text()),
            FenceState::Running | FenceState::Unknown(_) => {}
        }
        Self {
            id: id.to_string(),
            key: fence.key.to_string(),
            route: fence.route.to_string(),
            method: fence.method.to_string(),
            tenant: fence.tenant.as_deref().map(str::to_owned),
            state: state_of(found),
            why: unknown(record, fence).map(|why| why.to_string()),
            status,
            body_bytes,
            intent,
            request_id: fence.request_id.to_string(),
            created_at: at(fence.created_ms),
            changed_at: at(fence.changed_ms),
            expires_in_ms: u64::try_from(record.expires_in.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

fn at(unix_ms: u64) -> Timestamp {
    let millis = i64::try_from(unix_ms).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX)
}
