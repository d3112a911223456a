//! Why a store did not do what it was asked.

use std::fmt;

/// A store that cannot be used now. Nothing is known of the write it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(Box<str>);

impl StoreError {
    /// An error in the words that operators will read: what was wrong and where.
    pub fn new(message: impl fmt::Display) -> Self {
        Self(message.to_string().into())
    }
}

/// A store that cannot be opened. Nothing in it has been changed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct OpenError(Box<str>);

impl OpenError {
    /// An error in the words that operators will read: which store, what was wrong, what to do.
    pub fn new(message: impl fmt::Display) -> Self {
        Self(message.to_string().into())
    }
}

/// Which bound leaves no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// Too many, in all.
    Count,
    /// Too many bytes, in all.
    Bytes,
    /// Too many of one owner.
    OwnersCount,
    /// Too many bytes of one owner.
    OwnersBytes,
}

impl Full {
    /// The word for it in metrics and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Bytes => "bytes",
            Self::OwnersCount => "tenant_count",
            Self::OwnersBytes => "tenant_bytes",
        }
    }
}
