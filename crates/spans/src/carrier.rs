//! What carries spans to a collector.

use std::{fmt, pin::Pin, time::Duration};

use sluicegate_core::span::Span;

use crate::settings::OtlpSettings;

/// Makes a carrier, or says which key is wrong and why. It opens no connection yet.
pub type Connect = fn(&OtlpSettings) -> Result<Box<dyn Carrier>, (&'static str, String)>;

/// What became of a batch: how many of its spans the collector did not want.
pub type Carried<'a> = Pin<Box<dyn Future<Output = Result<u64, Undelivered>> + Send + 'a>>;

/// Carries batches to one collector. It is not waited for longer than the timeout of its settings.
pub trait Carrier: fmt::Debug + Send + Sync {
    /// Carries these.
    fn carry<'a>(&'a self, batch: &'a [Span]) -> Carried<'a>;
}

/// Why spans are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Too many were waiting.
    QueueFull,
    /// The collector could not be reached.
    Unreachable,
    /// It did not answer in time.
    Timeout,
    /// It did not want them.
    Refused,
    /// The gateway was stopping.
    Stopping,
}

impl Why {
    /// Every reason, in the order of the variants.
    pub(crate) const ALL: [Self; 5] =
        [Self::QueueFull, Self::Unreachable, Self::Timeout, Self::Refused, Self::Stopping];

    /// As metrics name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::Stopping => "stopping",
        }
    }
}

/// A batch that the collector has not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undelivered {
    /// Why.
    pub why: Why,
    /// The same in words.
    pub words: String,
    /// Whether the same batch may be taken later.
    pub passes: bool,
    /// How long the collector asks to be left alone.
    pub after: Option<Duration>,
}
