//! The steps by which load is shed.

use std::time::Duration;

use sluicegate_core::Lane;

/// How much is shed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Nothing.
    Nothing,
    /// Half of batch.
    HalfOfBatch,
    /// All of batch.
    Batch,
    /// All of batch, a quarter of interactive.
    Quarter,
    /// All of batch, half of interactive.
    Half,
}

impl Step {
    pub(super) const LADDER: [Self; 5] =
        [Self::Nothing, Self::HalfOfBatch, Self::Batch, Self::Quarter, Self::Half];

    /// The step as status and metrics name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::HalfOfBatch => "half of batch",
            Self::Batch => "batch",
            Self::Quarter => "batch and a quarter of interactive",
            Self::Half => "batch and half of interactive",
        }
    }

    /// How long it must have been held before the next is climbed.
    pub(super) const fn hold(self) -> Duration {
        Duration::from_secs(match self {
            Self::Nothing => 0,
            Self::HalfOfBatch => 1,
            Self::Batch | Self::Quarter | Self::Half => 5,
        })
    }

    /// Of four requests of that lane, how many are refused.
    pub(super) const fn refused_of_four(self, lane: Lane) -> u64 {
        match (self, lane) {
            (Self::Nothing, _) | (Self::HalfOfBatch | Self::Batch, Lane::Interactive) => 0,
            (Self::HalfOfBatch, Lane::Batch) | (Self::Half, Lane::Interactive) => 2,
            (Self::Quarter, Lane::Interactive) => 1,
            (Self::Batch | Self::Quarter | Self::Half, Lane::Batch) => 4,
        }
    }
}
