//! What is said to a request that is refused.

use std::time::Duration;

use http::HeaderMap;
use serde_json::Value;
use sluicegate_body::{BodyLimits, GatherError};
use sluicegate_core::{Code, Facts, Refusal};
use sluicegate_store::{Full, StoreError, fingerprint::Difference};

use crate::{home::STORE_RETRY, key::IDEMPOTENCY_KEY, plan::IdempotencyPlan};

/// How long a client is asked to stay away while the first request runs, or while too much is
/// held in memory: the shortest that `Retry-After` can say.
const SOON: Duration = Duration::from_secs(1);

pub(crate) fn missing() -> Refusal {
    let detail = format!(
        "a write on this route needs an idempotency key; send the header {IDEMPOTENCY_KEY} with a value of your own that is the same in every retry"
    );
    Refusal::new(Code::IdempotencyKeyMissing, detail)
}

pub(crate) fn conflict(differs: &[Difference], plan: &IdempotencyPlan) -> Refusal {
    let names: Vec<Value> = differs.iter().map(|name| Value::from(&**name)).collect();
    Refusal::new(
        Code::IdempotencyConflict,
        "this idempotency key was used for another request; `differs` says in what; send a new key for a new request",
    )
    .status(plan.settings().conflict_status)
    .member("differs", Value::Array(names))
}

pub(crate) fn in_flight() -> Refusal {
    Refusal::new(
        Code::IdempotencyInFlight,
        "the first request with this idempotency key has not ended yet; send the same request again",
    )
    .retry_after(SOON)
}

pub(crate) fn unknown(why: &str) -> Refusal {
    let detail = format!(
        "the first attempt with this idempotency key may or may not have been applied: {why}; look at the result before you send it under a new key"
    );
    Refusal::new(Code::IdempotencyOutcomeUnknown, detail)
}

pub(crate) fn lost(error: &StoreError) -> Refusal {
    tracing::warn!(%error, "a keyed write is refused: the store cannot be used");
    Refusal::new(
        Code::StoreUnavailable,
        "the store of idempotency keys cannot be used at this moment; nothing was sent; send the same request again",
    )
    .retry_after(STORE_RETRY)
}

pub(crate) fn unreadable(error: &StoreError) -> Refusal {
    tracing::error!(%error, "a keyed write is refused: what is stored under its key cannot be read");
    Refusal::new(
        Code::StoreUnavailable,
        "what is stored under this idempotency key was written by another version and cannot be read; nothing was sent",
    )
    .retry_after(STORE_RETRY)
}

pub(crate) fn full(full: Full) -> Refusal {
    let detail = match full {
        Full::Count | Full::Bytes => {
            "the store of idempotency keys is full; nothing was sent; try again later"
        }
        Full::OwnersCount | Full::OwnersBytes => {
            "this tenant's share of the store of idempotency keys is full; nothing was sent; try again later"
        }
    };
    Refusal::new(Code::StoreUnavailable, detail).retry_after(STORE_RETRY)
}

pub(crate) fn too_large(max: usize) -> Refusal {
    let detail = format!(
        "a keyed request must be compared with its retries, and its body is larger than the {max} bytes held for that; send a smaller one, or its digest in Content-Digest"
    );
    Refusal::new(Code::BodyTooLarge, detail).close()
}

pub(crate) fn not_gathered(error: &GatherError, facts: &Facts) -> Refusal {
    match error {
        GatherError::Body(error) => match facts.body_fault() {
            Some(fault) => BodyLimits::refusal(fault, facts),
            None => {
                Refusal::new(Code::BadRequest, format!("the request body could not be read: {error}")).close()
            }
        },
        GatherError::NoRoom => Refusal::new(
            Code::Overloaded,
            "too many request bodies are being held at this moment; nothing was sent; send the same request again",
        )
        .retry_after(SOON)
        .close(),
    }
}

pub(crate) fn stopping() -> Refusal {
    Refusal::new(Code::Overloaded, "this process is being stopped; send the same request again")
        .retry_after(SOON)
}

pub(crate) fn broken_off() -> Refusal {
    Refusal::new(Code::UpstreamReset, "the attempt was broken off inside the service before it had an answer")
}

/// Whether a request asks to switch protocols: it has no answer that could be kept.
pub(crate) fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(http::header::UPGRADE)
}
