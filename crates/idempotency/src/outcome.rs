//! What an answer says about the write.
//!
//! | answer | outcome |
//! |---|---|
//! | a status in the upstream's `not_applied` | not applied: the key is released |
//! | 2xx, 3xx, any other 4xx | final: sealed |
//! | 5xx | unknown |
//!
//! A gRPC answer is 200 whatever happened; its own status is read as the HTTP status it
//! stands for (`google.rpc.Code`), so that `UNAVAILABLE` is not sealed for two days.

use http::{HeaderMap, StatusCode};
use sluicegate_core::{Attempt, Outcome};

use crate::{home::End, plan::IdempotencyPlan};

/// What is known of a write whose answer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// It was not done.
    NotApplied,
    /// This is its answer.
    Final,
    /// This status does not say whether it was done.
    Unknown(StatusCode),
}

/// What an answer of this status says.
pub(crate) fn of_status(status: StatusCode, plan: &IdempotencyPlan) -> Said {
    if plan.is_not_applied(status) {
        Said::NotApplied
    } else if matches!(status.as_u16(), 200..=499) {
        Said::Final
    } else {
        Said::Unknown(status)
    }
}

/// What the status of a gRPC answer stands for; `fields` are its trailers, or its headers
/// where it has nothing but these.
pub(crate) fn grpc_status(fields: &HeaderMap) -> Option<StatusCode> {
    let code: u8 = fields.get("grpc-status")?.to_str().ok()?.parse().ok()?;
    let status = match code {
        0 => 200,
        3 | 9 | 11 => 400,
        5 | 12 => 404,
        6 | 10 => 409,
        7 => 403,
        8 => 429,
        16 => 401,
        4 => 504,
        14 => 503,
        // CANCELLED, UNKNOWN, INTERNAL, DATA_LOSS, and what nobody knows.
        _ => 500,
    };
    StatusCode::from_u16(status).ok()
}

/// How an attempt ended that has no whole answer, for this reason.
pub(crate) fn broken(attempt: &Attempt, why: impl Into<Box<str>>) -> End {
    match attempt.outcome() {
        Outcome::NotApplied => End::Released,
        Outcome::Final | Outcome::Unknown | Outcome::Deferred => End::Unknown(why.into()),
    }
}

#[cfg(test)]
mod tests;
