//! A pair of answers to one request, as it comes in and as it is kept.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::comparison::Comparison;

/// Whose answer the primary's is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Against {
    /// The shadow's (A/B).
    Shadow,
    /// Another one of the route's own upstream (A/A): what differs here is noise.
    Own,
}

impl Against {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Shadow, Self::Own];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shadow => "shadow",
            Self::Own => "own",
        }
    }
}

/// Why a copy got no answer that could be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Failed {
    /// It took too long.
    Timeout,
    /// There was no connection.
    Unreachable,
    /// The connection or the answer broke off.
    Reset,
    /// The breaker let it not through.
    Breaker,
    /// The answer is larger than what is compared.
    TooLarge,
}

impl Failed {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Timeout, Self::Unreachable, Self::Reset, Self::Breaker, Self::TooLarge];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Reset => "reset",
            Self::Breaker => "breaker",
            Self::TooLarge => "too_large",
        }
    }
}

/// A request as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RequestShown {
    /// Its method.
    pub method: Box<str>,
    /// Its path, without the values of its query.
    pub path: Box<str>,
    /// Its id, as in the gateway's log.
    pub id: Box<str>,
    /// The hash that equal requests share.
    pub hash: Box<str>,
    /// The id that its copy carried.
    pub shadow_id: Box<str>,
}

/// What is known of one answer besides its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Side {
    /// Its status.
    #[serde(serialize_with = "status_number")]
    #[schemars(with = "u16")]
    pub status: StatusCode,
    /// How long it took, in seconds.
    #[serde(serialize_with = "seconds")]
    #[schemars(with = "f64")]
    pub took: Duration,
    /// The length of its body.
    pub bytes: u64,
}

/// A pair that is to be noted.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// When the copy was answered or given up.
    pub at: Timestamp,
    /// The request.
    pub request: &'a RequestShown,
    /// The answer that the client got.
    pub primary: Side,
    /// The answer to the copy, or why there is none.
    pub copy: Result<Side, Failed>,
    /// How they differ; without it only the statuses are compared.
    pub comparison: Option<&'a Comparison>,
}

/// What became of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Copied {
    /// It was answered.
    Answered(Side),
    /// It was not.
    Failed(Failed),
}

/// A differing pair that was kept.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct KeptPair {
    /// When the copy was answered or given up.
    pub at: Timestamp,
    /// Whose answer the primary's was compared with.
    pub against: Against,
    /// The request.
    pub request: RequestShown,
    /// The answer that the client got.
    pub primary: Side,
    /// What became of the copy.
    pub copy: Copied,
    /// The classes in which they differ, as they are counted.
    pub classes: Vec<Arc<str>>,
    /// How they differ, where they were compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
}

impl KeptPair {
    pub(super) fn new(against: Against, pair: &Pair<'_>, classes: Vec<Arc<str>>) -> Self {
        Self {
            at: pair.at,
            against,
            request: pair.request.clone(),
            primary: pair.primary,
            copy: pair.copy.map_or_else(Copied::Failed, Copied::Answered),
            classes,
            comparison: pair.comparison.cloned(),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over like this")]
fn status_number<S: Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

fn seconds<S: Serializer>(took: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(took.as_secs_f64())
}
