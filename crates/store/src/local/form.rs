//! How records and entries are written as bytes.
//!
//! A record is a head of fixed form followed by its value, so that reading one copies
//! nothing. An entry's head and note are written anew by each change and are small; its value
//! is kept apart, once.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    StoreError,
    queue::{EntryId, EntryState},
    record::{Put, RecordKey, Tag},
};

/// No process holds it.
pub(crate) const NOBODY: u64 = 0;

/// A record as it is kept.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) tag: Tag,
    /// The epoch of the process that holds it, or [`NOBODY`].
    pub(crate) epoch: u64,
    /// Milliseconds since 1970.
    pub(crate) expires: u64,
    pub(crate) owner: Bytes,
    pub(crate) value: Bytes,
}

impl Stored {
    /// The bytes of a write made at `now` by the process of this epoch.
    pub(crate) fn encode(put: &Put, epoch: u64, expires: u64) -> Bytes {
        let mut bytes = BytesMut::with_capacity(HEAD + put.owner.len() + put.value.len());
        bytes.put_u128(put.tag.0);
        bytes.put_u64(epoch);
        bytes.put_u64(expires);
        bytes.put_u64(put.owner.len() as u64);
        bytes.put_slice(put.owner.as_bytes());
        bytes.put_slice(&put.value);
        bytes.freeze()
    }

    /// Reads what [`Stored::encode`] wrote.
    pub(crate) fn decode(key: &[u8], mut bytes: Bytes) -> Result<Self, StoreError> {
        if bytes.len() < HEAD {
            return Err(damaged("record", key));
        }
        let tag = Tag(bytes.get_u128());
        let epoch = bytes.get_u64();
        let expires = bytes.get_u64();
        let owner = usize::try_from(bytes.get_u64()).unwrap_or(usize::MAX);
        if bytes.len() < owner {
            return Err(damaged("record", key));
        }
        let owner = bytes.split_to(owner);
        if std::str::from_utf8(&owner).is_err() {
            return Err(damaged("record", key));
        }
        Ok(Self { tag, epoch, expires, owner, value: bytes })
    }

    /// Whose share it takes.
    pub(crate) fn owner(&self) -> &str {
        std::str::from_utf8(&self.owner).unwrap_or_default()
    }
}

/// Tag, epoch, expiry, length of the owner's name.
const HEAD: usize = 16 + 8 + 8 + 8;

/// An entry as it is kept, but for its value.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct EntryHead {
    pub(crate) place: u64,
    pub(crate) tag: Tag,
    pub(crate) state: EntryState,
    pub(crate) epoch: u64,
    pub(crate) line: Box<str>,
    pub(crate) owner: Box<str>,
    pub(crate) bytes: u64,
    /// Milliseconds since 1970, as the two that follow.
    pub(crate) created: u64,
    pub(crate) due: u64,
    pub(crate) expires: u64,
    pub(crate) note: Bytes,
}

impl EntryHead {
    pub(crate) fn encode(&self) -> Result<Bytes, StoreError> {
        postcard::to_stdvec(self)
            .map(Bytes::from)
            .map_err(|error| StoreError::new(format!("an entry cannot be written: {error}")))
    }

    pub(crate) fn decode(key: &[u8], bytes: &[u8]) -> Result<Self, StoreError> {
        postcard::from_bytes(bytes).map_err(|_| damaged("entry", key))
    }
}

/// The key of an entry.
pub(crate) fn entry_key(id: EntryId) -> [u8; 16] {
    id.0.to_be_bytes()
}

/// The id of the entry at a key.
pub(crate) fn entry_id(key: &[u8]) -> Result<EntryId, StoreError> {
    key.try_into().map(|key| EntryId(u128::from_be_bytes(key))).map_err(|_| damaged("entry", key))
}

/// The key of the record at a key.
pub(crate) fn record_key(key: &[u8]) -> Result<RecordKey, StoreError> {
    key.try_into().map(RecordKey).map_err(|_| damaged("record", key))
}

/// Where it is noted that a record is to be looked at in the second when it has expired.
pub(crate) fn expiry_key(expires: u64, key: RecordKey) -> [u8; 40] {
    let mut bytes = [0; 40];
    bytes[..8].copy_from_slice(&expires.div_ceil(1000).to_be_bytes());
    bytes[8..].copy_from_slice(&key.0);
    bytes
}

/// When to look, in milliseconds since 1970, and at which record.
pub(crate) fn expiry(key: &[u8]) -> Result<(u64, RecordKey), StoreError> {
    let (second, record) = key.split_first_chunk::<8>().ok_or_else(|| damaged("expiry", key))?;
    Ok((u64::from_be_bytes(*second).saturating_mul(1000), record_key(record)?))
}

/// Where the counters of an owner are: names may be empty, or longer than a key can be.
pub(crate) fn counts_key(owner: &str) -> [u8; 32] {
    Sha256::digest(owner.as_bytes()).into()
}

/// An error for what is there and cannot be read.
pub(crate) fn damaged(what: &str, key: &[u8]) -> StoreError {
    let mut name = [0; 16];
    let count = key.len().min(name.len());
    name[16 - count..].copy_from_slice(&key[..count]);
    StoreError::new(format_args!(
        "the store is damaged: the {what} {:x} cannot be read; restore the store from a backup, or move it away",
        u128::from_be_bytes(name)
    ))
}
